"""Which providers there are and how each is reached: from arguments, a file and the environment.

An argument, or an entry of the file, wins over the vendor's own environment variable. A key that is set
switches its vendor on; a vendor that needs none is switched on by its base URL.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, get_args
from urllib.parse import urlsplit

from nexusai.error import ConfigurationError
from nexusai.providers.adapters.registry import provider_names, vendor_of
from nexusai.providers.adapters.vendor import Vendor
from nexusai.providers.types import Capability

__all__ = ["ProviderConfig", "config_for", "configured", "load_config"]

_PROXY: Final = "NEXUS_PROVIDER_PROXY"
_CA_FILE: Final = "NEXUS_PROVIDER_CA_FILE"
_HERE: Final = ("localhost", "127.0.0.1", "::1")
_EVERYWHERE: Final = ("", "0.0.0.0", "::")  # noqa: S104 - where a server listens, no client can connect


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """One provider, ready to be opened. Times are in seconds; None is as long as it takes."""

    provider: str
    api_key: str | None = field(default=None, repr=False)
    base_url: str | None = None
    timeout: float = 120.0
    """The longest silence."""
    max_retries: int = 2
    models: Mapping[Capability, str] = field(default_factory=dict)
    """The default model of each capability."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What else the vendor's adapter wants to know, such as Azure's `api_version`."""
    connect: float | None = None
    """The longest wait for a connection."""
    first_token: float | None = None
    """The longest wait for a stream's first chunk."""
    total: float | None = None
    """The longest that a call may take, retries and fallbacks included."""
    proxy: str | None = field(default=None, repr=False)
    """Where requests go through: `http://user:password@host:port`."""
    ca_file: str | None = None
    """Certificates (PEM) to trust in place of the usual ones."""

    @classmethod
    def from_mapping(
        cls, settings: Mapping[str, Any], environ: Mapping[str, str] | None = None
    ) -> ProviderConfig:
        """`settings` are fields of this class; what they leave out is taken from the environment.

        In their texts `${NAME}` stands for a variable. Raises `ConfigurationError`, which names the setting
        and what it has to be.
        """
        environ = os.environ if environ is None else environ
        given = _checked(_filled(settings, environ))
        if "provider" not in given:
            raise ConfigurationError(f"provider is missing: one of {', '.join(provider_names())}")
        if given["provider"] == "local":
            from nexusai.providers.adapters.local import VENDOR

            return cls("local", options={**_options(VENDOR, environ), **given.get("options", {})})
        config = _from(given, environ)
        missing = _missing(config)
        if missing:
            raise ConfigurationError(f"provider {config.provider!r} needs {missing}")
        return config


def configured(environ: Mapping[str, str]) -> dict[str, ProviderConfig]:
    """Every provider that the environment switches on, most preferred first.

    Raises `ConfigurationError` when a base URL is not one.
    """
    configs = {}
    for name in provider_names():
        vendor = vendor_of(name)
        if _first(environ, vendor.keys if vendor.key_required else vendor.moved_by):
            config = _from({"provider": name}, environ)
            if not _missing(config):
                configs[name] = config
    return configs


def config_for(
    provider: str,
    environ: Mapping[str, str],
    *,
    api_key: str | None = None,
    base_url: str | None = None,
    **settings: Any,
) -> ProviderConfig:
    """One provider by name, what is given before what the environment says. See `from_mapping`."""
    given = {"provider": provider, "api_key": api_key, "base_url": base_url, **settings}
    return ProviderConfig.from_mapping(
        {name: value for name, value in given.items() if value is not None}, environ
    )


def load_config(path: str | Path, environ: Mapping[str, str] | None = None) -> dict[str, ProviderConfig]:
    """The `providers` of a YAML file, by the names that it gives them.

    An entry is what `ProviderConfig.from_mapping` takes; its `provider` is its name where it says no other.
    Raises `ConfigurationError`, which names the file and the setting.
    """
    try:
        listed = _read(Path(path)).get("providers", {})
        if not isinstance(listed, Mapping):
            raise ConfigurationError("providers must be a mapping of names to settings")
        return {str(name): _entry(str(name), settings, environ) for name, settings in listed.items()}
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _entry(name: str, settings: Any, environ: Mapping[str, str] | None) -> ProviderConfig:
    try:
        if not isinstance(settings, Mapping | None):
            raise ConfigurationError(f"its settings must be a mapping, not {type(settings).__name__}")
        return ProviderConfig.from_mapping({"provider": name, **(settings or {})}, environ)
    except ConfigurationError as error:
        raise ConfigurationError(f"providers.{name}: {error}") from None


def _read(path: Path) -> Mapping[str, Any]:
    try:
        import yaml
    except ImportError:
        raise ConfigurationError("YAML files are read by PyYAML: pip install 'nexusai[yaml]'") from None
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        at = getattr(error, "problem_mark", None)  # the text around it may hold a key
        where = f" in line {at.line + 1}" if at else ""
        raise ConfigurationError(f"is no YAML{where}") from None
    if not isinstance(document, Mapping | None):
        raise ConfigurationError("must be a mapping with `providers`")
    return document or {}


