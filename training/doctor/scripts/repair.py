"""Writing a repaired script: what can be mended where it stands, and a stable step for compiled GANs."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import replace

from training.doctor.scripts.complete import with_imports
from training.doctor.scripts.edits import Edit, Text, applied
from training.doctor.scripts.networks import KINDS, Layer, Network, Role
from training.doctor.scripts.rebuild import NotRebuildable, rebuild, rebuildable, top_statement, training_of
from training.doctor.scripts.rules_game import bounded_margin, generator_losses, is_mean, wrong_sign
from training.doctor.scripts.rules_habits import behind_loops
from training.doctor.scripts.rules_losses import (
    FROM_LOGITS,
    boundary,
    cross_entropies,
    logits_mismatch,
    measures_accuracy,
    smoothed_accuracy,
    squashed,
    squashed_before_loss,
)
from training.doctor.scripts.rules_names import moved_imports, slip_of, undefined
from training.doctor.scripts.rules_networks import is_uneven, without_bias
from training.doctor.scripts.rules_optimizers import made_by, optimizer_uses
from training.doctor.scripts.rules_passes import at_inference, made_by_predict
from training.doctor.scripts.rules_penalties import is_normal, normal_interpolation
from training.doctor.scripts.rules_range import real_range, scalings, to_unit
from training.doctor.scripts.script import Script, argument_of

Mend = Callable[[Script, Text], Iterator[Edit]]

HARD_ACCURACY = '''\
def hard_accuracy(labels, answers):
    """Take a label for real above a half: Keras' own accuracy never finds one of 0.9 right."""
    return tf.cast((answers > {edge}) == (tf.cast(labels, tf.float32) > 0.5), tf.float32)


