"""What the SDK says of itself: public names by introspection, signatures and docstrings from the source."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, fields
from functools import cache, cached_property
from importlib import import_module
from types import FunctionType, ModuleType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from typing_extensions import is_typeddict

import nexusai
from nexusai import client, constants, error, models, resources, types
from nexusai.config import Config
from nexusai.resources._resource import SyncResource

LINE = 100
"""A longer signature is written with one parameter on a line."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef


class Member(NamedTuple):
    """A public method or property of a class."""

    name: str
    doc: str
    signature: str
    """`name(…) -> type`, once for each overload."""
    kind: str
    """What a property gives, as it is written; nothing for a method."""
    owner: str
    """The class that has it: the one asked about, or a base."""


class Named(NamedTuple):
    """An option, a field, a constant: its name, its type or value, and what it means."""

    name: str
    kind: str
    doc: str


# What is public


def resource_classes() -> dict[str, type]:
    """The resources by their names on the client, in its order."""
    found = {kind.__name__: kind for kind in _subclasses(resources, SyncResource)}
    return {
        name: found[kind]
        for name, member in vars(client.NexusAIClient).items()
        if isinstance(member, cached_property) and not name.startswith("_")
        for kind in [member.func.__annotations__["return"]]
        if kind in found
    }


def asynchronous(kind: type) -> type | None:
    """The async client's class that stands beside this one."""
    found: type | None = getattr(sys.modules[kind.__module__], f"Async{kind.__name__}", None)
    return found


def answers() -> dict[str, type[BaseModel]]:
    """The models that callers are given, the sync client's where there are two."""
    return {name: kind for name, kind in _classes().items() if issubclass(kind, BaseModel)}


def objects() -> dict[str, type]:
    """Streams, handles and whatever else callers are given that is no model."""
    return {name: kind for name, kind in _classes().items() if not issubclass(kind, BaseModel)}


def options() -> dict[str, type]:
    return {name: kind for name in types.__all__ if is_typeddict(kind := getattr(types, name))}


def aliases() -> list[Named]:
    """Types of arguments that are no sets of options."""
    docs = _attribute_docs(_tree(types).body)
    names = [name for name in types.__all__ if name not in options()]
    return [Named(name, type_name(getattr(types, name)), docs.get(name, "")) for name in names]


def errors() -> dict[str, type[Exception]]:
    found = {name: getattr(error, name) for name in error.__all__}
    return {
        name: kind
        for name, kind in found.items()
        if isinstance(kind, type) and issubclass(kind, Exception) and kind.__name__ == name
    }


def settings() -> list[Named]:
    """The client's settings: name, default, meaning."""
    docs = {option.name: option.doc for option in fields_of(types.ClientOptions)}
    return [
        Named(
            field.name,
            "" if field.default in (MISSING, None) else repr(field.default),
            docs.get(field.name, ""),
        )
        for field in fields(Config)
    ]


def defaults() -> list[Named]:
    docs = _attribute_docs(_tree(constants).body)
    return [
        Named(name, repr(value), docs.get(name, ""))
        for name, value in vars(constants).items()
        if name.isupper() and not name.startswith("_")
    ]


def functions() -> dict[str, FunctionType]:
    """The public functions of the package itself."""
    found = {name: getattr(nexusai, name) for name in nexusai.__all__}
    return {name: each for name, each in found.items() if isinstance(each, FunctionType)}


def _classes() -> dict[str, type]:
    """The public classes, without clients and errors, without the async twin of another."""
    found = {name: getattr(place, name) for place in (models, nexusai) for name in place.__all__}
    kinds = {name: kind for name, kind in found.items() if isinstance(kind, type)}
    return {
        name: kind
        for name, kind in sorted(kinds.items())
        if get_origin(kind) is None
        and kind.__module__.startswith("nexusai.")
        and not issubclass(kind, Exception)
        and name not in client.__all__
        and name.removeprefix("Async") not in kinds.keys() - {name}
    }


def _subclasses(package: ModuleType, base: type) -> Iterator[type]:
    for info in pkgutil.iter_modules(package.__path__):
        for kind in vars(import_module(f"{package.__name__}.{info.name}")).values():
            if isinstance(kind, type) and issubclass(kind, base) and kind is not base:
                yield kind


# What is written of it


def members(kind: type) -> list[Member]:
    """Public methods and properties, the class's own before those of its bases."""
    found: dict[str, Member] = {}
    for owner in _ours(kind):
        for member in _written(owner):
            found.setdefault(member.name, member)
    return list(found.values())


def _written(owner: type) -> list[Member]:
    nodes: dict[str, list[_Function]] = {}
    for node in _class_node(owner).body:
        if isinstance(node, _Function):
            nodes.setdefault(node.name, []).append(node)
    named = {
        name: nodes[name if name in nodes else value.__name__]
        for name, value in vars(owner).items()
        if not name.startswith("_") and (name in nodes or getattr(value, "__name__", "") in nodes)
    }
    return [_member(name, written, owner.__name__) for name, written in named.items()]


def docstring(thing: Any) -> str:
    """Its own, not that of a base."""
    own = vars(_ours(thing)[0]).get("__doc__") if isinstance(thing, type) else thing.__doc__
    return inspect.cleandoc(own or "")


