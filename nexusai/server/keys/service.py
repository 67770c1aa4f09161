"""Keys: made, and asked for at every door."""

from __future__ import annotations

import hashlib
import secrets

from starlette.requests import Request

from nexusai.constants import KEY_PREFIX
from nexusai.server.clock import now_ms
from nexusai.server.http import Problem, header
from nexusai.server.ids import new_id
from nexusai.server.keys.store import KeyStore, StoredKey

__all__ = ["DEFAULT_PROJECT", "KeyService"]

DEFAULT_PROJECT = "proj_default"


class KeyService:
    """Knows a key by a MAC of it (keyed BLAKE2b, RFC 7693): without the secret a stolen table opens nothing.

    Looked up by digest: how long that takes says nothing about how much of a guessed key was right.
    """

    def __init__(self, store: KeyStore, secret: bytes) -> None:
        self._store = store
        self._secret = secret
        self._projects: dict[bytes, str] = {}

    async def create(self, name: str, key: str | None = None) -> str:
        """Store a new key, made here unless one is given; the key, to be shown once."""
        key = key or KEY_PREFIX + secrets.token_urlsafe(32)
        digest = self._digest(key)
        if await self._store.find(digest) is None:
            hint = f"{key[: len(KEY_PREFIX) + 4]}…"
            await self._store.add(StoredKey(new_id("key"), DEFAULT_PROJECT, name, digest, hint, now_ms()))
        return key

    async def is_known(self, key: str) -> bool:
        return await self._project_of(key) is not None

    async def project(self, request: Request) -> str:
        """The project of the request's key. Raises a 401 `Problem`."""
        authorization = header(request, b"authorization")
        if authorization is None:
            raise Problem("UNAUTHORIZED", "No key: send the header `Authorization: Bearer nxs_…`.")
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise Problem("UNAUTHORIZED", "The Authorization header must read `Bearer nxs_…`.")
        project = await self._project_of(key.strip())
        if project is None:
            raise Problem("UNAUTHORIZED", "This key is not known here.")
        return project

    async def _project_of(self, key: str) -> str | None:
        digest = self._digest(key)
        project = self._projects.get(digest)
        if project is None:
            stored = await self._store.find(digest)
            if stored is None:
                return None
            project = self._projects[digest] = stored.project
        return project

    def _digest(self, key: str) -> bytes:
        presented = key.encode("utf-8", "surrogateescape")
        return hashlib.blake2b(presented, key=self._secret, digest_size=32).digest()
