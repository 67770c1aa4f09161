"""Pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from nexusai._internal._flow import Flow
from nexusai._internal._invoke import invoke_body, words
from nexusai._internal._poller import TaskPoller
from nexusai._internal._wait import apart
from nexusai.error import InvalidRequestError
from nexusai.models import AsyncImage, Fetch, Image, Linked, Task, pictures_of, result_of
from nexusai.resources._handle import AsyncTaskHandle, TaskHandle
from nexusai.resources._inputs import check_stored, stored
from nexusai.resources._resource import AsyncResource, SyncResource

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from nexusai.types import ImageInput, ImageOptions, ImageWaitOptions

__all__ = ["AsyncImages", "Images"]

Picture = TypeVar("Picture", bound=Linked)

_MOST_PER_TASK = 8


def _body(prompt: str, options: Mapping[str, Any], **input: Any) -> dict[str, Any]:
    return invoke_body("image_generation", {"prompt": words("prompt", prompt), **input}, options)


def _bodies(prompt: str, n: int, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """As many tasks as it takes."""
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"n is how many pictures, like 3, not {type(n).__name__}")
    if n < 1:
        raise InvalidRequestError(f"n={n} asks for no picture: it is 1 or more.")
    counts = [min(n - made, _MOST_PER_TASK) for made in range(0, n, _MOST_PER_TASK)]
    return [_body(prompt, {**options, "num_images": count}) for count in counts]


def _many(poller: TaskPoller, bodies: Sequence[Mapping[str, Any]], key: str | None) -> Flow[list[Task]]:
    tasks: list[Task] = []
    return (yield from poller.attend(tasks, _each(poller, bodies, tasks, key)))


def _each(
    poller: TaskPoller, bodies: Sequence[Mapping[str, Any]], tasks: list[Task], key: str | None
) -> Flow[list[Task]]:
    """All are submitted before the first is waited for; `tasks` has them as they are known."""
    for number, body in enumerate(bodies):
        tasks.append((yield from poller.submit(body, f"{key}-{number}" if key and number else key)))
    for number, task in enumerate(tasks):
        tasks[number] = yield from poller.complete(task)
    return tasks


class _Edit:
    """An edit, checked; its local files are uploaded when it is run."""

    def __init__(self, prompt: str, image: Any, mask: Any, options: Mapping[str, Any]) -> None:
        images = image if isinstance(image, list) else [image]
        if not images:
            raise InvalidRequestError("image is empty: give at least one picture to edit.")
        self._images = {f"image-{number}": one for number, one in enumerate(images)}
        self._mask = mask
        for one in images:
            check_stored("image", one)
        if mask is not None:
            check_stored("mask", mask)
        self._body = _body(prompt, options)

    def run(self, poller: TaskPoller, key: str | None) -> Flow[Task]:
        input = {**self._body["input"], "image_file_ids": []}
        for name, image in self._images.items():
            input["image_file_ids"].append((yield from stored(name, image, key)))
        if self._mask is not None:
            input["mask_file_id"] = yield from stored("mask", self._mask, key)
        return (yield from poller.finish({**self._body, "input": input}, key))


def _pictures(kind: type[Picture], tasks: list[Task], fetch: Fetch) -> list[Picture]:
    made = [(task, picture) for task in tasks for picture in pictures_of(task) or [{}]]
    return [kind.from_task(task, picture).bound(fetch) for task, picture in made]


class Images(SyncResource):
    """Image generation."""

    def generate(self, prompt: str, **options: Unpack[ImageWaitOptions]) -> Image:
        """Make a picture and wait for it, `timeout` seconds (the client's `poll_timeout` by default).

        Options beyond those of `ImageWaitOptions` go to the provider as they are. Raises `TaskFailedError`
        when the provider refused or broke, and `TaskTimeoutError`.
        """
        call, task = apart(options)
        return cast(Image, self._finish(_body(prompt, task), **call))

    def generate_many(self, prompt: str, n: int, **options: Unpack[ImageWaitOptions]) -> list[Image]:
        """Make `n` pictures of one prompt and wait for all of them."""
        call, task = apart(options)
        bodies, key = _bodies(prompt, n, task), call.pop("idempotency_key", None)
        tasks = self._attend(lambda poller: _many(poller, bodies, key), **call)
        return _pictures(Image, tasks, self._driver.fetch)

    def edit(
        self,
        prompt: str,
        *,
        image: ImageInput | Sequence[ImageInput],
        mask: ImageInput | None = None,
        **options: Unpack[ImageWaitOptions],
    ) -> Image:
        """Change a picture, or make one of a list of them, as the prompt says, and wait for it.

        What is no stored file yet is uploaded first. `mask` is a picture of the same size whose transparent
        part is where to change something. Raises what `generate` raises.
        """
        call, task = apart(options)
        edit, key = _Edit(prompt, image, mask, task), call.pop("idempotency_key", None)
        edited = self._attend(lambda poller: edit.run(poller, key), **call)
        return cast(Image, result_of(edited, self._driver.fetch))

    def submit(
        self, prompt: str, *, timeout: float | None = None, **options: Unpack[ImageOptions]
    ) -> TaskHandle[Image]:
        """Start making a picture: returns once the platform has the task."""
        call, task = apart(options, waits=False)
        return self._submit(_body(prompt, task), timeout, **call)


class AsyncImages(AsyncResource):
    """Image generation."""

    async def generate(self, prompt: str, **options: Unpack[ImageWaitOptions]) -> AsyncImage:
        """Make a picture and wait for it, `timeout` seconds (the client's `poll_timeout` by default).

        Options beyond those of `ImageWaitOptions` go to the provider as they are. Raises `TaskFailedError`
        when the provider refused or broke, and `TaskTimeoutError`.
        """
        call, task = apart(options)
        return cast(AsyncImage, await self._finish(_body(prompt, task), **call))

    async def generate_many(
        self, prompt: str, n: int, **options: Unpack[ImageWaitOptions]
    ) -> list[AsyncImage]:
        """Make `n` pictures of one prompt and wait for all of them."""
        call, task = apart(options)
        bodies, key = _bodies(prompt, n, task), call.pop("idempotency_key", None)
        tasks = await self._attend(lambda poller: _many(poller, bodies, key), **call)
        return _pictures(AsyncImage, tasks, self._driver.fetch)

    async def edit(
        self,
        prompt: str,
        *,
        image: ImageInput | Sequence[ImageInput],
        mask: ImageInput | None = None,
        **options: Unpack[ImageWaitOptions],
    ) -> AsyncImage:
        """Change a picture, or make one of a list of them, as the prompt says, and wait for it.

        What is no stored file yet is uploaded first. `mask` is a picture of the same size whose transparent
        part is where to change something. Raises what `generate` raises.
        """
        call, task = apart(options)
        edit, key = _Edit(prompt, image, mask, task), call.pop("idempotency_key", None)
        edited = await self._attend(lambda poller: edit.run(poller, key), **call)
        return cast(AsyncImage, result_of(edited, self._driver.fetch, asynchronous=True))

    async def submit(
        self, prompt: str, *, timeout: float | None = None, **options: Unpack[ImageOptions]
    ) -> AsyncTaskHandle[AsyncImage]:
        """Start making a picture: returns once the platform has the task."""
        call, task = apart(options, waits=False)
        return await self._submit(_body(prompt, task), timeout, **call)
