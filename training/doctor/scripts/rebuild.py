"""A GAN trained through `compile` and a stacked model becomes one trained by a stable step of its own."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from training.doctor.scripts.complete import complete
from training.doctor.scripts.edits import Edit, Text
from training.doctor.scripts.networks import Role
from training.doctor.scripts.reader import Function
from training.doctor.scripts.rules_freezing import switched
from training.doctor.scripts.rules_habits import PICTURES, folders_of, missing_folders, nothing_saved
from training.doctor.scripts.rules_losses import cross_entropies, measures_accuracy
from training.doctor.scripts.rules_passes import mixes
from training.doctor.scripts.script import Call, Script, arguments_of, names_in

STEP = Path(__file__).with_name("stable_step.py")


@dataclass(frozen=True)
class Training:
    """A function that trains by train_on_batch, and the names in it."""

    function: Function
    judged: list[Call]  # discriminator.train_on_batch(...)
    stacked: Call  # gan.train_on_batch(...)
    generator: str
    discriminator: str
    stack: str
    real: str
    noise: str

    @property
    def loop(self) -> ast.For | ast.While:
        """The outermost loop."""
        return self.stacked.loops[0]


class NotRebuildable(Exception):
    """The script does not train in the one way that can be rebuilt; the message says why not."""


def rebuild(script: Script, text: Text) -> Iterator[Edit]:
    """Change the training function, if it is of the known shape; else change nothing."""
    try:
        training = rebuildable(script, text)
    except NotRebuildable:
        return
    yield from thaw(script, text)
    yield from play(script, text, training)
    yield from average(script, text, training)
    yield from repeat_samples(script, text)
    yield from keep(script, text, training)
    yield text.before(top_statement(script, training.function), step_text() + "\n\n")
    yield from complete(script, text, training.function)
    yield from unnormalise(script, text)


def rebuildable(script: Script, text: Text) -> Training:
    """Find the training function that can be changed. Raises NotRebuildable."""
    training = found_training(script)
    if not cross_entropies(script):
        raise NotRebuildable("the discriminator's loss is not a binary cross-entropy")
    if not all(text.alone(node) for node in touched(script, training)):
        raise NotRebuildable("a line of the training loop holds more than one statement")
    return training


def touched(script: Script, training: Training) -> list[ast.stmt]:
    """Return the statements beside or in place of which lines are written."""
    calls = [script.parents[call.node] for call in [*training.judged, training.stacked]]
    whole = [*calls, training.loop, training.loop.body[-1]]
    return [node for node in whole if isinstance(node, ast.stmt)]


def training_of(script: Script) -> Training | None:
    """Find the one loop in which discriminator and stacked model take turns; None if there is none."""
    try:
        return found_training(script)
    except NotRebuildable:
        return None


def found_training(script: Script) -> Training:
    """Find that loop. Raises NotRebuildable."""
    if script.taped:
        raise NotRebuildable("it has training steps of its own already, under a GradientTape")
    stacks = [
        call for call in script.of_networks(Role.STACK, "train_on_batch") if call.loops and call.function
    ]
    if len(stacks) != 1 or stacks[0].function is None:
        raise NotRebuildable("no function of its own trains one stacked model by train_on_batch in a loop")
    function, stacked = stacks[0].function, stacks[0]
    judged = [
        call
        for call in script.of_networks(Role.DISCRIMINATOR, "train_on_batch")
        if call.function is function and call.loops
    ]
    own = [
        call for call in [*judged, stacked] if isinstance(script.parents[call.node], ast.Assign | ast.Expr)
    ]
    real = real_pictures(script, judged)
    generator = generator_in(script, function)
    if len(own) != len(judged) + 1 or not 0 < len(judged) < 3:
        raise NotRebuildable("that loop does not call the discriminator's train_on_batch once or twice")
    noise = stacked.argument("x", 0)
    if any(isinstance(given, ast.List | ast.Tuple) for given in (noise, real)):
        raise NotRebuildable(
            "the networks also take labels, and the step that --fix writes takes pictures alone"
        )
    discriminator, stack = judged[0].receiver, stacked.receiver
    if real is None or noise is None or generator is None or discriminator is None or stack is None:
        raise NotRebuildable("it cannot be made out which pictures and noise the networks are given")
    names = (generator, *map(ast.unparse, (discriminator, stack, real, noise)))
    return Training(function, judged, stacked, *names)


def real_pictures(script: Script, judged: list[Call]) -> ast.expr | None:
    """Return what the discriminator is given of real pictures."""
    for call in judged:
        pictures = call.argument("x", 0)
        if pictures is None:
            continue
        values = script.values(pictures) if isinstance(pictures, ast.Name) else [pictures]
        for value in values:
            if isinstance(value, ast.Call) and mixes(script, value):
                parts = value.args[0].elts if isinstance(value.args[0], ast.List | ast.Tuple) else []
                return next(part for part in parts if not script.from_generator(part))
        if not script.from_generator(pictures):
            return pictures
    return None


def generator_in(script: Script, where: ast.AST) -> str | None:
    """Return the generator's name there."""
    nodes = [node for node in ast.walk(where) if isinstance(node, ast.Name | ast.Attribute)]
    return next((ast.unparse(node) for node in nodes if script.role(node) == Role.GENERATOR), None)


