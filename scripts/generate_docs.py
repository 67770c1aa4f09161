"""Writes `docs/api_reference.md`: the SDK's reference, from its signatures, docstrings and descriptions."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, count
from pathlib import Path

import sdk_source as sdk

import nexusai.testing
from nexusai import client, error
from nexusai._default import DefaultResource

ROOT = Path(__file__).parents[1]
PATH = ROOT / "docs" / "api_reference.md"

OTHER_VARIABLES = {
    "NEXUS_HOME": "Folder of the credentials file that `nexusai serve` writes; `~/.nexusai` by default.",
    "NEXUS_LOG": "`debug` logs each request, `info` what is sent again; on stderr, by the logger `nexusai`.",
}
"""What the SDK reads from the environment besides its settings."""

_INTRO = """\
Every public name of the Python SDK, from its signatures and docstrings: change those, then run `make docs`.
[The guide](sdk.md) shows how they are used together, [getting started](getting_started.md) how to begin.

The signatures are those of `NexusAIClient`. `AsyncNexusAIClient` has the same resources with the same
methods; there they are awaited, unless a method says otherwise, and what they give is named `Async…` where
its own methods are awaited too."""

_CODE = re.compile(r"(?<!\[)`(?:nexusai\.)?([\w.]+)`")
_BLOCK = re.compile(r"(?:^ {4}.*\n?|^\n)+", re.M)


class Page:
    """A document as it is written."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.headings: list[tuple[int, str]] = []
        self.anchors: dict[str, str] = {}
        self.described: set[str] = set()
        """Sets of options that have a table; each has one, where it is first taken."""

    def heading(self, level: int, title: str) -> None:
        self.headings.append((level, title))
        self.anchors[title] = _anchor(title, self.anchors.values())
        self.parts.append(f"{'#' * level} {title}")

    def add(self, *parts: str) -> None:
        self.parts += [part for part in parts if part]

    def contents(self, deepest: int = 3) -> str:
        return "\n".join(
            f"{'  ' * (level - 2)}- [{title}](#{self.anchors[title]})"
            for level, title in self.headings
            if level <= deepest
        )


def _anchor(title: str, taken: Collection[str]) -> str:
    """The fragment that Markdown renderers give a heading; the second of the same gets a number."""
    plain = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
    return next(each for each in chain([plain], (f"{plain}-{n}" for n in count(1))) if each not in taken)


def text() -> str:
    """The reference as the file holds it."""
    page = Page()
    for write in (_clients, _settings, _resources, _answers, _objects, _errors, _types, _testing):
        write(page)
    head = ["# API reference", _INTRO, "## Contents", page.contents()]
    return _linked("\n\n".join([*head, *page.parts]), page.anchors) + "\n"


# Sections


def _clients(page: Page) -> None:
    page.heading(2, "Clients")
    for name in sorted(client.__all__, key=len):
        kind = getattr(client, name)
        page.heading(3, f"`{name}`")
        page.add(_code(sdk.init_signature(kind)), sdk.docstring(kind))
        if name == "NexusAIClient":
            rows = [(f"`client.{each}`", _first(sdk.docstring(kind))) for each, kind in _made_of()]
            page.add(_table(("Resource", ""), rows))
        _methods(page, name, [member for member in sdk.members(kind) if not member.kind])
    page.heading(3, "The default client")
    page.add(
        "The package has them as well, on a client that is made at the first call: "
        + ", ".join(f"`nexusai.{name}`" for name in sdk.resource_classes() if _is_default(name))
        + ". `nexusai.api_key` and `nexusai.base_url` are read then."
    )
    for name, function in sdk.functions().items():
        page.add(_code(sdk.function_signature(f"nexusai.{name}", function)), sdk.docstring(function))


def _settings(page: Page) -> None:
    page.heading(2, "Settings")
    page.add(
        "An argument wins over the environment, then come `.env` in the working directory, the credentials "
        "file and the default. Times are in seconds."
    )
    rows = [
        (f"`{name}`", f"`NEXUS_{name.upper()}`", f"`{default}`" if default else "", doc)
        for name, default, doc in sdk.settings()
    ]
    page.add(_table(("Argument", "Variable", "Default", "Meaning"), rows))
    page.add(_table(("Variable", "Meaning"), [(f"`{name}`", doc) for name, doc in OTHER_VARIABLES.items()]))
    page.heading(3, "Constants")
    page.add("In `nexusai.constants`.", _named(("Constant", "Value", "Meaning"), sdk.defaults()))


