from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nexusai.error import ConfigurationError
from nexusai.providers.setup import Setup, load_setup

NAMES = st.sampled_from(
    [
        "openai",
        "eu",
        "local",
        "route",
        "provider",
        "api_key",
        "models",
        "chat",
        "smart",
        "fast",
        "on",
        "weight",
        "deployments",
        "fallbacks",
        "model",
        "input",
        "tiers",
        "image",
        "currency",
        "max_wait",
        "lacks",
        "also",
        "openai/gpt-4o",
        "local/text",
        "openai/",
        "/",
        "*",
        "openai/*",
        "timeout",
    ]
)
LEAVES = (
    NAMES
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["${KEY}", "${NONE}", "${", "$", "off", "openai/gpt-4o", "1e400", "²", "9" * 400])
    | st.text(max_size=5)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
SECTIONS = st.sampled_from(["providers", "aliases", "routes", "models", "prices", "limits", "settings"])
ENVIRON = {"OPENAI_API_KEY": "sk-secret-1", "KEY": "sk-secret-2"}


def read(path: Path, text: str) -> Setup | None:
    """What a file says; None where it is wrong, which is told with its place and without a key."""
    path.write_text(text, "utf-8")
    told = ""
    try:
        return load_setup(path, ENVIRON)
    except ConfigurationError as error:
        told = str(error)
    assert told.startswith(f"{path}:")
    assert "sk-secret" not in told
    return None


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("setup") / "nexus.yaml"


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.text(
        st.characters(exclude_categories=["Cs"]) | st.sampled_from(":-[]{}#&*!|>'\"%@`\t\n "),
        max_size=60,
    )
)
def test_any_text_is_a_setup_or_a_placed_error(file: Path, text: str):
    read(file, text)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=300)
@given(st.dictionaries(SECTIONS, st.dictionaries(NAMES, VALUES, max_size=4) | VALUES, max_size=4))
def test_any_values_are_a_setup_that_can_be_used_or_a_placed_error(file: Path, values: dict[str, object]):
    found = read(file, json.dumps(values))
    if found is None:
        return
    assert list(found.providers)[-1] == "local"
    for route in found.named_routes.values():
        assert all(each.provider in found.providers for each in found.reach(route))
    for target in found.aliases.values():
        assert target.provider in found.providers
    for name in found.described:
        found.models.find(*name.split("/", 1))
