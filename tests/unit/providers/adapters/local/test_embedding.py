from __future__ import annotations

import subprocess
import sys
from math import hypot

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusai.providers.adapters.local.embedding import DIMENSIONS, dimensions_of, embed
from nexusai.providers.errors import ValidationError
from nexusai.providers.types import EmbeddingRequest


def likeness(one, other):
    return sum(a * b for a, b in zip(embed(one), embed(other), strict=True))


@given(st.text(min_size=1).filter(str.strip))
def test_every_vector_has_length_one(text):
    assert hypot(*embed(text)) == pytest.approx(1.0)


@pytest.mark.parametrize("text", ["", "  \n"])
def test_nothing_is_a_vector_of_zeros(text):
    assert embed(text) == [0.0] * DIMENSIONS


def test_it_is_the_same_in_every_process():
    code = "from nexusai.providers.adapters.local.embedding import embed; print(embed('hello 你好')[:99])"
    for seed in ("1", "2"):
        told = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=60,
        )
        assert told.stdout.decode().strip() == str(embed("hello 你好")[:99])


@pytest.mark.parametrize(
    ("text", "like", "unlike"),
    [
        ("the cat sat on the mat", "a cat sat on a mat", "stock prices fell sharply in tokyo"),
        ("how do I reset my password", "resetting passwords", "opening hours of the museum"),
        ("怎么修改登录密码", "修改密码的方法", "博物馆几点开门"),
        ("北京今天天气很好", "今天北京的天气", "股票价格大幅下跌"),
        ("connect to the datbase", "connecting to a database", "boil the eggs for ten minutes"),
    ],
)
def test_texts_of_like_wording_are_nearer(text, like, unlike):
    assert likeness(text, like) > likeness(text, unlike) + 0.15


def test_case_and_width_do_not_matter():
    assert likeness("Hello World", "HELLO ｗｏｒｌｄ") == pytest.approx(1.0)


def test_the_order_of_words_matters_a_little():
    assert 0.5 < likeness("dog bites man", "man bites dog") < 0.99


@pytest.mark.parametrize("dimensions", [16, 256, 4096])
def test_a_vector_may_be_shorter_or_longer(dimensions):
    vector = embed("hello", dimensions_of(EmbeddingRequest("embedding", ["x"], dimensions)))
    assert len(vector) == dimensions
    assert hypot(*vector) == pytest.approx(1.0)


@pytest.mark.parametrize("dimensions", [0, -1, 15, 4097])
def test_another_length_is_refused(dimensions):
    with pytest.raises(ValidationError, match="dimensions must be from 16 to 4096"):
        dimensions_of(EmbeddingRequest("embedding", ["x"], dimensions))
