"""Markdown by CommonMark, with tables; front matter gives the title."""

from __future__ import annotations

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

from nexusai.server.knowledge.parsing.content import Content, table
from nexusai.server.knowledge.parsing.models import Block, Limits

__all__ = ["read"]

_FRONT = re.compile(r"---\n(.*?\n)(---|\.\.\.)\n", re.S)
_TITLE = re.compile(r"^title:\s*[\"']?(.+?)[\"']?\s*$", re.M)
_QUOTE = re.compile(r"^ {0,3}> ?", re.M)
_HTML = re.compile(r"<!--.*?-->|<[^<>]+>", re.S)


def read(text: str, limits: Limits) -> Content:
    title = None
    if front := _FRONT.match(text):
        text = text[front.end() :]
        title = found[1] if (found := _TITLE.search(front[1])) else None
    return Content(_blocks(text), title=title)


def _blocks(text: str) -> Iterator[Block]:
    lines = text.split("\n")
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    for index, token in enumerate(tokens):
        if token.level == 0 and token.map is not None:
            source = "\n".join(lines[slice(*token.map)])
            yield from _block(token, tokens, index, source)


def _block(token: Token, tokens: list[Token], index: int, source: str) -> Iterator[Block]:
    if token.type == "heading_open":
        yield Block("heading", _plain(tokens[index + 1]), level=int(token.tag[1:]))
    elif token.type in ("fence", "code_block"):
        yield Block("code", token.content)
    elif token.type == "table_open":
        yield Block("table", table(_rows(tokens, index)))
    elif token.type in ("bullet_list_open", "ordered_list_open"):
        yield Block("list", source)
    elif token.type == "blockquote_open":
        yield Block("paragraph", _QUOTE.sub("", source))
    elif token.type == "html_block":
        yield Block("paragraph", _HTML.sub("", source))
    elif token.type == "paragraph_open":
        yield Block("paragraph", tokens[index + 1].content)


def _rows(tokens: list[Token], index: int) -> Iterator[list[str]]:
    row: list[str] = []
    for token in tokens[index:]:
        if token.type == "tr_open":
            row = []
        elif token.type == "inline":
            row.append(token.content)
        elif token.type == "tr_close":
            yield row
        elif token.type == "table_close":
            return


def _plain(inline: Token) -> str:
    return "".join(child.content or " " for child in inline.children or [] if child.type in _WORDS)


_WORDS = ("text", "code_inline", "softbreak")
