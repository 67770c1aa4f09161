"""Texts to vectors by a knowledge base's model: in batches, each text once, with patience."""

from __future__ import annotations

import asyncio
import hashlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from nexusai.providers.errors import AdapterError, ValidationError
from nexusai.providers.types import EmbeddingRequest
from nexusai.server.catalogue import Catalogue
from nexusai.server.http import Problem
from nexusai.server.knowledge.index import Vector
from nexusai.server.knowledge.store import KnowledgeStore

__all__ = ["Embeddings", "Spent"]

BATCH: Final = 64
"""Texts of one request; a vendor that refuses so many is sent half as many."""

TRIES: Final = 5
LONGEST_PAUSE: Final = 20.0


@dataclass(slots=True)
class Spent:
    """What embedding took."""

    tokens: int = 0
    amount: float = 0.0
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Embeds by a model that is named as `provider/model`."""

    catalogue: Catalogue
    store: KnowledgeStore
    pause: float = 0.5
    """Seconds before the second try; each further pause is twice as long."""
    calls: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(8))

    def model(self, wanted: str | None) -> str | None:
        """The full name of a model; of the first configured provider's when none is wanted, if there is one.

        The embedded provider's own is taken only by name: it knows likeness of wording, not of meaning.
        Raises a 400 `Problem` for a model that nobody has.
        """
        try:
            provider, model = self.catalogue.resolve("embeddings", None, wanted)
        except Problem as problem:
            if wanted is None:
                return None
            raise Problem.field(["embedding_model"], problem.detail) from None
        if len({name for _, name in self.catalogue.names.reach(provider, model)}) > 1:
            what = f"{model} leads to several models, whose vectors cannot be compared: name one of them"
            raise Problem.field(["embedding_model"], what)
        return None if wanted is None and provider == "local" else f"{provider}/{model}"

    async def query(self, model: str, text: str) -> Vector:
        return (await self._ask(model, [text], tries=2))[0]

    async def document(
        self,
        model: str,
        kb_id: str,
        doc_id: str,
        texts: Sequence[str],
        told: Callable[[float], object],
    ) -> tuple[list[Vector], Spent]:
        """A vector for each text; those of texts that the knowledge base had before are not asked for again.

        What arrives is kept at once. `told` hears which share of them there is, 0 to 1.
        """
        hashes = [hashlib.sha256(text.encode("utf-8", "replace")).hexdigest() for text in texts]
        known = await self._known(kb_id, model, list(dict.fromkeys(hashes)))
        missing = {hash: text for hash, text in zip(hashes, texts, strict=True) if hash not in known}
        wanted, size, spent = list(missing), BATCH, Spent()
        while wanted:
            batch = wanted[:size]
            try:
                vectors = await self._ask(model, [missing[hash] for hash in batch], TRIES, spent)
            except ValidationError:
                if len(batch) == 1:
                    raise
                size = len(batch) // 2
                continue
            new = {hash: _pack(vector) for hash, vector in zip(batch, vectors, strict=True)}
            await self.store.keep_vectors(kb_id, doc_id, model, new)
            known |= new
            wanted = wanted[len(batch) :]
            told(1 - len(wanted) / len(missing))
        return [_unpack(known[hash]) for hash in hashes], spent

    async def _known(self, kb_id: str, model: str, hashes: Sequence[str]) -> dict[str, bytes]:
        known: dict[str, bytes] = {}
        for start in range(0, len(hashes), 500):
            known |= await self.store.known_vectors(kb_id, model, hashes[start : start + 500])
        return known

    async def _ask(
        self, model: str, texts: Sequence[str], tries: int, spent: Spent | None = None
    ) -> Sequence[Vector]:
        name, _, model = model.partition("/")
        provider = self.catalogue.get(name, model)
        if provider is None:
            raise Problem("PROVIDER_ERROR", f"The provider {name!r} is no longer configured here.")
        pause = self.pause
        while True:
            tries -= 1
            try:
                async with self.calls:
                    response = await provider.embed(EmbeddingRequest(model=model, texts=texts))
                break
            except AdapterError as error:
                if not (error.retryable and tries):
                    raise
                await asyncio.sleep(min(error.retry_after or pause, LONGEST_PAUSE))
                pause *= 2
        if len(response.embeddings) != len(texts):
            got = len(response.embeddings)
            raise Problem("PROVIDER_ERROR", f"{name} answered {got} vectors for {len(texts)} texts.")
        if spent is not None:
            spent.tokens += response.usage.total_tokens if response.usage else 0
            if response.cost is not None:
                spent.amount, spent.currency = spent.amount + response.cost.amount, response.cost.currency
        return response.embeddings


def _pack(vector: Vector) -> bytes:
    return struct.pack(f"<{len(vector)}f", *vector)


def _unpack(data: bytes) -> Vector:
    return struct.unpack(f"<{len(data) // 4}f", data)
