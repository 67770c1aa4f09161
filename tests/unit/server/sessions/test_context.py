from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusai.providers.models import Model
from nexusai.providers.tokens import estimate_tokens
from nexusai.server.sessions.context import (
    Limits,
    cut,
    fitting,
    limits,
    pending_calls,
    repaired,
    transcript,
)
from nexusai.server.sessions.models import Context

WIDE = Limits(None, 1_000_000)


def user(text: str = "hi") -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str = "yes") -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def calls(*ids: str, text: str = "") -> dict[str, Any]:
    asked = [{"id": id, "type": "function", "function": {"name": "look", "arguments": "{}"}} for id in ids]
    return {"role": "assistant", "content": text, "tool_calls": asked}


def result(id: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": "found"}


CHAT = [user(), said(), user(), said(), user()]


def test_a_conversation_that_fits_is_whole():
    assert cut(CHAT, WIDE) == 0
    assert cut([], WIDE) == 0


@pytest.mark.parametrize(("most", "out"), [(5, 0), (4, 2), (3, 2), (2, 4), (1, 4)])
def test_the_cut_falls_before_a_message_of_the_user(most: int, out: int):
    assert cut(CHAT, Limits(most, 1_000_000)) == out


def test_the_oldest_go_first_when_the_tokens_are_spent():
    long = [user("word " * 100), said("word " * 100), user("word " * 10), said("ok"), user("and now?")]
    assert cut(long, Limits(None, 150)) == 2


def test_the_current_exchange_stays_however_long_it_is():
    agentic = [user(), said(), user("word " * 500), calls("a"), result("a"), calls("b"), result("b")]
    assert cut(agentic, Limits(1, 10)) == 2


def test_a_tool_call_never_loses_its_result():
    chat = [user(), calls("a", "b"), result("a"), result("b"), said(), user()]
    for most in range(1, 7):
        kept = chat[cut(chat, Limits(most, 1_000_000)) :]
        asked = {call["id"] for message in kept for call in message.get("tool_calls", ())}
        assert asked == {message["tool_call_id"] for message in kept if message["role"] == "tool"}


def test_what_is_before_the_first_message_of_the_user_goes_with_it():
    assert cut([said("welcome"), user(), said(), user()], Limits(2, 1_000_000)) == 3


def test_the_window_leaves_room_for_the_answer_the_instructions_and_a_bad_estimate():
    model = Model("openai", "m", context_window=11_000, max_output_tokens=1_000)
    assert limits(None, model, None, 500) == Limits(None, 10_000 - 1_000 - 500)
    assert limits(None, model, 2_000, 0) == Limits(None, 8_000)


def test_an_unknown_model_has_a_careful_window():
    assert 20_000 < limits(None, None, None, 0).tokens < 32_768


def test_a_wish_for_fewer_tokens_is_heard_and_one_for_more_than_the_window_is_not():
    model = Model("openai", "m", context_window=11_000, max_output_tokens=1_000)
    assert limits(Context(max_tokens=100), model, None, 0).tokens == 100
    assert limits(Context(max_tokens=100_000), model, None, 0).tokens == 9_000


def test_last_n_has_a_number_of_its_own():
    assert limits(Context(strategy="last_n"), None, None, 0).messages == 20
    assert limits(Context(strategy="last_n", max_messages=4), None, None, 0).messages == 4
    assert limits(Context(strategy="token_budget"), None, None, 0).messages is None


def test_instructions_larger_than_the_window_leave_room_for_the_question():
    assert limits(None, None, None, 10**9).tokens > 0


def test_a_summary_leaves_room_to_grow():
    assert Limits(10, 1000).halved == Limits(5, 500)
    assert Limits(1, 1000).halved.messages == 1
    assert Limits(None, 1000).halved.messages is None


def test_calls_at_the_end_wait_for_their_results():
    assert pending_calls([user(), calls("a", "b")]) == ["a", "b"]
    assert pending_calls([user(), calls("a", "b"), result("a")]) == ["b"]
    assert pending_calls([user(), calls("a"), result("a")]) == []
    assert pending_calls([user(), calls("a"), result("a"), said()]) == []
    assert pending_calls([]) == []


def test_calls_that_were_never_answered_are_not_shown_to_the_model():
    assert repaired([user(), calls("a"), user()]) == [user(), user()]
    assert repaired([user(), calls("a", text="Let me look."), user()])[1] == said("Let me look.")
    whole = [user(), calls("a"), result("a"), said()]
    assert repaired(whole) == whole


def test_an_id_that_a_vendor_uses_again_is_another_call():
    answered, open_ = [calls("call_0"), result("call_0")], [calls("call_0")]
    assert repaired([user(), *answered, user(), *open_, user()]) == [user(), *answered, user(), user()]
    assert repaired([user(), *open_, user(), *answered]) == [user(), user(), *answered]


def test_results_that_nobody_called_for_are_not_shown_to_the_model():
    assert repaired([result("a"), user()]) == [user()]
    assert repaired([user(), calls("a"), result("b"), result("a")]) == [user(), calls("a"), result("a")]
    assert repaired([user(), said(), result("a")]) == [user(), said()]


def test_the_first_texts_that_fit_are_taken_and_one_at_least():
    texts = ["word " * 100] * 5
    assert fitting(texts, 250) == 2
    assert fitting(texts, 1_000_000) == 5
    assert fitting(texts, 1) == 1
    assert fitting([], 100) == 0


def test_a_transcript_says_who_said_what_and_which_tools_were_called():
    text = transcript([user("hello"), calls("a", text="one moment"), result("a")], 1000)
    assert text == "User: hello\n\nAssistant: one moment (calls look with {})\n\nTool: found"


def test_of_a_long_transcript_the_end_is_kept():
    chat = [user("the first word " * 50), said("the last word")]
    text = transcript(chat, 20)
    assert text.endswith("Assistant: the last word")
    assert "first" not in text[:5]
    assert estimate_tokens(text) <= 22


exchange = st.builds(
    lambda tools, words: [
        user("word " * words),
        *(part for n in range(tools) for part in (calls(f"call_{n}"), result(f"call_{n}"))),
        said(),
    ],
    st.integers(0, 3),
    st.integers(0, 200),
)


@given(st.lists(exchange, min_size=1, max_size=8), st.integers(1, 30), st.integers(1, 2000))
def test_what_is_left_is_the_end_of_the_conversation_in_whole_exchanges(
    exchanges: list[list[dict[str, Any]]], most: int, tokens: int
):
    chat = [message for each in exchanges for message in each]
    kept = chat[cut(chat, Limits(most, tokens)) :]
    assert kept[0]["role"] == "user"
    assert kept[-len(exchanges[-1]) :] == exchanges[-1]
    assert len(kept) <= max(most, len(exchanges[-1]))
    assert repaired(kept) == kept
