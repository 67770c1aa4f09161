"""The state of conversations: the platform keeps it, whichever provider answers their turns."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import orjson

from nexusai.server.clock import now_ms
from nexusai.server.http import Problem, too_large
from nexusai.server.responses.models import History, Item, ResponseRow
from nexusai.server.responses.store import Kept, ResponseStore

__all__ = ["ResponseService"]

logger: logging.Logger = logging.getLogger("nexusai.server.responses")

DAY: Final = 24 * 3600 * 1000
MOST_REFERENCES: Final = 1000


class ResponseService:
    """`days` is how long a response is kept after the last turn of its conversation: 0 keeps none."""

    def __init__(self, store: ResponseStore, days: int, most_bytes: int) -> None:
        self.keeps: bool = days > 0
        self._store = store
        self._days = days
        self._most = most_bytes

    async def history(self, project: str, previous_id: str | None) -> History:
        """What was said up to a response. Raises a 400, 404 or 413 `Problem`."""
        if previous_id is None:
            return History()
        turns = await self._store.conversation(project, previous_id, self._most, now_ms())
        if turns is None:
            raise too_large("conversation", self._most)
        lost = previous_id if not turns else turns[0].previous_id
        if lost is not None:
            raise _missing(lost, ["previous_response_id"], "Previous response")
        if turns[-1].status == "failed":
            raise Problem.field(
                ["previous_response_id"], "this response failed: go on from the one before it"
            )
        return History([item for turn in turns for item in turn.items], [turn.id for turn in turns])

    async def resolved(self, project: str, items: Sequence[Item], history: History) -> list[Item]:
        """The items, with what they refer to in place of each reference. Raises a 404 `Problem`."""
        wanted = [str(item.get("id")) for item in items if item.get("type") == "item_reference"]
        if not wanted:
            return list(items)
        if len(wanted) > MOST_REFERENCES:
            raise Problem.field(["input"], f"refers to more than {MOST_REFERENCES} items")
        known = {item["id"]: item for item in history.items if "id" in item}
        if not known.keys() >= set(wanted):
            found = await self._store.items(project, wanted, self._most, now_ms())
            if found is None:
                raise too_large("conversations that are referred to", self._most)
            known |= found
        if lost := next((each for each in wanted if each not in known), None):
            raise _missing(lost, ["input"], "Item")
        if sum(len(orjson.dumps(known[each])) for each in wanted) > self._most:
            raise too_large("input", self._most)
        return [
            known[str(item.get("id"))] if item.get("type") == "item_reference" else item for item in items
        ]

    async def keep(
        self,
        project: str,
        key_id: str | None,
        response: Mapping[str, Any],
        items: bytes,
        earlier: Sequence[str],
    ) -> bool:
        """Keep a response and the items that were asked with it: False when the database does not take it.

        That is no reason to lose an answer which is there, and paid for.
        """
        now, answered = now_ms(), orjson.dumps(response)
        row = ResponseRow(
            id=response["id"],
            project=project,
            key_id=key_id,
            previous_id=response["previous_response_id"],
            model=str(response["model"]),
            status=str(response.get("status") or "completed"),
            created_at=now,
            expires_at=now + self._days * DAY,
            size=len(items) + len(answered),
            input_json=items.decode(),
            response_json=answered.decode(),
        )
        item_ids = [item["id"] for item in response.get("output") or () if isinstance(item.get("id"), str)]
        try:
            await self._store.add(Kept(row, item_ids, earlier))
        except Exception as error:
            logger.error("response %s is not kept: %s", row.id, error)
            return False
        return True

    async def get(self, project: str, response_id: str) -> str:
        """The response as JSON. Raises a 404 `Problem`."""
        return (await self._find(project, response_id)).response_json

    async def input_items(
        self, project: str, response_id: str, after: str | None, limit: int, newest_first: bool
    ) -> tuple[list[Item], bool]:
        """Some of what the model was asked with, and whether there is more. Raises a 400 or 404 `Problem`."""
        row = await self._find(project, response_id)
        items = orjson.loads(row.input_json)
        with suppress(Problem):  # what came before may be deleted by now
            items = [*(await self.history(project, row.previous_id)).items, *items]
        if newest_first:
            items.reverse()
        start = 0
        if after is not None:
            places = [place for place, item in enumerate(items) if item.get("id") == after]
            if not places:
                raise Problem.field(["after"], "is the id of an item in this list")
            start = places[0] + 1
        return items[start : start + limit], len(items) > start + limit

    async def delete(self, project: str, response_id: str) -> None:
        """Raises a 404 `Problem`."""
        if not await self._store.delete(project, response_id, now_ms()):
            raise _missing(response_id)

    async def _find(self, project: str, response_id: str) -> ResponseRow:
        row = await self._store.find(project, response_id, now_ms())
        if row is None:
            raise _missing(response_id)
        return row


def _missing(name: str, loc: Sequence[str] = (), what: str = "Response") -> Problem:
    errors = [{"loc": list(loc), "msg": "not found", "type": "value_error"}] if loc else []
    return Problem("NOT_FOUND", f"{what} with id '{name[:100]}' not found.", errors=errors)
