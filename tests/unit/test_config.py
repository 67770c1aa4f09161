from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusai.config import Config, changed, origin, resolve
from nexusai.constants import DEFAULT_BASE_URL
from nexusai.error import AuthenticationError, ConfigurationError

KEY = "nxs_argument"
LOCAL = "http://127.0.0.1:8000/api/v1"


def resolved(
    arguments: dict[str, Any] | None = None,
    environ: dict[str, str] | None = None,
    dotenv: dict[str, str | None] | None = None,
    credentials: dict[str, Any] | None = None,
) -> Config:
    return resolve(arguments or {}, environ or {}, dotenv or {}, credentials or {})


def test_defaults():
    assert resolved({"api_key": KEY}) == Config(KEY, DEFAULT_BASE_URL, 60.0, 2, 2.0, 300.0)


@given(st.sets(st.sampled_from(["argument", "environ", "dotenv", "credentials"]), min_size=1))
def test_the_nearest_source_wins(given_in: set[str]):
    order = ["argument", "environ", "dotenv", "credentials"]
    nearest = next(source for source in order if source in given_in)
    kept = {
        "default": "http://credentials",
        "platforms": {f"http://{source}": {"api_key": "nxs_c"} for source in order},
    }
    config = resolved(
        {"base_url": "http://argument"} if "argument" in given_in else {},
        {"NEXUS_BASE_URL": "http://environ"} if "environ" in given_in else {},
        {"NEXUS_BASE_URL": "http://dotenv"} if "dotenv" in given_in else {},
        {**kept, **({} if "credentials" in given_in else {"default": None})},
    )
    assert config.base_url == f"http://{nearest}"


SETTINGS = {
    "timeout": (st.floats(0.1, 1e6), lambda config: config.timeout),
    "max_retries": (st.integers(0, 99), lambda config: config.max_retries),
    "poll_interval": (st.floats(0.1, 1e6), lambda config: config.poll_interval),
    "poll_timeout": (st.floats(0.1, 1e6), lambda config: config.poll_timeout),
}


@given(st.sampled_from(sorted(SETTINGS)), st.data())
def test_of_any_setting_the_argument_wins_then_the_environment_then_dotenv(name: str, data: st.DataObject):
    values, found = SETTINGS[name]
    variable = f"NEXUS_{name.upper()}"
    argument, environ, dotenv = (data.draw(st.none() | values) for _ in range(3))
    config = resolved(
        {"api_key": KEY, name: argument},
        {} if environ is None else {variable: str(environ)},
        {} if dotenv is None else {variable: str(dotenv)},
    )
    nearest = next((value for value in (argument, environ, dotenv) if value is not None), None)
    assert found(config) == (found(Config(KEY)) if nearest is None else nearest)


def test_every_setting_has_a_variable():
    config = resolved(
        environ={
            "NEXUS_API_KEY": "nxs_e",
            "NEXUS_BASE_URL": "https://e/api/v1/",
            "NEXUS_TIMEOUT": "5",
            "NEXUS_MAX_RETRIES": "7",
            "NEXUS_POLL_INTERVAL": "0.5",
            "NEXUS_POLL_TIMEOUT": "inf",
            "NEXUS_WEBHOOK_SECRET": "whsec_e",
        }
    )
    assert config == Config("nxs_e", "https://e/api/v1", 5.0, 7, 0.5, float("inf"), "whsec_e")


def test_an_empty_variable_is_not_set():
    assert resolved({"api_key": KEY}, {"NEXUS_TIMEOUT": " "}, {"NEXUS_TIMEOUT": "9"}).timeout == 9


@pytest.mark.parametrize(
    ("variable", "value", "example"),
    [
        ("NEXUS_TIMEOUT", "abc", "NEXUS_TIMEOUT=60"),
        ("NEXUS_TIMEOUT", "0", "NEXUS_TIMEOUT=60"),
        ("NEXUS_POLL_INTERVAL", "nan", "NEXUS_POLL_INTERVAL=60"),
        ("NEXUS_MAX_RETRIES", "-1", "NEXUS_MAX_RETRIES=2"),
        ("NEXUS_MAX_RETRIES", "2.5", "NEXUS_MAX_RETRIES=2"),
        ("NEXUS_BASE_URL", "localhost:8000", f"NEXUS_BASE_URL={DEFAULT_BASE_URL}"),
        ("NEXUS_BASE_URL", "http://[broken", f"NEXUS_BASE_URL={DEFAULT_BASE_URL}"),
    ],
)
def test_a_wrong_value_names_the_variable_and_an_example(variable: str, value: str, example: str):
    with pytest.raises(ConfigurationError) as raised:
        resolved({"api_key": KEY}, {variable: value})
    assert example in str(raised.value)


def test_a_wrong_argument_is_named_as_the_argument():
    with pytest.raises(ConfigurationError, match=r"^timeout='soon'"):
        resolved({"api_key": KEY, "timeout": "soon"})


def test_an_address_with_a_password_is_refused_and_not_shown():
    with pytest.raises(ConfigurationError) as raised:
        resolved({"api_key": KEY, "base_url": "http://me:hunter2@host/api/v1"})
    assert "hunter2" not in str(raised.value)


