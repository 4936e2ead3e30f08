"""What is wrong with how the networks learn."""

import ast
from collections import defaultdict
from collections.abc import Container, Iterator

from training.doctor.finding import Finding, Severity
from training.doctor.scripts.networks import Role
from training.doctor.scripts.reader import Function
from training.doctor.scripts.script import CONCATENATIONS, Call, Script, arguments_of

PINS_KERAS_2 = {"tf_keras", "tf_use_legacy_keras"}


def frozen_discriminator(script: Script) -> Iterator[Finding]:
    """C3: the compile trap."""
    frozen = switched(script, to=False)
    stacks = script.of_networks(Role.STACK, "compile")
    if not frozen or not stacks or script.taped:
        return
    compiled = script.of_networks(Role.DISCRIMINATOR, "compile")
    trained = script.of_networks(Role.DISCRIMINATOR, "train_on_batch", "fit")
    first = min(frozen, key=lambda node: node.lineno)
    late = [
        call
        for call in compiled
        if call.function is script.function(first) and call.node.lineno > first.lineno
    ]
    thawed = switched(script, to=True)
    if late and not thawed:
        yield frozen_in_both(script, first, late[0])
    elif thawed and any(script.loops(node) for node in [*frozen, *thawed]):
        yield toggled(script, [*frozen, *thawed])
    elif compiled and trained and not pins_keras_2(script):
        yield frozen_in_keras_3(script, first, compiled[0])


def frozen_in_keras_3(script: Script, freeze: ast.Assign, compiled: Call) -> Finding:
    """The classic pattern: right in Keras 2, a standing discriminator in Keras 3."""
    return Finding(
        "C3",
        "discriminator frozen by `trainable`",
        Severity.CRITICAL,
        "In Keras 3 (TensorFlow 2.16 and later) this discriminator never learns.",
        f"{script.source.line(freeze)} behind {script.source.line(compiled.node)} "
        f"({script.source.place(compiled.node)})",
        "Keras 2 kept what was trainable when `compile` was called, so that the discriminator learnt in its "
        "own train_on_batch and was frozen in the stacked model's alone. Keras 3 looks when train_on_batch "
        "first runs, and by then it is frozen; the only sign is a warning of no trainable weights.",
        TAPE_REMEDY,
        script.source.place(freeze),
    )


def frozen_in_both(script: Script, freeze: ast.Assign, compiled: Call) -> Finding:
    """Frozen before its own compile."""
    return Finding(
        "C3",
        "discriminator frozen by `trainable`",
        Severity.CRITICAL,
        "The discriminator is frozen before it is compiled: it never learns, in Keras 2 nor in Keras 3.",
        f"{script.source.line(freeze)}, then {script.source.line(compiled.node)} "
        f"({script.source.place(compiled.node)})",
        "Keras 2 keeps what is trainable at `compile`, Keras 3 what is when train_on_batch first runs.",
        TAPE_REMEDY,
        script.source.place(freeze),
    )


def toggled(script: Script, nodes: list[ast.Assign]) -> Finding:
    """Switched around each step."""
    return Finding(
        "C3",
        "discriminator frozen by `trainable`",
        Severity.WARNING,
        "The discriminator is switched between trainable and frozen inside the training loop.",
        script.source.line(nodes[0]),
        "Keras 2 ignores the switch, since `compile` has decided. Keras 3 reads it only while it traces a "
        "step: a new batch size traces again, and in the wrong state the discriminator stops learning "
        "without an error, or the step fails with `Unknown variable`.",
        TAPE_REMEDY,
        script.source.places(nodes),
    )


TAPE_REMEDY = (
    "Say in each step which variables learn, and leave `trainable` alone:\n"
    "with tf.GradientTape() as tape:\n"
    "    d_loss = ...\n"
    "gradients = tape.gradient(d_loss, discriminator.trainable_variables)\n"
    "d_optimizer.apply_gradients(zip(gradients, discriminator.trainable_variables))\n"
    "and the same with the generator's loss, variables and optimizer"
)


def switched(script: Script, to: bool) -> list[ast.Assign]:
    """Return the lines that set the discriminator's `trainable`, or that of its layers."""
    found = []
    for node in ast.walk(script.tree):
        if (
            not isinstance(node, ast.Assign)
            or not isinstance(node.value, ast.Constant)
            or node.value.value is not to
        ):
            continue
        for target in node.targets:
            if (
                isinstance(target, ast.Attribute)
                and target.attr == "trainable"
                and of_discriminator(script, target)
            ):
                found.append(node)
    return sorted(found, key=lambda node: node.lineno)


