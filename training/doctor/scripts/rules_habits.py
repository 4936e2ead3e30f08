"""What a script should do around the training: report, save, show the same noise again."""

import ast
import re
from collections.abc import Iterator, Sequence

from training.doctor.finding import Finding, Severity
from training.doctor.scripts.reader import Function
from training.doctor.scripts.script import NOISE, Call, Script, arguments_of, names_in

REPORTS = {"evaluate", "export", "imsave", "print", "save", "save_weights", "savefig", "show"}
PICTURES = {"imsave", "imshow", "save_img", "savefig", "write_png"}
SAVES = {"CheckpointManager", "ModelCheckpoint", "BackupAndRestore", "export", "save_model", "save_weights"}
MAKES_FOLDERS = {"makedirs", "mkdir"}
FIXED = re.compile(r"fixed|seed|static|const|sample|test|vis|bench", re.IGNORECASE)


def misplaced_report(script: Script) -> Iterator[Finding]:
    """C14: a report that stands where it runs once or never."""
    yield from reports_behind_loops(script)
    yield from reports_under_conditions(script)
    yield from reports_out_of_reach(script)


def reports_behind_loops(script: Script) -> Iterator[Finding]:
    """C14: it runs once, after the last turn."""
    for loop, call in behind_loops(script):
        saves = reports(script, call) & {"save", "save_weights", "export"}
        yield Finding(
            "C14",
            "report behind the loop",
            Severity.CRITICAL if saves else Severity.WARNING,
            "A report meant for every turn of a loop stands after the loop, and runs only once.",
            script.source.line(call.node),
            f"It is given `{ast.unparse(loop.target)}`, the variable of the loop that ends before it"
            + ("; until then nothing is saved." if saves else "."),
            "Indent the call into the loop, as its last line.",
            script.source.place(call.node),
        )


def reports_under_conditions(script: Script) -> Iterator[Finding]:
    """C14: its condition is never true."""
    for node in impossible_conditions(script):
        yield Finding(
            "C14",
            "report that never runs",
            Severity.WARNING,
            "A condition in a loop is never true.",
            script.source.line(node),
            "`range(n)` ends at n - 1.",
            f"if {ast.unparse(node.left)} == {ast.unparse(node.comparators[0])} - 1:",
            script.source.place(node),
        )


def reports_out_of_reach(script: Script) -> Iterator[Finding]:
    """C14: no line before it lets anything pass."""
    for statement in unreachable(script):
        yield Finding(
            "C14",
            "report that never runs",
            Severity.WARNING,
            "A report stands where it can never run.",
            script.source.line(statement),
            "The line before it leaves the block, or its loop never ends.",
            "Move it in front of that line, or into the loop.",
            script.source.place(statement),
        )


def behind_loops(script: Script) -> Iterator[tuple[ast.For, Call]]:
    """Yield each outermost training loop and a report behind it that is given the loop's own variable."""
    for block in blocks(script):
        for index, loop in enumerate(block):
            if not isinstance(loop, ast.For) or script.loops(loop) or not trains_in(script, loop):
                continue
            for statement in block[index + 1 :]:
                if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
                    call = script.call(statement.value)
                    if (
                        takes(call, names_in(loop.target))
                        and reports(script, call)
                        and not twin(script, loop, call)
                    ):
                        yield loop, call


def blocks(script: Script) -> Iterator[Sequence[ast.stmt]]:
    """Yield every list of statements."""
    for node in ast.walk(script.tree):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list):
                yield block


def trains_in(script: Script, loop: ast.For) -> bool:
    """Does anything learn in this loop?"""
    inside = [script.call(node) for node in ast.walk(loop) if isinstance(node, ast.Call)]
    return any(
        call.name in {"train_on_batch", "fit", "apply_gradients"}
        or script.reader.functions.get(call.name) in script.taped - {None}
        for call in inside
    )


