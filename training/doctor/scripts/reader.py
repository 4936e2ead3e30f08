"""Reading networks out of a syntax tree: a small interpreter that knows layers and runs nothing."""

import ast
import operator
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from training.doctor.scripts.networks import ACTIVATIONS, KINDS, POSITIONS, UNKNOWN, Layer, Network

Function = ast.FunctionDef | ast.AsyncFunctionDef
Names = dict[str, Any]

DEPTH = 12  # calls within calls that are followed
TURNS = 16  # of a loop that are walked; longer loops train, they do not build
STATEMENTS = 20_000  # walked in all, so that no script takes longer than a moment
OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}


@dataclass(frozen=True, eq=False)
class Trail:
    """A tensor: the layers and networks it came through."""

    items: tuple[Layer | Network, ...] = ()


@dataclass(frozen=True, eq=False)
class Thing:
    """An object of one of the script's own classes that is no network; its attributes."""

    cls: ast.ClassDef
    names: Names


class Returned(Exception):
    """A function's return, on its way out of the statements around it."""

    def __init__(self, value: object) -> None:
        self.value = value


class Reader:
    """Walks a module once from top to bottom, and every function by itself.

    `networks` are those it met, in the order of their lines; `named` says which network a name stands for, by
    (function or "", name).
    """

    def __init__(self, tree: ast.Module) -> None:
        self.functions = {node.name: node for node in ast.walk(tree) if isinstance(node, Function)}
        self.classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
        self.aliases = imported(tree)
        self.found: dict[ast.AST, Network] = {}
        self.named: dict[tuple[str, str], Network] = {}
        self.globals: Names = {}
        self.scope = [""]
        self.doubt = 0
        self.statements = 0
        for _ in range(2):  # once more, with the module's constants known inside its functions
            self.alone()
            self.scope, self.doubt, self.statements = [""], 0, 0
            self.body(tree.body, self.globals)

    @property
    def networks(self) -> list[Network]:
        """Every network that is no part of another network's definition."""
        return sorted(self.found.values(), key=lambda network: getattr(network.node, "lineno", 0))

    def alone(self) -> None:
        """Walk every class and function as if it were called with its defaults."""
        for cls in self.classes.values():
            self.made(cls, [], {})
        for function in self.functions.values():
            self.scope, self.doubt = [""], 0
            self.call(function, [], {}, {})

    # Statements

    def body(self, statements: Sequence[ast.stmt], names: Names) -> None:
        """Walk statements in order."""
        for statement in statements:
            self.statements += 1
            if self.statements < STATEMENTS:
                self.statement(statement, names)

    def statement(self, node: ast.stmt, names: Names) -> None:
        """Walk one statement."""
        match node:
            case ast.Assign():
                value = self.value(node.value, names)
                for target in node.targets:
                    self.bind(target, value, names)
            case ast.AnnAssign() if node.value:
                self.bind(node.target, self.value(node.value, names), names)
            case ast.AugAssign():
                self.bind(
                    node.target,
                    joined([self.value(node.target, names), self.value(node.value, names)]),
                    names,
                )
            case ast.Expr():
                self.value(node.value, names)
            case ast.Return():
                value = self.value(node.value, names) if node.value else None
                if self.doubt:
                    names.setdefault("return", value)
                else:
                    raise Returned(value)
            case ast.If():
                self.branch(node, names)
            case ast.For():
                self.loop(node, names)
            case ast.While() | ast.With():
                self.body(node.body, names)
            case ast.Try():
                self.body([*node.body, *node.orelse, *node.finalbody], names)
            case _:
                pass

    def branch(self, node: ast.If, names: Names) -> None:
        """Walk the branch that is taken, or both with doubt."""
        test = self.value(node.test, names)
        if is_main(node.test):
            test = True
        if test is not UNKNOWN and not isinstance(test, Trail | Layer | Network | Thing):
            self.body(node.body if test else node.orelse, names)
            return
        self.doubt += 1
        self.body(node.body, names)
        self.body(node.orelse, names)
        self.doubt -= 1

    def loop(self, node: ast.For, names: Names) -> None:
        """Walk a short loop turn by turn, any other once."""
        turns = self.value(node.iter, names)
        if not isinstance(turns, list | tuple | range) or len(turns) > TURNS:
            turns = [UNKNOWN]
        for turn in turns:
            self.bind(node.target, turn, names)
            self.body(node.body, names)

    def bind(self, target: ast.expr, value: object, names: Names) -> None:
        """Give names to a value."""
        if isinstance(target, ast.Tuple | ast.List):
            values = value if isinstance(value, list | tuple) and len(value) == len(target.elts) else None
            for index, element in enumerate(target.elts):
                self.bind(element, values[index] if values else UNKNOWN, names)
        elif isinstance(target, ast.Name | ast.Attribute):
            name = ast.unparse(target)
            names[name] = value
            if isinstance(value, Network):
                self.named[self.scope[-1], name] = value
                self.christen(value, name)

    def christen(self, network: Network, name: str) -> None:
        """Keep the first name that tells something."""
        if network.node in self.found and name not in {"model", "x", "net", "self.model"}:
            network.name = network.name or name

    # Expressions

    def value(self, node: ast.expr | None, names: Names) -> Any:  # noqa: ANN401
        """Return what an expression stands for, UNKNOWN where that takes running it."""
        match node:
            case ast.Constant():
                return node.value
            case ast.Tuple() | ast.List():
                return [self.value(element, names) for element in node.elts]
            case ast.Name() | ast.Attribute():
                return self.looked_up(node, names)
            case ast.UnaryOp(op=ast.USub()):
                operand = self.value(node.operand, names)
                return -operand if isinstance(operand, int | float) else UNKNOWN
            case ast.UnaryOp(op=ast.Not()):
                operand = self.value(node.operand, names)
                return not operand if isinstance(operand, bool | int | str) or operand is None else UNKNOWN
            case ast.BinOp():
                return self.arithmetic(node, names)
            case ast.Compare(ops=[op], comparators=[right]):
                return compared(self.value(node.left, names), op, self.value(right, names))
            case ast.IfExp():
                test = self.value(node.test, names)
                chosen = node.body if test is UNKNOWN or test else node.orelse
                return self.value(chosen, names)
            case ast.ListComp() | ast.GeneratorExp():
                return self.comprehended(node, names)
            case ast.Subscript():
                return self.item(node, names)
            case ast.Call():
                return self.called(node, names)
            case _:
                return UNKNOWN

    def looked_up(self, node: ast.Name | ast.Attribute, names: Names) -> Any:  # noqa: ANN401
        """Find a name here, then in the module; a dotted function's own name is its last part."""
        name = ast.unparse(node)
        if name in names:
            return names[name]
        if name in self.globals:
            return self.globals[name]
        if isinstance(node, ast.Attribute):
            owner = self.value(node.value, names) if isinstance(node.value, ast.Name) else UNKNOWN
            if isinstance(owner, Thing):
                return owner.names.get(f"self.{node.attr}", UNKNOWN)
            if node.attr in ACTIVATIONS:
                return node.attr
        return UNKNOWN

    def arithmetic(self, node: ast.BinOp, names: Names) -> Any:  # noqa: ANN401
        """Compute numbers, and join tensors and lists."""
        left, right = self.value(node.left, names), self.value(node.right, names)
        if isinstance(left, Trail) or isinstance(right, Trail):
            both = joined([left, right])
            plus = (
                (Layer("Add", node, {}, self.doubt),)
                if isinstance(left, Trail) and isinstance(right, Trail)
                else ()
            )
            return Trail(both.items + plus)
        if isinstance(left, list) and isinstance(right, list) and isinstance(node.op, ast.Add):
            return left + right
        return computed(node.op, left, right)

    def comprehended(self, node: ast.ListComp | ast.GeneratorExp, names: Names) -> list[Any]:
        """Return a comprehension's elements, or one if its length is unknown."""
        (first, *_) = node.generators
        turns = self.value(first.iter, names)
        if not isinstance(turns, list | tuple | range) or len(turns) > TURNS:
            turns = [UNKNOWN]
        elements = []
        for turn in turns:
            inner = dict(names)
            self.bind(first.target, turn, inner)
            elements.append(self.value(node.elt, inner))
        return elements

    def item(self, node: ast.Subscript, names: Names) -> Any:  # noqa: ANN401
        """Return an element of a known list; a part of a tensor came the same way as the whole."""
        whole, index = self.value(node.value, names), self.value(node.slice, names)
        if isinstance(whole, Trail):
            return whole
        if isinstance(whole, list) and isinstance(index, int) and -len(whole) <= index < len(whole):
            return whole[index]
        return UNKNOWN

    # Calls

    def called(self, node: ast.Call, names: Names) -> Any:  # noqa: ANN401
        """Return what a call makes: a layer, a network, a tensor that passed one, or a function's result."""
        positional = [
            self.value(argument, names) for argument in node.args if not isinstance(argument, ast.Starred)
        ]
        keywords = {word.arg: self.value(word.value, names) for word in node.keywords if word.arg}
        if isinstance(node.func, ast.Call):
            return self.applied(self.value(node.func, names), positional, keywords)
        known = (
            self.looked_up(node.func, names) if isinstance(node.func, ast.Name | ast.Attribute) else UNKNOWN
        )
        if isinstance(known, Layer | Network):
            return self.applied(known, positional, keywords)
        if isinstance(node.func, ast.Attribute) and node.func.attr in {"add", "append", "extend"}:
            return self.added(self.value(node.func.value, names), positional)
        return self.constructed(node, self.kind(node.func), positional, keywords, names)

    def kind(self, node: ast.expr) -> str:
        """Return what a function is called where it comes from, without its module."""
        if isinstance(node, ast.Name):
            return self.aliases.get(node.id, node.id)
        return node.attr if isinstance(node, ast.Attribute) else ""

    def constructed(
        self, node: ast.Call, kind: str, positional: list[Any], keywords: Names, names: Names
    ) -> Any:  # noqa: ANN401
        """Call what is no network yet, by its name."""
        if kind == "range" and positional and all(isinstance(value, int) for value in positional):
            return range(*positional) if 0 not in positional[2:] else UNKNOWN
        if kind == "Input":
            shape = keywords.get("shape", positional[0] if positional else UNKNOWN)
            return Trail((Layer("InputLayer", node, {"shape": shape}, self.doubt),))
        if kind == "Sequential":
            return self.sequential(node, keywords.get("layers", positional[0] if positional else None))
        if kind == "Model" and kind not in self.classes:
            return self.functional(
                node, keywords.get("outputs", positional[1] if len(positional) > 1 else None)
            )
        if kind in self.classes:
            return self.made(self.classes[kind], positional, keywords)
        own = self.functions.get(kind)
        if own and len(self.scope) < DEPTH:
            return self.call(own, positional, keywords, self_names(node, names))
        if kind == "SpectralNormalization" and positional and isinstance(positional[0], Layer):
            return replace(positional[0], wrapper=kind)
        if kind in KINDS:
            return self.layer(node, kind, positional, keywords)
        return joined(positional)

    def layer(self, node: ast.Call, kind: str, positional: list[Any], keywords: Names) -> Layer | Trail:
        """Make a layer, or let a tensor pass a function that acts as one."""
        options = dict(zip(POSITIONS.get(kind, ()), positional, strict=False)) | keywords
        made = Layer(kind, node, options, self.doubt)
        tensors = [value for value in [*positional, *keywords.values()] if isinstance(value, Trail)]
        return self.applied(made, tensors, {}) if tensors else made

    def applied(self, what: object, positional: list[Any], keywords: Names) -> Any:  # noqa: ANN401
        """Let a tensor pass a layer or a network."""
        if not isinstance(what, Layer | Network):
            return joined(positional)
        if isinstance(what, Layer):
            what = replace(what, doubt=self.doubt)
        before = joined([*positional, *keywords.values()])
        items = before.items if isinstance(before, Trail) else ()
        return Trail((*items, what))

    def added(self, owner: object, positional: list[Any]) -> Any:  # noqa: ANN401
        """`model.add(layer)`, or the same on a list of layers."""
        for value in positional:
            if isinstance(owner, Network):
                owner.items += listed_items(value, self.doubt)
            elif isinstance(owner, list):
                owner += value if isinstance(value, list) else [value]
        return None if isinstance(owner, Network | list) else joined(positional)

    def sequential(self, node: ast.AST, layers: object) -> Network:
        """A Sequential, empty or of a list of layers."""
        network = Network(node, doubt=self.doubt)
        network.items += (
            [item for layer in layers for item in listed_items(layer)] if isinstance(layers, list) else []
        )
        return self.keep(network)

    def functional(self, node: ast.AST, outputs: object) -> Network:
        """A Model made of its outputs: what they came through."""
        network = Network(node, doubt=self.doubt)
        trail = joined(outputs if isinstance(outputs, list) else [outputs])
        network.items += trail.items if isinstance(trail, Trail) else ()
        return self.keep(network)

    def keep(self, network: Network) -> Network:
        """Remember a network; the function it is made in names it."""
        network.name = next((name for name in reversed(self.scope) if name), "")
        self.found[network.node] = network
        return network

    def call(self, function: Function, positional: list[Any], keywords: Names, around: Names) -> Any:  # noqa: ANN401
        """Follow a call of one of the script's own functions."""
        if function.name in self.scope:
            return UNKNOWN
        names = around | parameters(function, positional, keywords, self.globals, self.value)
        self.scope.append(function.name)
        doubt = self.doubt
        for name, value in names.items():
            if isinstance(value, Network):
                self.named[function.name, name] = value
        try:
            self.body(function.body, names)
        except Returned as returned:
            return returned.value
        finally:
            self.scope.pop()
            self.doubt = doubt
        return names.get("return", UNKNOWN)

    def made(self, cls: ast.ClassDef, positional: list[Any], keywords: Names) -> Network | Thing:
        """Make an object of one of the script's own classes: a network if it calls its layers one by one."""
        methods = {node.name: node for node in cls.body if isinstance(node, Function)}
        names: Names = {}
        self.scope.append(cls.name)
        start = methods.get("__init__")
        if start and len(self.scope) < DEPTH:
            names = parameters(start, positional, keywords, self.globals, self.value)
            with suppress(Returned):
                self.body(start.body, names)
        own = {name: value for name, value in names.items() if name.startswith("self.")}
        forward = methods.get("call")
        trail = self.call(forward, [Trail(), Trail()], {}, own) if forward else None
        self.scope.pop()
        if not isinstance(trail, Trail) or not trail.items:
            return Thing(cls, own)
        network = Network(cls, list(trail.items), cls.name, self.doubt)
        self.found[cls] = network
        return network


