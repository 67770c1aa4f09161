"""Keys: made, changed, and asked for at every door."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ipaddress
import logging
import re
import secrets
from typing import Any, Final

import msgspec
from msgspec import UNSET, structs
from starlette.requests import Request

from nexusai.constants import KEY_PREFIX
from nexusai.server.clock import milliseconds, now_ms
from nexusai.server.http import RATE_HEADERS, USED_KEY, Problem, header, stopping
from nexusai.server.ids import new_id
from nexusai.server.keys.caller import Caller, current_caller
from nexusai.server.keys.guard import Guard
from nexusai.server.keys.models import (
    ALL_SCOPES,
    Budget,
    CreateKey,
    CreateProject,
    Key,
    Limits,
    Project,
    RateLimits,
    Scope,
    UpdateKey,
    UpdateProject,
    check_expiry,
)
from nexusai.server.keys.store import KeyStore
from nexusai.server.traffic import current_work

__all__ = ["DEFAULT_PROJECT", "KeyService", "from_here", "presented_key"]

logger: logging.Logger = logging.getLogger("nexusai.server.keys")

DEFAULT_PROJECT = "proj_default"
NOTE_EVERY: Final = 30.0
"""Seconds between two writes of when keys were last used."""
_REACH: Final = ("scopes", "rate_limits", "budget", "allowed_models", "expires_at", "logging")
_READING: Final = ("GET", "HEAD")
_SECOND_HAND: Final = (
    *(b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via", b"origin", b"referer", b"sec-fetch-site"),
)
_HERE: Final = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?", re.IGNORECASE)
"""Hosts that no name of a stranger's can lead a browser to."""
"""Headers of a request that another machine, or a page in a browser, sent through this one."""


