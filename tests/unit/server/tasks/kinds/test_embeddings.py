from __future__ import annotations

from typing import Any

import pytest

from nexusai.providers.types import Cost, EmbeddingRequest, EmbeddingResponse, Usage
from nexusai.server.http import Problem
from nexusai.server.tasks.kinds import KINDS
from tests.fixtures.jobs import Attempt, Vendor

TEXTS = b'{"texts":["one","two"]}'
VECTORS = [[0.5, -0.25, 1.0], [0.0, 1.0, 2.0]]


def attempt(**answer: Any) -> Attempt:
    return Attempt("embeddings", Vendor(EmbeddingResponse(VECTORS, "used-model", **answer)))


async def test_the_texts_alone_are_enough():
    tried = attempt()

    await tried.run(TEXTS)

    assert tried.request == EmbeddingRequest("given-model", ["one", "two"])


async def test_the_config_goes_to_the_provider():
    tried = attempt()

    await tried.run(TEXTS, {"dimensions": 3, "task": "query", "cancel_on_disconnect": False})

    assert tried.request == EmbeddingRequest("given-model", ["one", "two"], 3, {"task": "query"})


async def test_the_vectors_are_the_output():
    output = await attempt(usage=Usage(4, 0), cost=Cost(0.1), extra={"demo": True}).run(TEXTS)

    assert output == {
        "embeddings": VECTORS,
        "dimensions": 3,
        "usage": {"prompt_tokens": 4, "completion_tokens": 0, "total_tokens": 4, "source": "provider"},
        "provider": "vendor",
        "model": "used-model",
        "cost": {"amount": 0.1, "currency": "USD", "estimated": False},
        "demo": True,
    }


async def test_tokens_that_nobody_counted_are_estimated():
    used = (await attempt().run(TEXTS))["usage"]

    assert used["source"] == "estimate"
    assert used["prompt_tokens"] >= 2


@pytest.mark.parametrize("task_type", ["embeddings", "moderation"])
@pytest.mark.parametrize(
    ("input", "loc"),
    [
        (b"{}", ["input", "texts"]),
        (b'{"texts":[]}', ["input", "texts"]),
        (b'{"texts":"one"}', ["input", "texts"]),
        (b'{"texts":["one",""]}', ["input", "texts"]),
        (b'{"texts":["one",2]}', ["input", "texts", 1]),
        (b'{"texts":["one"],"text":"two"}', ["input", "text"]),
        (b'{"texts":[%s"x"]}' % (b'"x",' * 2048), ["input", "texts"]),
    ],
)
def test_a_wrong_input_is_named(task_type: str, input: bytes, loc: list[str]):
    with pytest.raises(Problem) as refused:
        KINDS[task_type].parse(input, {})

    assert refused.value.errors[0]["loc"][:2] == loc[:2]


@pytest.mark.parametrize("dimensions", [0, -1, 1.5, "3"])
def test_a_wrong_option_is_named(dimensions: Any):
    with pytest.raises(Problem) as refused:
        KINDS["embeddings"].parse(TEXTS, {"dimensions": dimensions})

    assert refused.value.errors[0]["loc"] == ["config", "dimensions"]
