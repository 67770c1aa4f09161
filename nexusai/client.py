"""The clients: a driver with the resources hung on it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING

from nexusai._internal._client import AsyncDriver, SyncDriver
from nexusai._internal._pool import AsyncPool, SyncPool
from nexusai._internal._sources import read_config
from nexusai.resources.audio import AsyncAudio, Audio
from nexusai.resources.files import AsyncFiles, Files
from nexusai.resources.images import AsyncImages, Images
from nexusai.resources.tasks import AsyncTasks, Tasks
from nexusai.resources.text import AsyncText, Text

if TYPE_CHECKING:
    import httpx
    from typing_extensions import Self, Unpack

    from nexusai.types import ClientOptions

__all__ = ["AsyncNexusAIClient", "NexusAIClient"]


class NexusAIClient:
    """A platform, spoken to by one key. Safe to share between threads; its connections are pooled.

    What is not given comes from `NEXUS_…` in the environment, from `.env` in the working directory, from the
    file that `nexusai serve` leaves for this user, or is a default. An `http_client` is used as it is and
    never closed. Raises `AuthenticationError` without a key, `ConfigurationError` for a wrong setting.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
        poll_interval: float | None = None,
        poll_timeout: float | None = None,
        http_client: httpx.Client | None = None,
        default_headers: Mapping[str, str] | None = None,
    ) -> None:
        config = read_config(
            api_key=api_key,
            base_url=base_url,
            timeout=timeout,
            max_retries=max_retries,
            poll_interval=poll_interval,
            poll_timeout=poll_timeout,
        )
        self._driver = SyncDriver(config, SyncPool(http_client), default_headers)
        self._borrowed = False

    @cached_property
    def text(self) -> Text:
        return Text(self._driver)

    @cached_property
    def images(self) -> Images:
        return Images(self._driver)

    @cached_property
    def audio(self) -> Audio:
        return Audio(self._driver)

    @cached_property
    def files(self) -> Files:
        return Files(self._driver)

    @cached_property
    def tasks(self) -> Tasks:
        return Tasks(self._driver)

    def with_options(self, **options: Unpack[ClientOptions]) -> Self:
        """This client with some settings changed, on the same connections; closing it leaves them open."""
        client = object.__new__(type(self))
        client._driver = self._driver.changed(options)
        client._borrowed = True
        return client

    def close(self) -> None:
        """Close the connections, unless they are another's."""
        if not self._borrowed:
            self._driver.pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self._driver.config.base_url!r})"


class AsyncNexusAIClient:
    """A platform, spoken to by one key, with `await`.

    Connections belong to their event loop: use one `async with` in each (each `asyncio.run`), of this client
    or of a new one. Leaving it closes the running loop's connections and no other's.

    What is not given comes from `NEXUS_…` in the environment, from `.env` in the working directory, from the
    file that `nexusai serve` leaves for this user, or is a default. An `http_client` is used as it is and
    never closed. Raises `AuthenticationError` without a key, `ConfigurationError` for a wrong setting.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
        poll_interval: float | None = None,
        poll_timeout: float | None = None,
        http_client: httpx.AsyncClient | None = None,
        default_headers: Mapping[str, str] | None = None,
    ) -> None:
        config = read_config(
            api_key=api_key,
            base_url=base_url,
            timeout=timeout,
            max_retries=max_retries,
            poll_interval=poll_interval,
            poll_timeout=poll_timeout,
        )
        self._driver = AsyncDriver(config, AsyncPool(http_client), default_headers)
        self._borrowed = False

    @cached_property
    def text(self) -> AsyncText:
        return AsyncText(self._driver)

    @cached_property
    def images(self) -> AsyncImages:
        return AsyncImages(self._driver)

    @cached_property
    def audio(self) -> AsyncAudio:
        return AsyncAudio(self._driver)

    @cached_property
    def files(self) -> AsyncFiles:
        return AsyncFiles(self._driver)

    @cached_property
    def tasks(self) -> AsyncTasks:
        return AsyncTasks(self._driver)

    def with_options(self, **options: Unpack[ClientOptions]) -> Self:
        """This client with some settings changed, on the same connections; closing it leaves them open."""
        client = object.__new__(type(self))
        client._driver = self._driver.changed(options)
        client._borrowed = True
        return client

    async def aclose(self) -> None:
        """Close the running loop's connections, unless they are another's."""
        if not self._borrowed:
            await self._driver.pool.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self._driver.config.base_url!r})"
