"""Names that nothing defines."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from difflib import get_close_matches

from pyflakes.checker import Checker
from pyflakes.messages import ImportStarUsage, UndefinedName

from training.doctor.finding import Finding, Severity
from training.doctor.scripts.networks import KINDS
from training.doctor.scripts.script import Script
from training.doctor.scripts.source import listed

NOTEBOOK = {"display", "get_ipython", "exit", "quit"}
IMPORTS = {
    "K": "from tensorflow.keras import backend as K",
    "Image": "from PIL import Image",
    "Path": "from pathlib import Path",
    "keras": "from tensorflow import keras",
    "layers": "from tensorflow.keras import layers",
    "np": "import numpy as np",
    "pd": "import pandas as pd",
    "plt": "import matplotlib.pyplot as plt",
    "tf": "import tensorflow as tf",
}
KERAS = {
    "Adam": "tensorflow.keras.optimizers",
    "BinaryCrossentropy": "tensorflow.keras.losses",
    "Input": "tensorflow.keras",
    "Model": "tensorflow.keras",
    "RMSprop": "tensorflow.keras.optimizers",
    "Sequential": "tensorflow.keras",
}

KERAS_STAR = re.compile(r"(tensorflow\.(python\.)?)?keras\.(layers|models|optimizers)")
"""Modules whose `import *` brings classes, and of functions only these."""
KERAS_FUNCTIONS = {
    *("add", "average", "concatenate", "dot", "maximum", "minimum", "multiply", "subtract"),
    *("clone_model", "load_model", "model_from_config", "model_from_json", "model_from_yaml", "save_model"),
    *("deserialize", "get", "serialize"),
}

MOVED = {
    "keras.layers": {
        *("advanced_activations", "convolutional", "core", "embeddings", "local", "merge", "noise"),
        *("normalization", "pooling", "recurrent", "wrappers"),
    },
    "keras": {"engine"},
    "keras.utils": {"np_utils", "vis_utils"},
}
"""Modules that the first versions of Keras had, and Keras 3 has not; what they held is one level up."""


def undefined_names(script: Script) -> Iterator[Finding]:
    """C1: names that stop the script with a NameError; in an excerpt only slips of the pen."""
    for name, lines in undefined(script).items():
        meant = slip_of(script, name, lines[0])
        if meant is None and is_excerpt(script):
            continue
        known = import_of(name)
        yield Finding(
            "C1",
            "undefined name",
            Severity.CRITICAL,
            f"`{name}` is defined nowhere.",
            script.source.text.splitlines()[lines[0] - 1].strip(),
            "The script stops there with a NameError.",
            f"{meant}  # instead of {name}" if meant else known or f"Define or import `{name}`.",
            script.source.places(lines),
        )


def excerpt(script: Script) -> Iterator[Finding]:
    """C2: a file without any import is part of something larger."""
    names = undefined(script)
    missing = [name for name, lines in names.items() if slip_of(script, name, lines[0]) is None]
    if not missing or not is_excerpt(script):
        return
    known = [name for name in missing if import_of(name)]
    helpers = [f"`{name}`" for name in missing if name not in known]
    lines = import_lines(known)
    yield Finding(
        "C2",
        "excerpt",
        Severity.NOTE,
        "This is part of a script: it imports nothing"
        + (f", and {listed(helpers)} are defined elsewhere." if helpers else "."),
        ", ".join(missing),
        "What is not in this file could not be examined.",
        "\n".join(lines) or "Show the whole script.",
        script.source.places([lines[0] for lines in names.values()][:1]),
    )


def is_excerpt(script: Script) -> bool:
    """Does the file import nothing at all?"""
    return not any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(script.tree))


def undefined(script: Script) -> dict[str, list[int]]:
    """Return each undefined name and its lines, by pyflakes."""
    found: dict[str, list[int]] = defaultdict(list)
    for message in Checker(script.tree, filename=str(script.source.path)).messages:
        name = str(message.message_args[0]) if message.message_args else ""
        if (isinstance(message, UndefinedName) and name not in NOTEBOOK) or (
            isinstance(message, ImportStarUsage) and is_slip_beside_star(script, message)
        ):
            found[name].append(message.lineno)
    return found


def is_slip_beside_star(script: Script, message: ImportStarUsage) -> bool:
    """Tell whether a name that `import *` might bring is none of Keras', and a slip of a defined one."""
    name, modules = message.message_args
    from_keras = all(KERAS_STAR.fullmatch(module) for module in modules.split(", "))
    of_keras = name in KERAS_FUNCTIONS or re.match("[A-Z].", name)
    return from_keras and not of_keras and slip_of(script, name, message.lineno) is not None


def slip_of(script: Script, name: str, line: int) -> str | None:
    """Return the defined name that was meant, if one is nearly the same."""
    defined = [*script.reader.functions, *script.reader.classes, *names_at(script, line)]
    same = [other for other in defined if other.lower() == name.lower()]
    near = get_close_matches(name, [other for other in defined if len(other) > 3], 1, cutoff=0.88)
    return (same or near or [None])[0] if not import_of(name) else None


def names_at(script: Script, line: int) -> list[str]:
    """Return the names given a value in the function around a line, and in the module."""
    at = next(
        (node for node in ast.walk(script.tree) if isinstance(node, ast.Name) and node.lineno == line), None
    )
    function = script.function(at) if at else None
    given = [argument.arg for argument in function.args.args] if function else []
    return given + [name for where, name in script.assigned if where in {function, None}]


def import_of(name: str) -> str | None:
    """Return the line that imports a well-known name."""
    if name in IMPORTS:
        return IMPORTS[name]
    if name in KERAS:
        return f"from {KERAS[name]} import {name}"
    if name in KINDS and name[0].isupper():
        return f"from tensorflow.keras.layers import {name}"
    return (
        f"import {name}"
        if name.islower() and name in {"glob", "math", "os", "random", "sys", "time"}
        else None
    )


def import_lines(names: list[str]) -> list[str]:
    """Return the lines that import well-known names, one line a module."""
    modules: dict[str, list[str]] = defaultdict(list)
    lines = []
    for name in names:
        line = import_of(name) or ""
        module, _, imported = line.partition(" import ")
        if imported == name and module.startswith("from tensorflow.keras"):
            modules[module].append(name)
        else:
            lines.append(line)
    return sorted(lines, key=lambda line: (line.startswith("from"), line)) + [
        f"{module} import {', '.join(sorted(names))}" for module, names in modules.items()
    ]


def moved_modules(script: Script) -> Iterator[Finding]:
    """C26: imports that end the script at once."""
    found = list(moved_imports(script))
    if found:
        node, home = found[0]
        yield Finding(
            "C26",
            "module that Keras no longer has",
            Severity.CRITICAL,
            f"`{node.module}` was a module of Keras 1 and 2.",
            script.source.line(node),
            "In Keras 3 (TensorFlow 2.16 and later) the script stops there with a ModuleNotFoundError.",
            f"from {home} import {', '.join(alias.name for alias in node.names)}",
            script.source.places(node for node, _ in found),
        )


def moved_imports(script: Script) -> Iterator[tuple[ast.ImportFrom, str]]:
    """Yield each import from a module that is gone, and the module that now has what was in it."""
    for node in ast.walk(script.tree):
        if not isinstance(node, ast.ImportFrom) or not node.module:
            continue
        home, _, last = node.module.rpartition(".")
        plain = home.removeprefix("tensorflow.").removeprefix("python.")
        if last in MOVED.get(plain, ()):
            yield node, home.replace("tensorflow.python.", "tensorflow.")
