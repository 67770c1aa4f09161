"""The task types: what each takes, and how it is done with a provider."""

from __future__ import annotations

from collections.abc import Mapping

from nexusai.server.tasks.kinds.embeddings import EMBEDDINGS
from nexusai.server.tasks.kinds.images import IMAGE_GENERATION
from nexusai.server.tasks.kinds.kind import Kind
from nexusai.server.tasks.kinds.moderation import MODERATION
from nexusai.server.tasks.kinds.speech import TEXT_TO_SPEECH
from nexusai.server.tasks.kinds.text import TEXT_GENERATION
from nexusai.server.tasks.kinds.transcription import SPEECH_TO_TEXT

__all__ = ["KINDS"]

KINDS: Mapping[str, Kind] = {
    kind.task_type: kind
    for kind in (
        TEXT_GENERATION,
        IMAGE_GENERATION,
        SPEECH_TO_TEXT,
        TEXT_TO_SPEECH,
        EMBEDDINGS,
        MODERATION,
    )
}
