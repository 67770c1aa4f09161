"""What every index of chunks does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from nexusai.server.db.words import query_tokens
from nexusai.server.knowledge.index import NewChunk
from tests.fixtures.chunk_indexes import INDEXES, PROJECT, Library

EAST, NORTH, WEST = [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]


@pytest.fixture(params=INDEXES.values(), ids=INDEXES)
def library(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Library]:
    with request.param(tmp_path) as library:
        yield library


# Words


async def test_nothing_is_found_where_nothing_was_indexed(library: Library):
    await library.base()

    assert await library.words("anything") == []
    assert await library.near(EAST) == []


async def test_a_chunk_is_found_by_one_of_its_words(library: Library):
    await library.base()
    await library.document("doc_1", ["The sky is blue.", "Grass is green."])

    assert await library.words("blue") == ["The sky is blue."]


@pytest.mark.parametrize("word", ["首都", "北京", "中国", "京", "北京的首都"])
async def test_chinese_words_are_found_by_their_characters(library: Library, word: str):
    await library.base()
    await library.document("doc_1", ["北京是中国的首都。", "上海濒临东海。"])

    assert await library.words(word) == ["北京是中国的首都。"]


async def test_characters_that_are_no_neighbours_are_no_word(library: Library):
    await library.base()
    await library.document("doc_1", ["北方有南京路"])

    assert await library.words("北京") == []


@pytest.mark.parametrize(
    "query",
    ['"', "AND OR NOT", "NEAR(a, 5)", "words:x*", "')--", "a\x00b", "\ud800", "😀", " ", "^ * ( ) + -"],
)
async def test_no_query_is_an_instruction_to_the_engine(library: Library, query: str):
    await library.base()
    await library.document("doc_1", ["harmless"])

    assert await library.words(query) == []


async def test_the_chunk_with_more_and_rarer_words_of_the_query_comes_first(library: Library):
    await library.base()
    texts = ["the report of May", "the report on turbines", "the report on turbines in Norway"]
    await library.document("doc_1", texts)

    assert await library.words("report turbines Norway") == [texts[2], texts[1], texts[0]]


async def test_scores_of_words_are_between_0_and_1(library: Library):
    await library.base()
    await library.document("doc_1", ["apple " * 500, "apple pear", "pear"])

    scores = [score for _, score in await library.index.keyword(["kb_1"], ["apple", "pear"], 10)]

    assert len(scores) == 3
    assert all(0 < score <= 1 for score in scores)
    assert scores == sorted(scores, reverse=True)


async def test_no_more_is_found_than_was_asked_for(library: Library):
    await library.base()
    await library.document("doc_1", [f"apple {n}" for n in range(9)], [EAST] * 9)

    assert len(await library.index.keyword(["kb_1"], ["apple"], 3)) == 3
    assert len(await library.index.semantic({"kb_1": EAST}, 3)) == 3


async def test_a_text_with_half_a_character_is_indexed(library: Library):
    await library.base()
    await library.document("doc_1", ["broken \ud800 text"])

    assert await library.words("broken") == ["broken ? text"]


# Vectors


async def test_the_nearest_vector_comes_first(library: Library):
    await library.base()
    await library.document("doc_1", ["east", "north", "west"], [[9.0, 0.1], NORTH, WEST])

    assert await library.near(EAST) == ["east", "north", "west"]


async def test_scores_of_meaning_are_cosines_and_not_negative(library: Library):
    await library.base()
    await library.document("doc_1", ["east", "north-east", "west"], [[5.0, 0.0], [2.0, 2.0], WEST])

    scores = [score for _, score in await library.index.semantic({"kb_1": EAST}, 10)]

    assert scores == pytest.approx([1.0, 0.5**0.5, 0.0])


async def test_each_knowledge_base_is_asked_by_its_own_vector(library: Library):
    await library.base("kb_1")
    await library.base("kb_2")
    await library.document("doc_1", ["flat"], [EAST])
    await library.document("doc_2", ["deep"], [[0.0, 0.0, 1.0]], kb_id="kb_2")

    found = await library.index.semantic({"kb_1": EAST, "kb_2": [0.0, 0.0, 2.0]}, 10)

    assert [score for _, score in found] == pytest.approx([1.0, 1.0])


async def test_a_vector_of_another_size_is_refused(library: Library):
    await library.base()
    await library.document("doc_1", ["east"], [EAST])

    with pytest.raises(ValueError, match="3 dimensions, the index 2"):
        await library.near([1.0, 0.0, 0.0])


@pytest.mark.parametrize("vectors", [[[1.0], EAST], [[float("nan"), 1.0]] * 2, [[], []], [EAST]])
async def test_embeddings_that_do_not_fit_leave_the_document_as_it_was(library: Library, vectors):
    await library.base()
    await library.document("doc_1", ["before"], [EAST])

    with pytest.raises(ValueError):
        await library.document("doc_1", ["one", "two"], vectors)

    assert await library.words("before") == ["before"]
    assert await library.words("one two") == []
    assert await library.near(EAST) == ["before"]


async def test_documents_that_come_and_go_between_searches_are_seen(library: Library):
    await library.base()
    for number in range(6):
        await library.document(f"doc_{number}", [f"text {number}"], [[1.0, number / 10]])
        assert len(await library.near(EAST, top_k=20)) == number + 1
    for number in range(6):
        await library.store.remove_document(PROJECT, "kb_1", f"doc_{number}")
        assert await library.near(EAST, top_k=20) == [f"text {left}" for left in range(number + 1, 6)]


async def test_a_document_that_is_indexed_again_answers_by_its_new_vectors(library: Library):
    await library.base()
    await library.document("doc_1", ["one"], [EAST])
    await library.document("doc_2", ["two"], [NORTH])
    assert await library.near(EAST, top_k=1) == ["one"]

    await library.document("doc_1", ["one"], [WEST])

    assert await library.near(EAST, top_k=1) == ["two"]


# Documents


async def test_indexing_again_replaces_and_keeps_the_ids(library: Library):
    await library.base()
    await library.document("doc_1", ["old words", "more"], [EAST, NORTH])
    before = await library.index.keyword(["kb_1"], ["old"], 10)

    await library.document("doc_1", ["new words"], [EAST])

    assert await library.words("old more") == []
    assert await library.words("new words") == ["new words"]
    assert await library.near(EAST) == ["new words"]
    assert [id for id, _ in await library.index.keyword(["kb_1"], ["new"], 10)] == [before[0][0]]


async def test_a_deleted_document_never_answers_again(library: Library):
    await library.base()
    await library.document("doc_1", ["gone"], [EAST])
    await library.document("doc_2", ["stays"], [NORTH])
    assert await library.near(EAST) == ["gone", "stays"]
    ids = [id for id, _ in await library.index.keyword(["kb_1"], ["gone"], 10)]

    await library.store.remove_document(PROJECT, "kb_1", "doc_1")

    assert await library.words("gone") == []
    assert await library.near(EAST) == ["stays"]
    assert await library.index.chunks(ids) == []


async def test_a_document_that_was_deleted_meanwhile_is_not_indexed(library: Library):
    await library.base()
    row = await library.document("doc_1", ["text"])
    await library.store.remove_document(PROJECT, "kb_1", "doc_1")

    assert not await library.store.index_document(row, 1, [NewChunk("text", 0)], None)

    assert await library.words("text") == []


async def test_a_deleted_document_never_answers_while_others_come(library: Library):
    await library.base()

    async def come(number: int) -> None:
        await library.document(f"doc_{number}", [f"text {number}"], [EAST])

    async def go(number: int) -> None:
        await come(number)
        await library.store.remove_document(PROJECT, "kb_1", f"doc_{number}")
        assert f"text {number}" not in await library.near(EAST, top_k=50)
        assert f"text {number}" not in await library.words("text", top_k=50)

    await asyncio.gather(*(go(n) if n % 2 else come(n) for n in range(20)))

    assert sorted(await library.near(EAST, top_k=50)) == sorted(f"text {n}" for n in range(0, 20, 2))


async def test_chunks_are_shown_with_their_place_and_their_document(library: Library):
    await library.base()
    row = await library.document("doc_1", [], metadata_json='{"year": 2024}')
    pieces = [NewChunk("text", 7, 10, 14, page=3, headings=("一", "二"))]
    await library.store.index_document(row, 1, pieces, None)

    [chunk] = await library.index.chunks([id for id, _ in await library.index.keyword(["kb_1"], ["text"], 1)])

    assert chunk[1:] == ("doc_1", "kb_1", "text", 7, 3, ("一", "二"), "doc_1.txt", {"year": 2024})


async def test_chunks_come_in_the_order_that_was_asked_for(library: Library):
    await library.base()
    await library.document("doc_1", ["text a", "text b", "text c"])
    ids = sorted(id for id, _ in await library.index.keyword(["kb_1"], ["text"], 10))

    chunks = await library.index.chunks([ids[2], "chunk_unknown", ids[0]])

    assert [chunk.content for chunk in chunks] == ["text c", "text a"]


# Knowledge bases


async def test_a_search_sees_only_the_knowledge_bases_it_names(library: Library):
    for kb_id in ("kb_1", "kb_2", "kb_12"):
        await library.base(kb_id)
        await library.document(f"doc_of_{kb_id}", [f"text of {kb_id}"], [EAST], kb_id=kb_id)

    assert await library.words("text", ["kb_1"]) == ["text of kb_1"]
    assert await library.near(EAST, ["kb_2"]) == ["text of kb_2"]
    assert sorted(await library.words("text", ["kb_1", "kb_12"])) == ["text of kb_1", "text of kb_12"]
    assert await library.words("text", ["kb_unknown"]) == []
    assert await library.words("text", []) == []


async def test_a_deleted_knowledge_base_never_answers_again(library: Library):
    await library.base()
    await library.document("doc_1", ["gone"], [EAST])
    assert await library.near(EAST) == ["gone"]

    await library.store.remove_base(PROJECT, "kb_1")
    await library.base()

    assert await library.words("gone") == []
    assert await library.near(EAST) == []


async def test_a_version_that_is_being_built_does_not_answer_yet(library: Library):
    await library.base(building_version=2)
    await library.document("doc_1", ["old cut"], [EAST])

    await library.document("doc_1", ["new", "cut"], [[0.0, 0.0, 1.0]] * 2, version=2)

    assert await library.words("old new cut") == ["old cut"]
    assert await library.near(EAST) == ["old cut"]


async def test_a_version_that_is_activated_answers_alone(library: Library):
    await library.base(building_version=2)
    await library.document("doc_1", ["old cut"], [EAST])
    await library.near(EAST)
    await library.document("doc_1", ["new", "cut"], [[0.0, 0.0, 1.0]] * 2, version=2)

    assert await library.store.activate("kb_1", 2)

    assert sorted(await library.words("old new cut")) == ["cut", "new"]
    assert sorted(await library.near([0.0, 0.0, 1.0])) == ["cut", "new"]


async def test_only_the_version_that_is_being_built_is_activated(library: Library):
    await library.base(building_version=3)
    await library.document("doc_1", ["text"])

    assert not await library.store.activate("kb_1", 2)

    assert await library.words("text") == ["text"]


# Filters


async def test_a_filter_leaves_the_documents_that_fit(library: Library):
    await library.base()
    for number, language in enumerate(("zh", "en")):
        said = f'{{"language": "{language}"}}'
        await library.document(f"doc_{number}", [f"text {language}"], [EAST], metadata_json=said)

    assert await library.words("text", filter={"language": "zh"}) == ["text zh"]
    assert await library.near(EAST, filter={"language": "en"}) == ["text en"]
    assert await library.words("text", filter={"language": "fr"}) == []
    assert await library.near(EAST, filter={"filename": "doc_0.txt"}) == ["text zh"]


async def test_what_a_filter_leaves_is_searched_to_the_end(library: Library):
    await library.base()
    await library.document("doc_1", ["apple pie"] * 300, [EAST] * 300)
    await library.document("doc_2", ["an apple among many other things"], [[1.0, 1.0]])

    assert await library.words("apple pie", filter={"doc_id": "doc_2"}) == [
        "an apple among many other things"
    ]
    assert await library.near(EAST, filter={"doc_id": "doc_2"}) == ["an apple among many other things"]


# Size


async def test_a_word_that_every_chunk_has_is_found(library: Library):
    await library.base()
    await library.document("doc_1", [f"common {n}" for n in range(200)])

    hits = await library.index.keyword(["kb_1"], query_tokens("common 77"), 5)

    assert len(hits) == 5
    assert (await library.index.chunks([hits[0][0]]))[0].content == "common 77"


async def test_a_very_long_query_is_answered(library: Library):
    await library.base()
    await library.document("doc_1", ["needle"])

    assert await library.words("needle " + " ".join(f"hay{n}" for n in range(20_000))) == ["needle"]
