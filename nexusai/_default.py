"""The client behind `nexusai.text.generate(…)` and its like: made once, at the first call."""

from __future__ import annotations

import threading
from functools import update_wrapper
from importlib import import_module
from types import MethodType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Unpack

    from nexusai.client import NexusAIClient
    from nexusai.types import ClientOptions

__all__ = ["DefaultResource", "configure", "default_client"]

_lock = threading.Lock()
_options: dict[str, Any] = {}
_client: NexusAIClient | None = None


def configure(**options: Unpack[ClientOptions]) -> None:
    """Set the options of the default client. One that was made before is left to whoever still uses it."""
    global _client, _options
    with _lock:
        _client, _options = None, dict(options)


def default_client() -> NexusAIClient:
    """The one client of the module-level functions, made with `configure`'s options and `nexusai.api_key`."""
    global _client
    client = _client
    if client is None:
        with _lock:
            client = _client = _client or _made()
    return client


def _made() -> NexusAIClient:
    from nexusai.client import NexusAIClient

    package = import_module("nexusai")
    set_there = {name: getattr(package, name) for name in ("api_key", "base_url")}
    return NexusAIClient(**{**set_there, **_options})


class DefaultResource:
    """A resource of the default client, which is made when one of the methods is first called."""

    def __init__(self, name: str, kind: str) -> None:
        self._name = name
        self._kind = kind

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("_"):  # what inspects it does not load anything
            raise AttributeError(method)
        described = getattr(self._resource(), method)

        def call(*args: Any, **options: Any) -> Any:
            return getattr(getattr(default_client(), self._name), method)(*args, **options)

        update_wrapper(call, described)
        call.__name__ = method
        call.__wrapped__ = MethodType(described, self)  # type: ignore[attr-defined]  # a signature without self
        return call

    def __dir__(self) -> list[str]:
        return [name for name in dir(self._resource()) if not name.startswith("_")]

    def _resource(self) -> Any:
        return getattr(import_module(f"nexusai.resources.{self._name}"), self._kind)

    def __repr__(self) -> str:
        return f"<nexusai.{self._name} of the default client>"
