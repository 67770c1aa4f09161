"""What every answer has in common.

Unknown fields are kept (`extra="allow"`), a missing one is `None`, and every date is aware. A repr is short
and shows neither what was asked nor the whole of what was answered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Annotated, Any, ClassVar, Final, Generic, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from typing_extensions import override

__all__ = ["Answer", "Cost", "Count", "Date", "NumberedPage", "Page", "Rows", "Subscripted", "Text", "Usage"]

T = TypeVar("T")

_TWO_ZONES: Final = re.compile(r"([+-]\d\d:\d\d)Z$")


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
    estimated: bool | None = Field(
        default=None, description="Whether it rests on estimated tokens or prices.", repr=False
    )


class Rows(Answer, Generic[T]):
    """One page of a list: `for row in page`, and `len(page)`."""

    _rows: ClassVar[str]

    @override
    def __iter__(self) -> Iterator[T]:  # type: ignore[override]  # rows, not fields: it is a page of a list
        return iter(getattr(self, self._rows))

    def __len__(self) -> int:
        return len(getattr(self, self._rows))


class Page(Rows[T]):
    """One page of a list that goes on at a cursor."""

    _rows = "data"

    data: list[T] = Field(description="The rows.")
    has_more: bool = Field(default=False, description="Whether another page follows.")
    next_cursor: str | None = Field(default=None, description="What to pass as `cursor` for it.")


class NumberedPage(Rows[T]):
    """One page of a list whose pages have numbers."""

    total: int = Field(description="Rows on all pages.")
    page: int = Field(description="Its number, from 1.")
    per_page: int = Field(description="Rows on a full page.")

    @property
    def next_page(self) -> int | None:
        """The number of the page after it; None after the last."""
        return self.page + 1 if len(self) and self.page * self.per_page < self.total else None


class Subscripted(Answer):
    """An answer whose fields are also read as `answer["field"]`."""

    def __getitem__(self, name: str) -> Any:
        try:
            return getattr(self, name)
        except AttributeError:
            raise KeyError(name) from None

    def get(self, name: str, default: Any = None) -> Any:
        """The field, or `default` where it is missing or `None`."""
        value = getattr(self, name, None)
        return default if value is None else value
