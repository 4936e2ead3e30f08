"""An excerpt becomes a whole script: its imports, its helpers by the way they are used, and its call."""

import ast
from collections.abc import Iterator

from training.doctor.scripts.edits import Edit, Text, applied
from training.doctor.scripts.networks import Network, Role, input_shape, role_of_name
from training.doctor.scripts.reader import Function
from training.doctor.scripts.rules_names import (
    import_lines,
    import_of,
    is_excerpt,
    slip_of,
    undefined,
)
from training.doctor.scripts.script import Script

READS_PICTURES = "cards = load_cards(sys.argv[1])"
LOADER = '''\
def load_cards(path):
    """Read a folder of pictures, or the first array of a .npz file (n, {height}, {width}, 3), as {made}."""
    if path.endswith(".npz"):
        images = next(iter(np.load(path).values()))
    else:
        kinds = ("*.png", "*.jpg", "*.jpeg", "*.webp")
        files = sorted(file for kind in kinds for file in Path(path).rglob(kind))
        pictures = [Image.open(file).convert("RGB").resize(({width}, {height})) for file in files]
        images = np.stack([np.asarray(picture) for picture in pictures])
    return images.astype("float32") / {scale}
'''
REAL = """\
def {name}({count}):
    chosen = np.random.randint(0, len(cards), {count})
    return cards[chosen], np.ones(({count}, 1))
"""
FAKE = """\
def {name}({arguments}):
    noise = np.random.randn({count}, {dim})
    return {generator}.predict(noise, verbose=0), np.zeros(({count}, 1))
"""
SHOWN = """\
def {name}(image):
    return {value}
"""


def with_imports(after: Script) -> str:
    """Return the changed script's text with an import of every well-known name that is defined nowhere."""
    lines = import_lines([name for name in undefined(after) if import_of(name)])
    text = Text(after.source)
    if not lines:
        return text.text
    own = [node for node in after.tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    block = "\n".join(lines)
    edit = text.behind(own[-1], block) if own else text.before(after.tree.body[0], f"{block}\n\n\n")
    return applied(text.text, [edit])


def complete(script: Script, text: Text, train: Function) -> Iterator[Edit]:
    """Write what an excerpt left out, as far as its use tells what it was."""
    helpers = [helper(script, name) for name in missing_helpers(script)] if is_excerpt(script) else [None]
    start = call_of(script, train)
    side = next((shape for shape in map(shape_of, script.discriminators) if shape), None)
    if start is None or side is None or any(text is None for text in helpers):
        return
    unit = any(network.output == "sigmoid" for network in script.generators)
    loader = LOADER.format(
        height=side[0],
        width=side[1],
        made="float32 in [0, 1]" if unit else "float32 in [-1, 1]",
        scale="255.0" if unit else "127.5 - 1.0",
    )
    parts = [loader, *(text for text in helpers if text), start]
    yield text.behind(script.tree.body[-1], "\n\n" + "\n\n".join(parts))


def missing_helpers(script: Script) -> list[str]:
    """Return the functions that stand elsewhere."""
    names = undefined(script)
    return [
        name for name, lines in names.items() if not import_of(name) and not slip_of(script, name, lines[0])
    ]


def helper(script: Script, name: str) -> str | None:
    """Write one missing function by the way it is called; None if that does not tell what it does."""
    calls = [call for call in script.named(name) if isinstance(call.node.func, ast.Name)]
    if not calls or calls[0].node.keywords:
        return None
    first = calls[0].node
    names = [value.id for value in first.args if isinstance(value, ast.Name)]
    if not is_paired(script.parents[first]):
        unit = any(network.output == "sigmoid" for network in script.generators)
        value = "image" if unit else "np.clip((image + 1) / 2, 0, 1)"
        shown = any(isinstance(outer, ast.Call) for outer in script.around(first))
        return SHOWN.format(name=name, value=value) if shown and len(first.args) == 1 else None
    if len(names) != len(first.args):
        return None
    if len(names) == 1:
        return REAL.format(name=name, count=names[0])
    generator = [name for name in names if role_of_name(name) == Role.GENERATOR]
    dim = [name for name in names if "dim" in name or "latent" in name]
    count = [name for name in names if name not in generator + dim]
    if not len(generator) == len(dim) == len(count) == 1:
        return None
    return FAKE.format(
        name=name, arguments=", ".join(names), count=count[0], dim=dim[0], generator=generator[0]
    )


def is_paired(statement: ast.AST) -> bool:
    """Is this `images, labels = ...`?"""
    return isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Tuple)


def call_of(script: Script, train: Function) -> str | None:
    """Write the lines that build the networks and train them."""
    if not is_excerpt(script):
        return None
    made = {Role.GENERATOR: "generator", Role.DISCRIMINATOR: "discriminator", Role.STACK: "gan"}
    lines = [
        "if len(sys.argv) != 2:",
        '    sys.exit(f"usage: python {sys.argv[0]} FOLDER    (of pictures; or a .npz file)")',
        READS_PICTURES,
    ]
    for role, name in made.items():
        builder = next((found for found in script.reader.networks if found.role == role), None)
        function = script.reader.functions.get(builder.name) if builder else None
        given = arguments(function, made) if function else None
        if function is None or given is None:
            return None
        lines.append(f"{name} = {function.name}({given})")
    given = arguments(train, made)
    if given is None:
        return None
    lines.append(f"{train.name}({given})")
    return 'if __name__ == "__main__":\n' + "\n".join(f"    {line}" for line in lines) + "\n"


def arguments(function: Function, made: dict[Role, str]) -> str | None:
    """Write a call's arguments, each by the network its name asks for; None if there is another."""
    required = function.args.args[: len(function.args.args) - len(function.args.defaults)]
    roles = [role_of_name(argument.arg) for argument in required]
    if any(role not in made for role in roles):
        return None
    return ", ".join(made[role] for role in roles if role)


def shape_of(network: Network) -> tuple[int, ...] | None:
    """Return the shape of the pictures that a network judges."""
    shape = input_shape(network.layers[0])
    return shape if shape and len(shape) == 3 and all(isinstance(side, int) for side in shape) else None
