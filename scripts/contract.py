"""`docs/openapi.json` as something that requests are held to, and that makes sample answers."""

from __future__ import annotations

import email
import email.policy
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from jsonschema import Draft202012Validator

PATH = Path(__file__).parents[1] / "docs" / "openapi.json"

_EVERYWHERE = re.compile(
    "host|accept|accept-encoding|connection|user-agent|authorization|content-(length|type)|transfer-encoding|traceparent"
)
"""Headers of HTTP itself, which OpenAPI has no parameters for."""

_MEMBER = re.compile(r"(\w+)\[(.+)\]")
_PLACE = re.compile(r"\\{(\w+)\\}")
_FORMATS = {"date-time": "2025-01-31T08:00:00Z", "date": "2025-01-31", "binary": "…"}
_LINK = "/api/v1/files/file_1/content?expires=1&signature=s"


class Operation(NamedTuple):
    """One method of one path of the document."""

    name: str
    """`POST /api/v1/invoke`"""
    described: Mapping[str, Any]
    ids: Mapping[str, str]
    """What stands in its path: `{"task_id": "task_1"}`."""

    @property
    def answers(self) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
        """Status, media type and schema of each good answer; of one without a body no type and no schema."""
        for status, response in self.described["responses"].items():
            if status.startswith("2"):
                for kind, content in (response.get("content") or {"": {}}).items():
                    yield int(status), kind, content.get("schema", {})

    def parameters(self, place: str) -> dict[str, Mapping[str, Any]]:
        found = [each for each in self.described.get("parameters", ()) if each["in"] == place]
        return {each["name"].lower() if place == "header" else each["name"]: each for each in found}


