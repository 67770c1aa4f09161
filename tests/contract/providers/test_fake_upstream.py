"""The fake upstream against an independent client: OpenAI's own package."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import TypeAdapter

from nexusai.providers import ChatRequest, Client, ImageRequest, ProviderConfig, SpeechRequest
from nexusai.providers.adapters import openai_compatible
from nexusai.providers.types import EmbeddingRequest, ModerationRequest
from tests.fixtures.openai_answers import png, wav
from tests.fixtures.openai_upstream import Upstream, running_upstream

PNG = png(1, 1)
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("weather", "time")
]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        yield upstream


@pytest.fixture
def client(upstream: Upstream) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=upstream.base_url, api_key=upstream.api_key, max_retries=0, timeout=5
    ) as client:
        yield client


def ask(client: openai.OpenAI, prompt: str, model: str = "echo", **options: Any) -> Any:
    messages: Any = [{"role": "user", "content": prompt}]
    return client.chat.completions.create(model=model, messages=messages, **options)


def test_chat(client: openai.OpenAI):
    answer = ask(client, "hello there 你好")
    assert answer.choices[0].message.content == "hello there 你好"
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (4, 4)


def test_chat_cut_by_max_tokens(client: openai.OpenAI):
    answer = ask(client, "one two three", max_tokens=2)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("one two", "length")


def test_text_parts_are_echoed(client: openai.OpenAI):
    parts: Any = [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": "data:,"}},
    ]
    assert ask(client, parts, model="gpt-4o").choices[0].message.content == "what is this?"


def test_stream(client: openai.OpenAI):
    chunks = list(ask(client, "one two 三", stream=True, stream_options={"include_usage": True}))
    assert [chunk.choices[0].delta.content for chunk in chunks if chunk.choices] == [
        "",
        "one",
        " two",
        " 三",
        None,
    ]
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 6


def test_a_thought_comes_before_the_answer(client: openai.OpenAI):
    message = ask(client, "hi", model="reasoner").choices[0].message
    assert (message.reasoning_content, message.content) == ("Let me think.", "hi")


def test_tools_are_called_and_their_results_echoed(client: openai.OpenAI):
    answer = ask(client, "London", model="tools", tools=TOOLS)
    calls = answer.choices[0].message.tool_calls
    assert answer.choices[0].finish_reason == "tool_calls"
    assert [(call.function.name, call.function.arguments) for call in calls] == [
        ("weather", '{"text": "London"}'),
        ("time", '{"text": "London"}'),
    ]
    history: Any = [
        {"role": "user", "content": "London"},
        answer.choices[0].message,
        *({"role": "tool", "tool_call_id": call.id, "content": "rain"} for call in calls),
    ]
    answer = client.chat.completions.create(model="tools", messages=history, tools=TOOLS)
    assert answer.choices[0].message.content == "rain"


def test_tools_are_streamed_in_fragments(client: openai.OpenAI):
    messages: Any = [{"role": "user", "content": "London"}]
    with client.chat.completions.stream(model="tools", messages=messages, tools=TOOLS) as stream:
        calls = stream.get_final_completion().choices[0].message.tool_calls
    assert calls is not None
    assert [call.function.arguments for call in calls] == ['{"text": "London"}'] * 2


def test_images_in_both_forms(client: openai.OpenAI):
    as_data = client.images.generate(model="dall-e-3", prompt="a cat", response_format="b64_json")
    as_url = client.images.generate(model="dall-e-3", prompt="a cat", response_format="url")
    assert as_data.data is not None
    assert as_url.data is not None
    assert as_data.data[0].revised_prompt == "A picture of a cat"
    assert (as_url.data[0].url or "").endswith("/pictures/1024x1024.png")


def test_gpt_image_answers_in_base64_alone(client: openai.OpenAI):
    answer = client.images.generate(model="gpt-image-1", prompt="a cat", n=2, size="1536x1024")
    assert len(answer.data or []) == 2
    assert answer.usage is not None
    with pytest.raises(openai.BadRequestError, match="Unknown parameter: 'response_format'"):
        client.images.generate(model="gpt-image-1", prompt="a cat", response_format="url")


def test_speech(client: openai.OpenAI):
    sound = client.audio.speech.create(model="tts-1", input="hello", voice="alloy", response_format="wav")
    assert sound.content.startswith(b"RIFF")
    with pytest.raises(openai.BadRequestError):
        client.audio.speech.create(model="tts-1", input="hello", voice="alloy", response_format="mp3")


def test_edited_pictures(client: openai.OpenAI):
    answer = client.images.edit(
        model="gpt-image-2.5-flare", image=[("a.png", PNG), ("b.png", PNG)], mask=PNG, prompt="a hat", n=2
    )
    assert len(answer.data or []) == 2


def test_transcription(client: openai.OpenAI):
    answer = client.audio.transcriptions.create(model="whisper-1", file=("a.wav", wav("hello")), prompt="hi")
    assert (answer.text, answer.usage.seconds if answer.usage else None) == ("hi", 1)


def test_transcription_with_times(client: openai.OpenAI):
    sound = ("a.wav", wav("hello"))
    answer = client.audio.transcriptions.create(
        model="whisper-1", file=sound, response_format="verbose_json", timestamp_granularities=["segment"]
    )
    assert answer.segments is not None
    assert (answer.segments[0].text, answer.segments[0].end) == (" Hello.", 0.05)
    with pytest.raises(openai.BadRequestError, match="verbose_json"):
        client.audio.transcriptions.create(model="gpt-transcribe", file=sound, response_format="verbose_json")


def test_embeddings(client: openai.OpenAI):
    answer = client.embeddings.create(model="text-embedding-3-small", input=["a", "b"], dimensions=4)
    assert [len(item.embedding) for item in answer.data] == [4, 4]
    assert answer.data[0].embedding != answer.data[1].embedding
    assert answer.usage.prompt_tokens == 2


def test_moderation(client: openai.OpenAI):
    answer = client.moderations.create(model="omni-moderation-latest", input=["hello", "kill them"])
    assert [result.flagged for result in answer.results] == [False, True]
    assert answer.results[1].categories.violence


@pytest.mark.parametrize("version", ["2024-10-21", "2025-04-01-preview"])
def test_azures_own_client(upstream: Upstream, version: str):
    with openai.AzureOpenAI(
        azure_endpoint=upstream.origin, api_key=upstream.api_key, api_version=version, max_retries=0
    ) as client:
        assert ask(client, "hello").choices[0].message.content == "hello"


def test_models(client: openai.OpenAI):
    assert {"echo", "dall-e-3", "tts-1"} <= {model.id for model in client.models.list()}


@pytest.mark.parametrize(
    ("prompt", "error"),
    [
        ("[[status=400]]", openai.BadRequestError),
        ("[[status=401]]", openai.AuthenticationError),
        ("[[status=403]]", openai.PermissionDeniedError),
        ("[[status=409]]", openai.ConflictError),
        ("[[status=429]]", openai.RateLimitError),
        ("[[status=500]]", openai.InternalServerError),
        ("[[html]]", openai.InternalServerError),
        ("[[empty]]", openai.InternalServerError),
        ("[[drop=0]]", openai.APIConnectionError),
    ],
)
def test_errors(client: openai.OpenAI, prompt: str, error: type[openai.APIError]):
    with pytest.raises(error):
        ask(client, prompt)


def test_an_unknown_model_is_not_found(client: openai.OpenAI):
    with pytest.raises(openai.NotFoundError) as failure:
        ask(client, "hi", model="gpt-99")
    assert failure.value.code == "model_not_found"


def test_a_wrong_key_is_refused(upstream: Upstream):
    client = openai.OpenAI(base_url=upstream.base_url, api_key="sk-wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError) as failure:
        ask(client, "hi")
    assert failure.value.code == "invalid_api_key"


def test_reasoning_models_refuse_max_tokens(client: openai.OpenAI):
    with pytest.raises(openai.BadRequestError, match="max_tokens"):
        ask(client, "hi", model="o3-mini", max_tokens=5)


def test_openai_models_refuse_unknown_fields(client: openai.OpenAI):
    with pytest.raises(openai.BadRequestError, match="top_k"):
        ask(client, "hi", model="gpt-4o", extra_body={"top_k": 5})


def test_a_fault_passes_after_its_times(upstream: Upstream):
    client = openai.OpenAI(base_url=upstream.base_url, api_key=upstream.api_key, max_retries=2)
    before = len(upstream.calls("/v1/chat/completions"))
    assert ask(client, "hi [[status=500 retry_after=0.01 times=2]]").choices[0].message.content == "hi"
    assert len(upstream.calls("/v1/chat/completions")) - before == 3


def test_an_error_in_a_stream_is_raised(client: openai.OpenAI):
    stream = ask(client, "a b c [[error=2]]", stream=True)
    with pytest.raises(openai.APIError, match="Told to answer 500"):
        list(stream)


def test_a_stream_can_end_without_a_finish_reason(client: openai.OpenAI):
    chunks = list(ask(client, "a b c [[end=2]]", stream=True))
    assert "".join(chunk.choices[0].delta.content for chunk in chunks) == "a b"
    assert chunks[-1].choices[0].finish_reason is None


def test_usage_can_be_left_out(client: openai.OpenAI):
    assert not ask(client, "hi [[usage=none]]").usage.model_fields_set


def test_a_call_can_kill_a_process(client: openai.OpenAI, tmp_path: Path):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as victim:
        pid_file = tmp_path / "pid"
        pid_file.write_text(str(victim.pid))
        assert ask(client, f"hi [[kill={pid_file}]]").choices[0].message.content == "hi"
        assert victim.wait(10) == -signal.SIGKILL


def test_calls_are_logged_to_a_file_and_forgotten_on_demand(tmp_path: Path):
    log = tmp_path / "log.jsonl"
    with running_upstream("--no-key", "--log", os.fspath(log)) as upstream:
        ask(openai.OpenAI(base_url=upstream.base_url, api_key="none"), "hi")
        [call] = upstream.calls()
        assert (call["status"], call["hung_up"]) == (200, False)
        assert json.loads(log.read_text())["body"] == call["body"]
        upstream.forget()
        assert upstream.calls() == []


def test_the_adapter_sends_what_the_official_types_allow():
    from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming

    request = ChatRequest(
        "gpt-4o",
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        ],
        temperature=0.5,
        top_p=0.9,
        max_tokens=10,
        stop=["\n"],
        seed=1,
        presence_penalty=0.1,
        frequency_penalty=0.1,
        tools=TOOLS,
        tool_choice="auto",
        response_format={"type": "json_object"},
        reasoning_effort="low",
    )
    sent = openai_compatible.build_chat(ProviderConfig("openai", "sk-test", "http://x"), request, stream=True)
    body = json.loads(sent.body or b"")
    assert TypeAdapter(CompletionCreateParamsStreaming).validate_python(body)
    assert body.keys() <= all_fields(CompletionCreateParamsStreaming)


@pytest.mark.parametrize("version", [None, "2024-10-21"])
@pytest.mark.parametrize("stream", [False, True])
def test_azures_adapter_sends_to_where_azures_own_client_does(
    upstream: Upstream, version: str | None, stream: bool
):
    key: Any = {"azure_endpoint": upstream.origin, "api_key": upstream.api_key, "api_version": version}
    if version is None:  # the v1 API is OpenAI's client with another address
        key = {"base_url": f"{upstream.origin}/openai/v1", "api_key": upstream.api_key}
    with (openai.OpenAI if version is None else openai.AzureOpenAI)(**key) as client:
        list(ask(client, "hello", stream=stream))
    options = {} if version is None else {"api_version": version}
    with Client("azure", api_key=upstream.api_key, base_url=upstream.origin, options=options) as own:
        if stream:
            answer = "".join(chunk.delta for chunk in own.chat(model="echo", messages="hello", stream=True))
        else:
            answer = own.chat(model="echo", messages="hello").content
    assert answer == "hello"
    theirs, ours = upstream.calls()[-2:]
    assert ours["target"] == theirs["target"]
    assert ours["headers"]["api-key"] == upstream.api_key
    assert "authorization" not in ours["headers"]


def test_the_adapter_sends_forms_as_the_official_client_does(upstream: Upstream, client: openai.OpenAI):
    sound, picture = wav("hello"), "gpt-image-2.5-flare"
    client.images.edit(model=picture, image=[PNG, PNG], mask=PNG, prompt="a hat", n=2, size="1536x1024")
    client.audio.transcriptions.create(model="gpt-transcribe", file=sound, languages=["en"], prompt="hi")
    with Client("openai", api_key=upstream.api_key, base_url=upstream.base_url) as own:
        own.generate_images("a hat", model=picture, images=[PNG, PNG], mask=PNG, n=2, size=(1536, 1024))
        own.transcribe(sound, model="gpt-transcribe", language="en", prompt="hi")
    *theirs, edit, heard = upstream.calls()[-4:]
    for ours, official in zip((edit, heard), theirs, strict=True):
        assert ours["path"] == official["path"]
        assert contents(ours["body"]) == contents(official["body"])


def test_what_is_heard_compared_and_judged(upstream: Upstream):
    with Client("openai", api_key=upstream.api_key, base_url=upstream.base_url) as own:
        heard = own.transcribe(wav("hello"), timestamps=True)
        vectors = own.embed(["a", "b", "a"], dimensions=3)
        judged = own.moderate(["hello", "kill them"])
    assert heard.segments is not None
    assert (heard.text, heard.duration, heard.segments[0].end) == ("Hello.", 0.05, 0.05)
    assert vectors.embeddings[0] == vectors.embeddings[2] != vectors.embeddings[1]
    assert [result.flagged for result in judged.results] == [False, True]
    assert judged.results[1].category_scores["violence"] == 0.9


def contents(form: dict[str, Any]) -> dict[str, Any]:
    """What a form holds, without the names and types of its files."""
    one = {name: value.get("base64") if isinstance(value, dict) else value for name, value in form.items()}
    return {
        name: [item.get("base64") if isinstance(item, dict) else item for item in value]
        if isinstance(value, list)
        else value
        for name, value in one.items()
    }


def test_the_adapter_sends_embeddings_and_moderations_as_the_official_types_allow():
    from openai.types.embedding_create_params import EmbeddingCreateParams
    from openai.types.moderation_create_params import ModerationCreateParams

    config = ProviderConfig("openai", "sk-test", "http://x")
    for sent, params in (
        (
            openai_compatible.build_embeddings(config, EmbeddingRequest("text-embedding-3-small", ["a"], 9)),
            EmbeddingCreateParams,
        ),
        (
            openai_compatible.build_moderation(config, ModerationRequest("omni-moderation-latest", ["a"])),
            ModerationCreateParams,
        ),
    ):
        body = json.loads(sent.body or b"")
        assert TypeAdapter(params).validate_python(body)
        assert body.keys() <= all_fields(params)


def test_the_adapter_sends_images_and_speech_as_the_official_types_allow():
    from openai.types.audio.speech_create_params import SpeechCreateParams
    from openai.types.image_generate_params import ImageGenerateParamsNonStreaming

    config = ProviderConfig("openai", "sk-test", "http://x")
    image = ImageRequest("gpt-image-2", "a cat", (1024, 1024), "low", 2, "png")
    speech = SpeechRequest("tts-1", "hello", "alloy", "wav", 1.5)
    for sent, params in (
        (openai_compatible.build_images(config, image), ImageGenerateParamsNonStreaming),
        (openai_compatible.build_speech(config, speech), SpeechCreateParams),
    ):
        body = json.loads(sent.body or b"")
        assert TypeAdapter(params).validate_python(body)
        assert body.keys() <= all_fields(params)


def all_fields(params: Any) -> set[str]:
    return {*params.__required_keys__, *params.__optional_keys__}
