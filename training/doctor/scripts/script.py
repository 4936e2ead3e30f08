"""What a script does, read without running it: its networks, its calls, where values come from."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from training.doctor.scripts.networks import UNKNOWN, Layer, Network, Role, role_of_name
from training.doctor.scripts.reader import Function, Reader
from training.doctor.scripts.source import Source

CONCATENATIONS = {"concat", "concatenate", "vstack"}
NOISE = {"normal", "rand", "randn", "random_normal", "random_uniform", "standard_normal", "uniform"}


@dataclass(frozen=True, eq=False)
class Call:
    """A call and where it stands."""

    node: ast.Call
    name: str  # the last part: "train_on_batch"
    receiver: ast.expr | None  # what stands before the last dot
    function: Function | None  # the function around it, None in the module itself
    loops: tuple[ast.For | ast.While, ...]  # around it in that function, the outermost first

    def argument(self, name: str, position: int | None = None) -> ast.expr | None:
        """Return an argument by keyword or position."""
        return argument_of(self.node, name, position)


class Script:
    """One script or notebook."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.tree = source.tree
        self.reader = Reader(source.tree)
        self.parents = {
            child: parent for parent in ast.walk(self.tree) for child in ast.iter_child_nodes(parent)
        }
        self.calls = [self.call(node) for node in ast.walk(self.tree) if isinstance(node, ast.Call)]

    def call(self, node: ast.Call) -> Call:
        """Describe one call."""
        receiver = node.func.value if isinstance(node.func, ast.Attribute) else None
        return Call(node, self.reader.kind(node.func), receiver, self.function(node), self.loops(node))

    # Where a node stands

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield what a node stands in, the innermost first."""
        while node in self.parents:
            node = self.parents[node]
            yield node

    def function(self, node: ast.AST) -> Function | None:
        """Return the function around a node."""
        return next((outer for outer in self.around(node) if isinstance(outer, Function)), None)

    def cls(self, node: ast.AST) -> ast.ClassDef | None:
        """Return the class around a node."""
        return next((outer for outer in self.around(node) if isinstance(outer, ast.ClassDef)), None)

    def loops(self, node: ast.AST) -> tuple[ast.For | ast.While, ...]:
        """Return the loops around a node in its function, the outermost first."""
        found: list[ast.For | ast.While] = []
        for outer in self.around(node):
            if isinstance(outer, Function):
                break
            if isinstance(outer, ast.For | ast.While):
                found.append(outer)
        return tuple(reversed(found))

    # Networks

    @cached_property
    def generators(self) -> list[Network]:
        """The networks that make pictures."""
        return [
            network for network in self.reader.networks if network.role == Role.GENERATOR and network.layers
        ]

    @cached_property
    def discriminators(self) -> list[Network]:
        """The networks that judge them; critics too."""
        return [
            network
            for network in self.reader.networks
            if network.role == Role.DISCRIMINATOR and network.layers
        ]

    def role(self, node: ast.expr | None) -> Role | None:
        """Tell what the network is for that an expression names."""
        if not isinstance(node, ast.Name | ast.Attribute):
            return None
        name = ast.unparse(node)
        scopes = [outer.name for outer in self.around(node) if isinstance(outer, Function | ast.ClassDef)]
        for scope in [*scopes, ""]:
            network = self.reader.named.get((scope, name))
            if network and network.role != Role.OTHER:
                return network.role
        return role_of_name(name)

    # Calls

    def named(self, *names: str) -> list[Call]:
        """Return the calls of functions of these names."""
        return [call for call in self.calls if call.name in names]

    def of_networks(self, role: Role, *methods: str) -> list[Call]:
        """Return the calls of these methods on networks of a role."""
        return [call for call in self.named(*methods) if call.receiver and self.role(call.receiver) == role]

    def passes(self, role: Role) -> list[Call]:
        """Return the calls of networks of a role themselves, as in `generator(noise)`."""
        return [
            call
            for call in self.calls
            if isinstance(call.node.func, ast.Name | ast.Attribute)
            and call.name not in self.reader.functions
            and call.name not in self.reader.classes
            and self.is_network(call.node.func)
            and self.role(call.node.func) == role
        ]

    def is_network(self, node: ast.expr) -> bool:
        """Is this name, which is called, a network and not a method of something?"""
        return isinstance(node, ast.Name) or ast.unparse(node) == f"self.{getattr(node, 'attr', '')}"

    @cached_property
    def taped(self) -> set[Function | None]:
        """The functions that record gradients."""
        return {call.function for call in self.named("GradientTape")}

    @cached_property
    def trains(self) -> bool:
        """Does anything in this file train a GAN's networks?"""
        compiled = [
            *self.of_networks(Role.DISCRIMINATOR, "train_on_batch", "fit"),
            *self.of_networks(Role.STACK, "train_on_batch", "fit"),
        ]
        return bool(compiled or self.taped)

    @cached_property
    def judged(self) -> list[tuple[Call, ast.expr]]:
        """Every batch the discriminator learns from: the call, and its pictures."""
        compiled = self.of_networks(Role.DISCRIMINATOR, "train_on_batch", "fit")
        taped = [call for call in self.passes(Role.DISCRIMINATOR) if call.function in self.taped]
        return [(call, call.node.args[0]) for call in [*compiled, *taped] if call.node.args]

    @cached_property
    def words(self) -> set[str]:
        """Every name in the script, in lower case."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            match node:
                case ast.Name(id=word) | ast.Attribute(attr=word) | ast.alias(name=word):
                    found.add(word.lower())
                case ast.FunctionDef(name=word) | ast.ClassDef(name=word) | ast.arg(arg=word):
                    found.add(word.lower())
                case ast.keyword(arg=str(word)):
                    found.add(word.lower())
                case _:
                    pass
        return found

    @cached_property
    def penalised(self) -> bool:
        """Does a gradient penalty hold the discriminator?"""
        spoken = any("penalty" in word for word in self.words) or self.words & {
            "gp",
            "r1",
            "r1_gamma",
            "gp_weight",
        }
        return bool(spoken or self.named("watch") or self.named("gradients"))

    # Where values come from

    @cached_property
    def assigned(self) -> dict[tuple[Function | None, str], list[ast.expr]]:
        """What each name is given, by the function it is given in."""
        found: dict[tuple[Function | None, str], list[ast.expr]] = defaultdict(list)
        for node in ast.walk(self.tree):
            targets, value = targets_of(node)
            for target in targets:
                for name in names_in(target):
                    if value is not None:
                        found[self.function(node), name].append(value)
        return found

    def origins(self, node: ast.expr) -> list[ast.Call]:
        """Return every call that a value may have come from, through names and the script's own functions."""
        return list(dict.fromkeys(part for part in self.parts(node) if isinstance(part, ast.Call)))

    def parts(self, node: ast.expr) -> Iterator[ast.AST]:
        """Yield every part of a value, through names and what the script's own functions return."""
        waiting, seen = [node], set[ast.AST]()
        while waiting:
            value = waiting.pop()
            if value in seen:
                continue
            seen.add(value)
            for part in ast.walk(value):
                yield part
                if isinstance(part, ast.Call):
                    waiting += self.returned(part)
                elif isinstance(part, ast.Name | ast.Attribute):
                    waiting += self.values(part)

    def values(self, node: ast.Name | ast.Attribute) -> list[ast.expr]:
        """Return what a name was given, here or in the module."""
        name = ast.unparse(node)
        return self.assigned.get((self.function(node), name), []) or self.assigned.get((None, name), [])

    def returned(self, call: ast.Call) -> list[ast.expr]:
        """Return what one of the script's own functions gives back."""
        function = self.reader.functions.get(self.reader.kind(call.func))
        if function is None:
            return []
        return [node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value]

    def from_generator(self, node: ast.expr) -> list[ast.Call]:
        """Return the calls that make a value of a generator's pictures, or may do so out of sight."""
        return [call for call in self.origins(node) if self.generates(call) or self.hidden(call)]

    def generates(self, call: ast.Call) -> bool:
        """Is this `generator(noise)` or `generator.predict(noise)`?"""
        if isinstance(call.func, ast.Attribute) and call.func.attr in {"predict", "predict_on_batch", "call"}:
            return self.role(call.func.value) == Role.GENERATOR
        own = self.reader.kind(call.func) in self.reader.functions.keys() | self.reader.classes.keys()
        return not own and self.is_network(call.func) and self.role(call.func) == Role.GENERATOR

    def hidden(self, call: ast.Call) -> bool:
        """Is this a function defined elsewhere that is handed the generator?"""
        elsewhere = isinstance(call.func, ast.Name) and call.func.id not in self.reader.functions
        return elsewhere and any(
            isinstance(value, ast.Name | ast.Attribute) and self.role(value) == Role.GENERATOR
            for value in arguments_of(call)
        )

    def constant(self, node: ast.expr | None) -> object:
        """Return a value that does not depend on running the script, or UNKNOWN."""
        return UNKNOWN if node is None else self.reader.value(node, {})

    def normed(self, networks: Iterable[Network]) -> list[Layer]:
        """Return the batch normalisations that are there for certain."""
        return [layer for network in networks for layer in network.has({"BatchNormalization"})]


