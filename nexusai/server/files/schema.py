"""What the routes of files answer, for the published contract."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

__all__ = ["Deleted", "File", "FilePage", "Uploaded"]


class File(BaseModel):
    """A stored file."""

    file_id: str
    filename: str
    content_type: str
    size: int = Field(description="Bytes.")
    sha256: str
    purpose: str | None = Field(default=None, description="What an OpenAI client said that it is for.")
    created_at: datetime
    expires_at: datetime | None = Field(default=None, description="When it deletes itself.")


class Uploaded(File):
    message: str


class FilePage(BaseModel):
    """Files, newest first."""

    files: list[File]
    total: int
    page: int
    per_page: int


class Deleted(BaseModel):
    message: str
    deleted_count: int