def fields_of(kind: type) -> list[Named]:
    """The fields of a model, or the options of a set with the types as they are written."""
    if issubclass(kind, BaseModel):
        return [
            Named(name, type_name(field.annotation), field.description or "")
            for name, field in kind.model_fields.items()
        ]
    node = _class_node(kind)
    docs = _attribute_docs(node.body)
    own = [
        Named(part.target.id, ast.unparse(part.annotation), docs.get(part.target.id, ""))
        for part in node.body
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)
    ]
    inherited = [option for base in bases_of(kind) for option in fields_of(options()[base])]
    return list({option.name: option for option in [*inherited, *own]}.values())


def bases_of(kind: type) -> list[str]:
    """The sets of options that a set is made of."""
    return [
        base.id for base in _class_node(kind).bases if isinstance(base, ast.Name) and base.id in options()
    ]


def signature(name: str, node: _Function, *, of_instance: bool = True) -> str:
    """As in the source, without `self`."""
    parameters = list(_parameters(node.args))[1 if of_instance else 0 :]
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    line = f"{name}({', '.join(parameters)}){returns}"
    if len(line) <= LINE:
        return line
    return f"{name}(\n" + "".join(f"    {parameter},\n" for parameter in parameters) + f"){returns}"


def function_signature(name: str, function: FunctionType) -> str:
    node = next(
        each
        for each in _tree(sys.modules[function.__module__]).body
        if isinstance(each, _Function) and each.name == function.__name__
    )
    return signature(name, node, of_instance=False)


def init_signature(kind: type) -> str:
    node = next(
        part for part in _class_node(kind).body if isinstance(part, _Function) and part.name == "__init__"
    )
    return signature(kind.__name__, node).removesuffix(" -> None")


def type_name(kind: Any) -> str:
    """A type as one would write it, without what pydantic is told beside it."""
    origin, parts = get_origin(kind), get_args(kind)
    if kind is None or kind is type(None):
        return "None"
    if kind is ...:
        return "..."
    if isinstance(kind, list):  # what a Callable takes
        return f"[{', '.join(map(type_name, kind))}]"
    if isinstance(kind, str) or kind is Any:
        return str(kind).removeprefix("typing.")
    if origin is Annotated:
        return type_name(parts[0])
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, parts))}]"
    if origin in (Union, UnionType):
        return " | ".join(dict.fromkeys(map(type_name, parts)))
    name = (
        {"AwareDatetime": "datetime"}.get(kind.__name__, kind.__name__) if origin is None else origin.__name__
    )
    return f"{name}[{', '.join(map(type_name, parts))}]" if parts else str(name)


def _member(name: str, nodes: list[_Function], owner: str) -> Member:
    node = nodes[-1]
    marks = {ast.unparse(mark).rpartition(".")[2] for mark in node.decorator_list}
    doc = next((doc for each in reversed(nodes) if (doc := ast.get_docstring(each))), "")
    if marks & {"property", "cached_property"}:
        return Member(
            name, doc or _same(node), "", ast.unparse(node.returns) if node.returns else "Any", owner
        )
    shown = nodes[:-1] or nodes  # the overloads, where there are some
    lines = [signature(name, each, of_instance="staticmethod" not in marks) for each in shown]
    return Member(
        name, f"`{node.name}` by another name." if name != node.name else doc, "\n".join(lines), "", owner
    )


def _same(node: _Function) -> str:
    """What a property without a docstring is when it only gives another public attribute."""
    same = re.fullmatch(r"return self\.([a-z][\w.]*)", ast.unparse(node.body[0]))
    return f"The same as `{same[1]}`." if same and "._" not in same[1] else ""


def _parameters(arguments: ast.arguments) -> Iterator[str]:
    positional = [*arguments.posonlyargs, *arguments.args]
    bare = len(positional) - len(arguments.defaults)
    for number, each in enumerate(positional):
        yield _parameter(each, arguments.defaults[number - bare] if number >= bare else None)
        if number + 1 == len(arguments.posonlyargs):
            yield "/"
    if arguments.vararg:
        yield f"*{_parameter(arguments.vararg)}"
    elif arguments.kwonlyargs:
        yield "*"
    for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _parameter(each, default)
    if arguments.kwarg:
        yield f"**{_parameter(arguments.kwarg)}"


def _parameter(node: ast.arg, default: ast.expr | None = None) -> str:
    kind = f": {ast.unparse(node.annotation)}" if node.annotation else ""
    return f"{node.arg}{kind}" + (f"{' = ' if kind else '='}{ast.unparse(default)}" if default else "")


def _attribute_docs(body: Iterable[ast.stmt]) -> dict[str, str]:
    """The string under an assignment is its meaning."""
    docs: dict[str, str] = {}
    name = ""
    for node in body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and name:
            docs[name] = inspect.cleandoc(str(node.value.value))
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [None])
        name = targets[0].id if isinstance(targets[0], ast.Name) else ""
    return docs


def _ours(kind: type) -> list[type]:
    """The class and its bases, as far as they are written here; `Page[Task]` is not, `Page` is."""
    return [
        owner
        for owner in kind.__mro__
        if owner.__module__.startswith("nexusai") and owner.__name__.isidentifier()
    ]


def _class_node(kind: type) -> ast.ClassDef:
    for node in ast.walk(_tree(sys.modules[kind.__module__])):
        if isinstance(node, ast.ClassDef) and node.name == kind.__qualname__:
            return node
    raise LookupError(f"{kind.__module__} has no class {kind.__qualname__}")


@cache
def _tree(module: ModuleType) -> ast.Module:
    return ast.parse(inspect.getsource(module))
