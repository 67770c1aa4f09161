"""Which of OpenAI's two APIs a chat goes by."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nexusai.providers import ChatRequest, ProviderConfig, ValidationError
from nexusai.providers.adapters import openai, openai_compatible

OWN = "https://api.openai.com/v1"
MESSAGES = [{"role": "user", "content": "hi"}]


def config(base_url: str = OWN, **options: str) -> ProviderConfig:
    return ProviderConfig("openai", "sk-test", base_url, options=options)


@pytest.mark.parametrize("model", ["o3", "o4-mini", "gpt-5", "gpt-5.1-codex", "gpt-6-luna"])
@pytest.mark.parametrize("base_url", [OWN, "https://eu.api.openai.com/v1"])
def test_reasoning_models_go_by_responses_at_openai(model: str, base_url: str):
    sent = openai.build_chat(config(base_url), ChatRequest(model, MESSAGES))
    assert sent.url == f"{base_url}/responses"


@pytest.mark.parametrize("model", ["gpt-4o-mini", "gpt-4.1", "gpt-5-chat-latest", "ft:gpt-4o:x"])
def test_other_models_go_by_chat_completions(model: str):
    sent = openai.build_chat(config(), ChatRequest(model, MESSAGES))
    assert sent.url == f"{OWN}/chat/completions"


@pytest.mark.parametrize("base_url", ["http://localhost:4000/v1", "https://api.openai.com.example/v1"])
def test_elsewhere_reasoning_models_go_by_chat_completions(base_url: str):
    sent = openai.build_stream(config(base_url), ChatRequest("o3", MESSAGES))
    assert sent.url == f"{base_url}/chat/completions"


@pytest.mark.parametrize(
    "options", [{"stop": "END"}, {"seed": 1}, {"presence_penalty": 0.0}, {"frequency_penalty": 1.0}]
)
def test_what_chat_completions_alone_has_goes_there(options: dict[str, Any]):
    assert not openai.by_responses(config(), ChatRequest("o3", MESSAGES, **options))


def test_the_api_can_be_named_by_the_configuration_and_by_the_request():
    by_options = openai.build_chat(config("http://x/v1", api="responses"), ChatRequest("gpt-4o", MESSAGES))
    by_request = openai.build_chat(
        config(api="responses"), ChatRequest("o3", MESSAGES, extra={"api": "chat"})
    )
    assert (by_options.url, by_request.url) == ("http://x/v1/responses", f"{OWN}/chat/completions")
    assert "api" not in json.loads(by_request.body or b"")


def test_an_api_that_nobody_knows_is_refused():
    with pytest.raises(ValidationError, match="'responses' or 'chat', not 'assistants'"):
        openai.build_chat(config(), ChatRequest("o3", MESSAGES, extra={"api": "assistants"}))


@pytest.mark.parametrize("name", ["images", "speech", "transcription", "embeddings", "moderation"])
def test_all_but_chat_is_as_every_compatible_vendor_has_it(name: str):
    assert getattr(openai.ADAPTER, name) is getattr(openai_compatible.ADAPTER, name)
