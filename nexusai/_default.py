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
    from nexusai.types import DefaultClientOptions

__all__ = ["DefaultResource", "configure", "default_client", "verifier"]

_lock = threading.Lock()
_options: dict[str, Any] = {}
_client: tuple[Any, NexusAIClient] | None = None
"""What `nexusai.api_key` and `nexusai.base_url` were when it was made, and the client."""


def configure(**options: Unpack[DefaultClientOptions]) -> None:
    """Set the options of the default client. One that was made before is left to whoever still uses it."""
    global _client, _options
    known = import_module("nexusai.types").DefaultClientOptions.__annotations__
    for name in options:
        if name not in known:
            raise TypeError(f"there is no option {name!r}: the options are {', '.join(known)}")
    with _lock:
        _client, _options = None, dict(options)


def default_client() -> NexusAIClient:
    """The one client of the module-level functions, made with `configure`'s options and `nexusai.api_key`.

    Another is made when `nexusai.api_key` or `nexusai.base_url` has changed.
    """
    global _client
    package = import_module("nexusai")
    now_set = {"api_key": package.api_key, "base_url": package.base_url}
    made = _client
    if made is None or made[0] != now_set:
        with _lock:
            made = _client
            if made is None or made[0] != now_set:
                new = import_module("nexusai.client").NexusAIClient(**{**now_set, **_options})
                made = _client = (now_set, new)
    return made[1]


def verifier() -> Any:
    """What verifies webhooks with the configured secret: no key is needed, and no client is made."""
    secret: str | None = _options.get("webhook_secret")
    sources = import_module("nexusai._internal._sources")
    return import_module("nexusai.resources.webhooks").Verifier(sources.read_webhook_secret(secret))


class DefaultResource:
    """A resource of the default client, which is made when one of the methods is first called."""

    def __init__(self, name: str, kind: str, **owners: Callable[[], Any]) -> None:
        self._name = name
        self._kind = kind
        self._owners = owners  # of methods that need no client

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("_"):  # what inspects it does not load anything
            raise AttributeError(method)
        described = getattr(self._resource(), method)

        def call(*args: Any, **options: Any) -> Any:
            owner = self._owners.get(method, self._own)
            return getattr(owner(), method)(*args, **options)

        update_wrapper(call, described)
        call.__name__ = method
        call.__wrapped__ = MethodType(described, self)  # type: ignore[attr-defined]  # a signature without self
        return call

    def _own(self) -> Any:
        return getattr(default_client(), self._name)

    def __dir__(self) -> list[str]:
        return [name for name in dir(self._resource()) if not name.startswith("_")]

    def _resource(self) -> Any:
        return getattr(import_module(f"nexusai.resources.{self._name}"), self._kind)

    def __repr__(self) -> str:
        return f"<nexusai.{self._name} of the default client>"
