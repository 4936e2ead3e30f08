"""What is wrong with what holds the discriminator."""

import ast
from collections.abc import Iterator

from training.doctor.finding import Finding, Severity
from training.doctor.scripts.script import Script

R1 = """\
Augment reals and fakes alike, in both steps, and add R1 on the reals, inside the tape of the discriminator's:
real_images = tf.cast(real_images, tf.float32)
with tf.GradientTape() as inner:
    inner.watch(real_images)
    real_logits = discriminator(real_images, training=True)
slope = inner.gradient(real_logits, real_images)
d_loss += 5.0 * tf.reduce_mean(tf.reduce_sum(slope**2, axis=[1, 2, 3]))"""
WITHOUT_TAPE = "train_on_batch has no such tape: --fix writes a step of its own where it can"


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
        R1 if script.taped else f"{R1}\n{WITHOUT_TAPE}",
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
