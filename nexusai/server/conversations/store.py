"""The table of conversations, and beside it in the same file the words that are in them (SQLite's FTS5)."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, and_, column, delete, literal_column, select, table, text

from nexusai.server.conversations.content import answer_in, redacted, said_in, shortened
from nexusai.server.conversations.log import Conversation
from nexusai.server.conversations.models import ConversationRow, Search
from nexusai.server.db.engine import Database
from nexusai.server.db.group_commit import GroupCommit, Write
from nexusai.server.db.schema import conversations
from nexusai.server.db.words import index_tokens, query_tokens

__all__ = ["ConversationStore", "row_of"]

logger: logging.Logger = logging.getLogger("nexusai.server.conversations")

Entry = tuple[ConversationRow, str]
"""A row and its words."""

_MAKE: Final = (
    "CREATE VIRTUAL TABLE IF NOT EXISTS conversation_words USING "
    "fts5(project, words, tokenize = 'unicode61 remove_diacritics 0')"
)
_INSERT: Final = (
    f"INSERT INTO conversations ({', '.join(ConversationRow._fields)}) "
    f"VALUES ({', '.join('?' * len(ConversationRow._fields))})"
)
_INSERT_WORDS: Final = "INSERT INTO conversation_words (rowid, project, words) VALUES (?, ?, ?)"
_COLUMNS: Final = [conversations.c[name] for name in ConversationRow._fields]
_LISTED: Final = [
    literal_column("NULL").label(each.name) if each.name in ("request", "answer") else each
    for each in _COLUMNS
]
_words = table("conversation_words", column("rowid"), column("project"), column("words"))


def _record(connection: sqlite3.Connection, batches: Sequence[Sequence[Entry]]) -> list[None]:
    connection.execute(_MAKE)
    for entries in batches:
        for row, words in entries:
            number = connection.execute(_INSERT, row).lastrowid
            if words:
                connection.execute(_INSERT_WORDS, (number, _token(row.project), words))
    return [None] * len(batches)


RECORD: Final[Write[Sequence[Entry], None]] = Write(_record, durable=False)


class ConversationStore:
    """Writes with the tasks' own writer: a second one would keep it waiting."""

    def __init__(self, database: Database, commits: GroupCommit) -> None:
        self._database = database
        self._commits = commits

    async def add(self, ended: Sequence[Conversation]) -> None:
        entries = await asyncio.to_thread(lambda: [_entry(conversation) for conversation in ended])
        await self._commits.submit(RECORD, entries)

    async def page(self, search: Search, before: int, limit: int) -> tuple[list[ConversationRow], int]:
        """Newest first, below a number unless that is 0; and the number of the last one."""
        query = select(*_LISTED, conversations.c.number).where(*_conditions(search))
        query = query.order_by(conversations.c.number.desc()).limit(limit)
        if before:
            query = query.where(conversations.c.number < before)
        values: dict[str, Any] = {}
        if search.q is not None:
            values["match"] = _match(search.project, search.q)
            matching = and_(_words.c.rowid == conversations.c.number, text("conversation_words MATCH :match"))
            query = query.join_from(_words, conversations, matching).order_by(None)
            query = query.order_by(_words.c.rowid.desc())

        def read(connection: Connection) -> Sequence[Any]:
            if search.q is not None:
                connection.execute(text(_MAKE))
            return connection.execute(query, values).all()

        rows = await self._database.run(read)
        return [ConversationRow(*row[:-1]) for row in rows], rows[-1][-1] if rows else 0

    async def find(self, conversation_id: str) -> ConversationRow | None:
        query = select(*_COLUMNS).where(conversations.c.id == conversation_id)
        row = await self._database.run(lambda connection: connection.execute(query).first())
        return ConversationRow(*row) if row else None

    async def delete(self, conversation_id: str) -> int:
        return await self._delete([conversations.c.id == conversation_id], 1)

    async def delete_some(self, search: Search, most: int) -> int:
        """Delete at most so many, and tell how many they were."""
        return await self._delete(_conditions(search), most)

    async def delete_before(self, moment: int, most: int) -> int:
        """Those of all projects."""
        return await self._delete([conversations.c.at < moment], most)

    async def _delete(self, conditions: Sequence[Any], most: int) -> int:
        """A row and its words leave together."""
        doomed = select(conversations.c.number).where(*conditions).limit(most)

        def work(connection: Connection) -> int:
            connection.execute(text(_MAKE))
            numbers = list(connection.execute(doomed).scalars())
            connection.execute(delete(_words).where(_words.c.rowid.in_(numbers)))
            connection.execute(delete(conversations).where(conversations.c.number.in_(numbers)))
            return len(numbers)

        return await self._database.run(work)


def row_of(conversation: Conversation) -> Entry:
    """A conversation as it is kept: its texts readable and of bounded length, and what was said in them."""
    row = conversation.row._replace(truncated=conversation.truncated)
    if not conversation.is_full:
        return row, ""
    asked = redacted(conversation.request) if conversation.request is not None else None
    answered = _answer(conversation)
    said = [shortened(said_in(part))[0] for part in (asked, answered) if part]
    request, longer = shortened(asked) if asked is not None else (None, False)
    answer, longest = shortened(answered)
    truncated = row.truncated or longer or longest
    words = " ".join(index_tokens("\n".join(said)))
    return row._replace(request=request, answer=answer, truncated=truncated), words


def _entry(conversation: Conversation) -> Entry:
    """What cannot be read is kept as facts alone: one odd text must not hold up all that come after it."""
    try:
        return row_of(conversation)
    except Exception as error:
        logger.warning("the text of a conversation cannot be kept: %s", type(error).__name__)
        return conversation.row._replace(truncated=True), ""


def _answer(conversation: Conversation) -> str:
    if not conversation.media_type.startswith(("application/json", "text/")):
        return f"[{conversation.media_type.partition(';')[0] or 'nothing'}, {conversation.answered} bytes]"
    text = redacted(b"".join(conversation.parts))
    return answer_in(text) if conversation.media_type.startswith("text/event-stream") else text


def _conditions(search: Search) -> list[Any]:
    wanted = {
        conversations.c.project: search.project,
        conversations.c.model: search.model,
        conversations.c.key_id: search.key_id,
        conversations.c.status: search.status,
    }
    conditions: list[Any] = [each == value for each, value in wanted.items() if value is not None]
    if search.since is not None:
        conditions.append(conversations.c.at >= search.since)
    if search.until is not None:
        conditions.append(conversations.c.at < search.until)
    return conditions


def _match(project: str, q: str) -> str:
    """In FTS5's language: all of the words, of one project."""
    words = " AND ".join(f'"{token}"' for token in query_tokens(q))
    return f'project : "{_token(project)}" AND words : ({words})'


def _token(project: str) -> str:
    """A project as one token."""
    return "".join(filter(str.isalnum, project))
