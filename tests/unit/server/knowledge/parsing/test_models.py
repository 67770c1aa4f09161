from __future__ import annotations

import pytest

from nexusai.server.knowledge.parsing import Block, DocumentError, Parsed

PARSED = Parsed(
    [Block("heading", "标题", 1, 2), Block("code", 'x = "\\n"\n\ty', None)],
    "pdf",
    pages=3,
    title="T",
    language="zh",
)


def test_a_document_is_the_same_after_it_was_written_and_read():
    assert Parsed.from_lines(PARSED.lines()) == PARSED


def test_a_line_has_no_line_end_in_it():
    assert all(len(line.splitlines()) == 1 for line in PARSED.lines())


def test_a_document_that_breaks_off_is_refused():
    with pytest.raises(ValueError, match="breaks off"):
        Parsed.from_lines(list(PARSED.lines())[:-1])


@pytest.mark.parametrize(("code", "retryable"), [("timeout", True), ("memory", True), ("broken", False)])
def test_only_what_the_machine_was_short_of_is_worth_another_attempt(code, retryable):
    assert DocumentError(code, "…").retryable is retryable
