"""Pictures and sounds that a caller gives: as files of the platform, and as parts of a message."""

from __future__ import annotations

import base64
import mimetypes
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nexusai._internal._flow import Flow, Reply, create
from nexusai.error import InvalidRequestError
from nexusai.models import File
from nexusai.resources.files import upload_of

__all__ = ["MOST_INLINE", "check_stored", "stored", "with_pictures"]

MOST_INLINE = 20 * 1024 * 1024
"""Bytes of local pictures in one request: in base64 they are less than the 32 MiB that a platform takes."""

_FILE_ID = re.compile("file_[A-Za-z0-9_-]+")
_LINK = re.compile("(https?|data):", re.IGNORECASE)
_BEGINNINGS = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
)


def check_stored(name: str, file: Any) -> None:
    """Raises, before anything is sent, for what `stored` cannot make a file of."""
    if _is_link(file):
        raise InvalidRequestError(f"{name} is a path, bytes, an open file or a file's id, and no URL.")
    if _file_id(file) is None:
        upload_of(file)


def stored(name: str, file: Any, key: str | None) -> Flow[str]:
    """The id of a file on the platform: the one that was given, or that of the upload of what was given.

    `key` is the idempotency key of the whole call, if it has one.
    """
    file_id = _file_id(file)
    if file_id is not None:
        return file_id
    headers = {} if key is None else {"Idempotency-Key": f"{key}-{name}"}
    reply: Reply = yield create("/files", headers=headers, upload=upload_of(file))
    return reply.parse(File).file_id


def _file_id(file: Any) -> str | None:
    if isinstance(file, File):
        return file.file_id
    return file if isinstance(file, str) and _FILE_ID.fullmatch(file) else None


def _is_link(file: Any) -> bool:
    return isinstance(file, str) and _LINK.match(file) is not None


def with_pictures(messages: Sequence[Mapping[str, Any]], pictures: Any) -> list[Mapping[str, Any]]:
    """The messages, with pictures added to what the user said last; local ones are read here.

    Raises `InvalidRequestError` for what is no picture, for too much, and when the user said nothing.
    """
    if not isinstance(pictures, Sequence) or isinstance(pictures, (str, bytes, bytearray, memoryview)):
        raise TypeError(f'images is a list, like images=["photo.png"], not {type(pictures).__name__}')
    last = max((n for n, one in enumerate(messages) if one.get("role") == "user"), default=None)
    if last is None:
        raise InvalidRequestError("images belong to a message of the user: messages has none.")
    content = messages[last].get("content") or []
    said = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    seen = {**messages[last], "content": [*said, *_parts(pictures)]}
    return [*messages[:last], seen, *messages[last + 1 :]]


def _parts(pictures: Sequence[Any]) -> list[dict[str, Any]]:
    left = MOST_INLINE
    parts: list[dict[str, Any]] = []
    for number, picture in enumerate(pictures):
        name = f"images[{number}]"
        file_id = _file_id(picture)
        if file_id is not None:
            parts.append({"type": "file_id", "file_id": file_id})
        elif _is_link(picture):
            parts.append({"type": "image_url", "image_url": {"url": picture}})
        else:
            data, media_type = _read(name, picture, left)
            left -= len(data)
            uri = f"data:{media_type};base64,{base64.b64encode(data).decode()}"
            parts.append({"type": "image_url", "image_url": {"url": uri}})
    return parts


def _read(name: str, picture: Any, most: int) -> tuple[bytes, str]:
    """The bytes of a local picture and their media type; of a larger one no more than that is read."""
    upload = upload_of(picture)
    content = upload.content
    if isinstance(content, Path):
        with content.open("rb") as file:
            data = file.read(most + 1)
    else:
        data = content if isinstance(content, bytes) else content.read(most + 1)
    if len(data) > most:
        raise InvalidRequestError(
            f"{name} is too large: all images of one call have {MOST_INLINE >> 20} MiB at most. "
            "client.files.upload(…) stores it, and its file_id goes in its place."
        )
    return data, upload.content_type or _media_type(name, data, upload.name)


def _media_type(name: str, data: bytes, title: str) -> str:
    known = next((kind for beginning, kind in _BEGINNINGS if beginning.match(data)), None)
    guessed = known or mimetypes.guess_type(title)[0] or ""
    if not guessed.startswith("image/"):
        raise InvalidRequestError(f"{name} is no picture that is known here: it is a PNG, JPEG, GIF or WebP.")
    return guessed
