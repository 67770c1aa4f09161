"""Which vendors there are, and which adapter speaks to each: ours, and those that others install.

A distribution adds a provider by an entry point of the group `nexusai.providers`. Its name is the provider's;
what it points to has a `vendor` and an `adapter`. Ours come first, and others are looked for only when a name
is not one of ours.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final, NamedTuple

from nexusai.error import ConfigurationError
from nexusai.providers.adapters.vendor import Vendor
from nexusai.providers.adapters.vendors import VENDORS

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from nexusai.providers.adapters.adapter import Adapter

__all__ = ["GROUP", "adapter_for", "provider_names", "vendor_of"]

GROUP: Final = "nexusai.providers"


class _Installed(NamedTuple):
    vendor: Vendor
    adapter: Adapter


def vendor_of(provider: str) -> Vendor:
    """Raises `ConfigurationError` for a provider that nobody knows, or that cannot be loaded."""
    return VENDORS.get(provider) or _installed(provider).vendor


def adapter_for(provider: str) -> Adapter:
    """Raises `ConfigurationError` for a provider that nobody wrote an adapter for, or that is broken."""
    if provider not in VENDORS:
        return _installed(provider).adapter
    module = import_module(f"nexusai.providers.adapters.{VENDORS[provider].adapter}")
    adapter: Adapter = module.ADAPTER
    return adapter


def provider_names() -> list[str]:
    """Every provider that has a name here, most preferred first."""
    return [*VENDORS, *(name for name in _entry_points() if name not in VENDORS)]


@cache
def _entry_points() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points  # a third of what importing this package would cost

    return {point.name: point for point in entry_points(group=GROUP)}


@cache
def _installed(provider: str) -> _Installed:
    point = _entry_points().get(provider)
    if point is None:
        names = ["local", *provider_names()]
        nearest = get_close_matches(provider, names, 1)
        hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
        raise ConfigurationError(f"unknown provider {provider!r}{hint}: one of {', '.join(names)}")
    return _loaded(point)


def _loaded(point: EntryPoint) -> _Installed:
    from nexusai.providers.adapters.adapter import Adapter

    where = f"provider {point.name!r} of the distribution {point.dist.name if point.dist else 'unknown'!r}"
    try:
        found = point.load()
        vendor, adapter = found.vendor, found.adapter
    except Exception as error:
        raise ConfigurationError(
            f"{where} cannot be loaded from {point.value!r}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(vendor, Vendor) or not isinstance(adapter, Adapter):
        raise ConfigurationError(
            f"{where}: {point.value!r} needs a `vendor: Vendor` and an `adapter: Adapter`"
        )
    return _Installed(vendor, adapter)
