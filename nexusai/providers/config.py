"""Which providers there are and how each is reached: from arguments, a file and the environment.

An argument, or an entry of the file, wins over the vendor's own environment variable. A key that is set
switches its vendor on; a vendor that needs none is switched on by its base URL.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from nexusai.error import ConfigurationError
from nexusai.providers import checks
from nexusai.providers.adapters.registry import provider_names, vendor_of
from nexusai.providers.adapters.vendor import Vendor
from nexusai.providers.findings import Findings, Wrong
from nexusai.providers.types import Capability
from nexusai.providers.yaml_file import VARIABLE, read_yaml

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
        given = checks.settings(_CHECKS, environ)(settings)
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


def configured(environ: Mapping[str, str], without: Collection[str] = ()) -> dict[str, ProviderConfig]:
    """Every provider that the environment switches on, most preferred first, but those `without`.

    Raises `ConfigurationError` when a base URL is not one.
    """
    configs = {}
    for name in provider_names():
        if name in without:
            continue
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
    Raises `ConfigurationError`: a line for all that is wrong, with its place and what it has to be.
    """
    environ = os.environ if environ is None else environ
    document = read_yaml(Path(path))
    findings = Findings()
    configs = {}
    for name, settings in section(findings, document.value, "providers").items():
        with findings.at("providers", name):
            configs[name] = entry(name, settings, environ)
    with document.explaining(environ):
        findings.settle()
    return configs


def section(findings: Findings, document: Any, name: str) -> Mapping[str, Any]:
    """A part of a file; empty where there is none."""
    if not isinstance(document, Mapping | None):
        findings.add((), "must be a mapping with `providers`")
        return {}
    found = (document or {}).get(name)
    if not isinstance(found, Mapping | None):
        findings.add((name,), "must be a mapping of names to settings")
        return {}
    return found or {}


def entry(name: str, settings: Any, environ: Mapping[str, str]) -> ProviderConfig:
    """A provider, by what stands under its name. Raises `ConfigurationError`."""
    if not isinstance(settings, Mapping | None):
        raise ConfigurationError("must be a mapping of settings")
    return ProviderConfig.from_mapping({"provider": name, **(settings or {})}, environ)


def key_source(name: str, settings: Any, environ: Mapping[str, str]) -> str:
    """Where the key of a provider comes from, for people to read; never the key."""
    given = settings if isinstance(settings, Mapping) else {}
    if isinstance(key := given.get("api_key"), str):
        return ", ".join(VARIABLE.findall(key)) or "the file"
    vendor = given.get("provider") or name
    keys = () if vendor == "local" else vendor_of(vendor).keys
    return next((variable for variable in keys if environ.get(variable, "").strip()), "none")


def _from(given: Mapping[str, Any], environ: Mapping[str, str]) -> ProviderConfig:
    """What is given, completed by the environment and the vendor; something may still be missing."""
    provider = given["provider"]
    vendor = vendor_of(provider)
    base_url = _base_url(vendor, given.get("base_url"), environ)
    models = {use: name for use, key in vendor.model_keys.items() if (name := _first(environ, [key]))}
    proxy = (text := _first(environ, [_PROXY])) and _checked(_PROXY, checks.proxy, text)
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
        return _completed(vendor, given)
    for name in vendor.moved_by:
        if text := _first(environ, [name]):
            url = _of_host(vendor, text) if name.endswith("_HOST") else text
            return _completed(vendor, _checked(name, checks.url, url))
    return vendor.base_url or None


def _checked(variable: str, check: Callable[[Any], str], value: str) -> str:
    """What a variable of the environment says."""
    findings = Findings()
    with findings.at(variable):
        return check(value)
    raise Wrong(findings.faults)


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


def _provider(value: Any) -> str:
    name = checks.text(value)
    if name != "local":
        vendor_of(name)
    return name


_CHECKS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "provider": _provider,
    "api_key": checks.text,
    "base_url": checks.url,
    "timeout": checks.seconds,
    "max_retries": checks.count(),
    "models": checks.models,
    "options": checks.texts,
    "connect": checks.seconds,
    "first_token": checks.seconds,
    "total": checks.seconds,
    "proxy": checks.proxy,
    "ca_file": checks.text,
}
