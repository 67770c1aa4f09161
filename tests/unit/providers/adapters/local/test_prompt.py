from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexusai.providers.adapters.local.prompt import (
    is_text_only,
    mostly_chinese,
    pieces,
    text_of,
)
from nexusai.providers.errors import ValidationError


@given(st.text())
@settings(max_examples=200)
def test_pieces_joined_are_the_text(text: str):
    assert "".join(pieces(text)) == text


def test_english_streams_word_by_word():
    assert list(pieces("One, two  three\n")) == ["One,", " two", "  three", "\n"]


def test_chinese_streams_a_few_characters_at_a_time():
    assert list(pieces("今天天气好，Python 不错")) == ["今天", "天气", "好", "，Python", " 不错"]


@pytest.mark.parametrize("text", ["你好", "用 Python 写一个快速排序", "请介绍 OpenAI 的 API"])
def test_text_with_more_chinese_characters_than_words_is_chinese(text: str):
    assert mostly_chinese(text)


@pytest.mark.parametrize("text", ["", "hello", "What does 你好 mean in English?", "café déjà vu"])
def test_other_text_is_not_chinese(text: str):
    assert not mostly_chinese(text)


def test_text_parts_of_a_message_are_joined_by_lines():
    parts = [{"type": "text", "text": "one"}, "two", {"type": "image_url", "image_url": {"url": "x"}}]
    assert text_of({"role": "user", "content": parts}) == "one\ntwo\n"


def test_a_message_without_content_says_nothing():
    assert text_of({"role": "assistant", "content": None, "tool_calls": []}) == ""


def test_content_that_is_neither_text_nor_parts_is_refused():
    with pytest.raises(ValidationError, match="content must be text or a list of parts"):
        text_of({"role": "user", "content": 7})


@pytest.mark.parametrize("content", ["text", None, ["text", {"type": "text", "text": ""}]])
def test_words_alone_are_text_only(content: object):
    assert is_text_only({"role": "user", "content": content})


@pytest.mark.parametrize(
    "part", [{"type": "image_url", "image_url": {}}, {"type": "file", "file_id": "f"}, 3]
)
def test_an_image_or_a_file_is_not_text(part: object):
    assert not is_text_only({"role": "user", "content": [{"type": "text", "text": "look"}, part]})