def _resources(page: Page) -> None:
    page.heading(2, "Resources")
    for name, kind in _made_of():
        page.heading(3, f"`client.{name}`")
        members = sdk.members(kind)
        rows = [(f"`client.{name}.{each.name}`", _first(each.doc)) for each in members]
        page.add(sdk.docstring(kind), _table(("Method", ""), rows))
        _methods(page, f"client.{name}", members, kind)


def _answers(page: Page) -> None:
    page.heading(2, "Answers")
    page.add(
        "Pydantic models. A field that this version does not know is kept as an attribute, a missing one is "
        "`None`, and every date is an aware `datetime`."
    )
    for name, kind in sdk.answers().items():
        _class(page, name, kind, sdk.fields_of(kind))


def _objects(page: Page) -> None:
    page.heading(2, "Handles and streams")
    for name, kind in sdk.objects().items():
        _class(page, name, kind)


def _errors(page: Page) -> None:
    page.heading(2, "Errors")
    page.add(_code_blocks(inspect.cleandoc(error.__doc__ or "")))
    page.add(
        "An `APIError` has `message`, `status_code`, `error_code`, `request_id`, `response_body`, "
        "`retryable`, `retry_after` (seconds), `errors` (`{loc, msg, type}` for each wrong field) and "
        "`idempotency_key`."
    )
    for name, kind in sdk.errors().items():
        page.heading(4, f"`{name}`")
        bases = " and ".join(f"`{base.__name__}`" for base in kind.__bases__)
        page.add(f"A kind of {bases}. {sdk.docstring(kind)}")
    page.heading(3, "Error codes")
    page.add("In `nexusai.error.CODES`; `error_code` of an error and `code` of a failed task are among them.")
    rows = [
        (f"`{name}`", str(code.status), "yes" if code.retryable else "", code.title)
        for name, code in error.CODES.items()
    ]
    page.add(_table(("Code", "Status", "Retryable", "Meaning"), rows))


def _types(page: Page) -> None:
    page.heading(2, "Types of arguments")
    page.add("In `nexusai.types`.")
    for name, kind, doc in sdk.aliases():
        page.heading(4, f"`{name}`")
        page.add(f"```text\n{kind}\n```", doc)
    for name in sdk.options():
        _options(page, name)


def _testing(page: Page) -> None:
    page.heading(2, "Testing")
    page.add(_code_blocks(inspect.cleandoc(nexusai.testing.__doc__ or "")))
    for name in nexusai.testing.__all__:
        kind = getattr(nexusai.testing, name)
        page.heading(3, f"`{name}`")
        page.add(_code(sdk.init_signature(kind)), sdk.docstring(kind))
        _members(page, name, sdk.members(kind))


# Their parts


def _class(page: Page, name: str, kind: type, fields: Sequence[sdk.Named] = ()) -> None:
    page.heading(3, f"`{name}`")
    page.add(sdk.docstring(kind))
    public = {*sdk.answers(), *sdk.objects()} - {kind.__name__}
    bases = [base.__name__ for base in kind.__mro__ if base.__name__ in public]
    notes = [f"On the async client: `{twin.__name__}`."] if (twin := sdk.asynchronous(kind)) else []
    notes += [f"A kind of `{bases[0]}`."] if bases else []
    page.add(" ".join(notes))
    members = [member for member in sdk.members(kind) if member.owner not in bases]
    _members(page, name, members, kind, fields)


def _members(
    page: Page,
    owner: str,
    members: Sequence[sdk.Member],
    kind: type | None = None,
    fields: Sequence[sdk.Named] = (),
) -> None:
    rows = [*fields, *(sdk.Named(each.name, each.kind, each.doc) for each in members if each.kind)]
    page.add(_named(("Attribute", "Type", "Meaning"), rows))
    _methods(page, owner, [each for each in members if not each.kind], kind)


