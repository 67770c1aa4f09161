from __future__ import annotations

import pytest

from nexusai.providers.adapters.local.text import MOST_CHARACTERS, reply
from nexusai.providers.errors import CapabilityError, ContextWindowError
from nexusai.providers.tokens import estimate_message_tokens, estimate_tokens
from nexusai.providers.types import ChatRequest, Usage

EN = (
    "The Nile flows north through eleven countries. It ends in the Mediterranean Sea. "
    "The Nile is the main source of water of Egypt and Sudan. Wheat was grown there early. "
    "Its two great tributaries are the White Nile and the Blue Nile. Boats are common."
)
ZH = (
    "长江是亚洲第一长河。它发源于青藏高原，在上海注入东海。三峡大坝位于湖北宜昌，是世界上最大的水电站。"
    "长江流域人口超过四亿。白鳍豚曾生活在长江中。沿江城市众多。"
)


def answer(content, **options):
    return reply(ChatRequest(model="text", messages=[{"role": "user", "content": content}], **options))


def quotes(found):
    return [citation["quote"] for citation in found.extra["citations"]]


def test_a_question_is_answered_by_the_sentence_that_holds_the_answer():
    found = answer(f"{EN} Which sea does it end in?")
    assert quotes(found) == ["It ends in the Mediterranean Sea."]
    assert "“It ends in the Mediterranean Sea.”" in found.content


def test_a_chinese_question_is_answered_from_the_chinese_text():
    found = answer(f"{ZH}\n三峡大坝在哪里？")
    assert quotes(found) == ["三峡大坝位于湖北宜昌，是世界上最大的水电站。"]
    assert found.content.startswith("原文写道：“三峡大坝位于湖北宜昌")


def test_two_sentences_that_answer_alike_are_both_quoted_in_order():
    found = answer("Text: Red cats sleep. Blue birds sing. Red cats purr.\nQuestion: What do red cats do?")
    assert quotes(found) == ["Red cats sleep.", "Red cats purr."]


def test_a_citation_says_where_its_quote_stands():
    messages = [
        {"role": "system", "content": f"Context: {EN}"},
        {"role": "user", "content": "Which sea does it end in?"},
    ]
    (citation,) = reply(ChatRequest(model="text", messages=messages)).extra["citations"]
    text = messages[citation["message"]]["content"]
    assert (
        text[citation["start"] : citation["end"]] == citation["quote"] == "It ends in the Mediterranean Sea."
    )


def test_a_summary_is_a_third_of_the_sentences_in_their_order():
    found = answer(f"Summarize: {EN}")
    assert len(quotes(found)) == 2
    assert [EN.index(quote) for quote in quotes(found)] == sorted(EN.index(quote) for quote in quotes(found))
    assert found.content.startswith(" ".join(quotes(found)))


def test_a_summary_prefers_what_the_text_is_about():
    assert all("Nile" in quote for quote in quotes(answer(f"Summarize: {EN}")))


def test_a_summary_of_a_long_text_has_five_sentences():
    text = " ".join(f"Fact {n} of the river tells of water number {n}." for n in range(60))
    assert len(quotes(answer(f"tl;dr: {text}"))) == 5


def test_a_chinese_summary_is_of_whole_chinese_sentences():
    found = answer(f"总结：{ZH}")
    assert len(quotes(found)) == 2
    assert found.content.startswith("".join(quotes(found)))


def test_a_quoted_answer_says_that_no_model_made_it():
    assert "no language model is configured" in answer(f"Summarize: {EN}").content
    assert "尚未配置语言模型" in answer(f"总结：{ZH}").content


@pytest.mark.parametrize(
    "prompt", ["hello", "Write a summary of Moby Dick.", f"{EN} Who won the cup in 1998?"]
)
def test_what_only_a_model_could_answer_gets_the_notice(prompt: str):
    found = answer(prompt)
    assert found.content.startswith("No language model is configured")
    assert found.extra == {"demo": True}


@pytest.mark.parametrize(
    "name", ["OPENAI_API_KEY", "DEEPSEEK_API_KEY", "NEXUS_PROVIDER_BASE_URL", "Ollama", "vLLM"]
)
@pytest.mark.parametrize("prompt", ["hello", "你好"])
def test_the_notice_names_what_switches_a_model_on(prompt: str, name: str):
    assert name in answer(prompt).content


def test_the_notice_answers_chinese_in_chinese():
    assert answer("你好，请写一首诗").content.startswith("尚未配置语言模型")


def test_a_chat_without_messages_gets_the_notice():
    assert reply(ChatRequest(model="text", messages=[])).content.startswith("No language model is configured")


def test_every_answer_is_marked_as_a_demo():
    assert [answer(prompt).extra["demo"] for prompt in ("hello", f"Summarize: {EN}")] == [True, True]


def test_usage_is_estimated():
    found = answer("hello")
    assert found.usage == Usage(
        estimate_message_tokens([{"role": "user", "content": "hello"}]),
        estimate_tokens(found.content),
        source="estimate",
    )


def test_max_tokens_cuts_between_words():
    found = answer("hello", max_tokens=5)
    assert (found.content, found.finish_reason) == ("No language model is", "length")
    assert found.usage.completion_tokens <= 5


def test_max_tokens_may_leave_nothing():
    assert answer("你好", max_tokens=0).content == ""


def test_max_tokens_that_are_enough_change_nothing():
    assert answer("hello", max_tokens=500) == answer("hello")


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format"),
    ],
)
def test_what_needs_a_model_is_refused_with_the_way_to_one(options, wanted):
    with pytest.raises(CapabilityError, match=rf"{wanted}.*OPENAI_API_KEY.*NEXUS_PROVIDER_BASE_URL"):
        answer("hello", **options)


def test_an_image_in_a_message_is_refused():
    with pytest.raises(CapabilityError, match="images"):
        answer([{"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {"url": "x"}}])


def test_a_response_format_of_text_is_fine():
    assert answer("hello", response_format={"type": "text"}, tools=[]).finish_reason == "stop"


def test_a_prompt_that_is_too_long_is_refused():
    with pytest.raises(ContextWindowError, match=str(MOST_CHARACTERS)):
        answer("a" * (MOST_CHARACTERS + 1))
