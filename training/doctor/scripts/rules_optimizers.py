"""What is wrong with the optimizers."""

import ast
from collections import defaultdict
from collections.abc import Iterator

from training.doctor.finding import Finding, Severity
from training.doctor.scripts.networks import Role
from training.doctor.scripts.reader import Function
from training.doctor.scripts.script import Call, Script, arguments_of


def shared_optimizer(script: Script) -> Iterator[Finding]:
    """C21: one optimizer object for two networks."""
    users: dict[object, dict[Role, ast.Call]] = defaultdict(dict)
    names: dict[object, str] = {}
    for call, optimizer, role in optimizer_uses(script):
        made = made_by(script, optimizer)
        if made is not None and role in {Role.GENERATOR, Role.DISCRIMINATOR, Role.STACK}:
            network = Role.DISCRIMINATOR if role == Role.DISCRIMINATOR else Role.GENERATOR
            users[made].setdefault(network, call.node)
            names.setdefault(made, ast.unparse(optimizer))
    for made, calls in users.items():
        if len(calls) > 1:
            yield Finding(
                "C21",
                "optimizer shared by two networks",
                Severity.CRITICAL,
                f"One optimizer, `{names[made]}`, serves generator and discriminator.",
                script.source.line(next(iter(calls.values()))),
                "In Keras 3 an optimizer belongs to the variables it first met, and the second network's "
                "step fails with `Unknown variable`; in Keras 2 both count one step number.",
                "d_optimizer = tf.keras.optimizers.Adam(2e-4, beta_1=0.5)\n"
                "g_optimizer = tf.keras.optimizers.Adam(2e-4, beta_1=0.5)",
                script.source.places(calls.values()),
            )


def optimizer_uses(script: Script) -> Iterator[tuple[Call, ast.expr, Role]]:
    """Yield each use of a named optimizer, and whose network it moves."""
    for call in script.calls:
        if call.name == "compile" and call.receiver is not None:
            optimizer, role = call.argument("optimizer", 0), script.role(call.receiver)
            if role is None or not script.of_networks(role, "train_on_batch", "fit"):
                continue
        elif call.name in {"apply_gradients", "apply", "minimize"} and call.receiver is not None:
            optimizer, role = call.receiver, moved(script, call.node)
        else:
            continue
        if role and isinstance(optimizer, ast.Name | ast.Attribute):
            yield call, optimizer, role


def moved(script: Script, call: ast.Call) -> Role | None:
    """Tell whose variables an optimizer is handed; None if they are not named or those of both."""
    roles = {
        script.role(part.value)
        for argument in arguments_of(call)
        for part in ast.walk(argument)
        if isinstance(part, ast.Attribute) and part.attr in {"trainable_variables", "trainable_weights"}
    }
    return roles.pop() if len(roles) == 1 else None


def made_by(script: Script, optimizer: ast.expr) -> object:
    """Return what tells an optimizer from others, whatever its names, as in `a = b = Adam()`.

    That is the call that made it, if its name is given a value once, else its name and where that stands;
    None if that cannot be seen.
    """
    home = home_of(script, optimizer)
    if home is None:
        return None
    function = home if isinstance(home, Function) else None
    given = script.assigned.get((function, ast.unparse(optimizer)), [])
    if len(given) == 1 and isinstance(given[0], ast.Name):
        return made_by(script, given[0])
    return given[0] if len(given) == 1 else (home, ast.unparse(optimizer))


def home_of(script: Script, optimizer: ast.expr) -> object:
    """Return the function, class or module that an optimizer was made in; None if that cannot be seen."""
    name, function = ast.unparse(optimizer), script.function(optimizer)
    if name.startswith("self."):
        return script.cls(optimizer)
    if (function, name) in script.assigned:
        return function or script.tree
    if function and name in {argument.arg for argument in function.args.args}:
        return None
    return script.tree if (None, name) in script.assigned else None
