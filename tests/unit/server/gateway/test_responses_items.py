from __future__ import annotations

from typing import Any

import pytest

from nexusai.server.gateway.responses_items import (
    file_ids,
    for_openai,
    inlined,
    items_of,
    messages_of,
    named,
    sealed,
    without_names,
)
from nexusai.server.http import Problem

USER = {"type": "message", "role": "user", "content": "hi"}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "done"}
BLOCKS = [{"type": "thinking", "thinking": "Hm.", "signature": "s"}]


def thought(provider: str = "vendor") -> dict[str, Any]:
    return {"type": "reasoning", "summary": [], "encrypted_content": sealed(provider, BLOCKS)}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "output_text", "text": text}]}


def refused(*items: Any) -> Problem:
    with pytest.raises(Problem) as problem:
        messages_of(list(items), "vendor")
    return problem.value


def test_a_text_is_what_the_user_says() -> None:
    assert messages_of(items_of("hi"), "vendor") == [{"role": "user", "content": "hi"}]


def test_what_an_assistant_thought_said_and_called_is_one_message() -> None:
    messages = messages_of([USER, thought(), said("Wait."), CALL, RESULT, said("Done.")], "vendor")
    assert messages[1:] == [
        {
            "role": "assistant",
            "content": "Wait.",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            "reasoning_blocks": BLOCKS,
        },
        {"role": "tool", "tool_call_id": "c1", "content": "done"},
        {"role": "assistant", "content": "Done."},
    ]


def test_a_thought_is_given_back_to_its_provider_alone() -> None:
    assert messages_of([thought("vendor"), said("x")], "vendor")[0]["reasoning_blocks"] == BLOCKS
    assert "reasoning_blocks" not in messages_of([thought("other"), said("x")], "vendor")[0]
    assert messages_of([thought("other"), said("x")], None)[0]["reasoning_blocks"] == BLOCKS


@pytest.mark.parametrize("secret", ["nexus-", "nexus-!", "nexus-e30=", "nexus-WzFd", "nexus-bnVsbA=="])
def test_a_secret_that_was_tampered_with_is_none(secret: str) -> None:
    item = {"type": "reasoning", "summary": [], "encrypted_content": secret}
    assert messages_of([item, said("x")], "vendor") == [{"role": "assistant", "content": "x"}]


def test_openais_own_thoughts_keep_their_place_among_the_calls() -> None:
    own = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    [message, _] = messages_of([CALL, own, said("x"), RESULT], "openai")
    assert message["reasoning_blocks"] == [{**own, "calls_before": 1}]


def test_messages_of_one_side_after_the_other_stay_apart() -> None:
    contents = [message["content"] for message in messages_of([said("a"), said("b"), USER, USER], "vendor")]
    assert contents == ["a", "b", "hi", "hi"]


def test_parts_become_those_of_chats() -> None:
    parts = [
        {"type": "input_text", "text": "look"},
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"},
        {"type": "input_file", "file_url": "https://example.org/a.pdf"},
    ]
    [message] = messages_of([{"role": "user", "content": parts}], "vendor")
    assert message["content"] == [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
        {
            "type": "file",
            "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"},
        },
        {"type": "file", "file": {"file_url": "https://example.org/a.pdf"}},
    ]


def test_files_of_the_platform_are_put_in() -> None:
    image, document = (
        {"type": "input_image", "file_id": "file_1"},
        {"type": "input_file", "file_id": "file_2"},
    )
    item = {"role": "user", "content": [image, document, {"type": "input_file", "file_id": "file-openai"}]}
    assert file_ids([item, USER]) == ["file_1", "file_2"]
    [filled] = inlined([item], {"file_1": ("a.png", "data:,1"), "file_2": ("b.pdf", "data:,2")})
    assert filled["content"] == [
        {"type": "input_image", "image_url": "data:,1"},
        {"type": "input_file", "filename": "b.pdf", "file_data": "data:,2"},
        {"type": "input_file", "file_id": "file-openai"},
    ]
    assert item["content"][0] == image


def test_items_of_openais_tools_are_left_out_for_others() -> None:
    assert messages_of([USER, {"type": "web_search_call", "id": "ws_1"}, said("x")], "vendor")[1:] == [
        {"role": "assistant", "content": "x"}
    ]


def test_calls_and_results_belong_together() -> None:
    assert "No tool call found" in refused(USER, RESULT).detail
    assert "No tool output found" in refused(USER, CALL, USER).detail
    assert "No tool output found" in refused(USER, CALL).detail
    assert "No tool call found" in refused(CALL, RESULT, RESULT).detail


@pytest.mark.parametrize(
    ("item", "loc"),
    [
        ({}, "input.1.type"),
        ({"type": 5}, "input.1.type"),
        ({"type": "custom_tool_call"}, "input.1.type"),
        ({"role": "wizard", "content": "x"}, "input.1.role"),
        ({"role": "user"}, "input.1.content"),
        ({"role": "user", "content": [5]}, "input.1.content"),
        ({"role": "user", "content": [{"type": "input_text"}]}, "input.1.content.0.text"),
        ({"role": "user", "content": [{"type": "input_image"}]}, "input.1.content.0.image_url"),
        ({"role": "user", "content": [{"type": "hologram"}]}, "input.1.content.0"),
        ({"role": "assistant", "content": [{}]}, "input.1.content.0.text"),
        ({"type": "function_call", "call_id": "c", "name": 5, "arguments": "{}"}, "input.1.name"),
        ({"type": "function_call_output", "output": "x"}, "input.1.call_id"),
    ],
)
def test_an_item_that_makes_no_sense_is_named(item: Any, loc: str) -> None:
    assert ".".join(map(str, refused(USER, item).errors[0]["loc"])) == loc


def test_what_is_kept_has_types_and_ids() -> None:
    [first, second] = named([{"role": "user", "content": "x"}, {**CALL, "id": "fc_1"}])
    assert first["type"] == "message"
    assert first["id"].startswith("msg_")
    assert second["id"] == "fc_1"


def test_openai_gets_neither_ids_of_ours_nor_thoughts_of_others() -> None:
    own = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    kept = named([USER, thought(), own, {**CALL, "extra_content": {"google": {}}}, RESULT, said("x")])
    sent = for_openai(without_names(kept))
    assert [item.get("type") for item in sent] == [
        *("message", "reasoning", "function_call", "function_call_output", "message")
    ]
    assert ["id" in item for item in sent] == [False, True, True, False, True]
    assert "extra_content" not in sent[2]