def _from(given: Mapping[str, Any], environ: Mapping[str, str]) -> ProviderConfig:
    """What is given, completed by the environment and the vendor; something may still be missing."""
    provider = given["provider"]
    vendor = vendor_of(provider)
    base_url = _base_url(vendor, given.get("base_url"), environ)
    models = {use: name for use, key in vendor.model_keys.items() if (name := _first(environ, [key]))}
    proxy = (text := _first(environ, [_PROXY])) and _proxy(_PROXY, text)
    found = {
        "api_key": _first(environ, vendor.keys),
        "proxy": None if urlsplit(base_url or "").hostname in _HERE else proxy,
        "ca_file": _first(environ, [_CA_FILE]),
    }
    settings = {
        **found,
        **given,
        "base_url": base_url,
        "models": {**vendor.models, **models, **given.get("models", {})},
        "options": {**_options(vendor, environ), **given.get("options", {})},
    }
    return ProviderConfig(**settings)


def _options(vendor: Vendor, environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, key in vendor.options.items() if (value := _first(environ, [key]))}


def _missing(config: ProviderConfig) -> str | None:
    """The argument that is still to be given, and the variable that it may be in."""
    vendor = vendor_of(config.provider)
    if not config.base_url:
        return f"base_url: pass it, or set {vendor.moved_by[0]}"
    if vendor.key_required and not config.api_key:
        return f"api_key: pass it, or set {vendor.key}"
    return None


def _first(environ: Mapping[str, str], names: Iterable[str]) -> str | None:
    return next((value for name in names if (value := environ.get(name, "").strip())), None)


def _base_url(vendor: Vendor, given: str | None, environ: Mapping[str, str]) -> str | None:
    if given is not None:
        return _completed(vendor, _url("base_url", given))
    for name in vendor.moved_by:
        if text := _first(environ, [name]):
            return _completed(vendor, _url(name, _of_host(vendor, text) if name.endswith("_HOST") else text))
    return vendor.base_url or None


def _of_host(vendor: Vendor, text: str) -> str:
    """A URL for a host and perhaps a port, as servers are told where to listen."""
    if "://" in text:
        return text
    own = urlsplit(vendor.base_url)
    found = urlsplit(f"//{text}")
    name, port = found.hostname or "", re.search(r":(\d+)$", found.netloc)
    host = "localhost" if name in _EVERYWHERE else f"[{name}]" if ":" in name else name
    return f"{own.scheme}://{host}:{port[1] if port else own.port}"


def _completed(vendor: Vendor, url: str) -> str:
    url = url.rstrip("/")
    return url if urlsplit(url).path else url + vendor.base_path


def _filled(settings: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """The settings with the environment in place of every `${NAME}`."""

    def fill(name: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {part: fill(f"{name}.{part}", inner) for part, inner in value.items()}
        if not isinstance(value, str):
            return value
        for variable in re.findall(r"\$\{(\w+)\}", value):
            if variable not in environ:
                raise ConfigurationError(f"{name} names the variable {variable}, which is not set")
        return re.sub(r"\$\{(\w+)\}", lambda found: environ[found[1]], value)

    return {name: fill(name, value) for name, value in settings.items()}


def _checked(settings: Mapping[str, Any]) -> dict[str, Any]:
    for name in settings:
        if name not in _CHECKS:
            nearest = get_close_matches(str(name), _CHECKS, 1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"the settings are {', '.join(_CHECKS)}"
            raise ConfigurationError(f"there is no setting {name!r}: {hint}")
    return {name: _CHECKS[name](name, value) for name, value in settings.items() if value is not None}


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"{name} must be a text that is not empty")
    return value.strip()


def _url(name: str, value: Any) -> str:
    if not isinstance(value, str) or not re.match(r"https?://[^/\s]", value):
        raise ConfigurationError(f"{name} must be a URL such as http://localhost:11434/v1")
    return value.rstrip("/")


def _proxy(name: str, value: Any) -> str:
    if not isinstance(value, str) or not re.match(r"https?://[^/\s]", value):
        raise ConfigurationError(f"{name} must be a URL such as http://localhost:3128")
    return value


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ConfigurationError(f"{name} must be a number of seconds above 0")
    return float(value)


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigurationError(f"{name} must be a whole number from 0")
    return value


def _texts(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{name} must be a mapping of names to texts")
    return {str(part): _text(f"{name}.{part}", inner) for part, inner in value.items()}


def _models(name: str, value: Any) -> dict[str, str]:
    models = _texts(name, value)
    for capability in models:
        if capability not in get_args(Capability):
            known = ", ".join(get_args(Capability))
            raise ConfigurationError(f"{name}: there is no capability {capability!r}: they are {known}")
    return models


_CHECKS: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    "provider": _text,
    "api_key": _text,
    "base_url": _url,
    "timeout": _seconds,
    "max_retries": _count,
    "models": _models,
    "options": _texts,
    "connect": _seconds,
    "first_token": _seconds,
    "total": _seconds,
    "proxy": _proxy,
    "ca_file": _text,
}
