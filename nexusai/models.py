"""What the API answers.

Unknown fields are kept (`extra="allow"`), a missing one is `None`, and every date is aware. A repr is short
and shows neither what was asked nor the whole of what was answered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Generic, TypeVar, cast

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
)
from typing_extensions import Self, override

from nexusai.error import APIError, ConfigurationError

__all__ = [
    "AsyncImage",
    "AsyncTTSResponse",
    "Cost",
    "Delta",
    "Fetch",
    "File",
    "Image",
    "Media",
    "Page",
    "Result",
    "StreamChunk",
    "TTSResponse",
    "Task",
    "TaskFailure",
    "TaskPage",
    "TextResponse",
    "Usage",
    "result_of",
]

T = TypeVar("T")

_FINAL: Final = frozenset({"completed", "failed", "cancelled"})
_TWO_ZONES: Final = re.compile(r"([+-]\d\d:\d\d)Z$")

Fetch = Callable[[str, "Path | None"], Any]
"""Gets a URL's body: as bytes, or into the file that is named. The async client's is awaited."""


def _one_zone(value: object) -> object:
    return _TWO_ZONES.sub(r"\1", value) if isinstance(value, str) else value


def _aware(value: datetime) -> datetime:
    return value if value.tzinfo else value.replace(tzinfo=timezone.utc)


_OddDate = Annotated[datetime, BeforeValidator(_one_zone), AfterValidator(_aware)]
Date = Annotated[AwareDatetime | _OddDate, Field(union_mode="left_to_right")]
Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]
Count = Annotated[int, BeforeValidator(lambda value: 0 if value is None else value)]


class Answer(BaseModel):
    """Anything that the API answers."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow", protected_namespaces=())

    @override
    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if field.repr and value is not None and name in self.model_fields_set:
                yield name, f"{value[:40]}…" if isinstance(value, str) and len(value) > 60 else value


class Usage(Answer):
    """Tokens of one call."""

    prompt_tokens: Count = Field(default=0, description="Tokens that went in.")
    completion_tokens: Count = Field(default=0, description="Tokens that came out.")
    total_tokens: Count = Field(default=0, description="Both together.")
    cached_tokens: int | None = Field(default=None, description="How many of the prompt's came from a cache.")
    reasoning_tokens: int | None = Field(default=None, description="How many of the answer's were reasoning.")
    source: str | None = Field(
        default=None, description="Who counted: `provider`, `tokenizer` or `estimate`."
    )


class Cost(Answer):
    """Money."""

    amount: float = Field(description="In units of the currency.")
    currency: str = Field(default="USD", description="ISO 4217.")


class TaskFailure(Answer):
    """Why a task failed."""

    code: str | None = Field(default=None, description="One of `nexusai.error.CODES`.")
    message: Text = Field(default="", description="What happened, in words.")
    retryable: bool = Field(default=False, description="Whether the same task may succeed later.")
    errors: list[dict[str, Any]] | None = Field(
        default=None, description="`{loc, msg, type}` of each wrong field.", repr=False
    )


def _failure(value: object) -> object:
    return {"message": value} if isinstance(value, str) else value


class Task(Answer):
    """A piece of work on the platform."""

    task_id: str = Field(description="`task_…`")
    task_type: str | None = Field(default=None, description="For example `text_generation`.")
    status: str = Field(
        default="pending", description="pending, queued, running; completed, failed, cancelled."
    )
    progress: float | None = Field(default=None, description="0 to 100.")
    created_at: Date | None = Field(default=None, description="When it was accepted.", repr=False)
    started_at: Date | None = Field(default=None, description="When it began to run.", repr=False)
    finished_at: Date | None = Field(default=None, description="When it became final.", repr=False)
    output: dict[str, Any] | None = Field(
        default=None, description="What it made, once completed.", repr=False
    )
    error: Annotated[TaskFailure | None, BeforeValidator(_failure)] = Field(
        default=None, description="Why it failed, once failed."
    )
    attempts: int | None = Field(default=None, description="How often it was begun.", repr=False)
    provider: str | None = Field(default=None, description="Who runs it.")
    model: str | None = Field(default=None, description="The model that runs it.")
    usage: Usage | None = Field(default=None, description="Tokens used.", repr=False)
    cost: Cost | None = Field(default=None, description="What it cost.", repr=False)
    metadata: dict[str, Any] | None = Field(default=None, description="The caller's own labels.", repr=False)
    request_id: str | None = Field(default=None, description="The request that submitted it.", repr=False)
    idempotency_key: str | None = Field(
        default=None, description="The key that this client submitted it under.", repr=False
    )

    @property
    def id(self) -> str:
        return self.task_id

    @property
    def finished(self) -> bool:
        """Whether the status is final. A status that this version does not know is not."""
        return self.status in _FINAL


class Result(Answer):
    """What a task made, typed."""

    task_id: str | None = Field(default=None, description="The task that made it.")
    provider: str | None = Field(default=None, description="Who ran it, after routing and fallback.")
    model: str | None = Field(default=None, description="The model that was used.")
    usage: Usage | None = Field(default=None, description="Tokens used.")
    cost: Cost | None = Field(default=None, description="What it cost.")

    @classmethod
    def from_task(cls, task: Task, output: Mapping[str, Any] | None = None) -> Self:
        """The task's output, or one part of it. Raises `APIError` when it is not a result of this type."""
        facts = {name: getattr(task, name) for name in ("provider", "model", "usage", "cost")}
        known = {name: value for name, value in facts.items() if value is not None}
        try:
            return cls.model_validate({**known, **(output or task.output or {}), "task_id": task.task_id})
        except ValidationError as error:
            missing = ", ".join(".".join(map(str, fault["loc"])) for fault in error.errors())
            raise APIError(
                f"Task {task.task_id} is {task.status}, but has no {cls.__name__} as output: see {missing}.",
                request_id=task.request_id,
            ) from None


