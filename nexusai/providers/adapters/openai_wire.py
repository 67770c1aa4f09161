"""What every request to OpenAI's API, and every answer of it, have in common."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from nexusai.providers.adapters.openai_errors import error_from
from nexusai.providers.adapters.openai_stream import loads
from nexusai.providers.adapters.registry import vendor_of
from nexusai.providers.config import ProviderConfig
from nexusai.providers.errors import AdapterError, AuthenticationError, RetryableError, ValidationError
from nexusai.providers.transport import HttpRequest, HttpResponse

__all__ = ["File", "dumps", "failure", "object_of", "parse_error", "post", "post_bytes", "post_form"]

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class File(NamedTuple):
    """One part of a form."""

    name: str
    filename: str
    media_type: str
    data: bytes


def post(
    config: ProviderConfig,
    model: str,
    path: str,
    body: Mapping[str, Any],
    extra: Mapping[str, Any] = _NOTHING,
) -> HttpRequest:
    """`body` wins over `extra` under the vendor's own names too, except where it is None."""
    try:
        data = dumps(_fields(config, body, extra)).encode("utf-8", "replace")
    except (TypeError, ValueError) as error:
        message = f"the request cannot be written as JSON: {error}"
        raise ValidationError(message, provider=config.provider, model=model) from None
    return post_bytes(config, model, path, data)


def post_bytes(config: ProviderConfig, model: str, path: str, body: bytes) -> HttpRequest:
    """JSON as it is written already."""
    return _request(config, model, path, "application/json", body)


def post_form(
    config: ProviderConfig,
    model: str,
    path: str,
    body: Mapping[str, Any],
    extra: Mapping[str, Any],
    files: Sequence[File],
) -> HttpRequest:
    """The same as a form (RFC 7578); a list is one field for each of its values."""
    parts: list[tuple[str, bytes]] = []
    for name, value in _fields(config, body, extra).items():
        listed = isinstance(value, list | tuple)
        for item in value if listed else (value,):
            parts.append((_disposition(f"{name}[]" if listed else name), _text(item)))
    for file in files:
        head = f"{_disposition(file.name, file.filename)}\r\nContent-Type: {file.media_type}"
        parts.append((head, file.data))
    content_type, data = _multipart(parts)
    return _request(config, model, path, content_type, data)


def parse_error(config: ProviderConfig, model: str, response: HttpResponse) -> AdapterError:
    try:
        body = loads(response.body)
    except ValueError:
        body = response.body.decode("utf-8", "replace")
    return error_from(config, model, response.status, response.headers, body)


def object_of(config: ProviderConfig, model: str, response: HttpResponse) -> dict[str, Any]:
    """The JSON object that an answer is. Raises the error that stands in its place."""
    try:
        body = loads(response.body)
    except ValueError:
        body = None
    if response.status >= 300 or (isinstance(body, dict) and body.get("error")):
        raise parse_error(config, model, response)
    if not isinstance(body, dict):
        message = f"{config.provider} answered with something else than a JSON object: check the base URL"
        raise AdapterError(message, provider=config.provider, model=model, status=response.status)
    return body


def failure(config: ProviderConfig, model: str, what: str) -> RetryableError:
    """What an answer is that breaks the promises of the API."""
    return RetryableError(f"{config.provider} {what}", provider=config.provider, model=model)


def _fields(config: ProviderConfig, body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    names = vendor_of(config.provider).renames
    return {
        names.get(name, name): value
        for fields in (extra, body)
        for name, value in fields.items()
        if value is not None
    }


def dumps(value: Any) -> str:
    """JSON without blanks. Raises `TypeError` or `ValueError` for what it has no form for."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _text(value: Any) -> bytes:
    return (value if isinstance(value, str) else dumps(value)).encode("utf-8", "replace")


def _disposition(name: str, filename: str | None = None) -> str:
    quoted = {'"': "%22", "\r": "%0D", "\n": "%0A"}
    head = f'Content-Disposition: form-data; name="{name}"'
    if filename is None:
        return head
    return head + '; filename="{}"'.format("".join(quoted.get(letter, letter) for letter in filename))


def _multipart(parts: Sequence[tuple[str, bytes]]) -> tuple[str, bytes]:
    """Content type and body. The boundary is made of the content, in which it then cannot be."""
    digest = hashlib.sha256()
    for head, data in parts:
        digest.update(head.encode("utf-8", "replace") + data)
    boundary = digest.hexdigest()[:32]
    body = bytearray()
    for head, data in parts:
        body += f"--{boundary}\r\n{head}\r\n\r\n".encode("utf-8", "replace") + data + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return f"multipart/form-data; boundary={boundary}", bytes(body)


def _request(config: ProviderConfig, model: str, path: str, content_type: str, data: bytes) -> HttpRequest:
    headers = {"content-type": content_type}
    if config.api_key:
        if not (config.api_key.isascii() and config.api_key.isprintable()):
            message = f"the key in {vendor_of(config.provider).key} has characters that no key has"
            raise AuthenticationError(message, provider=config.provider, model=model)
        headers["authorization"] = f"Bearer {config.api_key}"
    url = f"{config.base_url}{path}"
    return HttpRequest("POST", url, headers, data, config.timeout)
