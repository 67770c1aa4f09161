"""The words of chunks in SQLite's FTS5, as a table beside the schema that databases share.

It lies in the same file, so that its rows come and go in the transaction of the chunks. Each row has its
knowledge base and version as one token, which confines a query to what it may see.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from sqlalchemy import Connection, Select, column, table, text

from nexusai.server.db.words import index_tokens

__all__ = ["add", "candidates", "found_in", "prepare", "rarest", "remove", "total"]

MANY_ROWS = 1_500
"""Rows are time: in larger knowledge bases a chunk must have one of the query's rarer words, which are in so
many chunks together. The common words then only count for the rank."""
MOST_ROWS = 20_000
"""More are not looked at for a word that is common itself."""

Bases = Sequence[tuple[str, int]]
"""Ids of knowledge bases with their versions."""

_WORDS = text(
    "CREATE VIRTUAL TABLE IF NOT EXISTS chunk_words USING "
    "fts5(base, words, tokenize = 'unicode61 remove_diacritics 0')"
)
_TERMS = text("CREATE VIRTUAL TABLE IF NOT EXISTS chunk_terms USING fts5vocab(chunk_words, 'row')")
_FOUND_IN = text("SELECT term, doc FROM chunk_terms WHERE term IN (SELECT value FROM json_each(:tokens))")
_TOTAL = text("SELECT count(*) FROM chunk_words_docsize")
_CANDIDATES = text(
    "SELECT rowid FROM (SELECT rowid, rank FROM chunk_words WHERE chunk_words MATCH :match "
    "AND rank MATCH 'bm25(0.0, 1.0)' LIMIT :most) ORDER BY rank LIMIT :limit"
)
_CANDIDATES_OF = text(
    "SELECT rowid FROM (SELECT chunk_words.rowid, rank FROM chunk_words "
    "CROSS JOIN chunks ON chunks.number = chunk_words.rowid "
    "WHERE chunk_words MATCH :match AND rank MATCH 'bm25(0.0, 1.0)' "
    "AND chunks.doc_id IN (SELECT value FROM json_each(:documents)) LIMIT :most) ORDER BY rank LIMIT :limit"
)
_words = table("chunk_words", column("rowid"), column("base"), column("words"))


def prepare(connection: Connection) -> None:
    """Make the tables of words: they are the index's own, no part of the schema that databases share."""
    connection.execute(_WORDS)
    connection.execute(_TERMS)


def add(connection: Connection, kb_id: str, version: int, texts: Iterable[tuple[int, str]]) -> None:
    """The chunks' numbers, and what is in them; at least one."""
    base = _base(kb_id, version)
    rows = [{"rowid": number, "base": base, "words": " ".join(index_tokens(text))} for number, text in texts]
    connection.execute(_words.insert(), rows)


def remove(connection: Connection, numbers: Select[tuple[int]]) -> None:
    connection.execute(_words.delete().where(_words.c.rowid.in_(numbers)))


def total(connection: Connection) -> int:
    """How many chunks there are, of all knowledge bases."""
    return int(connection.execute(_TOTAL).scalar_one())


def found_in(connection: Connection, tokens: Sequence[str]) -> dict[str, int]:
    """In how many chunks each token is."""
    rows = connection.execute(_FOUND_IN, {"tokens": json.dumps(tokens)})
    found = {row.term: row.doc for row in rows}
    return {token: found.get(token, 0) for token in tokens}


def rarest(found_in: Mapping[str, int]) -> list[str]:
    """Rare words first, until they are in `MANY_ROWS` chunks together; at least one that is in any."""
    present = sorted((times, token) for token, times in found_in.items() if times)
    sums = accumulate(times for times, _ in present)
    return [
        token
        for place, (rows, (_, token)) in enumerate(zip(sums, present, strict=True))
        if place == 0 or rows <= MANY_ROWS
    ]


def candidates(
    connection: Connection,
    bases: Bases,
    found_in: Mapping[str, int],
    limit: int,
    allowed: set[str] | None = None,
) -> list[int]:
    """Numbers of the chunks that have most of the tokens, by FTS5's own rank; `allowed` are documents."""
    match = _match(connection, bases, found_in)
    if match is None:
        return []
    values: dict[str, Any] = {"match": match, "limit": limit, "most": MOST_ROWS}
    if allowed is None:
        return list(connection.execute(_CANDIDATES, values).scalars())
    values["documents"] = json.dumps(sorted(allowed))
    return list(connection.execute(_CANDIDATES_OF, values).scalars())


def _match(connection: Connection, bases: Bases, found: Mapping[str, int]) -> str | None:
    """The query in FTS5's language; None for one that finds nothing."""
    present = [token for token, times in found.items() if times]
    sizes = found_in(connection, [_base(kb_id, version) for kb_id, version in bases])
    if not present or not any(sizes.values()):
        return None
    match = f"base : {_any(sizes)} AND words : {_any(present)}"
    if sum(sizes.values()) <= MANY_ROWS:
        return match
    return f"{match} AND words : {_any(rarest(found))}"


def _any(tokens: Iterable[str]) -> str:
    return "(" + " OR ".join(f'"{token}"' for token in tokens) + ")"


def _base(kb_id: str, version: int) -> str:
    """A knowledge base in a version, as one token."""
    return f"{kb_id.replace('_', '')}v{version}"
