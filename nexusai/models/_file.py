"""Stored files."""

from __future__ import annotations

from pydantic import Field

from nexusai.models._answer import Answer, Date, NumberedPage

__all__ = ["File", "FilePage"]


class File(Answer):
    """A stored file."""

    file_id: str = Field(description="`file_…`")
    filename: str | None = Field(default=None, description="The name that it was given.")
    content_type: str | None = Field(default=None, description="Its media type.")
    size: int | None = Field(default=None, description="Bytes.")
    sha256: str | None = Field(default=None, description="Of the content, in hexadecimal.", repr=False)
    purpose: str | None = Field(default=None, description="What an OpenAI client said it is for.", repr=False)
    created_at: Date | None = Field(default=None, description="When it was stored.", repr=False)
    expires_at: Date | None = Field(default=None, description="When it deletes itself.", repr=False)

    @property
    def id(self) -> str:
        return self.file_id


class FilePage(NumberedPage[File]):
    """One page of the files, newest first."""

    _rows = "files"

    files: list[File] = Field(description="The rows.")