def _methods(page: Page, owner: str, methods: Sequence[sdk.Member], kind: type | None = None) -> None:
    for method in methods:
        page.heading(4, f"`{owner}.{method.name}`")
        page.add(_code(method.signature), method.doc, *_notes(method, kind))
    for name in sdk.options():
        if any(f"Unpack[{name}]" in method.signature for method in methods):
            _options(page, name)


def _notes(method: sdk.Member, kind: type | None) -> Iterator[str]:
    """How the async client's method is used where it is not awaited, and what there is to read on."""
    public = {*sdk.answers(), *sdk.objects(), *sdk.options(), *(each.name for each in sdk.aliases())}
    names = sorted(public & set(re.findall(r"\w+", method.signature)) - set(re.findall(r"\w+", method.doc)))
    notes = [_awaiting(kind, method.name)] if kind else []
    notes += [f"See {', '.join(f'`{name}`' for name in names)}."] if names else []
    yield " ".join(filter(None, notes))


def _options(page: Page, name: str) -> None:
    """A set of options, without those of a base that has its table already."""
    if name in page.described:
        return
    kind = sdk.options()[name]
    bases = [base for base in sdk.bases_of(kind) if base in page.described]
    known = {option.name for base in bases for option in sdk.fields_of(sdk.options()[base])}
    page.described.add(name)
    page.heading(4, f"`{name}`")
    page.add(
        sdk.docstring(kind), f"All of {' and '.join(f'`{base}`' for base in bases)}, and:" if bases else ""
    )
    page.add(
        _named(
            ("Option", "Type", "Meaning"), [each for each in sdk.fields_of(kind) if each.name not in known]
        )
    )


def _is_default(name: str) -> bool:
    return isinstance(vars(nexusai).get(name), DefaultResource)


def _made_of() -> Iterable[tuple[str, type]]:
    return sdk.resource_classes().items()


def _awaiting(kind: type, name: str) -> str:
    here, there = (inspect.getattr_static(each, name, None) for each in (kind, sdk.asynchronous(kind)))
    if here is there or not inspect.isfunction(there) or inspect.iscoroutinefunction(there):
        return ""
    if "AsyncGenerator" in str(there.__annotations__.get("return")):
        return "On the async client it is read with `async for`, not awaited."
    return "On the async client it is not awaited."


def _code(signature: str) -> str:
    return f"```python\n{signature}\n```"


def _code_blocks(doc: str) -> str:
    """A docstring with its indented blocks fenced."""

    def fenced(block: re.Match[str]) -> str:
        code = inspect.cleandoc(block[0]).strip("\n")
        language = "text" if "─" in code else "python"
        return f"\n```{language}\n{code}\n```\n\n" if code else "\n"

    return _BLOCK.sub(fenced, doc).strip()


def _named(columns: Sequence[str], rows: Iterable[sdk.Named]) -> str:
    return _table(columns, [(f"`{row.name}`", f"`{row.kind}`", row.doc) for row in rows])


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(_row(line) for line in lines) if rows else ""


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", r"\|") for cell in cells) + " |"


def _first(doc: str) -> str:
    """The first sentence of a docstring."""
    return re.split(r"(?<=[.])\s", doc.partition("\n\n")[0], maxsplit=1)[0].rstrip(".")


def _linked(document: str, anchors: Mapping[str, str]) -> str:
    """With every name in backticks that has a heading leading there; code and headings stay as they are."""

    def link(found: re.Match[str]) -> str:
        names = [found[1], f"client.{found[1]}"] if "." in found[1] else [found[1]]
        places = [anchors[f"`{name}`"] for name in names if f"`{name}`" in anchors]
        return f"[{found[0]}](#{places[0]})" if places else found[0]

    return "\n".join(
        line if line.startswith("#") or fenced else _CODE.sub(link, line) for line, fenced in _lines(document)
    )


def _lines(document: str) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it stands in a code block."""
    fenced = False
    for line in document.split("\n"):
        fenced ^= line.startswith("```")
        yield line, fenced


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
    print(f"{PATH.relative_to(ROOT)} is written.")
