"""The client's settings, decided purely: `resolve` takes every source as a mapping and reads none itself.

An argument wins over the environment, then come `.env`, the credentials file and the default.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from nexusai.constants import (
    DEFAULT_BASE_URL,
    DEFAULT_MAX_RETRIES,
    DEFAULT_POLL_INTERVAL,
    DEFAULT_POLL_TIMEOUT,
    DEFAULT_TIMEOUT,
    KEY_PREFIX,
)
from nexusai.error import AuthenticationError, ConfigurationError

__all__ = ["Config", "changed", "header_fields", "origin", "resolve", "webhook_secret"]

_logger = logging.getLogger("nexusai")

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_PORTS = {"http": 80, "https": 443}
_ADDRESS = re.compile(r"[^\s\x00-\x1f\x7f@?#\\]+")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"([!-~]([ \t!-~]*[!-~])?)?")


@dataclass(frozen=True, slots=True)
class Config:
    """Settled settings; times in seconds. See `ClientOptions` for what each means."""

    api_key: str = field(repr=False)
    base_url: str = DEFAULT_BASE_URL
    timeout: float = DEFAULT_TIMEOUT
    max_retries: int = DEFAULT_MAX_RETRIES
    poll_interval: float = DEFAULT_POLL_INTERVAL
    poll_timeout: float = DEFAULT_POLL_TIMEOUT
    webhook_secret: str | None = field(default=None, repr=False)


def resolve(
    arguments: Mapping[str, Any],
    environ: Mapping[str, str],
    dotenv: Mapping[str, str | None],
    credentials: Mapping[str, Any],
) -> Config:
    """The settings in force.

    Raises `ConfigurationError` for a wrong value and `AuthenticationError` when no source has a key.
    """
    given = _Given(arguments, environ, dotenv)
    base_url = _url(*given.find("base_url", credentials.get("default") or DEFAULT_BASE_URL))
    key = given.find("api_key", _kept_key(credentials, base_url))[1]
    if not key:
        raise AuthenticationError(_no_key(base_url))
    return Config(
        api_key=_key(key),
        base_url=base_url,
        timeout=_seconds(*given.find("timeout", DEFAULT_TIMEOUT)),
        max_retries=_count(*given.find("max_retries", DEFAULT_MAX_RETRIES)),
        poll_interval=_seconds(*given.find("poll_interval", DEFAULT_POLL_INTERVAL)),
        poll_timeout=_seconds(*given.find("poll_timeout", DEFAULT_POLL_TIMEOUT)),
        webhook_secret=_secret(*given.find("webhook_secret", None)),
    )


def webhook_secret(
    arguments: Mapping[str, Any], environ: Mapping[str, str], dotenv: Mapping[str, str | None]
) -> str | None:
    """The one setting that is of use without a key."""
    return _secret(*_Given(arguments, environ, dotenv).find("webhook_secret", None))


def changed(config: Config, arguments: Mapping[str, Any]) -> Config:
    """`config` with some settings replaced. A key never moves to another platform on its own."""
    given = {name: value for name, value in arguments.items() if value is not None}
    for name, value in given.items():
        if name not in _CHECKS:
            raise TypeError(
                f"there is no option {name!r}: the options are {', '.join(_CHECKS)}, default_headers"
            )
        given[name] = _CHECKS[name](name, value)
    moved = "base_url" in given and origin(given["base_url"]) != origin(config.base_url)
    if moved and "api_key" not in given:
        raise ConfigurationError("base_url names another platform: give its api_key with it.")
    return replace(config, **given)


def header_fields(given: Any) -> dict[str, str]:
    """`default_headers`, checked. Raises `ConfigurationError` by name for what no HTTP header can be."""
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f'default_headers is a mapping like {{"X-Team": "search"}}, not {type(given).__name__}'
        )
    for name, value in given.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise ConfigurationError(f"default_headers has {name!r}, which is no name of a header.")
        if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
            raise ConfigurationError(f"default_headers[{name!r}] is no text in ASCII on one line.")
    return dict(given)


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: where a URL leads, without user, path and query."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)


@dataclass(frozen=True, slots=True)
class _Given:
    arguments: Mapping[str, Any]
    environ: Mapping[str, str]
    dotenv: Mapping[str, str | None]

    def find(self, name: str, default: Any) -> tuple[str, Any]:
        """The value and what to call its place in a message."""
        variable = f"NEXUS_{name.upper()}"
        if self.arguments.get(name) is not None:
            return name, self.arguments[name]
        for source in (self.environ, self.dotenv):
            if value := (source.get(variable) or "").strip():
                return variable, value
        return name, default


def _url(place: str, value: Any) -> str:
    url = str(value).strip().rstrip("/")
    try:
        scheme, host, _ = origin(url)
    except ValueError:
        scheme = host = ""
    if scheme not in _PORTS or not host or not _ADDRESS.fullmatch(url):
        raise ConfigurationError(
            f"{place} is not the address of a platform: it looks like {place}={DEFAULT_BASE_URL}"
        )
    return url


def _seconds(place: str, value: Any) -> float:
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not seconds > 0:
        raise ConfigurationError(f"{place}={value!r} is not a number of seconds above 0: try {place}=60")
    return seconds


def _count(place: str, value: Any) -> int:
    try:
        whole = not isinstance(value, bool) and (isinstance(value, str) or value == int(value))
        count = int(value) if whole else -1
    except (TypeError, ValueError, OverflowError):
        count = -1
    if count < 0:
        raise ConfigurationError(f"{place}={value!r} is not a whole number from 0 on: try {place}=2")
    return count


def _key(value: Any) -> str:
    """The key, trimmed. Raises for one that no header can carry; warns of one that looks wrong."""
    if not isinstance(value, str):
        raise ConfigurationError(f"api_key is a str, not {type(value).__name__}")
    key = value.strip()
    if not key:
        raise AuthenticationError("The API key is empty: it looks like nxs_…")
    if not key.isascii() or not key.isprintable():
        raise ConfigurationError("The API key has characters that no HTTP header can carry: copy it again.")
    for wrong, fact in (
        (any(space in value for space in " \t\r\n"), "has spaces in or around it"),
        ('"' in key or "'" in key, "has quotes in it"),
        (not key.strip("\"' ").startswith(KEY_PREFIX), f"does not start with {KEY_PREFIX}"),
    ):
        if wrong:
            _logger.warning("The API key %s: was it copied whole, and nothing else?", fact)
    return key


def _secret(place: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"{place} is a str like whsec_…, not {type(value).__name__}")
    return value and value.strip()


def _kept_key(credentials: Mapping[str, Any], base_url: str) -> str | None:
    """The key that the credentials file keeps for exactly this platform."""
    platforms = credentials.get("platforms")
    for url, entry in (platforms if isinstance(platforms, Mapping) else {}).items():
        if isinstance(entry, Mapping) and _platform(url) == _platform(base_url):
            return entry.get("api_key")
    return None


def _platform(url: str) -> tuple[str, str, int, str] | None:
    try:
        scheme, host, port = origin(url)
    except ValueError:
        return None
    return scheme, "localhost" if host in _LOOPBACK else host, port, urlsplit(url).path.rstrip("/")


def _no_key(base_url: str) -> str:
    return (
        f'No API key for {base_url}. Give one in one of three ways: NexusAIClient(api_key="nxs_…"); '
        "NEXUS_API_KEY in the environment or in .env; or run `nexusai serve` on this machine as this user, "
        "which keeps its key in ~/.nexusai/credentials.json."
    )


_CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "api_key": lambda _, value: _key(value),
    "base_url": _url,
    "timeout": _seconds,
    "max_retries": _count,
    "poll_interval": _seconds,
    "poll_timeout": _seconds,
    "webhook_secret": _secret,
}