def of_discriminator(script: Script, target: ast.Attribute) -> bool:
    """Is it the discriminator, or the variable of a loop over its layers?"""
    if script.role(target.value) == Role.DISCRIMINATOR:
        return True
    for loop in script.loops(target):
        if isinstance(loop, ast.For) and ast.unparse(loop.target) == ast.unparse(target.value):
            return isinstance(loop.iter, ast.Attribute) and script.role(loop.iter.value) == Role.DISCRIMINATOR
    return False


def pins_keras_2(script: Script) -> bool:
    """Does the script ask for Keras 2?"""
    return bool(script.words & PINS_KERAS_2) or "TF_USE_LEGACY_KERAS" in script.source.text


def squashed_before_loss(script: Script) -> Iterator[Finding]:
    """C4: a sigmoid in front of a cross-entropy that wants probabilities."""
    losses = cross_entropies(script)
    squashed = [network for network in script.discriminators if network.output == "sigmoid"]
    if squashed and losses and not any(logits for _, logits in losses):
        yield Finding(
            "C4",
            "sigmoid before cross-entropy",
            Severity.WARNING,
            "The discriminator ends in a sigmoid, and the cross-entropy is taken of probabilities.",
            f"{script.source.line(squashed[0].layers[-1].node)} and {script.source.line(losses[0][0])} "
            f"({script.source.place(losses[0][0])})",
            "Keras clips probabilities at 1e-7, where the gradient is exactly zero; a logit's never is.",
            "Dense(1) without activation, and\nloss=tf.keras.losses.BinaryCrossentropy(from_logits=True)",
            script.source.places(network.layers[-1].node for network in squashed),
        )


def logits_mismatch(script: Script) -> Iterator[Finding]:
    """C5: network and loss disagree about what the output is."""
    losses = cross_entropies(script)
    outputs = {network.output for network in script.discriminators}
    logits = {of_logits for _, of_logits in losses}
    if outputs == {"linear"} and logits == {False}:
        what = "The discriminator's output has no sigmoid, but the loss takes it for a probability."
        why = (
            "A logit below 0 or above 1 is clipped to a probability, and there the gradient is exactly zero."
        )
    elif outputs == {"sigmoid"} and logits == {True}:
        what = "The discriminator ends in a sigmoid, and the loss applies another one."
        why = "Between 0 and 1 a second sigmoid only reaches 0.50 to 0.73: the loss cannot fall below 0.5."
    else:
        return
    yield Finding(
        "C5",
        "logits mismatch",
        Severity.CRITICAL,
        what,
        f"{script.source.line(losses[0][0])} beside "
        f"{script.source.line(script.discriminators[0].layers[-1].node)}",
        why,
        "Dense(1) without activation, and\nloss=tf.keras.losses.BinaryCrossentropy(from_logits=True)",
        script.source.places(node for node, _ in losses),
    )


def cross_entropies(script: Script) -> list[tuple[ast.expr, object]]:
    """Return the binary cross-entropies, and whether each takes logits; UNKNOWN if it cannot be told."""
    found: list[tuple[ast.expr, object]] = []
    for call in script.calls:
        metric = "metrics" in ast.unparse(call.node.func)
        position = {"BinaryCrossentropy": 0, "binary_crossentropy": 2}.get(call.name)
        if position is not None and not metric:
            given = call.argument("from_logits", position)
            found.append((call.node, script.constant(given) if given else False))
        elif call.name == "sigmoid_cross_entropy_with_logits":
            found.append((call.node, True))
        elif call.name == "compile":
            loss = call.argument("loss")
            named = (
                {part.value for part in ast.walk(loss) if isinstance(part, ast.Constant)} if loss else set()
            )
            if loss and "binary_crossentropy" in named and not isinstance(loss, ast.Call):
                found.append((loss, False))
    return found


def predicted_fakes(script: Script) -> Iterator[Finding]:
    """C6: the discriminator meets another generator than the one that learns."""
    predicted, hidden = made_by_predict(script), [call for call in made_fakes(script) if script.hidden(call)]
    if predicted:
        yield Finding(
            "C6",
            "fakes made by predict",
            Severity.WARNING,
            "The discriminator learns from `predict`'s fakes, and the generator has BatchNormalization.",
            script.source.line(predicted[0]),
            "`predict` normalises by moving averages, the generator's own training by the batch: the "
            "discriminator learns to know a generator that is not the one being trained.",
            "fakes = generator(noise, training=True)",
            script.source.places(predicted),
        )
    elif hidden:
        yield Finding(
            "C6",
            "fakes made out of sight",
            Severity.NOTE,
            "This file does not show how the fakes are made, and the generator has BatchNormalization.",
            script.source.line(hidden[0]),
            "If it is by `generator.predict`, the discriminator meets a generator that normalises otherwise "
            "than the one being trained.",
            "fakes = generator(noise, training=True)",
            script.source.places(hidden),
        )


