"""Are the real pictures in the range that the generator draws in?"""

import ast
from collections.abc import Callable, Iterator

from training.doctor.finding import Finding, Severity
from training.doctor.scripts.networks import UNKNOWN
from training.doctor.scripts.script import Script, argument_of

Test = Callable[[Script, ast.expr], bool]

DISPLAYS = {"imshow", "imsave", "imwrite", "save_img", "fromarray", "array_to_img", "image"}
LOADERS = {
    "decode_image",
    "decode_jpeg",
    "decode_png",
    "flow_from_directory",
    "image_dataset_from_directory",
    "imread",
    "load_data",
    "load_img",
}
OTHER_WAYS = ("normaliz", "normalis", "preprocess", "rescale", "scale_", "to_float", "convert_image_dtype")
LAYERS = {"batchnormalization", "layernormalization", "groupnormalization", "spectralnormalization"}
RANGES = {"tanh": "[-1, 1]", "sigmoid": "[0, 1]"}
ARRAYS = {"imread", "load_data", "load_img"}
"""Those of the loaders that give NumPy arrays, or what becomes one."""
MADE = {
    "tanh": "{floats} / 127.5 - 1.0  # uint8 to [-1, 1]",
    "sigmoid": "{floats} / 255.0  # uint8 to [0, 1]",
}
BROUGHT = {
    "tanh": "images = 2.0 * images - 1.0  # from [0, 1] to [-1, 1]",
    "sigmoid": "images = (images + 1.0) / 2.0  # from [-1, 1] to [0, 1]",
}
"""Lines that scale pictures for a generator's output: from bytes, and from the other one's range."""


def unscaled_images(script: Script) -> Iterator[Finding]:
    """C9: pictures of another range are told apart by their mean alone."""
    outputs = {network.output for network in script.generators}
    output = outputs.pop() if len(outputs) == 1 else UNKNOWN
    if not script.trains or not isinstance(output, str) or output not in RANGES:
        return
    made, (real, shown) = RANGES[output], real_range(script)
    drawn = script.generators[0].layers[-1].node
    if real is None:
        yield Finding(
            "C9",
            "scaling out of sight",
            Severity.NOTE,
            f"This file does not show how real pictures are scaled; the generator draws in {made}.",
            script.source.line(drawn),
            "In any other range the discriminator knows reals by their mean alone, from the first step on.",
            scaling(output, ARRAYS),
            script.source.place(drawn),
        )
    elif real != made:
        yield Finding(
            "C9",
            "range mismatch",
            Severity.CRITICAL,
            f"Real pictures are in {real}, but the generator draws in {made}.",
            f"{script.source.line(shown)} beside {script.source.line(drawn)} ({script.source.place(drawn)})",
            "The discriminator knows reals by their mean alone, from the first step on, and the generator "
            "learns nothing.",
            scaling(output, loaders(script)) if real == "[0, 255]" else BROUGHT[output],
            script.source.place(shown),
        )


def scaling(output: str, loaded: set[str]) -> str:
    """Return the line that scales bytes, as these loaders give them, for a generator's output."""
    floats = 'images.astype("float32")' if loaded <= ARRAYS else "tf.cast(images, tf.float32)"
    return f"images = {MADE[output].format(floats=floats)}"


def loaders(script: Script) -> set[str]:
    """Name the functions that a script loads its pictures with."""
    return {call.name for call in script.calls if call.name in LOADERS}


def real_range(script: Script) -> tuple[str | None, ast.AST]:
    """Return the range of the real pictures and the line that shows it; None if that stands elsewhere."""
    symmetric, unit = scalings(script, to_symmetric), scalings(script, to_unit)
    if symmetric or unit:
        return ("[-1, 1]", symmetric[0]) if symmetric else ("[0, 1]", unit[0])
    loaded = [call.node for call in script.calls if call.name in LOADERS and not displayed(script, call.node)]
    otherwise = [
        word for word in script.words if any(way in word for way in OTHER_WAYS) and word not in LAYERS
    ]
    return ("[0, 255]", loaded[0]) if loaded and not otherwise else (None, script.tree)


def scalings(script: Script, test: Test) -> list[ast.expr]:
    """Return the expressions that scale pictures so, without those made for display."""
    found = [
        node
        for node in ast.walk(script.tree)
        if isinstance(node, ast.BinOp | ast.Call) and test(script, node)
    ]
    return [node for node in found if not displayed(script, node)]


def displayed(script: Script, node: ast.AST) -> bool:
    """Is this inside a call that shows or writes a picture?"""
    calls = [outer for outer in script.around(node) if isinstance(outer, ast.Call)]
    return any(script.reader.kind(call.func) in DISPLAYS for call in calls)


def to_symmetric(script: Script, node: ast.expr) -> bool:
    """Is this x / 127.5 - 1, (x - 127.5) / 127.5, 2 * x - 1, (x - 0.5) / 0.5 or their like?"""
    if isinstance(node, ast.Call):
        return script.reader.kind(node.func) == "Rescaling" and offset(script, node) == -1
    if not isinstance(node, ast.BinOp):
        return False
    left, right = script.constant(node.left), script.constant(node.right)
    if isinstance(node.op, ast.Div):
        return right in (127.5, 128, 127) or (right == 0.5 and subtracts(script, node.left, 0.5))
    if isinstance(node.op, ast.Sub):
        return right == 1 and isinstance(node.left, ast.BinOp) and doubles(script, node.left)
    return (
        isinstance(node.op, ast.Mult)
        and 2 in (left, right)
        and (subtracts(script, node.left, 0.5) or subtracts(script, node.right, 0.5))
    )


def to_unit(script: Script, node: ast.expr) -> bool:
    """Is this x / 255, Rescaling(1 / 255) or ImageDataGenerator(rescale=1 / 255)?"""
    if isinstance(node, ast.Call):
        kind, scale = script.reader.kind(node.func), argument_of(node, "rescale")
        rescaled = kind == "Rescaling" and offset(script, node) == 0
        return rescaled or (scale is not None and is_255th(script.constant(scale)))
    if not isinstance(node, ast.BinOp):
        return False
    if isinstance(node.op, ast.Div):
        return script.constant(node.right) in (255, 256) and script.constant(node.left) is UNKNOWN
    return isinstance(node.op, ast.Mult) and (
        is_255th(script.constant(node.left)) or is_255th(script.constant(node.right))
    )


def is_255th(value: object) -> bool:
    """Is this 1 / 255, as far as anybody writes it out?"""
    return isinstance(value, float) and abs(value - 1 / 255) < 1e-4


def subtracts(script: Script, node: ast.expr, amount: float) -> bool:
    """Is this something minus that amount?"""
    return (
        isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub) and script.constant(node.right) == amount
    )


def doubles(script: Script, node: ast.BinOp) -> bool:
    """Is this something times 2, or divided by 127.5?"""
    if isinstance(node.op, ast.Div):
        return script.constant(node.right) in (127.5, 128)
    return isinstance(node.op, ast.Mult) and 2 in (script.constant(node.left), script.constant(node.right))


def offset(script: Script, node: ast.Call) -> object:
    """Return a Rescaling's offset."""
    given = argument_of(node, "offset", 1)
    return script.constant(given) if given is not None else 0