class Contract:
    """The document. Requests are checked against it, and answered as it says."""

    def __init__(self, document: Mapping[str, Any], left_open: Mapping[str, Any] | None = None) -> None:
        self.document = document
        self.left_open = left_open or {}
        """Members whose inside the document does not describe, with a sample of each."""

    @classmethod
    def published(cls, left_open: Mapping[str, Any] | None = None) -> Contract:
        return cls(json.loads(PATH.read_text("utf-8")), left_open)

    def schema(self, name: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.document["components"]["schemas"][name]
        return found

    def operation(self, request: httpx.Request) -> Operation | None:
        """What the document has for this request."""
        for path, methods in self._paths:
            described = methods.get(request.method.lower())
            if described and (found := path.fullmatch(request.url.path)):
                return Operation(f"{request.method} {described['operationId']}", described, found.groupdict())
        return None

    def complaints(self, request: httpx.Request, operation: Operation) -> list[str]:
        """What the document has against this request."""
        return [
            *self._of_parameters("query", operation, _query(request)),
            *self._of_parameters("header", operation, _own_headers(request)),
            *self._of_accept(request, operation),
            *self._of_body(request, operation),
        ]

    def _of_parameters(self, place: str, operation: Operation, given: Mapping[str, Any]) -> Iterator[str]:
        declared = operation.parameters(place)
        for name, value in given.items():
            if name not in declared:
                yield f"{place} {name} is not in the document"
            elif not any(not self.errors(declared[name]["schema"], each) for each in _readings(value)):
                yield f"{place} {name}={value} is not as described"
        for name, parameter in declared.items():
            if parameter.get("required") and name not in given:
                yield f"{place} {name} is missing"

    def _of_accept(self, request: httpx.Request, operation: Operation) -> Iterator[str]:
        wanted = request.headers["accept"]
        kinds = {kind for _, kind, _ in operation.answers}
        if "*/*" not in wanted and "" not in kinds and not any(kind in wanted for kind in kinds):
            yield f"accepts {wanted}, is answered {', '.join(sorted(kinds))}"

    def _of_body(self, request: httpx.Request, operation: Operation) -> Iterator[str]:
        declared = operation.described.get("requestBody", {})
        kind = request.headers.get("content-type", "").partition(";")[0]
        content = request.read()
        if not content:
            if declared.get("required"):
                yield "the body is missing"
        elif kind not in declared.get("content", {}):
            yield f"a body of {kind} is not in the document"
        else:
            body = json.loads(content) if kind.endswith("json") else dict(_parts(request))
            yield from self.errors(declared["content"][kind].get("schema", {}), body)

    def errors(self, schema: Mapping[str, Any], value: Any) -> list[str]:
        whole = {**schema, "components": self.document["components"]}
        return [
            f"{error.json_path}: {error.message}" for error in Draft202012Validator(whole).iter_errors(value)
        ]

    def sample(
        self, schema: Mapping[str, Any], *, full: bool, state: str = "completed", name: str = ""
    ) -> Any:
        """A value that fits the schema: with everything that may be there, or with what must be alone.

        Of words that are listed, `state` is taken where it is among them.
        """
        schema = self._whole(schema, full)
        if "example" in schema or "examples" in schema:
            return schema["example"] if "example" in schema else schema["examples"][0]
        if "const" in schema or "enum" in schema:
            words = schema.get("enum") or [schema["const"]]
            return state if state in words else words[0]
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = kind[0] if full else ("null" if "null" in kind else kind[0])
        if kind == "array":
            items = schema.get("items", {})
            return [self.sample(items, full=full, state=state)] if full and items else []
        if kind == "object" and "properties" not in schema:
            return self.left_open.get(name, {})
        if kind == "object":
            wanted = schema.get("properties", {}) if full else schema.get("required", ())
            properties = schema.get("properties", {})
            return {each: self.sample(properties[each], full=full, state=state, name=each) for each in wanted}
        if kind == "string":
            return _LINK if name.endswith("_url") else _FORMATS.get(schema.get("format", ""), name or "text")
        return {"integer": 1, "number": 1.0, "boolean": True, "null": None}.get(str(kind), {})

    def _whole(self, schema: Mapping[str, Any], full: bool) -> Mapping[str, Any]:
        """Without references and choices: the first choice where all is wanted, else null where it may be."""
        while "$ref" in schema or "anyOf" in schema or "oneOf" in schema or "allOf" in schema:
            if "$ref" in schema:
                schema = self.schema(schema["$ref"].rpartition("/")[2])
            elif "allOf" in schema:
                parts = [self._whole(part, full) for part in schema["allOf"]]
                schema = {
                    "type": "object",
                    "properties": {k: v for part in parts for k, v in part.get("properties", {}).items()},
                    "required": [name for part in parts for name in part.get("required", ())],
                }
            else:
                choices = schema.get("anyOf") or schema["oneOf"]
                schema = next(
                    (each for each in choices if each.get("type") == "null" and not full), choices[0]
                )
        return schema

    @cached_property
    def _paths(self) -> list[tuple[re.Pattern[str], Mapping[str, Any]]]:
        """Those without a place to fill in come first: `/search` is no id."""
        paths = sorted(self.document["paths"].items(), key=lambda each: "{" in each[0])
        return [
            (re.compile(_PLACE.sub(r"(?P<\1>[^/]+)", re.escape(path))), methods) for path, methods in paths
        ]


def _own_headers(request: httpx.Request) -> dict[str, str]:
    return {name: value for name, value in request.headers.items() if not _EVERYWHERE.fullmatch(name)}


def _query(request: httpx.Request) -> dict[str, Any]:
    """`metadata[run]=1` is the member `run` of `metadata`."""
    given: dict[str, Any] = {}
    for name, value in request.url.params.items():
        if member := _MEMBER.fullmatch(name):
            given.setdefault(member[1], {})[member[2]] = value
        else:
            given[name] = value
    return given


def _readings(given: Any) -> Iterator[Any]:
    """What a parameter may stand for: its text, or a number or a truth."""
    yield given
    if isinstance(given, str):
        with suppress(ValueError):
            yield json.loads(given)


def _parts(request: httpx.Request) -> Iterator[tuple[str, str]]:
    """The fields of a multipart body."""
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + request.read(), policy=email.policy.HTTP)
    for part in message.iter_parts():
        yield str(part.get_param("name", header="content-disposition")), part.get_content_type()
