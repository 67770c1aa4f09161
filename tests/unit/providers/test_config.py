from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusai.error import ConfigurationError
from nexusai.providers.adapters.vendors import VENDORS
from nexusai.providers.config import ProviderConfig, config_for, configured


def test_nothing_set_configures_nothing():
    assert configured({}) == {}


def test_a_key_switches_its_vendor_on():
    assert configured({"DEEPSEEK_API_KEY": " sk-1\n"}) == {
        "deepseek": ProviderConfig(
            "deepseek", "sk-1", "https://api.deepseek.com/v1", models={"chat": "deepseek-chat"}
        )
    }


def test_an_empty_key_is_no_key():
    assert configured({"OPENAI_API_KEY": " "}) == {}


def test_a_server_of_the_users_own_needs_no_key_and_comes_first():
    environ = {"OPENAI_API_KEY": "sk-1", "NEXUS_PROVIDER_BASE_URL": "http://localhost:11434/v1/"}
    configs = configured(environ)
    assert list(configs) == ["openai_compatible", "openai"]
    assert configs["openai_compatible"] == ProviderConfig(
        "openai_compatible", None, "http://localhost:11434/v1"
    )


def test_models_and_key_of_a_server_of_the_users_own():
    config = configured(
        {
            "NEXUS_PROVIDER_BASE_URL": "http://localhost:8080/v1",
            "NEXUS_PROVIDER_API_KEY": "k",
            "NEXUS_PROVIDER_MODEL": "llama3",
            "NEXUS_PROVIDER_IMAGE_MODEL": "sdxl",
            "NEXUS_PROVIDER_SPEECH_MODEL": " ",
        }
    )["openai_compatible"]
    assert config.api_key == "k"
    assert config.models == {"chat": "llama3", "images": "sdxl"}


def test_a_vendor_can_be_moved_by_its_base_url():
    config = configured({"MOONSHOT_API_KEY": "k", "MOONSHOT_BASE_URL": "https://api.moonshot.ai/v1"})[
        "moonshot"
    ]
    assert config.base_url == "https://api.moonshot.ai/v1"


def test_a_base_url_alone_does_not_switch_a_vendor_on():
    assert configured({"OPENAI_BASE_URL": "not even a url"}) == {}


@pytest.mark.parametrize("url", ["localhost:11434/v1", "ftp://x", "sk-1234", "http://"])
def test_what_is_no_url_is_named_by_its_variable_and_not_shown(url: str):
    with pytest.raises(ConfigurationError, match="NEXUS_PROVIDER_BASE_URL must be a URL such as") as failure:
        configured({"NEXUS_PROVIDER_BASE_URL": url})
    assert "1234" not in str(failure.value)


def test_the_key_is_not_in_the_repr():
    assert "sk-1" not in repr(ProviderConfig("openai", "sk-1"))


def test_a_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ProviderConfig("openai").provider = "x"  # type: ignore[misc]


def test_arguments_come_before_the_environment():
    environ = {"OPENAI_API_KEY": "env", "OPENAI_BASE_URL": "https://env.example/v1"}
    config = config_for("openai", environ, api_key="mine", base_url="https://mine.example/v1/")
    assert (config.api_key, config.base_url) == ("mine", "https://mine.example/v1")


def test_local_needs_nothing():
    assert config_for("local", {}) == ProviderConfig("local")


def test_an_unknown_provider_is_told_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"unknown provider 'opnai': one of local, .*openai, "):
        config_for("opnai", {})


@pytest.mark.parametrize(
    ("provider", "missing"),
    [("groq", "api_key: pass it, or set GROQ_API_KEY"), ("openai_compatible", "set NEXUS_PROVIDER_BASE_URL")],
)
def test_what_is_missing_is_named(provider: str, missing: str):
    with pytest.raises(ConfigurationError, match=missing):
        config_for(provider, {})


@given(st.sets(st.sampled_from([name for name in VENDORS if VENDORS[name].key_required])))
def test_the_configured_are_those_with_a_key_in_table_order(names: set[str]):
    environ = {VENDORS[name].key: "k" for name in names}
    assert list(configured(environ)) == [name for name in VENDORS if name in names]