def made_fakes(script: Script) -> list[ast.Call]:
    """Return the calls that make the discriminator's fakes, if the generator normalises by the batch."""
    if not script.normed(script.generators):
        return []
    made = [origin for _, pictures in script.judged for origin in script.from_generator(pictures)]
    return list(dict.fromkeys(made))


def made_by_predict(script: Script) -> list[ast.Call]:
    """Return those of them that call `predict`."""
    return [
        call
        for call in made_fakes(script)
        if isinstance(call.func, ast.Attribute) and call.func.attr.startswith("predict")
    ]


def untrained_pass(script: Script) -> Iterator[Finding]:
    """C7: a forward pass inside a training step that runs as if at inference."""
    passes = [
        call
        for role, networks in (
            (Role.GENERATOR, script.generators),
            (Role.DISCRIMINATOR, script.discriminators),
        )
        if script.normed(networks)
        for call in script.passes(role)
        if call.function in script.taped and at_inference(script, call)
    ]
    if passes:
        yield Finding(
            "C7",
            "step without training=True",
            Severity.WARNING,
            "A network with BatchNormalization is called as at inference inside the training step.",
            script.source.line(passes[0].node),
            "Without `training=True` Keras normalises by moving averages, not by the batch: the two networks "
            "learn from different pictures, and averages that no call updates keep their first values.",
            "generator(noise, training=True), discriminator(images, training=True)",
            script.source.places(call.node for call in passes),
        )


def at_inference(script: Script, call: Call) -> bool:
    """Is `training` False, or left to its default, which is False?"""
    name = ast.unparse(call.node.func).rsplit(".", 1)[-1].lower()
    if call.function and name in {"ema", "average"}:
        return False
    given = call.argument("training", 1)
    if given is None:
        return not any(keyword.arg is None for keyword in call.node.keywords) and not defaults_to_training(
            script
        )
    return script.constant(given) is False


def defaults_to_training(script: Script) -> bool:
    """Does one of the script's own networks have a `call` whose `training` is True unless told otherwise?"""
    forwards = [
        node for node in ast.walk(script.tree) if isinstance(node, ast.FunctionDef) and node.name == "call"
    ]
    defaults = [default for node in forwards for default in node.args.defaults]
    return any(isinstance(default, ast.Constant) and default.value is True for default in defaults)


def mixed_batch(script: Script) -> Iterator[Finding]:
    """C8: reals and fakes normalised together."""
    norms = script.normed(script.discriminators)
    mixed = {
        origin: None
        for _, pictures in script.judged
        for origin in script.origins(pictures)
        if mixes(script, origin)
    }
    if norms and mixed:
        yield Finding(
            "C8",
            "reals and fakes in one batch",
            Severity.WARNING,
            "The discriminator has BatchNormalization and gets reals and fakes in one batch.",
            f"{script.source.line(next(iter(mixed)))} and {script.source.line(norms[0].node)} "
            f"({script.source.place(norms[0].node)})",
            "Its statistics are then those of a mixture that the generator's step never shows it.",
            "real_logits = discriminator(real_images, training=True)\n"
            "fake_logits = discriminator(fake_images, training=True)",
            script.source.places(mixed),
        )


def mixes(script: Script, call: ast.Call) -> bool:
    """Does this put the generator's pictures and others one behind the other?"""
    if script.reader.kind(call.func) not in CONCATENATIONS or not call.args:
        return False
    parts = call.args[0].elts if isinstance(call.args[0], ast.List | ast.Tuple) else []
    fakes = [bool(script.from_generator(part)) for part in parts]
    return any(fakes) and not all(fakes)


def unregularised(script: Script) -> Iterator[Finding]:
    """C10: Mescheder 2018, "Which training methods for GANs do actually converge?"."""
    if not script.trains or not (script.discriminators or script.judged) or held(script):
        return
    where = script.discriminators[0].node if script.discriminators else script.judged[0][0].node
    yield Finding(
        "C10",
        "nothing holds the discriminator",
        Severity.WARNING,
        "There is no gradient penalty, no spectral normalisation and no augmentation.",
        "none of them in this file",
        "On few or similar pictures the discriminator can always tell reals from fakes, and what the "
        "generator then learns from it is noise.",
        "R1, on the reals, in the discriminator's step:\n"
        "with tf.GradientTape() as inner:\n"
        "    inner.watch(real_images)\n"
        "    real_logits = discriminator(real_images, training=True)\n"
        "slope = inner.gradient(real_logits, real_images)\n"
        "d_loss += 5.0 * tf.reduce_mean(tf.reduce_sum(slope**2, axis=[1, 2, 3]))\n"
        "and the same random augmentation for reals and fakes, in both steps",
        script.source.places([where]),
    )


