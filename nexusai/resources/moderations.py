"""Verdicts on texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from nexusai._internal._invoke import invoke_body, texts
from nexusai._internal._wait import apart
from nexusai.models import ModerationResponse
from nexusai.resources._resource import AsyncResource, SyncResource

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from nexusai.types import InvokeWaitOptions

__all__ = ["AsyncModerations", "Moderations"]


def _body(input: str | Sequence[str], options: Mapping[str, Any]) -> dict[str, Any]:
    return invoke_body("moderation", {"texts": texts("input", input)}, options)


class Moderations(SyncResource):
    """Verdicts on texts."""

    def create(self, input: str | Sequence[str], **options: Unpack[InvokeWaitOptions]) -> ModerationResponse:
        """Look for what should not be in each text, a single `str` being one, and wait for the verdicts.

        Raises `TaskFailedError` when the provider refused or broke, and `TaskTimeoutError`.
        """
        call, config = apart(options)
        return cast(ModerationResponse, self._finish(_body(input, config), **call))


class AsyncModerations(AsyncResource):
    """Verdicts on texts."""

    async def create(
        self, input: str | Sequence[str], **options: Unpack[InvokeWaitOptions]
    ) -> ModerationResponse:
        """Look for what should not be in each text, a single `str` being one, and wait for the verdicts.

        Raises `TaskFailedError` when the provider refused or broke, and `TaskTimeoutError`.
        """
        call, config = apart(options)
        return cast(ModerationResponse, await self._finish(_body(input, config), **call))
