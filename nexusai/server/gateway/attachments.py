"""Files of ours in the messages of a chat: put in place of their ids, for providers that never saw them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

from nexusai.server.files.service import FileService
from nexusai.server.http import too_large

__all__ = ["with_files"]

_OURS: Final = re.compile(rb'"file_[0-9a-f]{32}"')
_OUR_ID: Final = re.compile(r"file_[0-9a-f]{32}")

Part = dict[str, Any]


async def with_files(body: bytes, project: str, files: FileService, most: int) -> bytes:
    """The body with the project's files in it. Raises a 404 `Problem` for one that it has not, and a 413 one
    where they are of more than `most` bytes: a short body can name a large file many times.

    A body without ids of ours passes as it is, and so do ids of files that a vendor keeps.
    """
    lists = body.find(b"[")
    if body.find(b"[", lists + 1) < 0 or not _OURS.search(body):  # a list of messages without one of parts
        return body
    try:
        whole = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body  # what is wrong with it is said where it is read
    found = list(_parts(whole.get("messages"))) if isinstance(whole, dict) else []
    uris: dict[str, str] = {}
    size = 0
    for part, file_id in found:
        file = await files.get(project, file_id)
        size += file.size
        if size > most:
            raise too_large("content of the files", most)
        if file_id not in uris:
            uris[file_id] = await files.data_uri(project, file_id)
        _put(part, uris[file_id], file.filename)
    return orjson.dumps(whole) if found else body


def _parts(messages: Any) -> Iterator[tuple[Part, str]]:
    """The parts of messages that name a file of ours, in the ways of all the APIs."""
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict) and (file_id := _id_in(part)) is not None:
                yield part, file_id


def _id_in(part: Part) -> str | None:
    for facts in (part.get("source"), part.get(str(part.get("type"))), part):
        file_id = facts.get("file_id") if isinstance(facts, dict) else None
        if isinstance(file_id, str) and _OUR_ID.fullmatch(file_id):
            return file_id
    return None


def _put(part: Part, uri: str, filename: str) -> None:
    """Make of a part one that has the file in it; what else it says stays."""
    media_type, _, data = uri.removeprefix("data:").partition(";base64,")
    kind = part.pop("type", None)
    if "source" in part:  # Anthropic's
        part.update(type=kind, source={"type": "base64", "media_type": media_type, "data": data})
        return
    part.pop("file_id", None)
    facts = part.pop(str(kind), None)
    told = (
        {name: value for name, value in facts.items() if name != "file_id"} if isinstance(facts, dict) else {}
    )
    if media_type.startswith("image/"):
        part.update(type="image_url", image_url={**told, "url": uri})
    else:
        part.update(type="file", file={"filename": filename, **told, "file_data": uri})