def held(script: Script) -> bool:
    """Does anything in the script hold the discriminator?"""
    random = (
        "random_flip",
        "random_crop",
        "random_brightness",
        "randomflip",
        "randomtranslation",
        "randomzoom",
    )
    signs = (
        "augment",
        "spectral",
        "clip_by_value",
        "clip_weight",
        "constraint",
        "gaussiannoise",
        "r1_",
        *random,
    )
    clipped = "clip" in script.words and "set_weights" in script.words
    return script.penalised or clipped or any(sign in word for word in script.words for sign in signs)


def smoothed_accuracy(script: Script) -> Iterator[Finding]:
    """C12: Keras' accuracy wants labels that are 0 or 1."""
    compiled = script.of_networks(Role.DISCRIMINATOR, "compile")
    measured = [call for call in compiled if measures_accuracy(call, script.reader.functions)]
    if not measured:
        return
    trained = script.of_networks(Role.DISCRIMINATOR, "train_on_batch")
    labels = [call.argument("y", 1) for call in trained]
    smooth = [part for label in labels if label is not None for part in smoothed(script, label)]
    if smooth:
        yield Finding(
            "C12",
            "accuracy of smoothed labels",
            Severity.WARNING,
            "Labels are smoothed and the discriminator is measured by 'accuracy'.",
            f"{script.source.line(smooth[0])} and {script.source.line(measured[0].node)} "
            f"({script.source.place(measured[0].node)})",
            "Keras compares the label with 0 or 1 exactly: a label of 0.9 is never right, and accuracy near "
            "50 % hides a discriminator that is always right.",
            "Measure by hard labels: (logits > 0) on reals, (logits < 0) on fakes.",
            script.source.places(smooth),
        )


def measures_accuracy(call: Call, others: Container[str] = ()) -> bool:
    """Does this compile ask for accuracy, by none of the other names?"""
    metrics = call.argument("metrics")
    named = metrics.elts if isinstance(metrics, ast.List | ast.Tuple) else [metrics] if metrics else []
    words = [ast.unparse(metric) for metric in named]
    return any("acc" in word.lower() and word not in others for word in words)


def smoothed(script: Script, label: ast.expr) -> list[ast.expr]:
    """Return the expressions that make labels of ones and a number strictly between 0 and 2 that is not 1."""
    found: list[ast.expr] = []
    waiting, seen = [label], set[ast.AST]()
    while waiting:
        value = waiting.pop()
        if value in seen:
            continue
        seen.add(value)
        for part in ast.walk(value):
            if isinstance(part, ast.BinOp) and softens(part):
                found.append(part)
            elif isinstance(part, ast.Call):
                waiting += script.returned(part)
                if script.reader.kind(part.func) in {"full", "fill"} and any(map(fraction, part.args)):
                    found.append(part)
            elif isinstance(part, ast.Name):
                waiting += script.values(part)
    return found


def softens(node: ast.BinOp) -> bool:
    """Is this ones * 0.9, ones - 0.1 or zeros + 0.1?"""
    filled = any(f"{name}(" in ast.unparse(node) for name in ("ones", "ones_like", "zeros", "zeros_like"))
    return filled and (fraction(node.left) or fraction(node.right))


def fraction(node: ast.expr) -> bool:
    """Is this a number between 0 and 1?"""
    return isinstance(node, ast.Constant) and isinstance(node.value, float) and 0 < node.value < 1


def normal_interpolation(script: Script) -> Iterator[Finding]:
    """C18: Gulrajani 2017, algorithm 1: epsilon is uniform on [0, 1]."""
    wrong = []
    for node in ast.walk(script.tree):
        if (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Add)
            and script.function(node) in penalties(script)
        ):
            wrong += [
                value
                for factor in factors(node)
                for value in script.values(factor)
                if is_normal(script, value)
            ]
    if wrong:
        yield Finding(
            "C18",
            "interpolation by a normal",
            Severity.WARNING,
            "The gradient penalty mixes reals and fakes by a normally distributed factor.",
            script.source.line(wrong[0]),
            "The penalty belongs between reals and fakes; a third of such factors lies outside [-1, 1] and "
            "half are negative, so that most pictures lie beyond both.",
            "alpha = tf.random.uniform([batch_size, 1, 1, 1], 0.0, 1.0)",
            script.source.places(wrong),
        )


