"""Google's own package and our adapter, both over a socket, against the same fake of the Gemini API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from nexusai.providers import (
    AuthenticationError,
    ChatRequest,
    Client,
    ContentFilterError,
    ImageRequest,
    ProviderConfig,
    RateLimitError,
    RetryableError,
    SpeechRequest,
    ValidationError,
)
from nexusai.providers.adapters import gemini
from nexusai.providers.adapters.gemini_media import images, speech
from tests.fixtures.gemini_upstream import running_gemini
from tests.fixtures.openai_upstream import Upstream

FLASH = "gemini-3.8-flash"
CITY = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
TOOLS = [{"type": "function", "function": {"name": name, "parameters": CITY}} for name in ("weather", "time")]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with running_gemini() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def google(upstream: Upstream) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=upstream.origin, api_version="v1beta")
    with genai.Client(api_key=upstream.api_key, http_options=options) as client:
        yield client


@pytest.fixture
def client(upstream: Upstream) -> Iterator[Client]:
    upstream.forget()
    with Client("gemini", api_key=upstream.api_key, base_url=upstream.base_url, max_retries=0) as client:
        yield client


# Google's package as a client of the fake: what it reads is what Google's API answers


def test_google_reads_a_whole_answer_of_the_fake(google: genai.Client):
    answer = google.models.generate_content(
        model=FLASH,
        contents="Hello 你好",
        config=types.GenerateContentConfig(
            system_instruction="Be brief.",
            thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_level="LOW"),
        ),
    )
    assert answer.text == "Hello 你好"
    assert answer.parts[0].thought
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    counts = answer.usage_metadata
    assert (counts.prompt_token_count, counts.thoughts_token_count, counts.total_token_count) == (5, 3, 11)


def test_google_reads_a_streamed_answer_of_the_fake(google: genai.Client):
    chunks = list(google.models.generate_content_stream(model=FLASH, contents="one two three"))
    assert [chunk.text for chunk in chunks] == ["one", " two", " three", ""]
    assert chunks[-1].usage_metadata.candidates_token_count == 3


def test_google_goes_through_a_call_of_a_tool_with_the_fake(google: genai.Client):
    chat = google.chats.create(
        model=FLASH, config={"tools": [{"function_declarations": [{"name": "weather"}]}]}
    )
    [call] = chat.send_message("Paris").function_calls
    assert (call.name, call.args) == ("weather", {"text": "Paris"})
    result = types.Part(
        function_response=types.FunctionResponse(id=call.id, name="weather", response={"output": "rain"})
    )
    assert chat.send_message([result]).text == "rain"


def test_google_reads_pictures_sounds_vectors_and_counts_of_the_fake(google: genai.Client):
    asked = types.GenerateContentConfig(response_modalities=["TEXT", "IMAGE"])
    picture = (
        google.models.generate_content(model="gemini-3.1-flash-image", contents="a cat", config=asked)
        .parts[0]
        .inline_data
    )
    assert (picture.mime_type, picture.data[:4]) == ("image/png", b"\x89PNG")
    voice = types.VoiceConfig(prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name="Kore"))
    asked = types.GenerateContentConfig(
        response_modalities=["AUDIO"], speech_config=types.SpeechConfig(voice_config=voice)
    )
    sound = google.models.generate_content(model="gemini-3.8-flash-tts", contents="hi", config=asked)
    assert sound.parts[0].inline_data.data[:4] == b"RIFF"
    vectors = google.models.embed_content(model="gemini-embedding-001", contents=["a", "bc"]).embeddings
    assert [vector.values[0] for vector in vectors] == [0.01, 0.02]
    assert google.models.count_tokens(model=FLASH, contents="one two").total_tokens == 2
    assert FLASH in [model.name.removeprefix("models/") for model in google.models.list()]


@pytest.mark.parametrize(
    ("prompt", "kind", "status"),
    [
        ("[[status=429 retry_after=1]]", errors.ClientError, "RESOURCE_EXHAUSTED"),
        ("[[status=503]]", errors.ServerError, "UNAVAILABLE"),
        ("[[status=400]]", errors.ClientError, "INVALID_ARGUMENT"),
    ],
)
def test_google_reads_the_errors_of_the_fake(google: genai.Client, prompt: str, kind: type[Any], status: str):
    with pytest.raises(kind) as failure:
        google.models.generate_content(model=FLASH, contents=prompt)
    assert failure.value.status == status


# Our adapter's requests in the models of Google's package, which refuse fields that they do not know


def body_of(request: ChatRequest) -> dict[str, Any]:
    sent = gemini.build_chat(ProviderConfig("gemini", "AIza-test", "http://x/v1beta"), request)
    return dict(json.loads(sent.body or b""))


def validate(body: dict[str, Any]) -> None:
    for content in body["contents"]:
        types.Content.model_validate(content)
    types.Content.model_validate(body.get("systemInstruction") or {})
    types.ToolConfig.model_validate(body.get("toolConfig") or {})
    types.GenerateContentConfig.model_validate(body.get("generationConfig") or {})
    for tool in body.get("tools") or ():
        types.Tool.model_validate(tool)


def test_a_chat_with_everything_is_what_googles_models_take():
    signed = {"extra_content": {"google": {"thought_signature": "c2ln"}}}
    call = {"id": "fc_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    body = body_of(
        ChatRequest(
            FLASH,
            [
                {"role": "system", "content": "Be brief."},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "hi"},
                        {"type": "image", "data": b"\x89PNG\r\n\x1a\n"},
                        {"type": "image_url", "image_url": {"url": "https://a.example/cat.png"}},
                    ],
                },
                {
                    "role": "assistant",
                    "content": "I look",
                    "tool_calls": [{**call, **signed}, {**call, "id": "fc_2"}],
                    "reasoning_blocks": [{"text": "look", "thoughtSignature": "c2ln"}],
                },
                {"role": "tool", "tool_call_id": "fc_1", "content": "rain"},
                {
                    "role": "tool",
                    "tool_call_id": "fc_2",
                    "content": [{"type": "image", "data": b"\xff\xd8\xff\xe0"}],
                },
            ],
            temperature=0.5,
            top_p=0.9,
            max_tokens=10,
            stop=["\n"],
            seed=1,
            presence_penalty=0.1,
            frequency_penalty=0.1,
            tools=TOOLS,
            tool_choice={"type": "function", "function": {"name": "weather"}},
            response_format={"type": "json_schema", "json_schema": {"name": "N", "schema": CITY}},
            reasoning_effort="low",
        )
    )
    validate(body)
    assert types.Content.model_validate(body["contents"][1]).parts[2].thought_signature == b"sig"


@pytest.mark.parametrize("model", [FLASH, "gemini-2.5-flash"])
@pytest.mark.parametrize("effort", ["none", "minimal", "low", "medium", "high", "xhigh", "max"])
def test_every_effort_is_what_googles_models_take(model: str, effort: str):
    validate(body_of(ChatRequest(model, [{"role": "user", "content": "hi"}], reasoning_effort=effort)))


def test_pictures_and_speech_are_what_googles_models_take():
    config = ProviderConfig("gemini", "AIza-test", "http://x/v1beta")
    picture = ImageRequest(
        "gemini-3.1-flash-image", "a cat", (2048, 1152), images=[b"\x89PNG\r\n\x1a\n"], seed=1
    )
    for flow in (
        images(config, picture),
        speech(config, SpeechRequest("gemini-3.8-flash-tts", "hi", "Puck")),
    ):
        validate(json.loads(next(flow).body))


# Our adapter over the socket


def test_a_whole_answer(client: Client, upstream: Upstream):
    answer = client.chat(model=FLASH, messages="Hello 你好", reasoning_effort="low")
    assert (answer.content, answer.reasoning, answer.model) == ("Hello 你好", "Let me think.", FLASH)
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 6)
    [call] = upstream.calls()
    assert call["headers"]["x-goog-api-key"] == upstream.api_key
    assert upstream.api_key not in call["target"]


def test_a_streamed_answer(client: Client):
    chunks = list(client.chat(model=FLASH, messages="one 二 three", stream=True))
    assert "".join(chunk.delta for chunk in chunks) == "one 二 three"
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["stop"]
    assert chunks[-1].usage.completion_tokens == 3


@pytest.mark.parametrize("model", [FLASH, "gemini-2.5-flash"])
def test_a_conversation_with_tools(client: Client, model: str):
    """Gemini 3 refuses it when its signature does not come back."""
    messages: list[Any] = [{"role": "user", "content": "Paris"}]
    answer = client.chat(model=model, messages=messages, tools=TOOLS)
    assert [call["function"]["name"] for call in answer.tool_calls] == ["weather", "time"]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "rain"} for call in answer.tool_calls]
    last = client.chat(model=model, messages=[*messages, answer.message, *results], tools=TOOLS)
    assert last.content == "rain rain"


def test_a_conversation_that_began_with_another_model(client: Client):
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"text": "x"}'}}
    messages: list[Any] = [
        {"role": "user", "content": "Paris"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    ]
    assert client.chat(model=FLASH, messages=messages, tools=TOOLS).content == "rain"


def test_streamed_calls_go_back_as_they_came(client: Client):
    messages: list[Any] = [{"role": "user", "content": "Paris"}]
    chunks = list(client.chat(model=FLASH, messages=messages, tools=TOOLS, stream=True))
    calls = [call for chunk in chunks for call in chunk.tool_calls or ()]
    assert [call["index"] for call in calls] == [0, 1]
    turn = {"role": "assistant", "content": "", "tool_calls": calls}
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "rain"} for call in calls]
    assert client.chat(model=FLASH, messages=[*messages, turn, *results], tools=TOOLS).content == "rain rain"


def test_pictures(client: Client, upstream: Upstream):
    answer = client.generate_images("a cat", model="gemini-3.1-flash-image", n=2, aspect_ratio="16:9", seed=5)
    assert [picture.media_type for picture in answer.images] == ["image/png"] * 2
    seeds = [call["body"]["generationConfig"]["seed"] for call in upstream.calls()]
    assert seeds == [5, 6]
    assert len(client.generate_images("a cat", model="imagen-4.0-generate-001", n=2).images) == 2


@pytest.mark.parametrize("model", ["gemini-3.8-flash-tts", "gemini-2.5-flash-preview-tts"])
def test_speech(client: Client, model: str):
    sound = client.synthesize("hello", model=model, voice="Puck")
    assert sound.format == "wav"
    assert sound.data.startswith(b"RIFF")


def test_vectors_in_batches(client: Client, upstream: Upstream):
    answer = client.embed(["x" * (at % 9) for at in range(230)], model="gemini-embedding-001", dimensions=2)
    assert [vector[0] for vector in answer.embeddings] == [at % 9 / 100 for at in range(230)]
    assert [len(call["body"]["requests"]) for call in upstream.calls()] == [100, 100, 30]


def test_the_vendors_own_count_of_tokens(client: Client):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "one two"}]
    counted = client.count_tokens(messages, model=FLASH)
    assert (counted.tokens, counted.source) == (4, "provider")


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        ("[[status=429 retry_after=3]]", RateLimitError),
        ("[[status=503]]", RetryableError),
        ("[[status=400]]", ValidationError),
        ("[[html]]", RetryableError),
        ("[[drop=0]]", RetryableError),
        ("[[blocked=PROHIBITED_CONTENT]]", ContentFilterError),
        ("[[finish=MALFORMED_FUNCTION_CALL]]", RetryableError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors(client: Client, prompt: str, kind: type[Exception], stream: bool):
    with pytest.raises(kind) as failure:
        list(client.chat(model=FLASH, messages=f"hi {prompt}", stream=stream))  # type: ignore[call-overload]
    if kind is RateLimitError:
        assert failure.value.retry_after == 3.0


@pytest.mark.parametrize("prompt", ["a b c [[error=2]]", "a b c [[end=2]]", "a b c [[drop=2]]"])
def test_a_stream_that_breaks(client: Client, prompt: str):
    chunks = client.chat(model=FLASH, messages=prompt, stream=True)
    assert [next(chunks).delta, next(chunks).delta] == ["a", " b"]
    with pytest.raises(RetryableError):
        next(chunks)


def test_a_wrong_key_and_an_unknown_model(upstream: Upstream):
    with Client("gemini", api_key="AIza-wrong", base_url=upstream.base_url, max_retries=0) as client:
        with pytest.raises(AuthenticationError):
            client.chat(model=FLASH, messages="hi")
    with Client("gemini", api_key=upstream.api_key, base_url=upstream.base_url, max_retries=0) as client:
        with pytest.raises(ValidationError):
            client.chat(model="gemini-9", messages="hi")
