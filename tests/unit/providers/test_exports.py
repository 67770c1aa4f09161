from __future__ import annotations

import subprocess
import sys

import pytest

import nexusai.providers


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.mark.parametrize("name", nexusai.providers.__all__)
def test_every_public_name_is_there(name: str):
    assert getattr(nexusai.providers, name) is not None
    assert name in dir(nexusai.providers)


def test_public_names_are_sorted_and_unique():
    assert nexusai.providers.__all__ == sorted(set(nexusai.providers.__all__))


def test_other_names_are_not():
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = nexusai.providers.Nothing


def test_importing_the_package_and_its_types_loads_no_http_library():
    code = "import nexusai.providers, sys; nexusai.providers.Client; nexusai.providers.configured({})"
    heavy = "print(sorted({'httpx', 'aiohttp', 'pydantic'} & sys.modules.keys()))"
    assert run(f"{code}; {heavy}") == "[]"


def test_answers_are_read_without_orjson_too():
    code = (
        "import sys, json; sys.modules['orjson'] = None; from nexusai.providers.adapters import openai_stream"
    )
    assert run(f"{code}; print(openai_stream.json is json, openai_stream.loads('[1]'))") == "True [1]"
