"""What is wrong with losses, and with how right answers are counted."""

import ast
from collections.abc import Container, Iterator

from training.doctor.finding import Finding, Severity
from training.doctor.scripts.networks import Network, Role
from training.doctor.scripts.script import Call, Script

FROM_LOGITS = {"BinaryCrossentropy": 0, "binary_crossentropy": 2}
"""Where Keras' cross-entropies take from_logits by position."""
LOGITS = (
    "Leave the activation of the discriminator's last layer out, as in Dense(1), and\n"
    "loss=tf.keras.losses.BinaryCrossentropy(from_logits=True)"
)
WITH_LOGITS = "sigmoid_cross_entropy_with_logits"
SQUARED_ERRORS = {"mse", "mean_squared_error", "meansquarederror"}


def squashed_before_loss(script: Script) -> Iterator[Finding]:
    """C4: a sigmoid in front of a cross-entropy that wants probabilities."""
    losses = cross_entropies(script)
    answers = squashed(script)
    if answers and losses and not any(logits for _, logits in losses):
        yield Finding(
            "C4",
            "sigmoid before cross-entropy",
            Severity.WARNING,
            "The discriminator ends in a sigmoid, and the cross-entropy is taken of probabilities.",
            f"{script.source.line(answers[0].layers[-1].node)} and {script.source.line(losses[0][0])} "
            f"({script.source.place(losses[0][0])})",
            "A probability near 0 or 1 is clipped at 1e-7, and there its gradient is exactly zero; a logit's "
            "never is. Keras computes with the logit only where it can see the sigmoid layer behind it.",
            LOGITS,
            script.source.places(network.layers[-1].node for network in answers),
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
        what = "The discriminator ends in a sigmoid, and the loss takes what comes for logits."
        why = (
            "A second sigmoid, of numbers between 0 and 1, only reaches 0.50 to 0.73: the loss cannot fall "
            "below 0.5. Keras' own losses go back to the logit, with a warning, but only where they can see "
            "the sigmoid layer, not behind a reshape or in mixed precision."
        )
    else:
        return
    seen = outputs == {"sigmoid"} and not any(is_of_tensorflow(script, node) for node, _ in losses)
    yield Finding(
        "C5",
        "logits mismatch",
        Severity.WARNING if seen else Severity.CRITICAL,
        what,
        f"{script.source.line(losses[0][0])} beside "
        f"{script.source.line(script.discriminators[0].layers[-1].node)}",
        why,
        LOGITS,
        script.source.places(node for node, _ in losses),
    )


def is_of_tensorflow(script: Script, loss: ast.expr) -> bool:
    """Is this TensorFlow's own cross-entropy, which takes numbers as they come?"""
    return isinstance(loss, ast.Call) and script.reader.kind(loss.func) == WITH_LOGITS


def cross_entropies(script: Script) -> list[tuple[ast.expr, object]]:
    """Return the binary cross-entropies, and whether each takes logits; UNKNOWN if it cannot be told."""
    found: list[tuple[ast.expr, object]] = []
    for call in script.calls:
        metric = "metrics" in ast.unparse(call.node.func)
        position = FROM_LOGITS.get(call.name)
        if position is not None and not metric:
            given = call.argument("from_logits", position)
            found.append((call.node, script.constant(given) if given else False))
        elif call.name == WITH_LOGITS:
            found.append((call.node, True))
        elif call.name == "compile":
            loss = call.argument("loss")
            named = (
                {part.value for part in ast.walk(loss) if isinstance(part, ast.Constant)} if loss else set()
            )
            if loss and "binary_crossentropy" in named and not isinstance(loss, ast.Call):
                found.append((loss, False))
    return found


def smoothed_accuracy(script: Script) -> Iterator[Finding]:
    """C12: Keras' accuracy wants labels that are 0 or 1."""
    compiled = script.of_networks(Role.DISCRIMINATOR, "compile")
    measured = [call for call in compiled if measures_accuracy(call, script.reader.functions)]
    if not measured:
        return
    smooth = [part for label in labels_of(script) for part in smoothed(script, label)]
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
            measured_by(0.5 if squashed(script) else boundary(script, measured[0])),
            script.source.places(smooth),
        )


