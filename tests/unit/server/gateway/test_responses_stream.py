from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from nexusai.providers.types import ChatResponse, StreamChunk, Usage
from nexusai.server.gateway.responses_items import messages_of
from nexusai.server.gateway.responses_request import ResponsesBody, head_of
from nexusai.server.gateway.responses_stream import EventWriter, chunk_of

OURS = {"id": "resp_1", "previous_response_id": None, "store": True}
USAGE = Usage(5, 7, cached_tokens=2, reasoning_tokens=3)
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def writer() -> EventWriter:
    return EventWriter(head_of(ResponsesBody(model="m"), 1, "m", OURS), "vendor")


def written(*chunks: StreamChunk) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The events of a stream that ends well, and its response."""
    made = writer()
    events = [*made.begin()]
    for chunk in chunks:
        events += made.write(chunk)
    events += made.close(2)
    return [*events, made.end()], made.response


def call(index: int, text: str = "", name: str | None = None, **more: Any) -> StreamChunk:
    function: dict[str, Any] = {"arguments": text, **({"name": name} if name else {})}
    given = {"id": f"call_{index}"} if name else {}
    return StreamChunk(tool_calls=[{"index": index, **given, "function": function, **more}])


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def test_a_message_is_begun_continued_and_ended() -> None:
    events, response = written(
        StreamChunk(delta="Hel"), StreamChunk(delta="lo"), StreamChunk(finish_reason="stop", usage=USAGE)
    )
    assert kinds(events) == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *("output_text.delta", "output_text.delta", "output_text.done", "content_part.done"),
        *("output_item.done", "completed"),
    ]
    assert response["output"][0]["content"][0]["text"] == "Hello"
    assert response["usage"]["output_tokens_details"] == {"reasoning_tokens": 3}
    assert response["usage"]["input_tokens_details"]["cached_tokens"] == 2


def test_a_thought_is_a_summary_before_the_message_and_is_done_with_its_secret() -> None:
    blocks = [{"type": "thinking", "thinking": "Hm.", "signature": "s"}]
    events, response = written(
        StreamChunk(reasoning="Hm."), StreamChunk(delta="Yes."), StreamChunk(reasoning_blocks=blocks)
    )
    thought, said = response["output"]
    assert (thought["type"], thought["summary"][0]["text"], said["type"]) == ("reasoning", "Hm.", "message")
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert done == [said, thought]
    [message] = messages_of(response["output"], "vendor")
    assert message == {"role": "assistant", "content": "Yes.", "reasoning_blocks": blocks}


def test_blocks_of_which_nothing_is_shown_are_a_thought_without_words() -> None:
    blocks = [{"type": "redacted_thinking", "data": "x"}]
    _, response = written(StreamChunk(delta="Yes."), StreamChunk(reasoning_blocks=blocks))
    assert [item["type"] for item in response["output"]] == ["message", "reasoning"]
    assert response["output"][1]["summary"] == []
    assert messages_of(response["output"], "vendor")[0]["reasoning_blocks"] == blocks


def test_pieces_of_calls_may_come_in_turns() -> None:
    events, response = written(
        call(0, name="a"), call(1, name="b"), call(0, '{"x":'), call(1, "{}"), call(0, "1}")
    )
    assert [(item["name"], item["arguments"]) for item in response["output"]] == [
        ("a", '{"x":1}'),
        ("b", "{}"),
    ]
    assert kinds(events).count("function_call_arguments.done") == 2


def test_what_else_a_provider_says_of_a_call_comes_back_to_it() -> None:
    signature = {"google": {"thought_signature": "s"}}
    _, response = written(call(0, "{}", "a", extra_content=signature))
    [message] = messages_of([*response["output"], result("call_0")], "vendor")[:1]
    assert message["tool_calls"][0]["extra_content"] == signature


def test_a_call_without_arguments_has_an_empty_object() -> None:
    _, response = written(call(0, name="a"))
    assert response["output"][0]["arguments"] == "{}"


def test_an_answer_of_nothing_is_an_empty_message() -> None:
    events, response = written(StreamChunk(finish_reason="stop"))
    assert response["output"][0]["content"][0]["text"] == ""
    assert "output_text.done" in kinds(events)


def test_an_answer_that_was_cut_off_is_incomplete_and_says_why() -> None:
    for reason, told in (("length", "max_output_tokens"), ("content_filter", "content_filter")):
        events, response = written(StreamChunk(delta="He"), StreamChunk(finish_reason=reason))  # type: ignore[arg-type]
        assert events[-1]["type"] == "response.incomplete"
        assert response["incomplete_details"] == {"reason": told}
        assert response["output"][0]["status"] == "incomplete"
        assert response["completed_at"] is None


def test_a_stream_that_breaks_ends_as_failed_with_what_came() -> None:
    made = writer()
    events = [*made.begin(), *made.write(StreamChunk(delta="Hel"))]
    events += made.fail("server_error", "It broke.")
    assert kinds(events)[-2:] == ["failed", "error"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    failed = events[-2]["response"]
    assert (failed["status"], failed["error"]["message"]) == ("failed", "It broke.")
    assert failed["output"][0]["content"][0]["text"] == "Hel"
    assert events[-1]["error"]["message"] == events[-1]["message"] == "It broke."


def test_a_whole_answer_comes_to_the_same_response() -> None:
    blocks = [{"type": "thinking", "thinking": "Hm.", "signature": "s"}]
    calls = [{"id": "call_0", "type": "function", "function": {"name": "a", "arguments": "{}"}}]
    answer = ChatResponse(
        "Yes.", "m2", "tool_calls", USAGE, reasoning="Hm.", tool_calls=calls, reasoning_blocks=blocks
    )
    made = writer()
    for _ in (*made.write(chunk_of(answer)), *made.close(2)):
        pass
    assert [item["type"] for item in made.response["output"]] == ["reasoning", "message", "function_call"]
    assert (made.response["model"], made.response["status"]) == ("m2", "completed")
    [message, _] = messages_of([*made.response["output"], result("call_0")], "vendor")
    assert message == answer.message


def result(call_id: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": "done"}


CHUNKS = st.one_of(
    st.builds(StreamChunk, delta=st.text(max_size=5)),
    st.builds(StreamChunk, reasoning=st.text(max_size=5)),
    st.builds(StreamChunk, delta=st.text(max_size=5), reasoning=st.text(max_size=5)),
    st.builds(call, st.integers(0, 3), st.text(max_size=5), st.sampled_from(["a", "b", None])),
    st.builds(StreamChunk, reasoning_blocks=st.just([{"type": "thinking", "signature": "s"}])),
    st.builds(StreamChunk, finish_reason=st.sampled_from(["stop", "length", "tool_calls", None])),
    st.builds(StreamChunk, usage=st.just(USAGE)),
)


@given(st.lists(CHUNKS, max_size=20))
def test_whatever_comes_the_events_are_in_order_and_the_client_understands_them(
    chunks: list[StreamChunk],
) -> None:
    events, response = written(*chunks)

    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    added, done, ended = [], {}, False
    for event in events:
        assert not ended
        kind, place = event["type"], event.get("output_index")
        if kind == "response.output_item.added":
            assert place == len(added)
            added.append(event["item"]["id"])
        elif kind == "response.output_item.done":
            assert place not in done
            done[place] = event["item"]
        elif place is not None:
            assert event["item_id"] == added[place]
            assert place not in done
        ended = kind in ("response.completed", "response.incomplete")
    assert ended
    assert [done[place] for place in range(len(added))] == response["output"]
    assert json.loads(json.dumps(response)) == response

    heard: ResponseStreamState[Any] = ResponseStreamState(input_tools=[], text_format=omit)
    for event in events:
        heard.handle_event(EVENT.validate_python(event))
    if events[-1]["type"] == "response.completed":
        assert heard._completed_response is not None


@given(st.lists(CHUNKS, max_size=20))
def test_what_was_streamed_is_what_the_response_has(chunks: list[StreamChunk]) -> None:
    events, response = written(*chunks)
    heard: dict[str, str] = {}
    for event in events:
        if event["type"].endswith(".delta"):
            heard[event["item_id"]] = heard.get(event["item_id"], "") + event["delta"]
    for item in response["output"]:
        whole = {
            "message": lambda item: item["content"][0]["text"],
            "reasoning": lambda item: "".join(part["text"] for part in item["summary"]),
            "function_call": lambda item: item["arguments"],
        }[item["type"]](item)
        assert heard.get(item["id"], "{}" if item["type"] == "function_call" else "") == whole
