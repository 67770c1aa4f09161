"""How an endpoint is called: never at an address of this network, never on to another one."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Outcome", "Sender", "is_public"]

TIMEOUT: Final = 15.0
"""Seconds that an endpoint has to answer."""


class Outcome(NamedTuple):
    """What became of an attempt; `status` is None where there was no answer."""

    status: int | None
    error: str | None

    @property
    def good(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet's: not private, loopback, link-local or reserved.

    An IPv4 address inside an IPv6 one (mapped, 6to4, NAT64, Teredo) counts as what it leads to.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
        if ip in ipaddress.ip_network("64:ff9b::/96"):
            inner.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
        if not all(found.is_global for found in inner if found is not None):
            return False
    return ip.is_global and not ip.is_multicast


class Sender:
    """Calls endpoints. `allow_private` lets them be in this network, for tests and closed platforms."""

    def __init__(self, *, allow_private: bool = False) -> None:
        self._allow_private = allow_private
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, payload: bytes, headers: Mapping[str, str]) -> Outcome:
        import aiohttp

        try:
            self._refuse_literal(url)
            async with self._open().post(
                url,
                data=payload,
                headers={"content-type": "application/json", "user-agent": "nexusai-webhooks/1", **headers},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(TIMEOUT),
            ) as answer:
                error = None if 200 <= answer.status < 300 else f"answered {answer.status}"
                return Outcome(answer.status, error)
        except asyncio.TimeoutError:
            return Outcome(None, f"no answer within {TIMEOUT:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            reason = getattr(error, "os_error", None) or error
            return Outcome(None, f"{type(reason).__name__}: {reason}"[:300])

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _refuse_literal(self, url: str) -> None:
        """A host that is an address never meets the resolver."""
        from yarl import URL

        host = URL(url).host or ""
        try:
            public = is_public(host)
        except ValueError:  # a name
            return
        if not (public or self._allow_private):
            raise PermissionError(f"{host} is not an address of the internet")

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp
        from aiohttp.abc import AbstractResolver
        from aiohttp.resolver import ThreadedResolver

        allow_private = self._allow_private

        class PublicResolver(AbstractResolver):
            """What a name leads to is looked at where the connection is made from it: no later look-up."""

            def __init__(self) -> None:
                self._resolver = ThreadedResolver()

            async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> Any:
                found = await self._resolver.resolve(host, port, family)
                kept = [result for result in found if allow_private or is_public(result["host"])]
                if not kept:
                    raise OSError(f"{host} leads to no address of the internet")
                return kept

            async def close(self) -> None:
                await self._resolver.close()

        if self._session is None:
            connector = aiohttp.TCPConnector(resolver=PublicResolver(), use_dns_cache=False, limit=64)
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self._session
