"""What is computed of texts: vectors and verdicts."""

from __future__ import annotations

from pydantic import Field

from nexusai.models._answer import Answer
from nexusai.models._task import Result

__all__ = ["EmbeddingResponse", "ModerationResponse", "ModerationResult"]


class EmbeddingResponse(Result):
    """Vectors, one for each text, in the order of the texts."""

    embeddings: list[list[float]] = Field(description="The vectors.", repr=False)
    dimensions: int | None = Field(default=None, description="Numbers in each vector.")

    @property
    def embedding(self) -> list[float]:
        """The vector of the first text: of the only one, where a single `str` was given."""
        return self.embeddings[0]


class ModerationResult(Answer):
    """The verdict on one text."""

    flagged: bool = Field(description="Whether anything was found.")
    categories: dict[str, bool] = Field(default_factory=dict, description="What was looked for, and found.")
    category_scores: dict[str, float] = Field(
        default_factory=dict, description="How sure each of them is, 0 to 1.", repr=False
    )


class ModerationResponse(Result):
    """Verdicts, one for each text, in the order of the texts."""

    results: list[ModerationResult] = Field(description="The verdicts.")

    @property
    def flagged(self) -> bool:
        """Whether anything was found in any of the texts."""
        return any(result.flagged for result in self.results)