def imported(tree: ast.Module) -> dict[str, str]:
    """Return the own names of what was imported under another one."""
    return {
        alias.asname: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }


def parameters(
    function: Function,
    positional: list[Any],
    keywords: Names,
    module: Names,
    value: Callable[[ast.expr, Names], Any],
) -> Names:
    """Bind a call's arguments; the first parameter of a method stands for itself."""
    given = [argument.arg for argument in [*function.args.posonlyargs, *function.args.args]]
    names: Names = dict.fromkeys(given, UNKNOWN)
    defaults = function.args.defaults
    for name, default in zip(given[len(given) - len(defaults) :], defaults, strict=True):
        names[name] = value(default, module)
    for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
        names[argument.arg] = value(default, module) if default else UNKNOWN
    free = [name for name in given if name not in {"self", "cls"}]
    names |= dict(zip(free, positional, strict=False))
    return names | {name: given for name, given in keywords.items() if name in names}


def self_names(node: ast.Call, names: Names) -> Names:
    """Return the attributes of `self` that a method called on it sees."""
    if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
        return {name: value for name, value in names.items() if name.startswith("self.")}
    return {}


def joined(values: Iterable[object]) -> Trail | Any:  # noqa: ANN401
    """Join the ways of several tensors into one, each layer once; UNKNOWN if there is none among them."""
    items: list[Layer | Network] = []
    found = False
    for value in values:
        if isinstance(value, list):
            value = joined(value)
        if isinstance(value, Trail):
            found = True
            items += [item for item in value.items if item not in items]
    return Trail(tuple(items)) if found else UNKNOWN


