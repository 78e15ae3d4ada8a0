# SPDX-License-Identifier: Apache-2.0
"""Shows what `wsrc.blocking` makes of methods of `wsrc.aio` as methods: griffe runs nothing."""

from typing import Any

from griffe import Attribute, Docstring, ExprCall, Extension, Function, Module, Object

MADE_BY = {f"wsrc.user_client.twins.{name}" for name in ("waits", "follows", "as_in")}


class Twins(Extension):
    """Gives what is made of a method the parameters of that."""

    def on_package(self, *, pkg: Module, **_: Any) -> None:
        """Change the classes of `blocking`, once the whole package is read."""
        for kind in pkg["user_client.blocking"].classes.values():
            for name, member in list(kind.members.items()):
                if isinstance(member, Attribute) and _is_made(member.value):
                    kind.set_member(name, _method(kind, member, _twin(pkg, member.value)))
                elif isinstance(member, Function):
                    for call in (d.value for d in member.decorators if _is_made(d.value)):
                        member.parameters = _twin(pkg, call).parameters


def _is_made(value: Any) -> bool:
    return isinstance(value, ExprCall) and value.canonical_path in MADE_BY


def _twin(pkg: Module, call: Any) -> Any:
    """Return the method that is named in a call."""
    owner, _, name = call.arguments[0].canonical_path.rpartition(".")
    return pkg[owner.removeprefix("wsrc.")].all_members[name]


def _method(kind: Object, attribute: Attribute, twin: Any) -> Function:
    made = Function(attribute.name, parameters=twin.parameters, returns=twin.returns)
    made.lineno, made.endlineno = attribute.lineno, attribute.endlineno
    made.docstring = Docstring(f"See `aio.{kind.name}.{attribute.name}`.", parent=made)
    return made