'''


def repair(script: Script) -> str:
    """Return the script's text with everything mended that is known to be mendable in this script."""
    text = Text(script.source)
    edits = [edit for mend in MENDS for edit in mend(script, text)]
    changed = applied(script.source.text, edits)
    return with_imports(Script(replace(script.source, text=changed, tree=ast.parse(changed), cells=())))


def not_rebuilt(script: Script) -> str:
    """Say why a script was given no step of its own; empty where it was."""
    try:
        rebuildable(script, Text(script.source))
    except NotRebuildable as reason:
        return str(reason)
    return ""


def slips(script: Script, text: Text) -> Iterator[Edit]:
    """Put the name that was meant."""
    for name, lines in undefined(script).items():
        meant = slip_of(script, name, lines[0])
        for node in ast.walk(script.tree):
            if meant and isinstance(node, ast.Name) and node.id == name and node.lineno in lines:
                yield text.put(node, meant)


def answers(script: Script, text: Text) -> Iterator[Edit]:
    """Let the discriminator answer in logits, its loss take them, and its accuracy be measured by them."""
    dropped = sigmoids(script, text)
    if dropped is not None:
        yield from dropped
        yield from losses(script, text)
    yield from accuracies(script, text, to_logits=dropped is not None)


def losses(script: Script, text: Text) -> Iterator[Edit]:
    """Let every cross-entropy take logits."""
    keras = keras_of(script)
    for loss, of_logits in cross_entropies(script):
        if of_logits is False and isinstance(loss, ast.Call):
            given = argument_of(loss, "from_logits", FROM_LOGITS[script.reader.kind(loss.func)])
            yield text.put(given, "True") if given else text.add_argument(loss, "from_logits=True")
        elif of_logits is False:
            yield text.put(loss, f"{keras}.losses.BinaryCrossentropy(from_logits=True)")


def sigmoids(script: Script, text: Text) -> list[Edit] | None:
    """Return what takes the discriminator's sigmoids out; None where its answer stays what it is."""
    if not any(squashed_before_loss(script)) and not any(logits_mismatch(script)):
        return None
    ends = [network.layers[-1] for network in script.discriminators if network.layers]
    dropped = [edit for layer in ends for edit in linear(layer, text)]
    # Where a sigmoid stands elsewhere half a change would be worse than none.
    return dropped if len(dropped) >= len(squashed(script)) else None


def accuracies(script: Script, text: Text, to_logits: bool) -> Iterator[Edit]:
    """Measure the discriminator by what it answers now, and by hard labels where they are smoothed."""
    smooth = any(smoothed_accuracy(script))
    measured = [
        (call, metrics)
        for call in script.of_networks(Role.DISCRIMINATOR, "compile")
        if (metrics := call.argument("metrics")) is not None and measures_accuracy(call)
    ]
    if smooth and training_of(script) is None:
        first, _ = measured[0]
        edge = 0.5 if squashed(script) and not to_logits else boundary(script, first)
        yield text.before(top_statement(script, first.node), HARD_ACCURACY.format(edge=edge))
        for _, metrics in measured:
            yield text.put(metrics, "[hard_accuracy]")
    elif to_logits:
        for call, metrics in measured:
            edge = boundary(script, call)
            yield text.put(metrics, f"[{keras_of(script)}.metrics.BinaryAccuracy(threshold={edge})]")


def keras_of(script: Script) -> str:
    """Return the name that Keras has in a script, or is to have."""
    return "keras" if imports(script, "keras") and not imports(script, "tf") else "tf.keras"


def imports(script: Script, name: str) -> bool:
    """Does the module import something under this name?"""
    found = [node for node in ast.walk(script.tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    return any((alias.asname or alias.name) == name for node in found for alias in node.names)


def linear(layer: Layer, text: Text) -> list[Edit]:
    """Take a layer's sigmoid away."""
    if not isinstance(layer.node, ast.Call):
        return []
    for argument in [*layer.node.keywords, *layer.node.args]:
        value = argument.value if isinstance(argument, ast.keyword) else argument
        if isinstance(value, ast.Constant) and value.value in ("sigmoid", "tanh"):
            if layer.kind == "Activation":
                return [text.put(value, '"linear"')]
            if argument in layer.node.args[:-1]:  # those behind it keep their places
                return [text.put(value, "None")]
            return [text.drop_argument(layer.node, argument)]
    return []


def kernels(script: Script, text: Text) -> Iterator[Edit]:
    """Make kernels twice as large as their strides."""
    for network in script.reader.networks:
        for layer in network.layers:
            strides = layer.pair("strides")
            if layer.kind != "Conv2DTranspose" or not is_uneven(layer) or not strides:
                continue
            given = argument_of(layer.node, "kernel_size", 1) if isinstance(layer.node, ast.Call) else None
            if isinstance(given, ast.Constant):
                yield text.put(given, str(2 * strides[0]))
            elif isinstance(given, ast.Tuple | ast.List):
                yield text.put(given, str(tuple(2 * stride for stride in strides)))


def biases(script: Script, text: Text) -> Iterator[Edit]:
    """Put the norm that a missing bias waits for into the generator; give any other layer its bias back."""
    for network in [*script.generators, *script.discriminators]:
        for layer in without_bias(network):
            call = layer.node
            if not isinstance(call, ast.Call):
                continue
            statement = added_by(script, call)
            if statement and text.alone(statement) and wants_norm(script, network, layer):
                owner = ast.unparse(statement.value.func.value)  # type: ignore[union-attr]
                prefix = ast.unparse(call.func).removesuffix(layer.kind)
                yield text.behind(statement, f"{owner}.add({prefix}BatchNormalization())")
            else:
                word = next((word for word in call.keywords if word.arg == "use_bias"), None)
                if word:
                    yield text.drop_argument(call, word)


def added_by(script: Script, call: ast.Call) -> ast.Expr | None:
    """Return the statement `model.add(layer)` that a layer is made in, if it is one."""
    outer = script.parents.get(call)
    statement = script.parents.get(outer) if isinstance(outer, ast.Call) else None
    is_add = (
        isinstance(outer, ast.Call) and isinstance(outer.func, ast.Attribute) and outer.func.attr == "add"
    )
    return statement if is_add and isinstance(statement, ast.Expr) else None


def wants_norm(script: Script, network: Network, layer: Layer) -> bool:
    """Is this a hidden layer of a generator, its activation behind it, and the norm's name at hand?"""
    at_hand = "batchnormalization" in script.words or "." in ast.unparse(layer.node).split("(")[0]
    hidden = layer is not network.layers[-1] and layer.activation == "linear"
    return network.role == Role.GENERATOR and hidden and at_hand


def ranges(script: Script, text: Text) -> Iterator[Edit]:
    """Bring reals from [0, 1] to the [-1, 1] of a tanh."""
    outputs = {network.output for network in script.generators}
    found = scalings(script, to_unit)
    if outputs != {"tanh"} or real_range(script)[0] != "[0, 1]" or len(found) != 1 or not script.trains:
        return
    (node,) = found
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        yield text.put(node, f"({text.of(node.left)} / 127.5 - 1.0)")
    elif isinstance(node, ast.Call) and script.reader.kind(node.func) == "Rescaling":
        yield text.put(node, f"{ast.unparse(node.func)}(1.0 / 127.5, offset=-1)")


def passes(script: Script, text: Text) -> Iterator[Edit]:
    """Let networks with batch normalisation use the batch in the training step."""
    for role, networks in ((Role.GENERATOR, script.generators), (Role.DISCRIMINATOR, script.discriminators)):
        for call in script.passes(role):
            if script.normed(networks) and call.function in script.taped and at_inference(script, call):
                given = call.argument("training", 1)
                yield text.put(given, "True") if given else text.add_argument(call.node, "training=True")


def interpolations(script: Script, text: Text) -> Iterator[Edit]:
    """Draw the penalty's factor uniformly."""
    places = {finding.where for finding in normal_interpolation(script)}
    for call in script.calls:
        drawn = call.node
        if is_normal(script, drawn) and script.source.places([drawn]) in places and drawn.args:
            owner = ast.unparse(drawn.func).rpartition(".")[0]
            if owner == "tf.random":
                yield text.put(drawn, f"tf.random.uniform({text.of(drawn.args[0])}, 0.0, 1.0)")


def reports(script: Script, text: Text) -> Iterator[Edit]:
    """Indent a report into the loop it reports on."""
    for loop, call in behind_loops(script):
        statement = script.parents[call.node]
        step = text.indent(loop.body[0]).removeprefix(text.indent(loop))
        if isinstance(statement, ast.stmt):
            yield from text.deeper(statement, step)


def predictions(script: Script, text: Text) -> Iterator[Edit]:
    """Draw the discriminator's fakes as the generator's own step does, where no other step is written."""
    for call in made_by_predict(script) if training_of(script) is None else []:
        if isinstance(call.func, ast.Attribute) and call.args:
            yield text.put(
                call, f"{text.of(call.func.value)}({text.of(call.args[0])}, training=True).numpy()"
            )


def optimizers(script: Script, text: Text) -> Iterator[Edit]:
    """Compile each network with an optimizer of its own."""
    first: dict[object, Role] = {}
    for call, optimizer, role in optimizer_uses(script):
        made = made_by(script, optimizer)
        if isinstance(made, ast.Call) and first.setdefault(made, role) != role and call.name == "compile":
            yield text.put(optimizer, text.of(made))


def modules(script: Script, text: Text) -> Iterator[Edit]:
    """Import from where Keras 3 has it."""
    for node, home in moved_imports(script):
        known = all(alias.name in KINDS for alias in node.names)
        if known and node.level == 0:
            start, _ = text.span(node)
            place = text.text.index(str(node.module), start)
            yield Edit(place, place + len(str(node.module)), home)


def margins(script: Script, text: Text) -> Iterator[Edit]:
    """Let the discriminator answer without bounds where its loss compares scores."""
    if any(bounded_margin(script)):
        for network in script.discriminators:
            yield from linear(network.layers[-1], text)


def signs(script: Script, text: Text) -> Iterator[Edit]:
    """Turn the generator's loss round."""
    if any(wrong_sign(script)):
        for loss in generator_losses(script):
            if is_mean(loss):
                yield text.put(loss, f"-{text.of(loss)}")


MENDS: tuple[Mend, ...] = (
    slips,
    modules,
    predictions,
    optimizers,
    margins,
    signs,
    answers,
    passes,
    ranges,
    kernels,
    biases,
    reports,
    interpolations,
    rebuild,
)
