"""What OpenAI's clients send. A field that is not named here goes to the provider as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from nexusai.server.http import MALFORMED, Problem, invalid

__all__ = [
    "LONGEST",
    "ChatBody",
    "EmbeddingBody",
    "ImageBody",
    "ModerationBody",
    "NonEmpty",
    "SpeechBody",
    "StreamOptions",
    "members",
    "model_in",
    "read",
    "read_form",
]

T = TypeVar("T", bound=Struct)

LONGEST: Final = 10**9
"""Tokens that anybody can ask for."""
NonEmpty = Annotated[str, Meta(min_length=1)]


_MEMBERS: Final = msgspec.json.Decoder(dict[str, Raw])
_NAME: Final = msgspec.json.Decoder(NonEmpty)


class StreamOptions(Struct, kw_only=True):
    include_usage: bool = False


class ChatBody(Struct, kw_only=True):
    model: NonEmpty
    messages: Annotated[list[dict[str, Any]], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=LONGEST)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1, le=LONGEST)] | None = None
    stop: str | list[str] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None


class EmbeddingBody(Struct, kw_only=True):
    model: NonEmpty
    input: NonEmpty | Annotated[list[NonEmpty], Meta(min_length=1, max_length=2048)]
    dimensions: Annotated[int, Meta(ge=1, le=LONGEST)] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None


class ImageBody(Struct, kw_only=True):
    prompt: NonEmpty
    model: NonEmpty | None = None
    n: Annotated[int, Meta(ge=1, le=10)] | None = None
    size: str | None = None
    quality: str | None = None
    response_format: Literal["url", "b64_json"] | None = None
    output_format: str | None = None
    stream: bool | None = None
    user: str | None = None


class SpeechBody(Struct, kw_only=True):
    model: NonEmpty
    input: Annotated[str, Meta(min_length=1, max_length=100_000)]
    voice: str | dict[str, Any] | None = None
    response_format: str | None = None
    speed: Annotated[float, Meta(ge=0.25, le=4)] | None = None
    stream_format: Literal["audio", "sse"] | None = None


class ModerationBody(Struct, kw_only=True):
    input: NonEmpty | Annotated[list[NonEmpty], Meta(min_length=1)]
    model: NonEmpty | None = None


def read(body: bytes, kind: type[T]) -> tuple[T, dict[str, Any]]:
    """The body, and what of it only a provider knows. Raises a 400 `Problem` that names the field."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, Any])
        known = msgspec.convert(fields, kind)
    except MALFORMED as error:
        raise invalid(error) from None
    return known, _others(fields, kind)


def read_form(fields: Mapping[str, str], kind: type[T]) -> tuple[T, dict[str, Any]]:
    """The fields of a form, likewise: numbers in it are texts."""
    try:
        return msgspec.convert(fields, kind, strict=False), _others(fields, kind)
    except MALFORMED as error:
        raise invalid(error) from None


def members(body: bytes, *required: str) -> dict[str, bytes]:
    """The members of a JSON object, each as the JSON that it came as. Raises a 400 `Problem`."""
    try:
        if not body.isascii():
            body.decode()  # what is passed on as it came is not looked into
        found = _MEMBERS.decode(body)
    except MALFORMED as error:
        raise invalid(error) from None
    for name in ("model", *required):
        if name not in found:
            raise Problem.field([name], "required", "missing")
    return {name: bytes(raw) for name, raw in found.items()}


def model_in(fields: Mapping[str, bytes]) -> str:
    """The name of the model, as the caller wrote it. Raises a 400 `Problem`."""
    try:
        return _NAME.decode(fields["model"])
    except MALFORMED as error:
        raise invalid(error, ["model"]) from None


def _others(fields: Mapping[str, Any], kind: type[Struct]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in kind.__struct_fields__}
