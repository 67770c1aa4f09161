from __future__ import annotations

import pytest

from nexusai.error import ConfigurationError
from nexusai.providers.adapters import openai_compatible
from nexusai.providers.adapters.registry import adapter_for
from nexusai.providers.adapters.vendors import VENDORS, vendors_with


@pytest.mark.parametrize("name", VENDORS)
def test_default_models_are_of_capabilities_that_the_vendor_has(name: str):
    vendor = VENDORS[name]
    assert vendor.models.keys() <= vendor.capabilities
    assert not vendor.key_required or {"chat"} <= vendor.models.keys()


@pytest.mark.parametrize("name", [name for name in VENDORS if VENDORS[name].key_required])
def test_vendors_are_called_encrypted_and_by_their_own_key(name: str):
    vendor = VENDORS[name]
    assert vendor.base_url.startswith("https://")
    assert not vendor.base_url.endswith("/")
    assert vendor.key.endswith("_API_KEY")
    assert vendor.base_url_key == vendor.key[:-8] + "_BASE_URL"


def test_keys_are_not_shared():
    assert len({vendor.key for vendor in VENDORS.values()}) == len(VENDORS)


def test_who_speaks():
    assert vendors_with("speech") == ["openai_compatible", "openai", "siliconflow", "groq"]


@pytest.mark.parametrize("name", VENDORS)
def test_every_vendor_has_an_adapter(name: str):
    assert adapter_for(name) is openai_compatible


def test_an_unknown_provider_has_no_adapter():
    with pytest.raises(ConfigurationError, match="unknown provider 'nobody'"):
        adapter_for("nobody")