class KeyService:
    """Knows a key by a MAC of it (keyed BLAKE2b, RFC 7693): without the secret a stolen table opens nothing.

    Looked up by digest: how long that takes says nothing about how much of a guessed key was right.
    """

    def __init__(self, store: KeyStore, guard: Guard, secret: bytes, *, anonymous: bool = False) -> None:
        self._store = store
        self._guard = guard
        self._secret = secret
        self._anonymous = anonymous
        self._keys: dict[bytes, Key] = {}
        self._callers: dict[str, Caller] = {}
        self._projects: dict[str, Project] = {}
        self._used: dict[str, int] = {}
        self._changing = asyncio.Lock()
        self._changes = 0
        """What was read before a change is not kept after it."""

    async def open(self) -> None:
        """See that there is a project to begin with, and know what may run at once."""
        if await self._store.find_project(DEFAULT_PROJECT) is None:
            await self._store.add_project(Project(DEFAULT_PROJECT, "default", "{}", now_ms()))
        for project in await self._store.projects(None, 1_000_000):
            self._learn(project)
        for key in await self._store.limited():
            self._guard.lanes.limit(key.id, key.limits.rate_limits.concurrent_tasks)
        self._noting = asyncio.create_task(self._note())

    async def close(self) -> None:
        """Note what is not noted yet."""
        self._noting.cancel()
        await asyncio.gather(self._noting, return_exceptions=True)
        await self.flush()

    async def _note(self) -> None:
        while True:
            await asyncio.sleep(NOTE_EVERY)
            try:
                await self.flush()
            except Exception as error:
                logger.warning("when keys were last used cannot be written: %s", error)

    async def flush(self) -> None:
        """Write down when keys were last used."""
        used, self._used = self._used, {}
        if used:
            await self._store.used(used)

    # At the door

    async def project(self, request: Request, scope: Scope | None = None) -> str:
        """The project of the request's key. Raises a 401, 403 or 429 `Problem`."""
        return (await self.admit(request, scope)).project.id

    async def admit(self, request: Request, scope: Scope | None = None) -> Caller:
        """Who asks, once it may: reading needs the scope `read` and all else `invoke`, unless `scope` says.

        Raises a 401, 403 or 429 `Problem`.
        """
        needed = scope or ("read" if request.scope["method"] in _READING else "invoke")
        caller = await self._caller(request)
        if caller.key is None and needed not in ("read", "invoke"):
            raise Problem("UNAUTHORIZED", f"This needs a key of the scope {needed!r}.")
        if caller.key is not None and needed not in caller.key.granted:
            has = caller.key.scopes.replace(" ", ", ")
            raise Problem("FORBIDDEN", f"This needs a key of the scope {needed!r}; this one has: {has}.")
        if self._guard.traffic.closing and needed == "invoke":
            raise stopping()
        current_caller.set(caller)
        work = current_work.get()
        if work is not None:
            work.project, work.key_id = caller.project.id, caller.key.id if caller.key is not None else None
        request.scope[RATE_HEADERS] = await self._guard.request(caller, counted=needed == "invoke")
        return caller

    async def _caller(self, request: Request) -> Caller:
        presented = presented_key(request)
        if presented is None:
            if self._anonymous and from_here(request):
                return await self.caller(DEFAULT_PROJECT, None)
            raise Problem("UNAUTHORIZED", "No key: send the header `Authorization: Bearer nxs_…`.")
        digest = self._digest(presented)
        key = self._keys.get(digest) or await self._find(digest)
        if key is None:
            raise Problem("UNAUTHORIZED", "This key is not known here.")
        now = now_ms()
        if key.disabled_at is not None:
            raise Problem("UNAUTHORIZED", "This key is disabled.")
        if key.expires_at is not None and key.expires_at <= now:
            raise Problem("UNAUTHORIZED", "This key has expired.")
        if digest != key.digest and (key.previous_until or 0) <= now:
            raise Problem("UNAUTHORIZED", "This key was rotated: use the new one.")
        self._used[key.id] = now
        return await self.caller(key.project, key.id)

    async def caller(self, project: str, key_id: str | None) -> Caller:
        """Who a stored task is done for."""
        name = key_id or project
        known = self._callers.get(name)
        if known is None:
            changes = self._changes
            key = await self._store.find(key_id) if key_id is not None else None
            known = Caller(await self._project(project), key)
            if changes == self._changes:
                self._callers[name] = known
        return known

    async def is_known(self, key: str) -> bool:
        return await self._find(self._digest(key)) is not None

    # Keys

    async def create(self, name: str, key: str | None = None) -> str:
        """Store a new key that may do everything, made here unless one is given; to be shown once."""
        secret = key or _new_secret()
        if await self._find(self._digest(secret)) is None:
            await self._store.add(self._made(name, DEFAULT_PROJECT, secret))
        return secret

    async def make(self, caller: Caller, asked: CreateKey, idempotency_key: str | None) -> dict[str, Any]:
        """A key with itself, which is shown here only. Raises a 403, 404 or 409 `Problem`.

        With an idempotency key the secret follows from it and from what is asked: it can be shown again to
        whoever did not get the first answer, and is stored nowhere.
        """
        project = asked.project or caller.project.id
        self._require_project(caller, project)
        if await self._store.find_project(project) is None:
            raise Problem("NOT_FOUND", f"There is no project {project!r}.")
        scopes = asked.scopes or ["invoke", "read"]
        self._require_scopes(caller, scopes)
        hashed = _hashed(asked) if idempotency_key else None
        secret = _new_secret() if hashed is None else self._derived(project, idempotency_key or "", hashed)
        key = structs.replace(
            self._made(asked.name, project, secret),
            idempotency_key=idempotency_key,
            request_hash=hashed,
            scopes=_joined(scopes),
            limits_json=_limits(asked.rate_limits, asked.budget),
            models_json=_json(asked.allowed_models),
            expires_at=milliseconds(asked.expires_at) if asked.expires_at else None,
            logging=asked.logging,
        )
        if not await self._store.add(key):
            earlier = await self._store.find_by_key(project, idempotency_key or "")
            if earlier is None or earlier.request_hash != hashed:
                raise Problem("CONFLICT", USED_KEY)
            return earlier.show(secret)
        self._keep(key)
        return key.show(secret)

    async def get(self, caller: Caller, key_id: str) -> Key:
        """A key of the caller's project; with the scope `platform` of any. Raises a 404 `Problem`."""
        key = await self._store.find(key_id)
        if key is None or not caller.reaches(key.project):
            raise Problem("NOT_FOUND", f"There is no key {key_id!r}.")
        return structs.replace(key, last_used_at=self._used.get(key.id, key.last_used_at))

    async def page(
        self, caller: Caller, project: str | None, cursor: str | None, limit: int
    ) -> tuple[list[Key], str | None]:
        """Keys, newest first: of the caller's project, or of another one for the scope `platform`."""
        if project is not None:
            self._require_project(caller, project)
        rows = await self._store.page(project or caller.project.id, cursor, limit + 1)
        more, rows = len(rows) > limit, rows[:limit]
        shown = [structs.replace(key, last_used_at=self._used.get(key.id, key.last_used_at)) for key in rows]
        return shown, rows[-1].id if more else None

    async def update(self, caller: Caller, key_id: str, asked: UpdateKey) -> Key:
        """Change what a key may do."""
        async with self._changing:
            return await self._update(caller, key_id, asked)

    async def _update(self, caller: Caller, key_id: str, asked: UpdateKey) -> Key:
        key = await self.get(caller, key_id)
        self._require_other(caller, key, asked)
        self._require_scopes(caller, key.scopes.split())
        fields: dict[str, Any] = {}
        if asked.name is not UNSET:
            fields["name"] = asked.name
        if asked.scopes is not UNSET:
            self._require_scopes(caller, asked.scopes)
            fields["scopes"] = _joined(asked.scopes)
        if asked.rate_limits is not UNSET or asked.budget is not UNSET:
            rate = key.limits.rate_limits if asked.rate_limits is UNSET else asked.rate_limits
            money = key.limits.budget if asked.budget is UNSET else asked.budget
            fields["limits_json"] = _limits(rate, money)
        if asked.allowed_models is not UNSET:
            fields["models_json"] = _json(asked.allowed_models)
        if asked.logging is not UNSET:
            fields["logging"] = asked.logging
        if asked.expires_at is not UNSET:
            try:
                check_expiry(asked.expires_at)
            except ValueError as error:
                raise Problem.field(["expires_at"], str(error)) from None
            fields["expires_at"] = milliseconds(asked.expires_at) if asked.expires_at else None
        if asked.is_active is not UNSET:
            self._keep_one_door(caller, key, asked.is_active)
            fields["disabled_at"] = None if asked.is_active else now_ms()
        return await self._changed(key, **fields)

    async def rotate(
        self, caller: Caller, key_id: str, grace_seconds: int, idempotency_key: str | None
    ) -> dict[str, Any]:
        """Give a key a new secret, shown here only; the old one opens for so many seconds more.

        Asked for again with the idempotency key of the last rotation, that one's secret is shown again.
        """
        async with self._changing:
            return await self._rotate(caller, key_id, grace_seconds, idempotency_key)

    async def _rotate(
        self, caller: Caller, key_id: str, grace_seconds: int, idempotency_key: str | None
    ) -> dict[str, Any]:
        key = await self.get(caller, key_id)
        self._require_scopes(caller, key.scopes.split())
        secret, now = _new_secret(), now_ms()
        if idempotency_key:
            asked = _hashed(grace_seconds)
            shown = self._derived(key.id, idempotency_key, asked + (key.previous_digest or b""))
            if self._digest(shown) == key.digest:
                return key.show(shown)
            secret = self._derived(key.id, idempotency_key, asked + key.digest)
        new = await self._changed(
            key,
            digest=self._digest(secret),
            hint=_hint(secret),
            previous_digest=key.digest,
            previous_until=now + grace_seconds * 1000,
        )
        return new.show(secret)

    async def disable(self, caller: Caller, key_id: str) -> Key:
        """Have a key open nothing any more."""
        return await self.update(caller, key_id, UpdateKey(is_active=False))

    # Projects

    async def make_project(self, asked: CreateProject, idempotency_key: str | None) -> Project:
        hashed = _hashed(asked) if idempotency_key else None
        limits = _limits(asked.rate_limits, asked.budget)
        project = Project(
            new_id("proj"), asked.name, limits, now_ms(), idempotency_key, hashed, asked.logging
        )
        if not await self._store.add_project(project):
            earlier = await self._store.find_project_by_key(idempotency_key or "")
            if earlier is None or earlier.request_hash != hashed:
                raise Problem("CONFLICT", USED_KEY)
            return earlier
        return self._learn(project)

    async def get_project(self, caller: Caller, project_id: str) -> Project:
        """Raises a 404 `Problem` for one that the caller does not reach."""
        project = await self._store.find_project(project_id) if caller.reaches(project_id) else None
        if project is None:
            raise Problem("NOT_FOUND", f"There is no project {project_id!r}.")
        return project

    async def page_projects(self, cursor: str | None, limit: int) -> tuple[list[Project], str | None]:
        rows = await self._store.projects(cursor, limit + 1)
        more, rows = len(rows) > limit, rows[:limit]
        return rows, rows[-1].id if more else None

    async def update_project(self, caller: Caller, project_id: str, asked: UpdateProject) -> Project:
        async with self._changing:
            return await self._update_project(caller, project_id, asked)

    async def _update_project(self, caller: Caller, project_id: str, asked: UpdateProject) -> Project:
        project = await self.get_project(caller, project_id)
        rate = project.limits.rate_limits if asked.rate_limits is UNSET else asked.rate_limits
        money = project.limits.budget if asked.budget is UNSET else asked.budget
        fields: dict[str, Any] = {"limits_json": _limits(rate, money)}
        if asked.name is not UNSET:
            fields["name"] = asked.name
        if asked.logging is not UNSET:
            fields["logging"] = asked.logging
        await self._store.change_project(project.id, **fields)
        self._changes += 1
        return self._learn(structs.replace(project, **fields))

    async def limited(self) -> list[tuple[str, Limits]]:
        """The ids of everything that has limits, with them."""
        keys = await self._store.limited()
        return [(key.id, key.limits) for key in keys] + [
            (project.id, project.limits) for project in self._projects.values()
        ]

    def _made(self, name: str, project: str, secret: str) -> Key:
        return Key(new_id("key"), project, name, self._digest(secret), _hint(secret), now_ms())

    async def _changed(self, key: Key, **fields: Any) -> Key:
        """The key as it is stored after the change."""
        if fields:
            await self._store.change(key.id, **fields)
        self._changes += 1
        self._forget(key)
        stored = await self._store.find(key.id)
        assert stored is not None  # noqa: S101 - keys are never deleted
        self._keep(stored)
        return stored

    async def _find(self, digest: bytes) -> Key | None:
        changes = self._changes
        key = await self._store.find_by_digest(digest)
        return self._keep(key) if changes == self._changes else key

    def _keep(self, key: Key | None) -> Key | None:
        if key is not None:
            self._keys[key.digest] = key
            if key.previous_digest is not None:
                self._keys[key.previous_digest] = key
            self._guard.lanes.limit(key.id, key.limits.rate_limits.concurrent_tasks)
        return key

    def _forget(self, key: Key) -> None:
        self._callers.pop(key.id, None)
        for digest in (key.digest, key.previous_digest):
            self._keys.pop(digest or b"", None)

    async def _project(self, project_id: str) -> Project:
        project = self._projects.get(project_id)
        if project is None:
            found = await self._store.find_project(project_id)
            project = self._learn(found or Project(project_id, project_id, "{}", 0))
        return project

    def _learn(self, project: Project) -> Project:
        self._projects[project.id] = project
        self._callers.clear()
        self._guard.lanes.limit(project.id, project.limits.rate_limits.concurrent_tasks)
        return project

    def _require_project(self, caller: Caller, project: str) -> None:
        if not caller.reaches(project):
            raise Problem("NOT_FOUND", f"There is no project {project!r}.")

    def _require_scopes(self, caller: Caller, scopes: list[Any]) -> None:
        """Nobody makes, or takes over, a key that reaches further than their own."""
        if "platform" in scopes and not (caller.key and "platform" in caller.key.granted):
            raise Problem("FORBIDDEN", "Only a key of the scope 'platform' can do this with another of it.")

    def _require_other(self, caller: Caller, key: Key, asked: UpdateKey) -> None:
        """A key does not widen itself; one that may make others is no prison, but leaves a trace."""
        own = caller.key is not None and caller.key.id == key.id
        changed = [name for name in _REACH if getattr(asked, name) is not UNSET]
        if own and changed and "platform" not in key.granted:
            raise Problem("FORBIDDEN", f"A key cannot change its own {changed[0]}: use another one for that.")

    def _keep_one_door(self, caller: Caller, key: Key, is_active: bool) -> None:
        if not is_active and caller.key is not None and caller.key.id == key.id:
            raise Problem("CONFLICT", "A key cannot disable itself: use another one for that.")

    def _derived(self, owner: str, idempotency_key: str, hashed: bytes) -> str:
        said = b"\0".join(
            (b"key", owner.encode(), idempotency_key.encode("utf-8", "surrogateescape"), hashed)
        )
        return KEY_PREFIX + base64.urlsafe_b64encode(self._mac(said)).decode().rstrip("=")

    def _mac(self, said: bytes) -> bytes:
        return hashlib.blake2b(said, key=self._secret, digest_size=32).digest()

    def _digest(self, key: str) -> bytes:
        return self._mac(key.encode("utf-8", "surrogateescape"))


