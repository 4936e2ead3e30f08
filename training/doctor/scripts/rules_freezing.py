"""Which lines freeze the discriminator, and what that does in Keras 2 and 3."""

import ast
from collections.abc import Iterator

from training.doctor.finding import Finding, Severity
from training.doctor.scripts.networks import Role
from training.doctor.scripts.script import Call, Script

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


TAPE_REMEDY = """\
Say in each step which variables learn, and leave `trainable` alone: what is frozen has none.
loss = tf.keras.losses.BinaryCrossentropy(from_logits=True)  # or the one that was compiled
with tf.GradientTape() as tape:
    real = discriminator(real_images, training=True)
    fake = discriminator(generator(noise, training=True), training=True)
    d_loss = loss(tf.ones_like(real), real) + loss(tf.zeros_like(fake), fake)
gradients = tape.gradient(d_loss, discriminator.trainable_variables)
d_optimizer.apply_gradients(zip(gradients, discriminator.trainable_variables))
with tf.GradientTape() as tape:
    fake = discriminator(generator(noise, training=True), training=True)
    g_loss = loss(tf.ones_like(fake), fake)
gradients = tape.gradient(g_loss, generator.trainable_variables)
g_optimizer.apply_gradients(zip(gradients, generator.trainable_variables))"""


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
