"""What a stored file is, and how it is shown."""

from __future__ import annotations

from typing import Any, NamedTuple

from nexusai.server.clock import rfc3339

__all__ = ["StoredFile"]


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

    def show(self) -> dict[str, Any]:
        return {
            "file_id": self.id,
            "filename": self.filename,
            "content_type": self.content_type,
            "size": self.size,
            "sha256": self.sha256,
            "created_at": rfc3339(self.created_at),
        }
