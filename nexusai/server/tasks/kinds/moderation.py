"""`moderation`."""

from __future__ import annotations

from msgspec import Struct

from nexusai.providers.types import ModerationRequest
from nexusai.server.tasks.kinds.embeddings import Texts
from nexusai.server.tasks.kinds.kind import Job, Kind, Output, origin

__all__ = ["MODERATION", "ModerationConfig", "ModerationInput"]


class ModerationInput(Struct, forbid_unknown_fields=True, kw_only=True):
    texts: Texts


class ModerationConfig(Struct, kw_only=True):
    cancel_on_disconnect: bool = False


async def moderate(job: Job) -> Output:
    response = await job.provider.moderate(ModerationRequest(job.model, job.input.texts, job.extra))
    results = [
        {
            "flagged": judgement.flagged,
            "categories": judgement.categories,
            "category_scores": judgement.category_scores,
        }
        for judgement in response.results
    ]
    return {"results": results} | origin(job, response)


MODERATION = Kind("moderation", "moderation", ModerationInput, ModerationConfig, moderate)