def thaw(script: Script, text: Text) -> Iterator[Edit]:
    """Take `discriminator.trainable = ...` out."""
    for to in (False, True):
        for node in switched(script, to):
            block = getattr(script.parents[node], "body", [])
            yield text.put(node, "pass") if len(block) == 1 else text.remove(node)


def unnormalise(script: Script, text: Text) -> Iterator[Edit]:
    """Take batch normalisation out of the discriminator: R1 is of one picture, not of a batch."""
    for layer in script.normed(script.discriminators):
        outer = [layer.node, *script.around(layer.node)]
        statement = next(node for node in outer if isinstance(node, ast.stmt))
        holder = script.parents[layer.node]
        if isinstance(holder, ast.List):
            yield text.drop_element(holder, layer.node)
        elif isinstance(statement, ast.Expr | ast.Assign):
            yield text.remove(statement)


def play(script: Script, text: Text, training: Training) -> Iterator[Edit]:
    """Put one stable step in the place of the two train_on_batch."""
    statements = [script.parents[call.node] for call in [*training.judged, training.stacked]]
    last = statements[-1] if waits(training, statements) else statements[-2]
    lines = [f"judged, fooled, accuracy = stable_step({training.real}, {training.noise})"]
    for call, statement in zip([*training.judged, training.stacked], statements, strict=True):
        result = "fooled" if call is training.stacked else judgement(script)
        lines += [f"{text.of(target)} = {result}" for target in getattr(statement, "targets", [])]
    for statement in [*statements, *unused(training, statements)]:
        if isinstance(statement, ast.stmt):
            yield from [text.remove(statement)] if statement is last else text.remark(statement)
    if isinstance(last, ast.stmt):
        yield text.before(last, "\n".join(lines))
    networks = f"{training.generator}, {training.discriminator}"
    optimizers = f"{training.stack}.optimizer, {training.discriminator}.optimizer"
    yield text.before(training.loop, f"stable_step = StableStep({networks}, {optimizers})")


def waits(training: Training, statements: list[ast.AST]) -> bool:
    """Is nothing made of the discriminator's losses before the generator's turn?"""
    targets = {
        name
        for node in statements[:-1]
        for target in getattr(node, "targets", [])
        for name in names_in(target)
    }
    first, last = training.judged[0].node.lineno, training.stacked.node.lineno
    return not any(
        isinstance(node, ast.Name)
        and node.id in targets
        and isinstance(node.ctx, ast.Load)
        and first < node.lineno < last
        for node in ast.walk(training.function)
    )


def judgement(script: Script) -> str:
    """Return what train_on_batch returned of a discriminator compiled as this one is."""
    compiled = script.of_networks(Role.DISCRIMINATOR, "compile")
    return "[judged, accuracy]" if any(map(measures_accuracy, compiled)) else "judged"


