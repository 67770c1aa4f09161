"""The project's keys; each of these calls needs one of the admin scope."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from nexusai._internal._dates import moment
from nexusai._internal._flow import Call, Flow, ask, at, create, given
from nexusai.models import Key, KeyPage
from nexusai.resources._resource import AsyncResource, Slice, SyncResource, by_cursor

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from nexusai.types import KeyChanges, KeyOptions

__all__ = ["AsyncKeys", "Keys"]


def _create(name: str, options: Mapping[str, Any]) -> Flow[Key]:
    expires_at: datetime | str | None = options.get("expires_at")
    fields = given(**{**options, "name": name, "expires_at": moment(expires_at)})
    return ask(create("/keys", json=fields), Key)


def _get(key_id: str) -> Flow[Key]:
    return ask(Call("GET", at("keys", key_id)), Key)


def _list(project: str | None, limit: int | None, cursor: str | None) -> Flow[KeyPage]:
    params = given(project=project, limit=limit, cursor=cursor)
    return ask(Call("GET", "/keys", params=params), KeyPage)


def _slice(project: str | None, limit: int | None, cursor: str | None) -> Flow[Slice[Key]]:
    return by_cursor(_list(project, limit, cursor))


def _update(key_id: str, changes: Mapping[str, Any]) -> Flow[Key]:
    expires_at: datetime | str | None = changes.get("expires_at")
    fields = given(**{**changes, "expires_at": moment(expires_at)})
    return ask(Call("PATCH", at("keys", key_id), json=fields), Key)


def _rotate(key_id: str, grace_seconds: int) -> Flow[Key]:
    body = {"grace_seconds": grace_seconds} if grace_seconds else None
    return ask(create(at("keys", key_id, "rotate"), json=body), Key)


def _disable(key_id: str) -> Flow[Key]:
    return ask(Call("POST", at("keys", key_id, "disable")), Key)


class Keys(SyncResource):
    """The project's keys. Every call here needs a key of the admin scope."""

    def create(self, name: str, **options: Unpack[KeyOptions]) -> Key:
        """Make a key. The answer's `api_key` is the key itself, shown this once: keep it."""
        return self._driver.run(_create(name, options))

    def get(self, key_id: str) -> Key:
        """What is known of a key. Raises `NotFoundError`."""
        return self._driver.run(_get(key_id))

    def list(
        self, *, project: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> KeyPage:
        """A page of keys, none with its `api_key`; `page.next_cursor` goes into `cursor` for the next.

        Those of another `project` are shown to a key of the scope `platform`.
        """
        return self._driver.run(_list(project, limit, cursor))

    def iter(self, *, project: str | None = None, limit: int | None = None) -> Generator[Key, None, None]:
        """All keys, page after page of `limit` as they are wanted."""
        return self._iterate(partial(_slice, project, limit))

    def update(self, key_id: str, **changes: Unpack[KeyChanges]) -> Key:
        """Change what is given and leave the rest. Raises `NotFoundError`."""
        return self._driver.run(_update(key_id, changes))

    def rotate(self, key_id: str, *, grace_seconds: int = 0) -> Key:
        """Give a key a new secret, shown this once as the answer's `api_key`.

        The old one opens for `grace_seconds` more, at most 30 days.
        """
        return self._driver.run(_rotate(key_id, grace_seconds))

    def disable(self, key_id: str) -> Key:
        """Have a key open nothing any more; `update(…, is_active=True)` undoes it. Raises `NotFoundError`."""
        return self._driver.run(_disable(key_id))


class AsyncKeys(AsyncResource):
    """The project's keys. Every call here needs a key of the admin scope."""

    async def create(self, name: str, **options: Unpack[KeyOptions]) -> Key:
        """Make a key. The answer's `api_key` is the key itself, shown this once: keep it."""
        return await self._driver.run(_create(name, options))

    async def get(self, key_id: str) -> Key:
        """What is known of a key. Raises `NotFoundError`."""
        return await self._driver.run(_get(key_id))

    async def list(
        self, *, project: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> KeyPage:
        """A page of keys, none with its `api_key`; `page.next_cursor` goes into `cursor` for the next.

        Those of another `project` are shown to a key of the scope `platform`.
        """
        return await self._driver.run(_list(project, limit, cursor))

    def iter(self, *, project: str | None = None, limit: int | None = None) -> AsyncGenerator[Key, None]:
        """All keys, page after page of `limit` as they are wanted."""
        return self._iterate(partial(_slice, project, limit))

    async def update(self, key_id: str, **changes: Unpack[KeyChanges]) -> Key:
        """Change what is given and leave the rest. Raises `NotFoundError`."""
        return await self._driver.run(_update(key_id, changes))

    async def rotate(self, key_id: str, *, grace_seconds: int = 0) -> Key:
        """Give a key a new secret, shown this once as the answer's `api_key`.

        The old one opens for `grace_seconds` more, at most 30 days.
        """
        return await self._driver.run(_rotate(key_id, grace_seconds))

    async def disable(self, key_id: str) -> Key:
        """Have a key open nothing any more; `update(…, is_active=True)` undoes it. Raises `NotFoundError`."""
        return await self._driver.run(_disable(key_id))
