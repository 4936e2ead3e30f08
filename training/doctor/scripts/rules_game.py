"""What is wrong with the game itself: whose weights a loss moves, and which way it pulls."""

import ast
from collections.abc import Iterator

from training.doctor.finding import Finding, Severity
from training.doctor.scripts.networks import Role
from training.doctor.scripts.script import Call, Script, arguments_of

PLAYERS = {Role.GENERATOR, Role.DISCRIMINATOR}
WEIGHTS = {"trainable_variables", "trainable_weights"}


def both_moved(script: Script) -> Iterator[Finding]:
    """C23: one loss moves both networks."""
    steps = [call for call in script.named("apply_gradients", "apply", "minimize") if call.receiver]
    both = [call for call in steps if call.function in script.taped and players(script, call) == PLAYERS]
    shares_features = any("info" in word for word in script.words)  # InfoGAN's code is learnt by both
    if both and not shares_features:
        yield Finding(
            "C23",
            "one loss moves both networks",
            Severity.CRITICAL,
            "A step hands its optimizer the weights of the generator and of the discriminator.",
            script.source.line(both[0].node),
            "The generator's loss falls soonest if the discriminator calls everything real, and that is what "
            "the discriminator learns from it.",
            "gradients = tape.gradient(g_loss, generator.trainable_variables)\n"
            "g_optimizer.apply_gradients(zip(gradients, generator.trainable_variables))\n"
            "and the same with the discriminator's loss, variables and optimizer",
            script.source.places(call.node for call in both),
        )


def players(script: Script, step: Call) -> set[Role]:
    """Return whose weights an optimizer is handed; those of `self` are the weights of all it owns."""
    owners = [
        part.value
        for argument in arguments_of(step.node)
        for part in ast.walk(argument)
        if isinstance(part, ast.Attribute) and part.attr in WEIGHTS
    ]
    found: set[Role] = set()
    for owner in owners:
        around = script.cls(owner)
        if isinstance(owner, ast.Name) and owner.id == "self" and around:
            found |= PLAYERS & owned(script, around)
        elif role := script.role(owner):
            found.add(role)
    return found


def owned(script: Script, around: ast.ClassDef) -> set[Role | None]:
    """Return what the networks are for that a class keeps."""
    kept = [
        target
        for node in ast.walk(around)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self"
    ]
    return {script.role(target) for target in kept}


def bounded_margin(script: Script) -> Iterator[Finding]:
    """C24: a hinge or Wasserstein loss of numbers that a sigmoid has squeezed."""
    squashed = [network for network in script.discriminators if network.output in {"sigmoid", "tanh"}]
    margins = [*hinges(script), *distances(script)]
    if squashed and margins and len(squashed) == len(script.discriminators):
        end = squashed[0]
        yield Finding(
            "C24",
            "margin out of reach",
            Severity.CRITICAL,
            f"The discriminator ends in a {end.output}, and its loss wants numbers without bounds.",
            f"{script.source.line(end.layers[-1].node)} and {script.source.line(margins[0])} "
            f"({script.source.place(margins[0])})",
            "Hinge and Wasserstein losses compare scores; squeezed into an interval they have hardly a slope "
            "where the discriminator is sure, and a margin of 1 beyond zero is never reached.",
            "Leave the activation of the discriminator's last layer out, as in Dense(1).",
            script.source.places(network.layers[-1].node for network in squashed),
        )


def wrong_sign(script: Script) -> Iterator[Finding]:
    """C25: the generator's loss falls as its pictures look more like fakes."""
    reals_high = any("real" in ast.unparse(hinge).lower() for hinge in hinges(script)) or distances(script)
    if not reals_high:
        return
    wrong = [value for value in generator_losses(script) if is_mean(value)]
    if wrong:
        yield Finding(
            "C25",
            "generator's loss has the wrong sign",
            Severity.CRITICAL,
            "The discriminator learns to score reals high, and the generator to be scored low.",
            script.source.line(wrong[0]),
            "It runs away from the real pictures: its loss falls, and what it draws gets worse.",
            f"-{ast.unparse(wrong[0])}",
            script.source.places(wrong),
        )


def hinges(script: Script) -> list[ast.expr]:
    """Return each relu(1 - reals) or maximum(0, 1 - reals)."""
    return [
        call.node
        for call in script.named("relu", "maximum")
        if any(
            isinstance(part, ast.BinOp) and isinstance(part.op, ast.Sub) and is_one(part.left)
            for part in call.node.args
        )
    ]


def is_one(node: ast.expr) -> bool:
    """Is this the number 1?"""
    return isinstance(node, ast.Constant) and node.value == 1


def distances(script: Script) -> list[ast.expr]:
    """Return each mean of fakes minus the mean of reals, the critic's loss."""
    return [
        node
        for node in ast.walk(script.tree)
        if isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Sub)
        and is_mean(node.left)
        and is_mean(node.right)
        and "fake" in ast.unparse(node.left).lower()
        and "real" in ast.unparse(node.right).lower()
    ]


def is_mean(node: ast.expr) -> bool:
    """Is this the mean of something that has a name, as it is?"""
    if (
        not isinstance(node, ast.Call)
        or len(node.args) != 1
        or not isinstance(node.func, ast.Attribute | ast.Name)
    ):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
    return name in {"reduce_mean", "mean"} and isinstance(node.args[0], ast.Name | ast.Attribute)


def generator_losses(script: Script) -> Iterator[ast.expr]:
    """Yield what the generator's gradient is taken of: the expressions, and what own functions return."""
    for call in script.named("gradient"):
        variables = call.argument("sources", 1)
        of_generator = (
            isinstance(variables, ast.Attribute)
            and variables.attr in WEIGHTS
            and script.role(variables.value) == Role.GENERATOR
        )
        target = call.argument("target", 0)
        if not of_generator or not isinstance(target, ast.Name):
            continue
        for value in script.values(target):
            own = script.returned(value) if isinstance(value, ast.Call) else []
            yield from own or [value]
