from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusai.error import ConfigurationError
from nexusai.providers.adapters.vendors import VENDORS
from nexusai.providers.config import ProviderConfig, config_for, configured, load_config


def test_nothing_set_configures_nothing():
    assert configured({}) == {}


def test_a_key_switches_its_vendor_on():
    assert configured({"DEEPSEEK_API_KEY": " sk-1\n"}) == {
        "deepseek": ProviderConfig(
            "deepseek", "sk-1", "https://api.deepseek.com/v1", models={"chat": "deepseek-flash"}
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
    with pytest.raises(ConfigurationError, match="NEXUS_PROVIDER_BASE_URL: must be a URL such as") as failure:
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
    with pytest.raises(ConfigurationError, match=r"unknown provider 'opnai' .*: one of local, .*openai, "):
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
    environ["AZURE_OPENAI_ENDPOINT"] = "https://x.openai.azure.com"
    assert list(configured(environ)) == [name for name in VENDORS if name in names]


def test_a_key_may_be_in_another_variable():
    assert configured({"GOOGLE_API_KEY": "k"})["gemini"].api_key == "k"
    assert configured({"GOOGLE_API_KEY": "k", "GEMINI_API_KEY": "own"})["gemini"].api_key == "own"


def test_azure_needs_an_endpoint_too():
    assert configured({"AZURE_OPENAI_API_KEY": "k"}) == {}
    with pytest.raises(ConfigurationError, match="needs base_url: pass it, or set AZURE_OPENAI_ENDPOINT"):
        config_for("azure", {"AZURE_OPENAI_API_KEY": "k"})


def test_azure_is_configured_by_its_own_variables():
    config = configured(
        {
            "AZURE_OPENAI_API_KEY": "k",
            "AZURE_OPENAI_ENDPOINT": "https://x.openai.azure.com/",
            "AZURE_OPENAI_API_VERSION": "2024-10-21",
            "AZURE_OPENAI_DEPLOYMENT": "my-gpt",
        }
    )["azure"]
    assert (config.base_url, config.options) == ("https://x.openai.azure.com", {"api_version": "2024-10-21"})
    assert config.models == {"chat": "my-gpt"}


@pytest.mark.parametrize(
    ("variable", "value", "url"),
    [
        ("OLLAMA_BASE_URL", "http://gpu:11434", "http://gpu:11434/v1"),
        ("OLLAMA_BASE_URL", "http://gpu:11434/", "http://gpu:11434/v1"),
        ("OLLAMA_BASE_URL", "http://gpu/ollama/v1", "http://gpu/ollama/v1"),
        ("OLLAMA_HOST", "gpu", "http://gpu:11434/v1"),
        ("OLLAMA_HOST", "gpu:80", "http://gpu:80/v1"),
        ("OLLAMA_HOST", "https://gpu.example", "https://gpu.example/v1"),
        ("OLLAMA_HOST", "0.0.0.0", "http://localhost:11434/v1"),
        ("OLLAMA_HOST", ":1234", "http://localhost:1234/v1"),
        ("OLLAMA_HOST", "[::1]:1234", "http://[::1]:1234/v1"),
    ],
)
def test_a_local_server_is_switched_on_by_where_it_is(variable: str, value: str, url: str):
    configs = configured({variable: value, "OLLAMA_MODEL": "qwen3"})
    assert list(configs) == ["ollama"]
    assert (configs["ollama"].base_url, configs["ollama"].models) == (url, {"chat": "qwen3"})


@pytest.mark.parametrize("name", ["ollama", "vllm", "lmstudio"])
def test_a_local_server_that_is_named_is_where_it_usually_is(name: str):
    assert config_for(name, {}).base_url == VENDORS[name].base_url


def test_a_proxy_and_certificates_are_for_all():
    environ = {"GROQ_API_KEY": "k", "NEXUS_PROVIDER_PROXY": "http://p:1", "NEXUS_PROVIDER_CA_FILE": "/ca.pem"}
    config = configured(environ)["groq"]
    assert (config.proxy, config.ca_file) == ("http://p:1", "/ca.pem")
    with pytest.raises(ConfigurationError, match="NEXUS_PROVIDER_PROXY: must be a URL"):
        configured({**environ, "NEXUS_PROVIDER_PROXY": "p:1"})


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_the_proxy_of_the_environment_is_not_for_this_very_machine(host):
    environ = {"OLLAMA_BASE_URL": f"http://{host}:11434", "NEXUS_PROVIDER_PROXY": "http://p:1"}
    assert config_for("ollama", environ).proxy is None
    assert config_for("ollama", environ, proxy="http://mine:2").proxy == "http://mine:2"


@pytest.mark.parametrize("proxy", ["socks5://p:1", "p:1", 8080])
def test_a_proxy_is_an_http_url(proxy):
    with pytest.raises(ConfigurationError, match="proxy: must be a URL such as http://"):
        config_for("groq", {"GROQ_API_KEY": "k"}, proxy=proxy)


def test_the_password_of_a_proxy_is_not_in_the_repr():
    assert "secret" not in repr(ProviderConfig("openai", proxy="http://me:secret@p:1"))


def test_settings_win_over_the_environment_and_models_are_added():
    settings = {
        "provider": "openai",
        "api_key": "${TEAM_KEY}",
        "timeout": 30,
        "connect": 5,
        "first_token": 10.5,
        "total": 60,
        "max_retries": 0,
        "models": {"chat": "gpt-x"},
        "options": {"api": "chat"},
        "proxy": "http://p:1",
        "ca_file": "${HOME}/ca.pem",
    }
    environ = {"OPENAI_API_KEY": "env", "TEAM_KEY": " team ", "HOME": "/root"}
    config = ProviderConfig.from_mapping(settings, environ)
    assert (config.api_key, config.ca_file, config.proxy) == ("team", "/root/ca.pem", "http://p:1")
    assert (config.timeout, config.connect, config.first_token, config.total) == (30, 5, 10.5, 60)
    assert config.max_retries == 0
    assert config.models == {**VENDORS["openai"].models, "chat": "gpt-x"}
    assert config.options == {"api": "chat"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "provider is missing: one of openai_compatible, "),
        ({"provider": "openai", "api-key": "k"}, "api-key: no such setting; did you mean 'api_key'?"),
        ({"provider": "openai", "q": 1}, "q: no such setting; there are provider, api_key"),
        ({"provider": "openai", "api_key": 5}, "api_key: must be a text that is not empty"),
        ({"provider": "openai", "api_key": "${NONE}"}, "api_key: names the variable NONE, which is not set"),
        ({"provider": "openai", "timeout": "1m"}, "timeout: must be a number of seconds above 0"),
        ({"provider": "openai", "total": 0}, "total: must be a number of seconds above 0"),
        ({"provider": "openai", "connect": True}, "connect: must be a number of seconds above 0"),
        ({"provider": "openai", "max_retries": -1}, "max_retries: must be a whole number from 0"),
        ({"provider": "openai", "base_url": "sk-1"}, "base_url: must be a URL such as"),
        ({"provider": "openai", "proxy": "p"}, "proxy: must be a URL such as http://localhost:3128"),
        ({"provider": "openai", "models": ["m"]}, "models: must be a mapping of names to texts"),
        ({"provider": "openai", "models": {"chat": 1}}, "models.chat: must be a text that is not empty"),
        (
            {"provider": "openai", "models": {"img": "m"}},
            "models.img: no such capability; did you mean 'images'?",
        ),
        (
            {"provider": "openai", "options": {"a": "${B}"}},
            "options.a: names the variable B, which is not set",
        ),
        ({"provider": "groq"}, "provider 'groq' needs api_key: pass it, or set GROQ_API_KEY"),
    ],
)
def test_a_wrong_setting_is_named_with_the_fix(settings: dict[str, Any], message: str):
    with pytest.raises(ConfigurationError) as failure:
        ProviderConfig.from_mapping(settings, {})
    assert message in str(failure.value)
    assert "sk-1" not in str(failure.value)


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GROQ_API_KEY", "k")
    assert ProviderConfig.from_mapping({"provider": "groq"}).api_key == "k"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "providers.yaml"


