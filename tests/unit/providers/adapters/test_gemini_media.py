"""What the cases of the contract suite do not show of Gemini's pictures, sound and vectors."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusai.providers import (
    AdapterError,
    CapabilityError,
    EmbeddingRequest,
    ImageRequest,
    ProviderConfig,
    SpeechRequest,
    Usage,
)
from nexusai.providers.adapters.gemini_media import embeddings, images, speech
from nexusai.providers.transport import HttpRequest, HttpResponse

CONFIG = ProviderConfig("gemini", "AIza-secret", "https://vendor.example/v1beta")
PICTURE = ImageRequest("gemini-3.1-flash-image", "a cat")
SPEECH = SpeechRequest("gemini-3.8-flash-tts", "hi")
PNG = b"\x89PNG\r\n\x1a\n"

NAMES = st.sampled_from(
    [
        *("candidates", "content", "parts", "inlineData", "mimeType", "data", "finishReason", "thought"),
        *("predictions", "bytesBase64Encoded", "raiFilteredReason", "embeddings", "values", "usageMetadata"),
        *("promptFeedback", "blockReason", "promptTokenCount", "error"),
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just("aGk=")
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
PARTS = st.lists(ANYTHING | st.fixed_dictionaries({"inlineData": ANYTHING}), max_size=3)
ANSWERS = (
    ANYTHING
    | st.dictionaries(NAMES, ANYTHING)
    | st.fixed_dictionaries(
        {"candidates": st.tuples(st.fixed_dictionaries({"content": st.fixed_dictionaries({"parts": PARTS})}))}
    )
)
BODIES = st.binary(max_size=40) | ANSWERS.map(lambda answer: json.dumps(answer).encode())


def run(flow: Generator[Any, Any, Any], *answers: Any) -> tuple[Any, list[HttpRequest]]:
    """What a flow returns when it gets these answers, and what it asked."""
    asked = []
    try:
        asked.append(next(flow))
        for answer in answers:
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            asked.append(flow.send(HttpResponse(200, {}, body)))
    except StopIteration as done:
        return done.value, asked
    raise AssertionError("the flow wants more answers")


def drawn(data: bytes = PNG, tokens: int = 5) -> dict[str, Any]:
    part = {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(data).decode()}}
    counts = {"promptTokenCount": tokens, "candidatesTokenCount": 1290}
    return {"candidates": [{"content": {"parts": [part]}, "finishReason": "STOP"}], "usageMetadata": counts}


@given(st.sampled_from(["images", "imagen", "speech", "embeddings"]), BODIES)
def test_whatever_is_answered_only_adapter_errors_are_raised(kind: str, body: bytes):
    flow: Any = {
        "images": images(CONFIG, PICTURE),
        "imagen": images(CONFIG, replace(PICTURE, model="imagen-4.0-generate-001")),
        "speech": speech(CONFIG, SPEECH),
        "embeddings": embeddings(CONFIG, EmbeddingRequest("gemini-embedding-001", ["a"])),
    }[kind]
    with contextlib.suppress(AdapterError):
        run(flow, body)


def test_every_picture_is_a_request_with_a_seed_of_its_own():
    answer, asked = run(images(CONFIG, replace(PICTURE, n=2, seed=7)), drawn(), drawn(b"\xff\xd8\xff\xe0"))
    seeds = [json.loads(request.body or b"")["generationConfig"]["seed"] for request in asked]
    assert seeds == [7, 8]
    assert [picture.media_type for picture in answer.images] == ["image/png", "image/jpeg"]
    assert answer.usage == Usage(10, 2580)


def test_pictures_are_changed_by_words_after_the_pictures():
    [request] = run(images(CONFIG, replace(PICTURE, images=[PNG, b"\xff\xd8\xff"])), drawn())[1]
    parts = json.loads(request.body or b"")["contents"][0]["parts"]
    assert [part.get("inlineData", {}).get("mimeType", part.get("text")) for part in parts] == [
        "image/png",
        "image/jpeg",
        "a cat",
    ]


@pytest.mark.parametrize(
    "flow",
    [images(CONFIG, replace(PICTURE, mask=PNG)), speech(CONFIG, replace(SPEECH, speed=1.5))],
    ids=["mask", "speed"],
)
def test_what_gemini_cannot_do_is_refused_before_anything_is_sent(flow: Generator[Any, Any, Any]):
    with pytest.raises(CapabilityError, match="leave out"):
        next(flow)


@pytest.mark.parametrize(
    ("size", "form"),
    [
        ((1024, 1024), {"aspectRatio": "1:1"}),
        ((1792, 1024), {"aspectRatio": "16:9", "imageSize": "2K"}),
        ((4096, 4096), {"aspectRatio": "1:1", "imageSize": "4K"}),
        ((300, 4000), {"aspectRatio": "9:16", "imageSize": "4K"}),
    ],
)
def test_a_size_in_pixels_becomes_the_nearest_shape(size: tuple[int, int], form: dict[str, str]):
    [request] = run(images(CONFIG, replace(PICTURE, size=size)), drawn())[1]
    assert json.loads(request.body or b"")["generationConfig"]["imageConfig"] == form


def test_no_texts_are_no_requests():
    answer, asked = run(embeddings(CONFIG, EmbeddingRequest("gemini-embedding-001", [])))
    assert (list(answer.embeddings), asked) == ([], [])


def test_the_tokens_of_batches_are_added_up():
    texts = ["a"] * 150
    vectors = [{"values": [1]}] * 150
    answer, asked = run(
        embeddings(CONFIG, EmbeddingRequest("gemini-embedding-001", texts)),
        {"embeddings": vectors[:100], "usageMetadata": {"promptTokenCount": 100}},
        {"embeddings": vectors[100:], "usageMetadata": {"promptTokenCount": 50}},
    )
    assert (len(asked), len(answer.embeddings), answer.usage) == (2, 150, Usage(150, 0))
