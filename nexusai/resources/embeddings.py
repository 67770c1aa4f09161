"""Vectors of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from nexusai._internal._invoke import invoke_body, texts
from nexusai._internal._wait import apart
from nexusai.models import EmbeddingResponse
from nexusai.resources._resource import AsyncResource, SyncResource

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from nexusai.types import EmbeddingWaitOptions

__all__ = ["AsyncEmbeddings", "Embeddings"]


def _body(input: str | Sequence[str], options: Mapping[str, Any]) -> dict[str, Any]:
    return invoke_body("embeddings", {"texts": texts("input", input)}, options)


class Embeddings(SyncResource):
    """Vectors of texts."""

    def create(
        self, input: str | Sequence[str], **options: Unpack[EmbeddingWaitOptions]
    ) -> EmbeddingResponse:
        """Compute a vector for each text, a single `str` being one, and wait for them.

        Raises `TaskFailedError` when the provider refused or broke, and `TaskTimeoutError`.
        """
        call, config = apart(options)
        return cast(EmbeddingResponse, self._finish(_body(input, config), **call))


class AsyncEmbeddings(AsyncResource):
    """Vectors of texts."""

    async def create(
        self, input: str | Sequence[str], **options: Unpack[EmbeddingWaitOptions]
    ) -> EmbeddingResponse:
        """Compute a vector for each text, a single `str` being one, and wait for them.

        Raises `TaskFailedError` when the provider refused or broke, and `TaskTimeoutError`.
        """
        call, config = apart(options)
        return cast(EmbeddingResponse, await self._finish(_body(input, config), **call))