def penalties(script: Script) -> set[ast.AST | None]:
    """Return the functions that look at a gradient with respect to pictures."""
    return {call.function for call in script.named("watch", "gradients") if call.function}


def factors(node: ast.BinOp) -> list[ast.Name]:
    """Return the names that multiply something in a sum."""
    products = [
        part for part in ast.walk(node) if isinstance(part, ast.BinOp) and isinstance(part.op, ast.Mult)
    ]
    return [side for part in products for side in (part.left, part.right) if isinstance(side, ast.Name)]


def is_normal(script: Script, value: ast.expr) -> bool:
    """Is this drawn from a normal distribution?"""
    kind = script.reader.kind(value.func) if isinstance(value, ast.Call) else ""
    return kind in {"normal", "randn", "random_normal", "standard_normal"}


def shared_optimizer(script: Script) -> Iterator[Finding]:
    """C21: one optimizer object for two networks."""
    users: dict[object, dict[Role, ast.Call]] = defaultdict(dict)
    names: dict[object, str] = {}
    for call, optimizer, role in optimizer_uses(script):
        made = made_by(script, optimizer)
        if made is not None and role in {Role.GENERATOR, Role.DISCRIMINATOR, Role.STACK}:
            network = Role.DISCRIMINATOR if role == Role.DISCRIMINATOR else Role.GENERATOR
            users[made].setdefault(network, call.node)
            names.setdefault(made, ast.unparse(optimizer))
    for made, calls in users.items():
        if len(calls) > 1:
            yield Finding(
                "C21",
                "optimizer shared by two networks",
                Severity.CRITICAL,
                f"One optimizer, `{names[made]}`, serves generator and discriminator.",
                script.source.line(next(iter(calls.values()))),
                "In Keras 3 an optimizer belongs to the variables it first met, and the second network's "
                "step fails with `Unknown variable`; in Keras 2 both count one step number.",
                "d_optimizer = tf.keras.optimizers.Adam(2e-4, beta_1=0.5)\n"
                "g_optimizer = tf.keras.optimizers.Adam(2e-4, beta_1=0.5)",
                script.source.places(calls.values()),
            )


def optimizer_uses(script: Script) -> Iterator[tuple[Call, ast.expr, Role]]:
    """Yield each use of a named optimizer, and whose network it moves."""
    for call in script.calls:
        if call.name == "compile" and call.receiver is not None:
            optimizer, role = call.argument("optimizer", 0), script.role(call.receiver)
            if role is None or not script.of_networks(role, "train_on_batch", "fit"):
                continue
        elif call.name in {"apply_gradients", "apply", "minimize"} and call.receiver is not None:
            optimizer, role = call.receiver, moved(script, call.node)
        else:
            continue
        if role and isinstance(optimizer, ast.Name | ast.Attribute):
            yield call, optimizer, role


def moved(script: Script, call: ast.Call) -> Role | None:
    """Tell whose variables an optimizer is handed; None if they are not named or those of both."""
    roles = {
        script.role(part.value)
        for argument in arguments_of(call)
        for part in ast.walk(argument)
        if isinstance(part, ast.Attribute) and part.attr in {"trainable_variables", "trainable_weights"}
    }
    return roles.pop() if len(roles) == 1 else None


def made_by(script: Script, optimizer: ast.expr) -> object:
    """Return what tells an optimizer from others, whatever its names, as in `a = b = Adam()`.

    That is the call that made it, if its name is given a value once, else its name and where that stands;
    None if that cannot be seen.
    """
    home = home_of(script, optimizer)
    if home is None:
        return None
    function = home if isinstance(home, Function) else None
    given = script.assigned.get((function, ast.unparse(optimizer)), [])
    if len(given) == 1 and isinstance(given[0], ast.Name):
        return made_by(script, given[0])
    return given[0] if len(given) == 1 else (home, ast.unparse(optimizer))


def home_of(script: Script, optimizer: ast.expr) -> object:
    """Return the function, class or module that an optimizer was made in; None if that cannot be seen."""
    name, function = ast.unparse(optimizer), script.function(optimizer)
    if name.startswith("self."):
        return script.cls(optimizer)
    if (function, name) in script.assigned:
        return function or script.tree
    if function and name in {argument.arg for argument in function.args.args}:
        return None
    return script.tree if (None, name) in script.assigned else None
