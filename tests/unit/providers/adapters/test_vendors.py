from __future__ import annotations

import pytest

from nexusai.providers.adapters.vendors import VENDORS, is_reasoning, sizes_of, vendors_with

REMOTE = [name for name in VENDORS if VENDORS[name].key_required]


@pytest.mark.parametrize("name", VENDORS)
def test_default_models_are_of_capabilities_that_the_vendor_has(name: str):
    vendor = VENDORS[name]
    assert vendor.models.keys() | vendor.model_keys.keys() <= vendor.capabilities
    assert "chat" in vendor.models or "chat" in vendor.model_keys


@pytest.mark.parametrize("name", REMOTE)
def test_vendors_are_called_encrypted(name: str):
    vendor = VENDORS[name]
    assert vendor.base_url.startswith("https://") or (name, vendor.base_url) == ("azure", "")
    assert not vendor.base_url.endswith("/")


def test_variables_are_not_shared():
    for variables in (
        [key for vendor in VENDORS.values() for key in vendor.keys],
        [key for vendor in VENDORS.values() for key in vendor.moved_by],
        [key for vendor in VENDORS.values() for key in vendor.model_keys.values()],
    ):
        assert len(set(variables)) == len(variables)


@pytest.mark.parametrize(
    ("name", "variables"),
    [
        ("deepseek", ("DEEPSEEK_BASE_URL",)),
        ("ollama", ("OLLAMA_BASE_URL", "OLLAMA_HOST")),
        ("azure", ("AZURE_OPENAI_ENDPOINT",)),
    ],
)
def test_a_vendor_is_moved_by_its_own_variable_or_by_those_that_it_names(
    name: str, variables: tuple[str, ...]
):
    assert VENDORS[name].moved_by == variables


def test_the_keys_of_a_vendor_begin_with_its_own():
    assert VENDORS["gemini"].keys == ("GEMINI_API_KEY", "GOOGLE_API_KEY")


def test_who_moderates():
    assert vendors_with("moderation") == ["openai_compatible", "openai", "mistral"]


@pytest.mark.parametrize("name", VENDORS)
def test_everyone_who_chats_streams(name: str):
    assert {"chat", "stream"} <= VENDORS[name].capabilities


@pytest.mark.parametrize(
    ("model", "reasons"),
    [
        ("o3-mini", True),
        ("openai/o4-mini", True),
        ("gpt-5-mini", True),
        ("gpt-6-luna", True),
        ("gpt-5.2-chat-latest", False),
        ("gpt-4o", False),
        ("openai/gpt-oss-120b", False),
        ("claude-opus-5", False),
    ],
)
def test_reasoning_models_are_told_by_their_names(model: str, reasons: bool):
    assert is_reasoning(model) is reasons


def test_models_with_few_sizes():
    assert (1536, 1024) in sizes_of("gpt-image-1-mini")
    assert sizes_of("gpt-image-2") == ()