class TextResponse(Result):
    """A text; `str()` of it is the text alone."""

    text: Text = Field(default="", description="The answer.")
    finish_reason: str | None = Field(default=None, description="stop, length, tool_calls or content_filter.")
    tool_calls: list[dict[str, Any]] | None = Field(
        default=None, description="Tools to call, as the model asks.", repr=False
    )
    reasoning: str | None = Field(
        default=None, description="The model's reasoning, where it shows it.", repr=False
    )

    @override
    def __str__(self) -> str:
        return self.text


class Media(Result):
    """A result that is a file behind a signed link."""

    _link: ClassVar[str]
    _fetch: Fetch | None = PrivateAttr(default=None)

    file_id: str | None = Field(default=None, description="The stored file.")

    @property
    def url(self) -> str:
        """The signed link; good for a day, without a key."""
        return cast(str, getattr(self, self._link))

    def read(self) -> bytes:
        """The file's bytes."""
        return cast(bytes, self._get(None))

    def save(self, path: str | Path) -> Path:
        """Write the file to `path`, whole or not at all."""
        return cast(Path, self._get(Path(path)))

    def bound(self, fetch: Fetch) -> Self:
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


class AsyncMedia(Media):
    """The same from the async client: what reads is awaited."""

    @override
    async def read(self) -> bytes:  # type: ignore[override]
        """The file's bytes."""
        return cast(bytes, await self._get(None))

    @override
    async def save(self, path: str | Path) -> Path:  # type: ignore[override]
        """Write the file to `path`, whole or not at all."""
        return cast(Path, await self._get(Path(path)))


class Image(Media):
    """A picture."""

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
        first = next(iter(whole.get("images") or [{}]))
        return super().from_task(task, output or {**first, **whole})


class AsyncImage(AsyncMedia, Image):
    """A picture from the async client."""


class TTSResponse(Media):
    """Speech."""

    _link = "audio_url"

    audio_url: str = Field(description="A signed link, good for a day without a key.", repr=False)
    format: str | None = Field(default=None, description="`wav`, `mp3` …")
    duration: float | None = Field(default=None, description="Seconds.")


class AsyncTTSResponse(AsyncMedia, TTSResponse):
    """Speech from the async client."""


class File(Answer):
    """A stored file."""

    file_id: str = Field(description="`file_…`")
    filename: str | None = Field(default=None, description="The name that it was given.")
    content_type: str | None = Field(default=None, description="Its media type.")
    size: int | None = Field(default=None, description="Bytes.")
    sha256: str | None = Field(default=None, description="Of the content, in hexadecimal.", repr=False)
    created_at: Date | None = Field(default=None, description="When it was stored.", repr=False)

    @property
    def id(self) -> str:
        return self.file_id


class Page(Answer, Generic[T]):
    """One page of a list."""

    data: list[T] = Field(description="The rows.")
    has_more: bool = Field(default=False, description="Whether another page follows.")
    next_cursor: str | None = Field(default=None, description="What to pass as `cursor` for it.")


TaskPage = Page[Task]


class _Subscripted(Answer):
    def __getitem__(self, name: str) -> Any:
        try:
            return getattr(self, name)
        except AttributeError:
            raise KeyError(name) from None

    def get(self, name: str, default: Any = None) -> Any:
        value = getattr(self, name, None)
        return default if value is None else value


class Delta(_Subscripted):
    """What one chunk adds."""

    content: Text = Field(default="", description="Text.")
    reasoning_content: str | None = Field(default=None, description="Reasoning, where the model shows it.")
    tool_calls: list[dict[str, Any]] | None = Field(
        default=None, description="Pieces of tool calls, by `index`."
    )
    citations: list[dict[str, Any]] | None = Field(default=None, description="Sources of what was said.")


_NOTHING: Final = Delta()


class StreamChunk(_Subscripted):
    """A piece of an answer, also read as `chunk["delta"]["content"]`; `str()` of it is its text.

    The last one has no text but `finish_reason`, `usage` and `cost`.
    """

    delta: Delta = Field(default=_NOTHING, description="What this chunk adds.")
    finish_reason: str | None = Field(default=None, description="stop, length, tool_calls or content_filter.")
    usage: Usage | None = Field(default=None, description="Tokens of the whole answer.")
    cost: Cost | None = Field(default=None, description="What the whole answer cost.")

    @property
    def text(self) -> str:
        return self.delta.content

    @override
    def __str__(self) -> str:
        return self.delta.content


_RESULTS: Final[Mapping[str, tuple[type[Result], type[Result]]]] = {
    "text_generation": (TextResponse, TextResponse),
    "image_generation": (Image, AsyncImage),
    "text_to_speech": (TTSResponse, AsyncTTSResponse),
}
"""What each type of task makes: on the sync client, on the async one."""


def result_of(task: Task, fetch: Fetch, *, asynchronous: bool = False) -> Any:
    """The task's result in its own type; the task itself where its type has none here."""
    types = _RESULTS.get(task.task_type or "")
    if types is None:
        return task
    result = types[asynchronous].from_task(task)
    return result.bound(fetch) if isinstance(result, Media) else result
