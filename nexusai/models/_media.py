"""Pictures and sounds: results that are files behind signed links, and what was heard in one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from pydantic import Field, PrivateAttr
from typing_extensions import Self, override

from nexusai.error import ConfigurationError
from nexusai.models._answer import Answer, Text
from nexusai.models._task import Result, Task

if TYPE_CHECKING:
    from PIL import Image as Pillow

__all__ = [
    "AsyncImage",
    "AsyncTTSResponse",
    "Fetch",
    "Image",
    "Linked",
    "Segment",
    "TTSResponse",
    "TranscriptionResponse",
    "pictures_of",
]

Fetch = Callable[[str, "Path | None"], Any]
"""Gets a URL's body: as bytes, or into the file that is named. The async client's is awaited."""


class Linked(Result):
    """A result that is a file behind a signed link."""

    _link: ClassVar[str]
    _fetch: Fetch | None = PrivateAttr(default=None)

    file_id: str | None = Field(default=None, description="The stored file.")

    @property
    def url(self) -> str:
        """The signed link; good for a day, without a key."""
        return cast(str, getattr(self, self._link))

    def bound(self, fetch: Fetch) -> Self:
        """The same, and `fetch` is what gets its bytes from now on."""
        self._fetch = fetch
        return self

    def _get(self, path: Path | None) -> Any:
        if self._fetch is None:
            way = f"client.files.download({self.file_id!r})" if self.file_id else "its url, without a key,"
            raise ConfigurationError(f"This {type(self).__name__} is of no client: {way} has its bytes.")
        return self._fetch(self.url, path)

    @override
    def __getstate__(self) -> dict[Any, Any]:
        return {**super().__getstate__(), "__pydantic_private__": {"_fetch": None}}


class _Media(Linked):
    """What the sync client's results do."""

    def read(self) -> bytes:
        """The file's bytes."""
        return cast(bytes, self._get(None))

    def save(self, path: str | Path) -> Path:
        """Write the file to `path`, whole or not at all."""
        return cast(Path, self._get(Path(path)))


class _AsyncMedia(Linked):
    """What the async client's results do."""

    async def read(self) -> bytes:
        """The file's bytes."""
        return cast(bytes, await self._get(None))

    async def save(self, path: str | Path) -> Path:
        """Write the file to `path`, whole or not at all."""
        return cast(Path, await self._get(Path(path)))


def pictures_of(task: Task) -> list[Mapping[str, Any]]:
    """The pictures that a task made, as its output lists them."""
    listed = (task.output or {}).get("images")
    pictures = listed if isinstance(listed, list) else []
    return [picture for picture in pictures if isinstance(picture, Mapping)]


class _Picture(Linked):
    _link = "image_url"

    image_url: str = Field(description="A signed link, good for a day without a key.", repr=False)
    width: int | None = Field(default=None, description="Pixels.")
    height: int | None = Field(default=None, description="Pixels.")
    index: int | None = Field(default=None, description="Which of several, from 0.")
    revised_prompt: str | None = Field(
        default=None, description="The prompt that the model used.", repr=False
    )

    @classmethod
    @override
    def from_task(cls, task: Task, output: Mapping[str, Any] | None = None) -> Self:
        """The task's picture, the first where it made several; or the one of them that is given."""
        whole = task.output or {}
        first = next(iter(pictures_of(task)), {})
        return super().from_task(task, output or {**first, **whole})


class Image(_Media, _Picture):
    """A picture."""

    def to_pil(self) -> Pillow.Image:
        """The picture as Pillow's. Raises `ConfigurationError` where Pillow is not installed."""
        _need_pillow()
        return _opened(self.read())


class AsyncImage(_AsyncMedia, _Picture):
    """A picture from the async client."""

    async def to_pil(self) -> Pillow.Image:
        """The picture as Pillow's. Raises `ConfigurationError` where Pillow is not installed."""
        _need_pillow()
        return _opened(await self.read())


def _need_pillow() -> None:
    try:
        import PIL.Image  # noqa: F401 - before anything is fetched
    except ImportError:
        raise ConfigurationError(
            "to_pil needs Pillow, which is not installed: `pip install pillow`, or use read() or save(path)."
        ) from None


def _opened(data: bytes) -> Pillow.Image:
    import PIL.Image

    image = PIL.Image.open(BytesIO(data))
    image.load()
    return image


class _Speech(Linked):
    _link = "audio_url"

    audio_url: str = Field(description="A signed link, good for a day without a key.", repr=False)
    format: str | None = Field(default=None, description="`wav`, `mp3` …")
    duration: float | None = Field(default=None, description="Seconds.")


class TTSResponse(_Media, _Speech):
    """Speech."""


class AsyncTTSResponse(_AsyncMedia, _Speech):
    """Speech from the async client."""


class Segment(Answer):
    """A part of what was said."""

    start: float | None = Field(default=None, description="Seconds from the beginning.")
    end: float | None = Field(default=None, description="Seconds from the beginning.")
    text: Text = Field(default="", description="What was said in it.")


class TranscriptionResponse(Result):
    """What was said in a sound; `str()` of it is the text alone."""

    text: Text = Field(description="What was said.")
    language: str | None = Field(default=None, description="The language that was spoken.")
    duration: float | None = Field(default=None, description="Seconds.")
    segments: list[Segment] | None = Field(
        default=None, description="Its parts with their times, where they were asked for.", repr=False
    )

    @override
    def __str__(self) -> str:
        return self.text
