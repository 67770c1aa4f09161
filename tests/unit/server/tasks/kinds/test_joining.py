from __future__ import annotations

import pytest

from nexusai.providers.types import Cost, Segment, TranscriptionResponse, Usage
from nexusai.server.tasks.kinds.joining import joined


def heard(text: str = "", **fields) -> TranscriptionResponse:
    return TranscriptionResponse(text, "m", **fields)


@pytest.mark.parametrize(
    ("texts", "whole"),
    [
        (["one"], "one"),
        (["one.", "two."], "one. two."),
        ([" one ", "\ntwo "], "one two"),
        (["one", "", "two"], "one two"),
        (["", ""], ""),
        (["今天很好。", "我们走吧。"], "今天很好。我们走吧。"),
        (["我们用", "Python 写"], "我们用 Python 写"),
        (["こんにちは", "世界"], "こんにちは世界"),
        (["안녕", "세상"], "안녕 세상"),
    ],
)
def test_texts_are_joined_as_their_script_wants(texts, whole):
    assert joined([(0.0, heard(text)) for text in texts]).text == whole


def test_times_count_from_the_beginning_of_the_recording():
    parts = [
        (0.0, heard(segments=[Segment(0.5, 1.0, "a")])),
        (10.05, heard(segments=[])),
        (20.1, heard(segments=[Segment(0.0, 2.5, "b"), Segment(2.5, 3.0, "c")])),
    ]
    assert joined(parts).segments == [
        Segment(0.5, 1.0, "a"),
        Segment(20.1, 22.6, "b"),
        Segment(22.6, 23.1, "c"),
    ]


def test_segments_that_nobody_gave_are_none():
    assert joined([(0.0, heard()), (1.0, heard())]).segments is None


def test_the_language_is_the_first_that_was_told():
    assert joined([(0.0, heard()), (1.0, heard(language="zh")), (2.0, heard(language="en"))]).language == "zh"


def test_tokens_add_up():
    parts = [(0.0, heard(usage=Usage(5, 1))), (1.0, heard()), (2.0, heard(usage=Usage(7, 2)))]
    assert joined(parts).usage == Usage(12, 3)
    assert joined([(0.0, heard())]).usage is None


def test_prices_add_up():
    parts = [(0.0, heard(cost=Cost(0.1))), (1.0, heard(cost=Cost(0.2, estimated=True)))]
    assert joined(parts).cost == Cost(pytest.approx(0.3), estimated=True)


def test_a_price_that_is_not_known_makes_the_whole_unknown():
    assert joined([(0.0, heard(cost=Cost(0.1))), (1.0, heard())]).cost is None