def argument_of(call: ast.Call, name: str, position: int | None = None) -> ast.expr | None:
    """Return a call's argument by keyword or position; None if it is not given."""
    named = next((keyword.value for keyword in call.keywords if keyword.arg == name), None)
    placed = call.args[position] if position is not None and position < len(call.args) else None
    return named or placed


def arguments_of(call: ast.Call) -> list[ast.expr]:
    """Return all that a call is given, by position or keyword."""
    return [*call.args, *(keyword.value for keyword in call.keywords)]


def targets_of(node: ast.AST) -> tuple[list[ast.expr], ast.expr | None]:
    """Return what a statement gives a value to, and the value."""
    match node:
        case ast.Assign(targets=targets, value=value):
            return targets, value
        case ast.AnnAssign(target=target, value=value) | ast.AugAssign(target=target, value=value):
            return [target], value
        case ast.For(target=target, iter=value) | ast.NamedExpr(target=target, value=value):
            return [target], value
        case _:
            return [], None


def names_in(target: ast.expr) -> list[str]:
    """Return the names in a target, those of tuples one by one."""
    if isinstance(target, ast.Tuple | ast.List):
        return [name for element in target.elts for name in names_in(element)]
    return [ast.unparse(target)] if isinstance(target, ast.Name | ast.Attribute) else []
