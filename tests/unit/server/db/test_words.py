from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusai.server.db.words import count, index_tokens, query_tokens


def test_chinese_is_indexed_by_its_characters_and_pairs():
    assert index_tokens("北京大学") == ["北", "京", "大", "学", "北京", "京大", "大学"]


def test_chinese_is_asked_for_by_its_pairs():
    assert query_tokens("北京大学") == ["北京", "京大", "大学"]


def test_a_character_alone_is_asked_for_by_itself():
    assert query_tokens("茶 tea") == ["茶", "tea"]


@pytest.mark.parametrize("text", ["ひらがな", "カタカナー", "한국어", "𠮷野家", "人々"])
def test_other_writing_without_spaces_is_cut_alike(text: str):
    assert len(query_tokens(text)) == len(text) - 1


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("Café", "cafe"),
        ("STRAẞE", "strasse"),
        ("ＡＢＣ１２３", "abc123"),
        ("ﬁle", "file"),
        ("Files", "file"),
        ("policies", "policy"),
        ("boss", "boss"),
        ("gas", "gas"),
        ("Привет", "привет"),
    ],
)
def test_words_are_brought_to_one_form(text: str, token: str):
    assert index_tokens(text) == [token]


def test_identifiers_are_cut_into_their_words():
    assert index_tokens("os.path.read_text(v2)") == ["os", "path", "read", "text", "v2"]


def test_chinese_and_english_beside_each_other_are_told_apart():
    assert query_tokens("用Python读取PDF文件") == ["用", "python", "读取", "pdf", "文件"]


@pytest.mark.parametrize(
    ("question", "tokens"),
    [
        ("What is the capital of France?", ["capital", "france"]),
        ("北京的首都功能是什么？", query_tokens("北京的首都功能是")),
        ("请问如何报销", ["报销"]),
    ],
)
def test_what_makes_it_a_question_is_not_asked_for(question: str, tokens: list[str]):
    assert query_tokens(question) == tokens


@pytest.mark.parametrize(
    ("question", "tokens"), [("what is this", ["what", "is", "thi"]), ("什么", ["什么"])]
)
def test_question_words_are_asked_for_when_there_are_no_others(question: str, tokens: list[str]):
    assert query_tokens(question) == tokens


def test_a_token_is_asked_for_once():
    assert query_tokens("tea tea TEA 茶叶茶叶") == ["tea", "茶叶", "叶茶"]


@pytest.mark.parametrize("text", ["", " ", "!?。，", "\x00", "\ud800", "😀"])
def test_text_without_words_has_no_tokens(text: str):
    assert index_tokens(text) == query_tokens(text) == []


def test_endless_words_are_cut_off():
    assert index_tokens("x" * 10_000) == ["x" * 64]


def test_counts_are_of_whole_words_and_of_pairs():
    text = "Report: reports on reporting. 北京大学在北京"

    assert count(text, ["report", "北京", "京大", "absent"]) == {"report": 2, "北京": 2, "京大": 1}


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "Z"], max_codepoint=0xFFFF)))
def test_whatever_is_asked_for_is_indexed_where_it_was_written(text: str):
    assert set(query_tokens(text)) <= set(index_tokens(text))


@given(st.text(alphabet="ab sX 北京大é，"))
def test_counts_agree_with_what_is_indexed(text: str):
    asked = query_tokens(text)

    counted = count(text, asked)

    assert set(counted) == set(asked)
