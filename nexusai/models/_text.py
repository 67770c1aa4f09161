"""Texts, whole and in pieces."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field
from typing_extensions import override

from nexusai.models._answer import Cost, Subscripted, Text, Usage
from nexusai.models._task import Result

__all__ = ["Delta", "StreamChunk", "TextResponse"]


class TextResponse(Result):
    """A text; `str()` of it is the text alone."""

    text: Text = Field(default="", description="The answer.")
    finish_reason: str | None = Field(default=None, description="stop, length, tool_calls or content_filter.")
    tool_calls: list[dict[str, Any]] | None = Field(
        default=None, description="Tools to call, as the model asks.", repr=False
    )
    reasoning: str | None = Field(
        default=None, description="The model's reasoning, where it shows it.", repr=False
    )
    citations: list[dict[str, Any]] | None = Field(
        default=None, description="Sources of what was said.", repr=False
    )

    @override
    def __str__(self) -> str:
        return self.text


class Delta(Subscripted):
    """What one chunk adds."""

    content: Text = Field(default="", description="Text.")
    reasoning_content: str | None = Field(default=None, description="Reasoning, where the model shows it.")
    tool_calls: list[dict[str, Any]] | None = Field(
        default=None, description="Pieces of tool calls, by `index`."
    )
    citations: list[dict[str, Any]] | None = Field(default=None, description="Sources of what was said.")


_NOTHING: Final = Delta()


class StreamChunk(Subscripted):
    """A piece of an answer, also read as `chunk["delta"]["content"]`; `str()` of it is its text.

    The last one has no text but `finish_reason`, `usage` and `cost`.
    """

    delta: Delta = Field(default=_NOTHING, description="What this chunk adds.")
    finish_reason: str | None = Field(default=None, description="stop, length, tool_calls or content_filter.")
    usage: Usage | None = Field(default=None, description="Tokens of the whole answer.")
    cost: Cost | None = Field(default=None, description="What the whole answer cost.")

    @property
    def text(self) -> str:
        return self.delta.content

    @override
    def __str__(self) -> str:
        return self.delta.content
