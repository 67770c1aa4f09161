"""What a chat request says: its words, and their script."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from nexusai.providers.errors import ValidationError
from nexusai.providers.types import Message

__all__ = ["HAN", "is_text_only", "mostly_chinese", "pieces", "text_of"]

HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""The Chinese characters of the basic plane, for use inside a regex class."""

_HAN = re.compile(f"[{HAN}]")
_WORD = re.compile(rf"[^\W\d_{HAN}]+")
_PIECE = re.compile(rf"\s*(?:[{HAN}]{{1,2}}|[^\s{HAN}]+)|\s+")


def text_of(message: Message) -> str:
    """The words of a message; text parts are joined by line breaks. Raises `ValidationError`."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if not isinstance(content, (list, tuple)):
        raise ValidationError("messages: content must be text or a list of parts", provider="local")
    return "\n".join(part if isinstance(part, str) else _text_of_part(part) for part in content)


def _text_of_part(part: Any) -> str:
    text = part.get("text", "") if isinstance(part, Mapping) else None
    return text if isinstance(text, str) else ""


def is_text_only(message: Message) -> bool:
    """Whether no part of the message is an image, a sound or a file."""
    content = message.get("content")
    if not isinstance(content, (list, tuple)):
        return True
    return all(isinstance(part, str) or (isinstance(part, Mapping) and "text" in part) for part in content)


def mostly_chinese(text: str) -> bool:
    """Whether a reader would call `text` Chinese: a character of it carries about as much as a word."""
    if text.isascii():
        return False
    return len(_HAN.findall(text)) > len(_WORD.findall(text))


def pieces(text: str) -> Iterator[str]:
    """`text` as a model would stream it: words and pairs of Chinese characters; joined, the whole."""
    return (match.group() for match in _PIECE.finditer(text))
