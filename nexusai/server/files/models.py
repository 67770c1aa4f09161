"""What a stored file is, and how it is shown."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from nexusai.server.clock import rfc3339

__all__ = ["USER_DATA", "Part", "Said", "StoredFile"]


USER_DATA: Final = "user_data"
"""The purpose of a file for which none was said."""


class StoredFile(NamedTuple):
    """A row of the table `files`; the bytes lie in the storage under its id."""

    id: str
    project: str
    filename: str
    content_type: str
    size: int
    sha256: str
    idempotency_key: str | None
    created_at: int
    purpose: str | None = None
    """What OpenAI's clients say it is for."""
    expires_at: int | None = None

    def show(self) -> dict[str, Any]:
        return {
            "file_id": self.id,
            "filename": self.filename,
            "content_type": self.content_type,
            "size": self.size,
            "sha256": self.sha256,
            "purpose": self.purpose,
            "created_at": rfc3339(self.created_at),
            "expires_at": None if self.expires_at is None else rfc3339(self.expires_at),
        }


class Said(NamedTuple):
    """What an uploader says of a file: what it is for, and in how many seconds it is to go."""

    purpose: str | None = None
    seconds: int | None = None


class Part(NamedTuple):
    """Some files of a project: those of a purpose (None: of any), after the id of one, in their order."""

    purpose: str | None
    after: str | None
    limit: int
    oldest_first: bool
