"""What is wrong with how the networks are run while they learn."""

import ast
from collections.abc import Iterator

from training.doctor.finding import Finding, Severity
from training.doctor.scripts.networks import Role
from training.doctor.scripts.script import CONCATENATIONS, Call, Script


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
            "fake_logits = discriminator(fake_images, training=True)"
            if script.taped
            else "discriminator.train_on_batch(real_images, real_labels)\n"
            "discriminator.train_on_batch(fake_images, fake_labels)",
            script.source.places(mixed),
        )


def mixes(script: Script, call: ast.Call) -> bool:
    """Does this put the generator's pictures and others one behind the other?"""
    if script.reader.kind(call.func) not in CONCATENATIONS or not call.args:
        return False
    parts = call.args[0].elts if isinstance(call.args[0], ast.List | ast.Tuple) else []
    fakes = [bool(script.from_generator(part)) for part in parts]
    return any(fakes) and not all(fakes)
