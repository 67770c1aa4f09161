from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexusai.providers.adapters.local.passage import is_summary_wanted, read, sentences

EN = (
    "The Nile flows north through eleven countries. It ends in the Mediterranean Sea. "
    "Its two great tributaries are the White Nile and the Blue Nile."
)
ZH = "长江是亚洲第一长河。它发源于青藏高原，在上海注入东海。三峡大坝位于湖北宜昌。"


def texts(found):
    return [sentence.text for sentence in found]


def ask(text: str):
    return read([{"role": "user", "content": text}])


@given(st.text(alphabet='ab .!?。！？\n"”A1中', max_size=80))
@settings(max_examples=200)
def test_a_sentence_stands_where_its_offsets_say(text: str):
    for sentence in sentences(text, 3):
        assert (sentence.text, sentence.message) == (text[sentence.start : sentence.end], 3)


def test_english_ends_sentences_with_stops_that_white_space_follows():
    text = "Version 3.14 is out! Is it? See https://a.b/c for more... Yes"
    assert texts(sentences(text, 0)) == [
        "Version 3.14 is out!",
        "Is it?",
        "See https://a.b/c for more...",
        "Yes",
    ]


def test_chinese_ends_sentences_without_white_space():
    assert texts(sentences("你好。真的吗？“是的！”好；行", 0)) == [
        "你好。",
        "真的吗？",
        "“是的！”",
        "好；",
        "行",
    ]


def test_an_abbreviation_ends_no_sentence():
    assert texts(sentences("Dr. Smith met J. Doe, i.e. No. 1. Good.", 0)) == [
        "Dr. Smith met J. Doe, i.e. No. 1.",
        "Good.",
    ]


def test_a_wrapped_line_goes_on_and_a_new_paragraph_does_not():
    assert texts(sentences("One line\ngoes on\n\nanother\n- item", 0)) == [
        "One line\ngoes on",
        "another",
        "- item",
    ]


def test_dots_and_dashes_alone_are_no_sentence():
    assert sentences("... — !!!", 0) == []


@pytest.mark.parametrize(
    "text",
    [
        "Summarize this",
        "please summarise",
        "a summary, please",
        "TL;DR",
        "tldr",
        "总结一下",
        "摘要",
        "概括全文",
    ],
)
def test_a_wish_for_a_summary_is_seen_in_both_languages(text: str):
    assert is_summary_wanted(text)


@pytest.mark.parametrize("text", ["Where is it?", "assume", "它在哪里？"])
def test_other_wishes_are_not_for_a_summary(text: str):
    assert not is_summary_wanted(text)


@pytest.mark.parametrize(
    ("prompt", "request_"),
    [
        (f"{EN} Which sea is it?", "Which sea is it?"),
        (f"Which sea is it?\n\n{EN}", "Which sea is it?"),
        (f"Summarize: {EN}", "Summarize:"),
        (f"Please summarize the text below.\n\n{EN}", "Please summarize the text below."),
        (f"{EN}\n\ntl;dr", "tl;dr"),
        (f"Context: {EN}\n\nQuestion: Which sea is it?\nAnswer:", "Which sea is it?"),
        (f"Question: Which sea is it?\nContext: {EN}", "Which sea is it?"),
        (f"Text: {EN} Which sea is it?", "Which sea is it?"),
        (f"<context>{EN}</context>\nWhich sea is it?", "Which sea is it?"),
        (f"Answer from the text.\nContext: {EN}\n\nWhich sea is it?", "Which sea is it?"),
    ],
)
def test_the_request_and_the_passage_are_told_apart(prompt: str, request_: str):
    asked = ask(prompt)
    assert (asked.request, " ".join(texts(asked.passage))) == (request_, EN)


@pytest.mark.parametrize(
    ("prompt", "request_"),
    [
        (f"{ZH}\n大坝在哪里？", "大坝在哪里？"),
        (f"总结：{ZH}", "总结："),
        (f"请根据资料回答。\n资料：{ZH}\n问题：大坝在哪里？", "大坝在哪里？"),
    ],
)
def test_the_request_and_the_passage_are_told_apart_in_chinese(prompt: str, request_: str):
    asked = ask(prompt)
    assert (asked.request, "".join(texts(asked.passage))) == (request_, ZH)


def test_several_labelled_documents_are_one_passage():
    asked = ask("Document 1: Cats purr.\nDocument 2: Dogs bark.\nQuestion: What do dogs do?")
    assert texts(asked.passage) == ["Cats purr.", "Dogs bark."]


@pytest.mark.parametrize(
    "prompt",
    [
        "hello",
        "",
        "I have a dog. What is its name?",
        "Write a summary of Moby Dick.",
        "Write a story about a dragon who lives in a cave near the sea. Can the dragon be friendly?",
        "Summarize https://example.com/page",
    ],
)
def test_a_request_alone_has_no_passage(prompt: str):
    asked = ask(prompt)
    assert (asked.request, list(asked.passage)) == (prompt, [])


def test_a_passage_may_come_in_an_earlier_message_of_the_user():
    messages = [
        {"role": "user", "content": EN},
        {
            "role": "assistant",
            "content": "Thank you. What now? I have read the whole of it with great attention.",
        },
        {"role": "user", "content": "Summarize it"},
    ]
    asked = read(messages)
    assert (asked.request, " ".join(texts(asked.passage))) == ("Summarize it", EN)


def test_a_passage_may_be_labelled_in_the_system_message():
    messages = [
        {"role": "system", "content": f"Answer from the context.\nContext:\n{EN}"},
        {"role": "user", "content": "Which sea is it?"},
    ]
    assert " ".join(texts(read(messages).passage)) == EN


def test_instructions_in_the_system_message_are_no_passage():
    messages = [{"role": "system", "content": EN}, {"role": "user", "content": "Which sea is it?"}]
    assert list(read(messages).passage) == []


def test_a_chat_without_a_user_asks_nothing():
    assert read([{"role": "system", "content": EN}]).request == ""
