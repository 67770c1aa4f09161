from __future__ import annotations

from typing import Any

import pytest

from nexusai.providers import ChatRequest, ProviderConfig
from nexusai.providers.adapters.azure import ADAPTER
from nexusai.providers.errors import AuthenticationError

HI = ChatRequest("gpt", [{"role": "user", "content": "hi"}])


def sent(key: str | None = "k", url: str = "https://x.openai.azure.com", **options: str) -> Any:
    assert ADAPTER.chat is not None
    return next(ADAPTER.chat(ProviderConfig("azure", key, url, options=options), HI))


@pytest.mark.parametrize(
    ("version", "path"),
    [
        ("v1", "/openai/v1/chat/completions"),
        ("preview", "/openai/v1/chat/completions?api-version=preview"),
        (
            "2025-04-01-preview",
            "/openai/deployments/gpt/chat/completions?api-version=2025-04-01-preview",
        ),
    ],
)
def test_the_version_says_which_api(version: str, path: str):
    assert sent(api_version=version).url == "https://x.openai.azure.com" + path


@pytest.mark.parametrize("end", ["", "/openai", "/openai/v1", "/openai/deployments/other"])
def test_the_endpoint_may_end_in_what_belongs_to_the_api(end: str):
    url = sent(url="https://x.openai.azure.com" + end).url
    assert url == "https://x.openai.azure.com/openai/v1/chat/completions"


def test_no_key_no_header():
    assert sent(key=None).headers == {"content-type": "application/json"}


def test_a_key_that_is_none_is_refused():
    with pytest.raises(AuthenticationError, match="AZURE_OPENAI_API_KEY"):
        sent(key="ключ")
