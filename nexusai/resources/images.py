"""Pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from nexusai._internal._flow import Flow
from nexusai._internal._invoke import invoke_body, words
from nexusai._internal._poller import TaskPoller
from nexusai.error import InvalidRequestError
from nexusai.models import AsyncImage, Fetch, Image, Task
from nexusai.resources._handle import AsyncTaskHandle, TaskHandle
from nexusai.resources._resource import AsyncResource, SyncResource

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from nexusai.types import ImageOptions

__all__ = ["AsyncImages", "Images"]

Picture = TypeVar("Picture", bound=Image)

_MOST_PER_TASK = 8


def _body(prompt: str, options: Mapping[str, Any]) -> dict[str, Any]:
    return invoke_body("image_generation", {"prompt": words("prompt", prompt)}, options)


def _many(poller: TaskPoller, prompt: str, n: int, options: Mapping[str, Any]) -> Flow[list[Task]]:
    """As many tasks as it takes, submitted before the first is waited for."""
    if n < 1:
        raise InvalidRequestError(f"n={n} asks for no picture: it is 1 or more.")
    tasks = []
    for made in range(0, n, _MOST_PER_TASK):
        count = {"num_images": min(n - made, _MOST_PER_TASK)}
        tasks.append((yield from poller.submit(_body(prompt, {**options, **count}))))
    finished = []
    for task in tasks:
        finished.append((yield from poller.wait(task)))
    return finished


def _pictures(kind: type[Picture], tasks: list[Task], fetch: Fetch) -> list[Picture]:
    outputs = [(task, output) for task in tasks for output in (task.output or {}).get("images") or [None]]
    return [kind.from_task(task, output).bound(fetch) for task, output in outputs]


class Images(SyncResource):
    """Image generation."""

    def generate(
        self, prompt: str, *, timeout: float | None = None, **options: Unpack[ImageOptions]
    ) -> Image:
        """Make a picture and wait for it, `timeout` seconds (the client's `poll_timeout` by default).

        Options beyond those of `ImageOptions` go to the provider as they are. Raises `TaskFailedError`
        when the provider refused or broke, and `TaskTimeoutError`.
        """
        return cast(Image, self._finish(_body(prompt, options), timeout))

    def generate_many(
        self, prompt: str, n: int, *, timeout: float | None = None, **options: Unpack[ImageOptions]
    ) -> list[Image]:
        """Make `n` pictures of one prompt and wait for all of them."""
        tasks = self._wait(_many(self._poller, prompt, n, options), timeout)
        return _pictures(Image, tasks, self._driver.fetch)

    def submit(
        self, prompt: str, *, timeout: float | None = None, **options: Unpack[ImageOptions]
    ) -> TaskHandle[Image]:
        """Start making a picture: returns once the platform has the task."""
        return self._submit(_body(prompt, options), timeout)


class AsyncImages(AsyncResource):
    """Image generation."""

    async def generate(
        self, prompt: str, *, timeout: float | None = None, **options: Unpack[ImageOptions]
    ) -> AsyncImage:
        """Make a picture and wait for it, `timeout` seconds (the client's `poll_timeout` by default).

        Options beyond those of `ImageOptions` go to the provider as they are. Raises `TaskFailedError`
        when the provider refused or broke, and `TaskTimeoutError`.
        """
        return cast(AsyncImage, await self._finish(_body(prompt, options), timeout))

    async def generate_many(
        self, prompt: str, n: int, *, timeout: float | None = None, **options: Unpack[ImageOptions]
    ) -> list[AsyncImage]:
        """Make `n` pictures of one prompt and wait for all of them."""
        tasks = await self._wait(_many(self._poller, prompt, n, options), timeout)
        return _pictures(AsyncImage, tasks, self._driver.fetch)

    async def submit(
        self, prompt: str, *, timeout: float | None = None, **options: Unpack[ImageOptions]
    ) -> AsyncTaskHandle[AsyncImage]:
        """Start making a picture: returns once the platform has the task."""
        return await self._submit(_body(prompt, options), timeout)
