from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nexusai.server.knowledge import sqlite_words
from nexusai.server.knowledge.sqlite_words import rarest
from tests.fixtures.chunk_indexes import Library, sqlite_index


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    """One in which a knowledge base is large already when it has more than ten chunks."""
    monkeypatch.setattr(sqlite_words, "MANY_ROWS", 10)
    monkeypatch.setattr(sqlite_words, "MOST_ROWS", 50)
    with sqlite_index(tmp_path) as library:
        yield library


def test_rare_words_are_asked_for_and_common_ones_left_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sqlite_words, "MANY_ROWS", 10)

    assert rarest({"common": 900, "rare": 2, "absent": 0, "some": 7}) == ["rare", "some"]


def test_the_rarest_of_common_words_is_asked_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sqlite_words, "MANY_ROWS", 10)

    assert rarest({"common": 900, "commoner": 950}) == ["common"]


async def test_in_a_large_base_a_common_word_decides_between_chunks_with_the_rare_one(library: Library):
    await library.base()
    await library.document("doc_1", [f"common filler {n}" for n in range(30)])
    await library.document("doc_2", ["rare thing of another kind", "rare and common"])

    assert await library.words("rare common") == ["rare and common", "rare thing of another kind"]


async def test_a_small_base_is_searched_for_words_that_are_common_elsewhere(library: Library):
    await library.base("kb_1")
    await library.base("kb_2")
    await library.document("doc_1", [f"common {n}" for n in range(200)])
    await library.document("doc_2", ["common knowledge", "rare thing"], kb_id="kb_2")

    found = await library.words("rare common", ["kb_2"])

    assert sorted(found) == ["common knowledge", "rare thing"]