def takes(call: Call, names: list[str]) -> bool:
    """Is the call given one of these names itself?"""
    return any(isinstance(value, ast.Name) and value.id in names for value in arguments_of(call.node))


def reports(script: Script, call: Call) -> set[str]:
    """Return the ways in which one of the script's own functions reports."""
    function = script.reader.functions.get(call.name)
    return (
        {inner.name for inner in script.calls if inner.function is function} & REPORTS if function else set()
    )


def twin(script: Script, loop: ast.For, call: Call) -> bool:
    """Is the same report called in the loop with the same arguments?"""
    own = {keyword.arg for keyword in call.node.keywords}, len(call.node.args)
    inside = [script.call(node) for node in ast.walk(loop) if isinstance(node, ast.Call)]
    return any(
        other.name == call.name and ({word.arg for word in other.node.keywords}, len(other.node.args)) == own
        for other in inside
    )


def impossible_conditions(script: Script) -> Iterator[ast.Compare]:
    """Yield `i == n` inside `for i in range(n)`."""
    for loop in ast.walk(script.tree):
        if not isinstance(loop, ast.For) or not isinstance(loop.iter, ast.Call):
            continue
        if script.reader.kind(loop.iter.func) != "range" or len(loop.iter.args) > 2:
            continue
        end = ast.unparse(loop.iter.args[-1])
        for node in ast.walk(loop):
            match node:
                case ast.If(
                    test=ast.Compare(left=ast.Name(id=name), ops=[ast.Eq()], comparators=[right]) as test
                ):
                    if [name] == names_in(loop.target) and ast.unparse(right) == end:
                        yield test
                case _:
                    pass


def unreachable(script: Script) -> Iterator[ast.stmt]:
    """Yield the first reporting statement behind a line that nothing passes."""
    for block in blocks(script):
        for index, statement in enumerate(block[:-1]):
            if leaves(statement):
                rest = [node for node in block[index + 1 :] if reports_itself(script, node)]
                yield from rest[:1]
                break


def leaves(statement: ast.stmt) -> bool:
    """Does nothing get past this statement?"""
    if isinstance(statement, ast.While) and isinstance(statement.test, ast.Constant) and statement.test.value:
        return not any(isinstance(node, ast.Break | ast.Return) for node in ast.walk(statement))
    return isinstance(statement, ast.Return | ast.Raise | ast.Continue | ast.Break)


def reports_itself(script: Script, statement: ast.stmt) -> bool:
    """Does this statement report, or call what does?"""
    if isinstance(statement, Function | ast.ClassDef):
        return False
    calls = [script.call(node) for node in ast.walk(statement) if isinstance(node, ast.Call)]
    return any(call.name in REPORTS or reports(script, call) for call in calls)


def nothing_saved(script: Script) -> Iterator[Finding]:
    """C15: a training whose networks are gone when it ends."""
    if script.trains and not any(saves(call) for call in script.calls):
        where = script.judged[0][0].node if script.judged else script.tree
        yield Finding(
            "C15",
            "nothing saved",
            Severity.WARNING,
            "The networks are trained and never saved.",
            "no `save`, `save_weights`, `export`, checkpoint or callback in this file",
            "When the script ends, or breaks, everything it learnt is gone.",
            'generator.save(f"generator_{epoch:04d}.keras")  # at the end of each epoch',
            script.source.places([where]),
        )


def saves(call: Call) -> bool:
    """Does this keep a network, by whatever way?"""
    receiver = ast.unparse(call.receiver).lower() if call.receiver else ""
    if call.name in SAVES or "checkpoint" in call.name.lower() or "ckpt" in receiver:
        return True
    picture = any(word in receiver for word in ("im", "fig", "plt", "pil", "grid", "anim"))
    arguments = " ".join(ast.unparse(value) for value in call.node.args)
    return call.name == "save" and not picture and not re.search(r"\.(png|jpe?g|gif|np[yz])", arguments)


