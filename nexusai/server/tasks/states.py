"""What a task may be, and what may become of it."""

from __future__ import annotations

from typing import Final, Literal

__all__ = ["FINAL", "OPEN", "STATUSES", "Status"]

Status = Literal["pending", "queued", "running", "completed", "failed", "cancelled"]

OPEN: Final = ("queued", "running")
FINAL: Final = ("completed", "failed", "cancelled")
"""A task in one of these never changes again."""

STATUSES: Final = ("pending", *OPEN, *FINAL)
