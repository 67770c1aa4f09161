"""Which providers there are, decided from the environment alone: a key that is set switches its vendor on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from nexusai.error import ConfigurationError
from nexusai.providers.adapters.vendors import VENDORS
from nexusai.providers.types import Capability

__all__ = ["ProviderConfig", "config_for", "configured"]

COMPATIBLE = "openai_compatible"
_BASE_URL = "NEXUS_PROVIDER_BASE_URL"
_MODELS: Mapping[Capability, str] = {
    "chat": "NEXUS_PROVIDER_MODEL",
    "images": "NEXUS_PROVIDER_IMAGE_MODEL",
    "speech": "NEXUS_PROVIDER_SPEECH_MODEL",
}


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """One provider, ready to be opened. `timeout` is in seconds: to connect, and between two bytes."""

    provider: str
    api_key: str | None = field(default=None, repr=False)
    base_url: str | None = None
    timeout: float = 120.0
    max_retries: int = 2
    models: Mapping[Capability, str] = field(default_factory=dict)


def configured(environ: Mapping[str, str]) -> dict[str, ProviderConfig]:
    """Every provider that the environment switches on, most preferred first.

    Raises `ConfigurationError` when a base URL is not one.
    """
    configs = {name: _from_environment(name, environ) for name in VENDORS}
    return {name: config for name, config in configs.items() if _complete(config)}


def config_for(
    provider: str,
    environ: Mapping[str, str],
    *,
    api_key: str | None = None,
    base_url: str | None = None,
) -> ProviderConfig:
    """One provider by name, what is given before what the environment says.

    Raises `ConfigurationError` when the name is unknown or something is missing.
    """
    if provider == "local":
        return ProviderConfig("local")
    if provider not in VENDORS:
        raise ConfigurationError(f"unknown provider {provider!r}: one of local, {', '.join(VENDORS)}")
    config = _from_environment(provider, environ, api_key=api_key, base_url=base_url)
    if not _complete(config):
        variable = _BASE_URL if provider == COMPATIBLE else VENDORS[provider].key
        argument = "base_url" if provider == COMPATIBLE else "api_key"
        raise ConfigurationError(f"provider {provider!r} needs {argument}: pass it, or set {variable}")
    return config


def _complete(config: ProviderConfig) -> bool:
    return bool(config.base_url and (config.api_key or not VENDORS[config.provider].key_required))


def _from_environment(
    provider: str,
    environ: Mapping[str, str],
    *,
    api_key: str | None = None,
    base_url: str | None = None,
) -> ProviderConfig:
    vendor = VENDORS[provider]
    api_key = api_key or environ.get(vendor.key, "").strip() or None
    models = dict(vendor.models)
    if provider == COMPATIBLE:
        models = {
            use: name for use, variable in _MODELS.items() if (name := environ.get(variable, "").strip())
        }
    if api_key or not vendor.key_required:
        base_url = _url(base_url or environ.get(vendor.base_url_key, "").strip(), vendor.base_url_key)
    return ProviderConfig(provider, api_key, base_url or vendor.base_url or None, models=models)


def _url(text: str, variable: str) -> str:
    if text and not re.match(r"https?://[^/\s]", text):
        raise ConfigurationError(f"{variable} must be a URL such as http://localhost:11434/v1")
    return text.rstrip("/")
