"""The clients: a driver with the resources hung on it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Generic, TypeVar

from nexusai._internal._client import AsyncDriver, SyncDriver
from nexusai._internal._pool import AsyncPool, SyncPool
from nexusai._internal._sources import read_config
from nexusai.resources.audio import AsyncAudio, Audio
from nexusai.resources.batches import AsyncBatches, Batches
from nexusai.resources.conversations import AsyncConversations, Conversations
from nexusai.resources.embeddings import AsyncEmbeddings, Embeddings
from nexusai.resources.files import AsyncFiles, Files
from nexusai.resources.images import AsyncImages, Images
from nexusai.resources.keys import AsyncKeys, Keys
from nexusai.resources.knowledge_bases import AsyncKnowledgeBases, KnowledgeBases
from nexusai.resources.models import AsyncModels, Models
from nexusai.resources.moderations import AsyncModerations, Moderations
from nexusai.resources.projects import AsyncProjects, Projects
from nexusai.resources.sessions import AsyncSessions, Sessions
from nexusai.resources.tasks import AsyncTasks, Tasks
from nexusai.resources.text import AsyncText, Text
from nexusai.resources.usage import AsyncUsageReports, UsageReports
from nexusai.resources.webhooks import AsyncWebhooks, Webhooks

if TYPE_CHECKING:
    import httpx
    from typing_extensions import Self, Unpack

    from nexusai.types import ClientOptions

__all__ = ["AsyncNexusAIClient", "NexusAIClient"]


D = TypeVar("D", SyncDriver, AsyncDriver)


class _Client(Generic[D]):
    """What both clients do at once."""

    _driver: D
    _borrowed = False

    def with_options(self, **options: Unpack[ClientOptions]) -> Self:
        """This client with some settings changed, on the same connections; closing it leaves them open."""
        client = object.__new__(type(self))
        client._driver = self._driver.changed(options)
        client._borrowed = True
        return client

    def __repr__(self) -> str:
        driver = getattr(self, "_driver", None)  # one whose construction failed has none
        place = "not made" if driver is None else f"base_url={driver.config.base_url!r}"
        return f"{type(self).__name__}({place})"


class NexusAIClient(_Client[SyncDriver]):
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
        webhook_secret: str | None = None,
    ) -> None:
        config = read_config(
            api_key=api_key,
            base_url=base_url,
            timeout=timeout,
            max_retries=max_retries,
            poll_interval=poll_interval,
            poll_timeout=poll_timeout,
            webhook_secret=webhook_secret,
        )
        self._driver = SyncDriver(config, SyncPool(http_client), default_headers)

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
    def embeddings(self) -> Embeddings:
        return Embeddings(self._driver)

    @cached_property
    def moderations(self) -> Moderations:
        return Moderations(self._driver)

    @cached_property
    def sessions(self) -> Sessions:
        return Sessions(self._driver)

    @cached_property
    def knowledge_bases(self) -> KnowledgeBases:
        return KnowledgeBases(self._driver)

    @cached_property
    def files(self) -> Files:
        return Files(self._driver)

    @cached_property
    def tasks(self) -> Tasks:
        return Tasks(self._driver)

    @cached_property
    def batches(self) -> Batches:
        return Batches(self._driver)

    @cached_property
    def webhooks(self) -> Webhooks:
        return Webhooks(self._driver)

    @cached_property
    def usage(self) -> UsageReports:
        return UsageReports(self._driver)

    @cached_property
    def conversations(self) -> Conversations:
        return Conversations(self._driver)

    @cached_property
    def models(self) -> Models:
        return Models(self._driver)

    @cached_property
    def keys(self) -> Keys:
        return Keys(self._driver)

    @cached_property
    def projects(self) -> Projects:
        return Projects(self._driver)

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


class AsyncNexusAIClient(_Client[AsyncDriver]):
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
        webhook_secret: str | None = None,
    ) -> None:
        config = read_config(
            api_key=api_key,
            base_url=base_url,
            timeout=timeout,
            max_retries=max_retries,
            poll_interval=poll_interval,
            poll_timeout=poll_timeout,
            webhook_secret=webhook_secret,
        )
        self._driver = AsyncDriver(config, AsyncPool(http_client), default_headers)

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
    def embeddings(self) -> AsyncEmbeddings:
        return AsyncEmbeddings(self._driver)

    @cached_property
    def moderations(self) -> AsyncModerations:
        return AsyncModerations(self._driver)

    @cached_property
    def sessions(self) -> AsyncSessions:
        return AsyncSessions(self._driver)

    @cached_property
    def knowledge_bases(self) -> AsyncKnowledgeBases:
        return AsyncKnowledgeBases(self._driver)

    @cached_property
    def files(self) -> AsyncFiles:
        return AsyncFiles(self._driver)

    @cached_property
    def tasks(self) -> AsyncTasks:
        return AsyncTasks(self._driver)

    @cached_property
    def batches(self) -> AsyncBatches:
        return AsyncBatches(self._driver)

    @cached_property
    def webhooks(self) -> AsyncWebhooks:
        return AsyncWebhooks(self._driver)

    @cached_property
    def usage(self) -> AsyncUsageReports:
        return AsyncUsageReports(self._driver)

    @cached_property
    def conversations(self) -> AsyncConversations:
        return AsyncConversations(self._driver)

    @cached_property
    def models(self) -> AsyncModels:
        return AsyncModels(self._driver)

    @cached_property
    def keys(self) -> AsyncKeys:
        return AsyncKeys(self._driver)

    @cached_property
    def projects(self) -> AsyncProjects:
        return AsyncProjects(self._driver)

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