def presented_key(request: Request) -> str | None:
    """The key that a request carries, if any. Raises a 401 `Problem` for a header that carries none."""
    authorization = header(request, b"authorization")
    if authorization is None:
        return header(request, b"x-api-key") or None  # as Anthropic's clients send it
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Problem("UNAUTHORIZED", "The Authorization header must read `Bearer nxs_…`.")
    return key.strip()


def from_here(request: Request) -> bool:
    """Whether a program on this machine asks, for itself."""
    client = request.scope.get("client")
    if client is None or any(header(request, name) is not None for name in _SECOND_HAND):
        return False
    if not _HERE.fullmatch(header(request, b"host") or ""):
        return False
    try:
        return ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return False


def _hashed(asked: Any) -> bytes:
    return hashlib.sha256(msgspec.json.encode(asked, order="sorted")).digest()


def _new_secret() -> str:
    return KEY_PREFIX + secrets.token_urlsafe(32)


def _hint(secret: str) -> str:
    return f"{secret[: len(KEY_PREFIX) + 4]}…"


def _joined(scopes: list[Any]) -> str:
    return " ".join(scope for scope in ALL_SCOPES if scope in scopes)


def _limits(rate_limits: RateLimits | None, budget: Budget | None) -> str:
    return Limits(rate_limits or RateLimits(), budget or Budget()).dump()


def _json(models: list[str] | None) -> str | None:
    return None if models is None else msgspec.json.encode(models).decode()
