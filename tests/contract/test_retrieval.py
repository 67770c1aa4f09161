"""How well every index finds: figures over labelled questions, and the bars they must meet."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import pytest

from nexusai.providers.types import Capability, EmbeddingRequest, EmbeddingResponse
from nexusai.server.catalogue import Catalogue
from nexusai.server.knowledge.embedding import Embeddings
from nexusai.server.knowledge.finder import Finder
from nexusai.server.knowledge.models import SearchKnowledgeBases
from nexusai.server.knowledge.search import Mode
from tests.fixtures.chunk_indexes import INDEXES, PROJECT, Library
from tests.fixtures.retrieval import Figures, Question, figures, passages, questions
from tests.fixtures.retrieval.chinese import WORDS

DEPTH = 20
EACH = 3
"""Of the questions, each third is asked for the figures of fusion: they are many searches."""
WORD = re.compile(r"[a-z0-9]+|[^\W\s]")
PASSAGES = passages()
NUMBERS = {passage.id: number for number, passage in enumerate(PASSAGES)}
QUESTIONS = questions()
ANSWERS = {question.text: PASSAGES[NUMBERS[question.passage]].text for question in QUESTIONS}
MODEL = "meanings/one"


def direction(text: str) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    row = np.random.default_rng(seed).normal(size=32)
    return row / np.linalg.norm(row)


class Meanings:
    """A provider of vectors: a passage has its own, a question that of its answer and `noise` beside it."""

    name = "meanings"
    capabilities: frozenset[Capability] = frozenset({"embeddings"})
    noise = 0.0

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResponse:
        return EmbeddingResponse([self._vector(text).tolist() for text in request.texts], request.model)

    def _vector(self, text: str) -> np.ndarray:
        if text in ANSWERS:
            return direction(ANSWERS[text]) + self.noise * direction(text)
        return direction(text)


class Trial:
    """All passages in a knowledge base, and all questions asked of it."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._provider = Meanings()
        self._embeddings = Embeddings(Catalogue({"meanings": cast("Any", self._provider)}), library.store)
        self._finder = Finder(library.store, library.search, self._embeddings)
        self._ranks: dict[tuple[Mode, str, float], int | None] = {}

    async def fill(self) -> None:
        await self._library.base(embedding_model=MODEL, index_model=MODEL)
        texts = [passage.text for passage in PASSAGES]
        vectors, _ = await self._embeddings.document(MODEL, "kb_1", "doc_1", texts, lambda share: None)
        await self._library.document("doc_1", texts, vectors)

    async def figures(self, mode: Mode, asked: Sequence[Question], noise: float = 0.0) -> Figures:
        return figures([await self._rank(mode, question.text, noise) for question in asked])

    async def halves(self, noise: float) -> tuple[Figures, Figures, Figures]:
        """Words, meaning, and both."""
        asked = QUESTIONS[::EACH]
        words = await self.figures("keyword", asked)
        meaning = await self.figures("semantic", asked, noise)
        return words, meaning, await self.figures("hybrid", asked, noise)

    async def _rank(self, mode: Mode, question: str, noise: float) -> int | None:
        asked = mode, question, noise
        if asked not in self._ranks:
            self._provider.noise = noise
            found = await self.found(mode, question)
            self._ranks[asked] = found.index(ANSWERS[question]) + 1 if ANSWERS[question] in found else None
        return self._ranks[asked]

    async def found(self, mode: Mode, query: str) -> list[str]:
        asked = SearchKnowledgeBases(query=query, knowledge_base_ids=["kb_1"], top_k=DEPTH, mode=mode)
        answer = await self._finder.search(PROJECT, asked)
        assert answer.mode == mode
        return [hit.content for hit in answer.hits]


@pytest.fixture(scope="module", params=[INDEXES["sqlite"]], ids=["sqlite"])
def trial(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    with request.param(tmp_path_factory.mktemp("index")) as library:
        trial = Trial(library)
        asyncio.run(trial.fill())
        yield trial


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Callable[[str, Figures], None]:
    def tell(what: str, measured: Figures) -> None:
        with capsys.disabled():
            shown = "  ".join(f"{name} {value:.3f}" for name, value in measured._asdict().items())
            print(f"\n{what:>22}  {shown}", end="")

    return tell


def test_the_set_is_large_and_half_chinese():
    asked = Counter(question.language for question in QUESTIONS)
    told = Counter(passage.language for passage in PASSAGES)

    assert len(NUMBERS) == len({passage.text for passage in PASSAGES}) == len(PASSAGES) >= 500
    assert len(ANSWERS) == len(QUESTIONS) >= 200
    assert min(asked.values()) / len(QUESTIONS) > 0.4
    assert min(told.values()) / len(PASSAGES) > 0.4


def test_no_question_is_a_copy_of_its_passage():
    for question in QUESTIONS:
        passage = " ".join(WORD.findall(ANSWERS[question.text].lower()))
        words = WORD.findall(question.text.lower())
        length = 10 if question.language == "zh" else 6
        runs = [" ".join(words[at : at + length]) for at in range(max(1, len(words) - length + 1))]
        assert not any(run in passage for run in runs), question


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_words_alone_find_the_passage_among_the_first_five(
    trial: Trial, language: str, report: Callable[[str, Figures], None]
):
    asked = [question for question in QUESTIONS if question.language == language]
    result = await trial.figures("keyword", asked)
    report(f"words, {language}", result)
    assert result.recall_at_5 >= 0.95


@pytest.mark.parametrize("word", WORDS)
async def test_a_chinese_word_of_two_characters_is_found(trial: Trial, word: str):
    first = (await trial.found("keyword", word))[0]
    assert word in first
    assert WORDS[word] in first


@pytest.mark.parametrize("noise", [0.5, 1.25, 2.0])
async def test_both_together_are_never_worse_than_the_better_half(
    trial: Trial, noise: float, report: Callable[[str, Figures], None]
):
    words, meaning, both = await trial.halves(noise)
    for what, result in (("words", words), ("meaning", meaning), ("both", both)):
        report(f"noise {noise}, {what}", result)
    assert all(value >= max(halves) for value, *halves in zip(both, words, meaning, strict=True))


async def test_a_half_that_finds_next_to_nothing_costs_little(
    trial: Trial, report: Callable[[str, Figures], None]
):
    words, meaning, both = await trial.halves(3.0)
    report("noise 3.0, meaning", meaning)
    report("noise 3.0, both", both)
    assert meaning.hit_at_1 < 0.2
    assert both.hit_at_1 >= words.hit_at_1
    assert both.recall_at_5 >= words.recall_at_5 - 0.02
    assert both.mrr >= words.mrr
