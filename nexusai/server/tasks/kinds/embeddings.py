"""`embeddings`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from nexusai.providers.tokens import estimate_tokens
from nexusai.providers.types import EmbeddingRequest, Usage
from nexusai.server.tasks.kinds.kind import Job, Kind, NonEmpty, Output, origin, usage

__all__ = ["EMBEDDINGS", "EmbeddingConfig", "EmbeddingInput", "Texts"]

Texts = Annotated[list[NonEmpty], Meta(min_length=1, max_length=2048)]


class EmbeddingInput(Struct, forbid_unknown_fields=True, kw_only=True):
    texts: Texts


class EmbeddingConfig(Struct, kw_only=True):
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    cancel_on_disconnect: bool = False


async def embed(job: Job) -> Output:
    texts: list[str] = job.input.texts
    request = EmbeddingRequest(job.model, texts, job.config.dimensions, job.extra)
    response = await job.provider.embed(request)
    used = response.usage or Usage(sum(map(estimate_tokens, texts)), 0, source="estimate")
    output: Output = {
        "embeddings": response.embeddings,
        "dimensions": len(response.embeddings[0]),
        "usage": usage(used),
    }
    return output | origin(job, response)


EMBEDDINGS = Kind("embeddings", "embeddings", EmbeddingInput, EmbeddingConfig, embed)