def unused(training: Training, removed: list[ast.AST]) -> list[ast.stmt]:
    """Return the assignments that served the removed statements alone."""
    gone: list[ast.AST] = list(removed)
    kept = {training.real, training.noise}
    while True:
        assigns = [
            node for node in ast.walk(training.function) if isinstance(node, ast.Assign) and node not in gone
        ]
        dead = [node for node in assigns if is_dead(training.function, node, gone, kept)]
        if not dead:
            return [node for node in gone[len(removed) :] if isinstance(node, ast.stmt)]
        gone += dead


def is_dead(function: Function, node: ast.Assign, gone: list[ast.AST], kept: set[str]) -> bool:
    """Was this read by removed statements, and is it read by no other?"""
    names = {name for target in node.targets for name in names_in(target)}
    readers = [
        statement
        for statement in ast.walk(function)
        if isinstance(statement, ast.stmt) and not hasattr(statement, "body") and statement is not node
        if names & loaded(statement)
    ]
    heads = {name for outer in ast.walk(function) if hasattr(outer, "body") for name in head_names(outer)}
    served = any(reader in gone for reader in readers)
    return served and not names & (kept | heads) and all(reader in gone for reader in readers)


def loaded(node: ast.AST) -> set[str]:
    """Return the names that are read in a statement."""
    return {
        part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)
    }


def head_names(node: ast.AST) -> set[str]:
    """Return the names read in the first line of a loop or condition."""
    heads = [getattr(node, name, None) for name in ("test", "iter")]
    return {name for head in heads if isinstance(head, ast.AST) for name in loaded(head)}


def average(script: Script, text: Text, training: Training) -> Iterator[Edit]:
    """Report on, and save, the generator's running average."""
    for call in script.calls:
        if call.function is not training.function or not isinstance(script.parents[call.node], ast.Expr):
            continue
        owner = [call.receiver] if call.receiver is not None and call.name in {"save", "save_weights"} else []
        for value in [*arguments_of(call.node), *owner]:
            if ast.unparse(value) == training.generator:
                yield text.put(value, "stable_step.average")


def repeat_samples(script: Script, text: Text) -> Iterator[Edit]:
    """Draw samples of the same noise wherever pictures of them are made."""
    showing = {call.function for call in script.calls if call.name in PICTURES}
    for node in ast.walk(script.tree):
        if not isinstance(node, ast.Assign) or script.function(node) not in showing - {None}:
            continue
        name = generator_in(script, node.value)
        made = isinstance(node.value, ast.Call) and script.from_generator(node.value)
        targets = names_in(node.targets[0])
        if made and name and targets:
            yield text.behind(node, f"{targets[0]} = fixed_samples({name}, len({targets[0]}))")


def keep(script: Script, text: Text, training: Training) -> Iterator[Edit]:
    """Make the folders that are saved into, and save where nothing is saved."""
    if any(missing_folders(script)):
        folders = sorted({folder for call in script.calls for folder, _ in folders_of(script, call)})
        yield text.before(
            training.loop, "\n".join(f'os.makedirs("{folder}", exist_ok=True)' for folder in folders)
        )
    if any(nothing_saved(script)) and isinstance(training.loop, ast.For):
        turn = ast.unparse(training.loop.target)
        save = f'stable_step.average.save(f"generator_{{{turn}:04d}}.keras")'
        inner = any(isinstance(node, ast.For | ast.While) for node in training.loop.body)
        yield text.behind(training.loop.body[-1], save if inner else f"if {turn} % 500 == 0:\n    {save}")


def top_statement(script: Script, node: ast.AST) -> ast.stmt:
    """Return the statement of the module that a node stands in."""
    outer = [node, *script.around(node)]
    return next(
        found for found in outer if isinstance(found, ast.stmt) and script.parents[found] is script.tree
    )


def step_text() -> str:
    """Return the stable step's text, without the docstring and imports of its file."""
    source = STEP.read_text(encoding="utf-8")
    first = next(node for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    return "\n".join(source.splitlines()[first.lineno - 1 :]) + "\n"