def listed_items(value: object, doubt: int | None = None) -> list[Layer | Network]:
    """Return the layers of what stands in a Sequential."""
    if isinstance(value, Trail):
        return list(value.items)
    if isinstance(value, Layer) and doubt is not None:
        return [replace(value, doubt=doubt)]
    if isinstance(value, list):
        return [item for element in value for item in listed_items(element, doubt)]
    return [value] if isinstance(value, Layer | Network) else []


def computed(op: ast.operator, left: object, right: object) -> object:
    """Compute with two known numbers; powers only as large as layers are."""
    if not isinstance(left, int | float) or not isinstance(right, int | float) or type(op) not in OPERATORS:
        return UNKNOWN
    if isinstance(op, ast.Pow) and abs(right) > 16:
        return UNKNOWN
    try:
        return OPERATORS[type(op)](left, right)
    except (ZeroDivisionError, OverflowError):
        return UNKNOWN


def compared(left: object, op: ast.cmpop, right: object) -> object:
    """Compare what is known."""
    if left is UNKNOWN or right is UNKNOWN:
        return UNKNOWN
    match op:
        case ast.Eq():
            return left == right
        case ast.NotEq():
            return left != right
        case ast.Is():
            return left is right
        case ast.IsNot():
            return left is not right
        case _:
            return UNKNOWN


def is_main(test: ast.expr) -> bool:
    """Is this `__name__ == "__main__"`?"""
    return isinstance(test, ast.Compare) and ast.unparse(test.left) == "__name__"