def test_no_key_names_three_ways_to_give_one():
    with pytest.raises(AuthenticationError, match="api_key=") as raised:
        resolved()
    assert "NEXUS_API_KEY" in str(raised.value)
    assert "nexusai serve" in str(raised.value)


def test_the_credentials_file_gives_the_platform_and_its_key():
    config = resolved(credentials={"default": LOCAL, "platforms": {LOCAL: {"api_key": "nxs_kept"}}})
    assert (config.base_url, config.api_key) == (LOCAL, "nxs_kept")


@pytest.mark.parametrize(
    "same", ["http://localhost:8000/api/v1", "http://127.0.0.1:8000/api/v1/", "http://[::1]:8000/api/v1"]
)
def test_this_machine_has_several_names(same: str):
    config = resolved({"base_url": same}, credentials={"platforms": {LOCAL: {"api_key": "nxs_kept"}}})
    assert config.api_key == "nxs_kept"


@pytest.mark.parametrize(
    "other",
    ["http://127.0.0.1:9000/api/v1", "https://127.0.0.1:8000/api/v1", "http://evil/api/v1", LOCAL + "/x"],
)
def test_a_kept_key_never_goes_to_another_platform(other: str):
    with pytest.raises(AuthenticationError):
        resolved({"base_url": other}, credentials={"platforms": {LOCAL: {"api_key": "nxs_kept"}}})


@pytest.mark.parametrize(
    "platforms", [None, [], {"http://[broken": {"api_key": "x"}}, {LOCAL: "nxs_kept"}, {LOCAL: {}}]
)
def test_a_credentials_file_of_another_shape_gives_no_key(platforms: Any):
    with pytest.raises(AuthenticationError):
        resolved({"base_url": LOCAL}, credentials={"platforms": platforms})


@pytest.mark.parametrize(
    ("key", "fact"),
    [
        ("nxs_a b", "spaces"),
        (" nxs_secret\n", "spaces"),
        ('"nxs_secret"', "quotes"),
        ("sk-secret", "does not start with nxs_"),
    ],
)
def test_a_key_that_looks_wrong_is_said_and_not_shown(key: str, fact: str, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING, "nexusai"):
        resolved({"api_key": key})
    assert fact in caplog.text
    assert "secret" not in caplog.text


def test_a_good_key_is_not_warned_of(caplog: pytest.LogCaptureFixture):
    resolved({"api_key": KEY})
    assert not caplog.records


def test_white_space_around_a_key_is_not_sent():
    assert resolved({"api_key": " nxs_1\n"}).api_key == "nxs_1"


@pytest.mark.parametrize("key", ["nxs_a\r\nX-Evil: 1", "nxs_ключ"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(key: str):
    with pytest.raises(ConfigurationError) as raised:
        resolved({"api_key": key})
    assert key not in str(raised.value)


def test_a_key_is_text():
    with pytest.raises(ConfigurationError, match="not int"):
        resolved({"api_key": 7})


def test_no_secret_is_in_the_repr():
    assert "secret" not in repr(resolved({"api_key": "nxs_secret", "webhook_secret": "whsec_secret"}))


def test_a_secret_of_webhooks_is_text():
    with pytest.raises(ConfigurationError, match="webhook_secret is a str"):
        resolved({"api_key": KEY, "webhook_secret": b"whsec_1"})


def test_some_settings_are_changed():
    config = resolved({"api_key": KEY})
    assert changed(config, {"timeout": 5, "max_retries": None}) == Config(KEY, timeout=5.0)


def test_a_changed_setting_is_checked():
    with pytest.raises(ConfigurationError, match="timeout="):
        changed(resolved({"api_key": KEY}), {"timeout": -1})


@pytest.mark.parametrize(
    ("name", "value"), [("max_retries", True), ("max_retries", float("inf")), ("timeout", True)]
)
def test_a_setting_of_the_wrong_kind_is_refused_by_name(name: str, value: object):
    with pytest.raises(ConfigurationError, match=f"{name}={value}"):
        resolved({"api_key": KEY, name: value})


def test_an_unknown_setting_is_named():
    with pytest.raises(TypeError, match="'retries'"):
        changed(resolved({"api_key": KEY}), {"retries": 1})


def test_a_key_does_not_move_to_another_platform_on_its_own():
    config = resolved({"api_key": KEY})
    with pytest.raises(ConfigurationError, match="api_key"):
        changed(config, {"base_url": "http://elsewhere/api/v1"})
    assert changed(config, {"base_url": "http://elsewhere/api/v1", "api_key": "nxs_2"}).api_key == "nxs_2"


def test_a_key_stays_with_its_platform_under_another_path():
    assert changed(resolved({"api_key": KEY}), {"base_url": "http://localhost:8000/v2"}).api_key == KEY


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://Host/path?q", ("http", "host", 80)),
        ("https://host", ("https", "host", 443)),
        ("http://u:p@host:81", ("http", "host", 81)),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, place: tuple[str, str, int]):
    assert origin(url) == place


def test_a_key_of_nothing_but_white_space_is_none():
    with pytest.raises(AuthenticationError, match="The API key is empty"):
        resolved(arguments={"api_key": "  "})
