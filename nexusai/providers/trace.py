"""Headers that a caller wants along with every request to its vendor, `traceparent` for one."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import replace
from types import MappingProxyType

from nexusai.providers.transport import HttpRequest, same_origin

__all__ = ["carrying", "upstream_headers"]

upstream_headers: ContextVar[Mapping[str, str]] = ContextVar(
    "nexusai_upstream_headers", default=MappingProxyType({})
)
"""What is set here goes to the vendor's own origin, never to a link that it answered with."""


def carrying(request: HttpRequest, base_url: str | None) -> HttpRequest:
    """The request with those headers, where it goes to the origin of `base_url`; its own go before them."""
    headers = upstream_headers.get()
    if not headers or base_url is None or not same_origin(request.url, base_url):
        return request
    given = {name.lower(): value for name, value in headers.items()}
    return replace(request, headers={**given, **request.headers})