def changing_noise(script: Script) -> Iterator[Finding]:
    """C16: progress is seen only if the same noise is drawn again."""
    drawn = [call for call in script.calls if call.name in PICTURES]
    if not script.trains or not drawn or has_fixed_noise(script) or not samples(script, drawn):
        return
    yield Finding(
        "C16",
        "no fixed noise",
        Severity.NOTE,
        "Samples are drawn from new noise each time.",
        script.source.line(drawn[0].node),
        "Two grids then differ in everything, and what the generator learnt between them cannot be seen.",
        "fixed_noise = np.random.RandomState(0).randn(100, noise_dim)  # once, before the loop\n"
        "samples = generator.predict(fixed_noise)",
        script.source.place(drawn[0].node),
    )


def samples(script: Script, drawn: list[Call]) -> bool:
    """Are the pictures the generator's, made where they are shown?"""
    around = {call.function for call in drawn}
    made = [call.node for call in script.calls if script.generates(call.node) or script.hidden(call.node)]
    helped = [call for call in script.calls if reaches_generator(script, call)]
    return any(script.function(node) in around for node in [*made, *(call.node for call in helped)])


def reaches_generator(script: Script, call: Call) -> bool:
    """Does this call one of the script's functions that calls the generator?"""
    function = script.reader.functions.get(call.name)
    return function is not None and any(
        script.generates(inner.node) for inner in script.calls if inner.function is function
    )


def has_fixed_noise(script: Script) -> bool:
    """Is noise drawn once, outside of every loop, or by a seed?"""
    if script.words & {"randomstate", "default_rng", "stateless_normal", "stateless_uniform"}:
        return True
    for (function, name), values in script.assigned.items():
        calls = [part for value in values for part in ast.walk(value) if isinstance(part, ast.Call)]
        noise = [part for part in calls if script.reader.kind(part.func) in NOISE and not script.loops(part)]
        if any(part.keywords and any(word.arg == "seed" for word in part.keywords) for part in noise):
            return True
        once = (
            function is None
            or function.name == "__init__"
            or FIXED.search(name)
            or trains_later(script, function)
        )
        if noise and once:
            return True
    return False


def trains_later(script: Script, function: Function) -> bool:
    """Does this function hold a training loop?"""
    loops = [node for node in ast.walk(function) if isinstance(node, ast.For)]
    return any(trains_in(script, loop) for loop in loops)


def missing_folders(script: Script) -> Iterator[Finding]:
    """C22: saving into a folder that nothing makes."""
    if any(call.name in MAKES_FOLDERS for call in script.calls):
        return
    paths = [
        path
        for call in script.calls
        if call.name in {"save", "save_weights", "savefig", "imsave"}
        for path in folders_of(script, call)
    ]
    if paths:
        names = sorted({path for path, _ in paths})
        yield Finding(
            "C22",
            "folder that nothing makes",
            Severity.NOTE,
            f"Files go into {', '.join(names)}, and nothing here creates the folder.",
            script.source.line(paths[0][1]),
            "If it does not exist, the first save ends the training.",
            "\n".join(["import os", *(f'os.makedirs("{name}", exist_ok=True)' for name in names)]),
            script.source.places(node for _, node in paths),
        )


def folders_of(script: Script, call: Call) -> list[tuple[str, ast.expr]]:
    """Return the relative folders in the literal beginnings of a call's path, and where they stand."""
    if not call.node.args or (
        call.receiver is not None and script.role(call.receiver) is None and call.name == "save"
    ):
        return []
    path = call.node.args[0]
    values = script.values(path) if isinstance(path, ast.Name) else [path]
    found = []
    for value in values:
        literal = next((part.value for part in ast.walk(value) if isinstance(part, ast.Constant)), None)
        if isinstance(literal, str) and re.match(r"(\./)?\w[\w-]*/", literal):
            found.append((literal.rsplit("/", 1)[0], value))
    return found
