from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nexusai.server.knowledge.search import fused, mode_of
from tests.fixtures.chunk_indexes import Library, sqlite_index

EAST, NORTH = [1.0, 0.0], [0.0, 1.0]


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with sqlite_index(tmp_path) as library:
        yield library


# Fusion


def test_what_both_rankings_have_comes_before_what_one_has():
    order = fused([[("a", 0.9), ("both", 0.8)], [("b", 0.9), ("both", 0.8)]])

    assert [id for id, _ in order] == ["both", "a", "b"]


def test_one_ranking_keeps_its_order_and_its_scores():
    ranking = [("a", 0.9), ("b", 0.5), ("c", 0.0)]

    assert fused([ranking]) == ranking


def test_scores_are_the_best_of_the_halves_and_never_rise():
    words, meaning = [("a", 0.4), ("b", 0.4)], [("a", 0.5), ("c", 0.45)]

    assert fused([words, meaning]) == [("a", 0.5), ("b", 0.4), ("c", 0.4)]


def test_a_half_that_cannot_tell_does_not_outvote_one_that_can():
    sure = [("right", 0.9), ("wrong", 0.1), ("other", 0.1)]
    unsure = [("other", 0.31), ("wrong", 0.3), ("more", 0.3), ("right", 0.3)]

    assert fused([sure, unsure])[0][0] == "right"


def test_nothing_fused_is_nothing():
    assert fused([]) == []
    assert fused([[], []]) == []


# Modes


@pytest.mark.parametrize("mode", ["hybrid", "semantic", "keyword"])
def test_without_vectors_a_search_is_by_words(mode):
    assert mode_of(mode, None) == "keyword"
    assert mode_of(mode, {}) == "keyword"
    assert mode_of(mode, {"kb_1": EAST}) == mode


async def test_each_mode_finds_by_its_own(library: Library):
    await library.base()
    await library.document("doc_1", ["apple", "pear"], [EAST, NORTH])

    async def found(mode) -> list[str]:
        hits = await library.search.search(["kb_1"], "apple", {"kb_1": NORTH}, mode=mode)
        return [hit.content for hit in hits]

    assert await found("keyword") == ["apple"]
    assert await found("semantic") == ["pear", "apple"]
    assert sorted(await found("hybrid")) == ["apple", "pear"]


# Hits


async def test_a_hit_says_where_it_is_and_what_was_said_of_its_document(library: Library):
    await library.base()
    await library.document("doc_1", ["apple"], metadata_json='{"year": 2024, "filename": "another"}')

    [hit] = await library.search.search(["kb_1"], "apple")

    assert (hit.doc_id, hit.kb_id, hit.content) == ("doc_1", "kb_1", "apple")
    assert hit.metadata == {"year": 2024, "filename": "doc_1.txt", "chunk_index": 0}
    assert 0 < hit.score <= 1


async def test_the_representation_of_a_hit_has_no_content(library: Library):
    await library.base()
    await library.document("doc_1", ["confidential"])

    [hit] = await library.search.search(["kb_1"], "confidential")

    assert "confidential" not in repr(hit)


async def test_no_more_hits_than_top_k(library: Library):
    await library.base()
    await library.document("doc_1", [f"apple {n}" for n in range(130)])

    assert len(await library.search.search(["kb_1"], "apple")) == 5
    assert len(await library.search.search(["kb_1"], "apple", top_k=120)) == 120


async def test_what_is_below_the_threshold_is_no_hit(library: Library):
    await library.base()
    await library.document("doc_1", ["red apple", "green apple", "plum"], [EAST, [1.0, 1.0], NORTH])

    words = await library.search.search(["kb_1"], "red apple", mode="keyword", threshold=0.7)
    near = await library.search.search(["kb_1"], "", {"kb_1": EAST}, mode="semantic", threshold=0.7)
    both = await library.search.search(["kb_1"], "plum", {"kb_1": EAST}, threshold=0.9)

    assert [hit.content for hit in words] == ["red apple"]
    assert [hit.content for hit in near] == ["red apple", "green apple"]
    assert [hit.content for hit in both] == ["red apple"]
    assert all(hit.score >= 0.9 for hit in both)