def test_a_file_names_its_providers(file: Path):
    file.write_text(
        """
providers:
  openai:
  eu: {provider: azure, api_key: "${EU_KEY}", base_url: https://eu.openai.azure.com}
  local:
"""
    )
    configs = load_config(file, {"OPENAI_API_KEY": "k", "EU_KEY": "e"})
    assert {name: config.provider for name, config in configs.items()} == {
        "openai": "openai",
        "eu": "azure",
        "local": "local",
    }
    assert (configs["openai"].api_key, configs["eu"].api_key) == ("k", "e")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("providers:\n  groq: {timeout: soon}", "2:10: providers.groq.timeout: must be a number of seconds"),
        ("providers:\n  groq: [1]", "2:3: providers.groq: must be a mapping of settings"),
        ("providers: [groq]", "1:1: providers: must be a mapping of names to settings"),
        ("- providers", "1:1: must be a mapping with `providers`"),
        ("providers:\n  groq: {api_key: 'sk-1", "2:24: is no YAML: found unexpected end of stream"),
    ],
)
def test_a_wrong_file_is_named_with_the_place_and_without_its_text(file: Path, text: str, message: str):
    file.write_text(text)
    with pytest.raises(ConfigurationError) as failure:
        load_config(file, {})
    assert str(failure.value).startswith(f"{file}:{message}")
    assert "sk-1" not in str(failure.value)


def test_a_file_that_is_not_there_is_named(file: Path):
    with pytest.raises(ConfigurationError, match=r"providers\.yaml: cannot be read: No such file"):
        load_config(file, {})


def test_an_empty_file_has_no_providers(file: Path):
    file.write_text("")
    assert load_config(file, {}) == {}


def test_without_pyyaml_the_error_says_how_to_get_it(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'nexusai\[yaml\]'"):
        load_config(file, {})