def squashed(script: Script) -> list[Network]:
    """Return the discriminators that answer in probabilities."""
    return [network for network in script.discriminators if network.output == "sigmoid"]


def measured_by(edge: float) -> str:
    """Say how answers are counted that turn from fake to real at this number."""
    answer = "answers" if edge else "logits"
    return f"Measure by hard labels: ({answer} > {edge:g}) on reals, ({answer} < {edge:g}) on fakes."


def boundary(script: Script, compiled: Call) -> float:
    """Return where a discriminator's unbounded answer turns from fake to real.

    Under a squared error (LSGAN, Mao 2017) it is halfway between the labels, else a logit of 0.
    """
    loss = compiled.argument("loss", 1)
    squared = loss is not None and any(is_squared_error(part) for part in script.parts(loss))
    return 0.5 if squared and not negative_labels(script) else 0.0


def is_squared_error(part: ast.AST) -> bool:
    """Is this how Keras names a squared error: a text, a function or a class?"""
    match part:
        case ast.Constant(value=str(word)) | ast.Name(id=word) | ast.Attribute(attr=word):
            return word.lower() in SQUARED_ERRORS
        case _:
            return False


def negative_labels(script: Script) -> bool:
    """Are fakes labelled -1, as the squared error's other form has it?"""
    return any(is_negated(script, part) for label in labels_of(script) for part in script.parts(label))


def is_negated(script: Script, part: ast.AST) -> bool:
    """Is this -ones, ones * -1 or full of -1?"""
    match part:
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return is_filled(operand)
        case ast.BinOp(op=ast.Mult()):
            return is_filled(part) and (is_minus(part.left) or is_minus(part.right))
        case ast.Call():
            return script.reader.kind(part.func) in {"full", "fill"} and any(map(is_minus, part.args))
        case _:
            return False


def is_minus(node: ast.expr) -> bool:
    """Is this a number below 0?"""
    return (
        isinstance(node, ast.UnaryOp)
        and isinstance(node.op, ast.USub)
        and isinstance(node.operand, ast.Constant)
    )


def labels_of(script: Script) -> list[ast.expr]:
    """Return what the discriminator is taught to answer."""
    trained = script.of_networks(Role.DISCRIMINATOR, "train_on_batch")
    return [label for call in trained if (label := call.argument("y", 1)) is not None]


def measures_accuracy(call: Call, others: Container[str] = ()) -> bool:
    """Does this compile ask for accuracy, by none of the other names?"""
    metrics = call.argument("metrics")
    named = metrics.elts if isinstance(metrics, ast.List | ast.Tuple) else [metrics] if metrics else []
    words = [ast.unparse(metric) for metric in named]
    return any("acc" in word.lower() and word not in others for word in words)


def smoothed(script: Script, label: ast.expr) -> list[ast.expr]:
    """Return the expressions that make labels of ones and a number strictly between 0 and 2 that is not 1."""
    found: list[ast.expr] = []
    for part in script.parts(label):
        if isinstance(part, ast.BinOp) and softens(part):
            found.append(part)
        elif isinstance(part, ast.Call) and script.reader.kind(part.func) in {"full", "fill"}:
            found += [part] if any(map(fraction, part.args)) else []
    return found


def softens(node: ast.BinOp) -> bool:
    """Is this ones * 0.9, ones - 0.1 or zeros + 0.1?"""
    return is_filled(node) and (fraction(node.left) or fraction(node.right))


def is_filled(node: ast.expr) -> bool:
    """Is this made of ones or zeros?"""
    return any(f"{name}(" in ast.unparse(node) for name in ("ones", "ones_like", "zeros", "zeros_like"))


def fraction(node: ast.expr) -> bool:
    """Is this a number between 0 and 1?"""
    return isinstance(node, ast.Constant) and isinstance(node.value, float) and 0 < node.value < 1
