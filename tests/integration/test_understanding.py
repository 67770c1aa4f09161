"""Embeddings and moderation through the SDK: both clients, the real platform, a real socket."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from nexusai import InvalidRequestError, TaskFailedError
from nexusai.providers import Client
from nexusai.testing import Platform
from tests.fixtures.openai_upstream import Upstream
from tests.fixtures.understanding_answers import vector
from tests.integration.conftest import Use

TEXTS = ["The lighthouse was built in 1854.", "灯塔建于1854年。"]


@pytest.fixture(scope="module")
def connected(upstream: Upstream) -> Iterator[Platform]:
    """A platform with OpenAI, which has models for both."""
    environ = {"OPENAI_API_KEY": upstream.api_key, "OPENAI_BASE_URL": upstream.base_url}
    with Platform(environ) as platform:
        yield platform


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True)) / (math.hypot(*one) * math.hypot(*other))


# Embeddings


def test_texts_become_vectors(sdk: Use) -> None:
    made = sdk(lambda client: client.embeddings.create([*TEXTS, "When was the lighthouse built?"]))
    one, other, question = made.embeddings
    assert (made.provider, made.model, made.dimensions) == ("local", "embedding", 512)
    assert len(one) == len(other) == 512
    assert cosine(one, question) > 0.3 > cosine(other, question)
    assert (made.usage.source, made.cost.amount) == ("estimate", 0)
    assert made.usage.total_tokens > 10


def test_a_text_alone_is_one_vector_of_as_many_numbers_as_asked(sdk: Use) -> None:
    made = sdk(lambda client: client.embeddings.create(TEXTS[1], dimensions=64))
    assert [len(numbers) for numbers in made.embeddings] == [64]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"dimensions": 5}, "dimensions must be from 16 to 4096"),
        ({"model": "local/text"}, "there is local/embedding"),
        ({"provider": "openai"}, "'openai' is not configured here"),
    ],
)
def test_what_is_wrong_with_an_embedding_is_named(sdk: Use, options: dict[str, object], reason: str) -> None:
    with pytest.raises(Exception, match=reason) as caught:
        sdk(lambda client: client.embeddings.create("x", **options))
    assert caught.value.error_code == "INVALID_REQUEST"  # type: ignore[attr-defined]


def test_a_provider_s_vectors_have_usage_and_price(connected_sdk: Use) -> None:
    made = connected_sdk(lambda client: client.embeddings.create(TEXTS, dimensions=8))
    assert (made.provider, made.model, made.dimensions) == ("openai", "text-embedding-3-small", 8)
    assert made.embeddings == [pytest.approx(vector(text, 8), abs=1e-6) for text in TEXTS]
    assert (made.usage.total_tokens, made.usage.source) == (13, "provider")
    assert made.cost.amount == pytest.approx(13 * 0.02 / 1_000_000)


def test_a_provider_s_refusal_is_the_task_s(connected_sdk: Use) -> None:
    with pytest.raises(TaskFailedError, match="no-such-model") as caught:
        connected_sdk(lambda client: client.embeddings.create("x", model="no-such-model"))
    assert not caught.value.retryable


@pytest.mark.parametrize("form", [{}, {"encoding_format": "float"}], ids=["base64", "float"])
@pytest.mark.parametrize("platform", ["embedded", "connected"])
def test_the_shorthand_is_openai_s(
    request: pytest.FixtureRequest, platform: str, form: dict[str, Any]
) -> None:
    """Asked for no form, the official client asks for base64, and reads it."""
    served: Platform = request.getfixturevalue(platform)
    with served.client() as ours, openai.OpenAI(api_key=served.api_key, base_url=served.base_url) as theirs:
        told = ours.embeddings.create(TEXTS, dimensions=32)
        made = theirs.embeddings.create(
            input=TEXTS, model=f"{told.provider}/{told.model}", dimensions=32, **form
        )
    assert [each.embedding for each in made.data] == [
        pytest.approx(numbers, abs=1e-6) for numbers in told.embeddings
    ]
    assert (made.model, made.usage.total_tokens) == (told.model, told.usage.total_tokens)


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({}, ["input"]),
        ({"input": []}, ["input"]),
        ({"input": ""}, ["input"]),
        ({"input": ["a", ""]}, ["input", 1]),
        ({"input": "a", "dimensions": 0}, ["dimensions"]),
        ({"input": "a", "encoding_format": "int8"}, ["encoding_format"]),
        ({"input": "a", "inputs": "b"}, ["inputs"]),
    ],
)
def test_the_shorthand_names_what_is_wrong(
    embedded: Platform, body: dict[str, object], loc: list[str | int]
) -> None:
    headers = {"Authorization": f"Bearer {embedded.api_key}"}
    answer = httpx.post(f"{embedded.base_url}/embeddings", json=body, headers=headers, trust_env=False)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["loc"] == loc


# Moderation


def test_the_rules_find_secrets_and_personal_data_and_nothing_else(sdk: Use) -> None:
    said = sdk(
        lambda client: client.moderations.create(
            ["Write to ada@example.com.", "AKIAIOSFODNN7EXAMPLE", "我的手机号是13800138000", *TEXTS]
        )
    )
    hits = [[name for name, hit in result.categories.items() if hit] for result in said.results]
    assert hits == [["personal_data/email"], ["secrets/api_key"], ["personal_data/phone"], [], []]
    assert [result.flagged for result in said.results] == [True, True, True, False, False]
    assert {score for result in said.results for score in result.category_scores.values()} == {0, 1}
    assert (said.provider, said.model, said.cost.amount) == ("local", "rules", 0)


def test_the_user_s_own_words_are_found(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("[products]\nproject nightingale\n夜莺计划\n", "utf-8")
    with Platform({"NEXUS_MODERATION_WORDS": str(words)}) as platform, platform.client() as client:
        said = client.moderations.create(["Of Project  Nightingale", "关于夜莺计划的事", "a nightingale"])
        assert [result.flagged for result in said.results] == [True, True, False]
        assert said.results[0].categories["words/products"]


def test_a_provider_judges_with_its_own_categories(connected_sdk: Use) -> None:
    said = connected_sdk(lambda client: client.moderations.create(["I kill you", "hello"]))
    assert (said.provider, said.model) == ("openai", "omni-moderation-latest")
    assert [result.flagged for result in said.results] == [True, False]
    assert said.results[0].categories["violence"]
    assert said.results[0].category_scores["violence"] == 0.9
    assert said.cost.amount == 0


@pytest.mark.parametrize("texts", [[], "", ["a", ""]])
def test_nothing_to_judge_is_refused(sdk: Use, texts: object) -> None:
    with pytest.raises(InvalidRequestError, match="input is empty"):
        sdk(lambda client: client.moderations.create(texts))


# The model layer alone


def test_alone_the_model_layer_does_what_the_platform_does(embedded: Platform) -> None:
    with Client("local") as alone, embedded.client() as client:
        made, told = alone.embed(TEXTS), client.embeddings.create(TEXTS)
        judged, said = alone.moderate(["ada@example.com"]), client.moderations.create(["ada@example.com"])
    assert made.embeddings == told.embeddings
    assert made.usage is not None
    assert made.usage.total_tokens == told.usage.total_tokens
    assert [result.categories for result in judged.results] == [result.categories for result in said.results]


def test_alone_the_model_layer_asks_a_provider_as_the_platform_does(
    connected: Platform, upstream: Upstream
) -> None:
    with (
        Client("openai", api_key=upstream.api_key, base_url=upstream.base_url) as alone,
        connected.client() as client,
    ):
        made, told = alone.embed(TEXTS), client.embeddings.create(TEXTS)
        judged, said = alone.moderate(["I kill you"]), client.moderations.create(["I kill you"])
    assert made.embeddings == told.embeddings
    assert made.cost is not None
    assert made.cost.amount == told.cost.amount
    assert judged.results[0].category_scores == said.results[0].category_scores
