"""`nexusai serve`: the platform behind uvicorn, with a first key for the user who starts it."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from nexusai._internal._credentials import credentials_path, load, save
from nexusai.error import ConfigurationError
from nexusai.server.app import create_app
from nexusai.server.configuration import environment
from nexusai.server.observability.logs import Log, unhandled
from nexusai.server.platform import Platform
from nexusai.server.settings import Settings
from nexusai.server.transport import JoiningProtocol

__all__ = ["serve"]

logger: logging.Logger = logging.getLogger("nexusai.server")

BACKLOG = 2048
"""Connections that wait to be taken."""
LAST_WORDS = 2.0
"""Seconds in which requests that are cut off may tell so."""


def serve(settings: Settings, host: str, port: int) -> None:
    """Run until SIGINT or SIGTERM. Raises `ConfigurationError` when the platform cannot start."""
    os.umask(0o077)  # prompts and answers are this user's alone
    log = Log(sys.stderr, environment(), settings.log_level, settings.log_format)
    log.start()
    try:
        with _listen(host, port) as listener:
            _run(_Server(settings, listener, log))
    finally:
        log.stop()


def _run(server: _Server) -> None:
    if sys.platform == "win32":
        asyncio.run(server.run())
    else:
        import uvloop

        uvloop.run(server.run())


class _Server:
    def __init__(self, settings: Settings, listener: socket.socket, log: Log) -> None:
        self._platform = Platform(settings)
        self._log = log
        self._settings = settings
        self._listener = listener
        self._reloads: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        asyncio.get_running_loop().set_exception_handler(unhandled)
        await self._platform.open()
        self._platform.watched_by(self._log)
        try:
            self._heed_hangups()
            line = await self._introduce()
            config = uvicorn.Config(
                create_app(self._platform),
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                http=JoiningProtocol,
                lifespan="off",
                timeout_graceful_shutdown=int(self._settings.shutdown_grace) or 1,
                backlog=BACKLOG,
            )
            _outlive_signals()
            _look_for_garbage_seldom()
            await _Uvicorn(config, line, self._platform).serve(sockets=[self._listener])
        finally:
            await self._platform.close()

    def _heed_hangups(self) -> None:
        """SIGHUP reads the configuration again; from a terminal that was closed it ends the platform."""
        if sys.platform == "win32":
            return
        in_terminal = os.isatty(0)

        def hang_up() -> None:
            if in_terminal and not os.isatty(0):
                os.kill(os.getpid(), signal.SIGTERM)
                return
            reload = asyncio.ensure_future(self._reload())
            self._reloads.add(reload)
            reload.add_done_callback(self._reloads.discard)

        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hang_up)

    async def _reload(self) -> None:
        try:
            setup = await self._platform.reload()
        except Exception as error:
            unforeseen = None if isinstance(error, ConfigurationError) else error
            logger.error("the configuration stays as it was:\n%s", error, exc_info=unforeseen)
            return
        counts = len(setup.providers), len(setup.aliases), len(setup.named_routes)
        logger.info("the configuration was read again: providers %d, aliases %d, routes %d", *counts)

    async def _introduce(self) -> str:
        """The line that tells the address, with the key when one had to be made for this user."""
        host, port = self._listener.getsockname()[:2]
        address = f"http://{_reachable(host)}:{port}"
        try:
            key = await self._first_key(f"{address}/api/v1")
        except OSError as error:
            raise ConfigurationError(
                f"The key cannot be kept in {credentials_path()}: {error.strerror}. "
                "Name another folder with NEXUS_HOME."
            ) from None
        made = f"  key {key} (kept in {credentials_path()})" if key else ""
        return f"Nexus AI is listening on {address}{made}"

    async def _first_key(self, base_url: str) -> str | None:
        """See that this user's credentials open this platform; the key when it had to be made."""
        keys, path = self._platform.keys, credentials_path()
        chosen = self._settings.bootstrap_api_key
        if chosen is not None:
            save(path, base_url, await keys.create("bootstrap", chosen.get_secret_value()))
            return None
        for key in _kept_keys(load(path)):
            if await keys.is_known(key):
                save(path, base_url, key)
                return None
        key = await keys.create("first")
        save(path, base_url, key)
        return key


class _Uvicorn(uvicorn.Server):
    """Says a line once it answers. When it is told to stop, tasks and then requests share one grace: it
    hangs up only after those who wait for a task were answered, and those whom it cuts off were told.
    """

    def __init__(self, config: uvicorn.Config, line: str, platform: Platform) -> None:
        super().__init__(config)
        self.line = line
        self.platform = platform

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self.line, flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        begun = time.monotonic()
        await self.platform.drain()
        left = self.platform.settings.shutdown_grace - (time.monotonic() - begun)
        self.config.timeout_graceful_shutdown = max(1, round(left))
        await super().shutdown(sockets)
        if cut_off := set(self.server_state.tasks):
            await asyncio.wait(cut_off, timeout=LAST_WORDS)


def _kept_keys(credentials: dict[str, Any]) -> list[str]:
    """The keys in this user's credentials file, which may hold anything."""
    platforms = credentials.get("platforms")
    kept = platforms.values() if isinstance(platforms, dict) else ()
    keys = [platform.get("api_key") for platform in kept if isinstance(platform, dict)]
    return [key for key in keys if isinstance(key, str)]


def _reachable(host: str) -> str:
    """An address that a client on this machine can use."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - it is what was asked for
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


@contextmanager
def _listen(host: str, port: int) -> Iterator[socket.socket]:
    """A bound socket. Raises `ConfigurationError` when the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(BACKLOG)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "no such host"
            raise ConfigurationError(
                f"Cannot listen on {host}:{port}: {reason}. Choose another with --host or --port."
            ) from None
        except OverflowError:
            raise ConfigurationError(
                f"--port {port} is not a port: 0 to 65535, 0 for any free one."
            ) from None
        yield listener


def _outlive_signals() -> None:
    """uvicorn raises again the signal that stopped it; by then we are closing, and must not die of it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)


def _look_for_garbage_seldom() -> None:
    """What is loaded stays; little of the rest is in cycles, and to search it is a tenth of the work."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
