"""The ways out of this machine, the same for every transport: proxies, and certificates that are trusted."""

from __future__ import annotations

import os
import select
import ssl
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi

from nexusai.providers.errors import AdapterError
from nexusai.providers.transport import HttpRequest

__all__ = ["Proxies", "news_of", "refused_certificate", "trusted"]

_OWN_CERTIFICATES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")


class Proxies:
    """The proxies that the environment names now: none to this very machine, nor to where NO_PROXY says."""

    def __init__(self) -> None:
        self._found = getproxies()

    def of(self, request: HttpRequest) -> str | None:
        """The proxy that a request goes through: its own, else the environment's. Raises `AdapterError`."""
        if not request.proxy and not self._found:
            return None
        proxy = request.proxy or self._named(urlsplit(request.url))
        return proxy and _checked(proxy)

    def _named(self, url: SplitResult) -> str | None:
        proxy = self._found.get(url.scheme) or self._found.get("all")
        host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
        if not proxy or _is_here(host) or proxy_bypass(f"{host}:{port}"):
            return None
        return proxy if "://" in proxy else f"http://{proxy}"


@lru_cache(32)
def trusted(ca_file: str | None) -> ssl.SSLContext:
    """What a certificate has to be signed by: the CAs of a file, else the system's and the usual ones.

    One for the process: each costs some 20 ms and a megabyte. Raises `AdapterError` for a file that is none.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        reason = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise AdapterError(f"ca_file {ca_file!r} cannot be read: {reason}", code="invalid_ca_file") from None
    if ca_file is None and not any(name in os.environ for name in _OWN_CERTIFICATES):
        context.load_verify_locations(certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context


def refused_certificate(error: BaseException | None) -> str | None:
    """Why a certificate was refused, where that is what went wrong."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError) and hasattr(error, "verify_message"):
            return error.verify_message
        error = error.__cause__ or error.__context__
    return None


def news_of(sock: Any) -> Callable[[], bool]:
    """What tells whether there is something to read, be it only that the other side has closed it."""
    if not hasattr(select, "poll"):  # Windows, where any number of sockets can be selected from
        return lambda: bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return lambda: bool(poll.poll(0))


def _is_here(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def _checked(proxy: str) -> str:
    parts = urlsplit(proxy)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise AdapterError(
            f"a proxy is reached by http here, not {parts.scheme or 'nothing'}: write http://host:port",
            code="invalid_proxy",
        )
    return proxy
