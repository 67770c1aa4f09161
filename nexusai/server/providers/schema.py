"""What the routes of models and providers answer, for the published contract."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

__all__ = ["Model", "ModelPage", "Provider", "ProviderList"]


class Model(BaseModel):
    name: str
    provider: str = Field(description="`route` for a route.")
    type: Literal["model", "alias", "route"]
    models: list[str] = Field(description="What a call to an alias or a route may get to.")
    capabilities: list[str]
    context_window: int | None = Field(description="Tokens of prompt and answer together.")
    prices: dict[str, Any] | None = Field(
        description="In `currency`; for a million tokens where nothing else is said, None where unknown."
    )


class ModelPage(BaseModel):
    data: list[Model]
    has_more: bool
    next_cursor: str | None


class Provider(BaseModel):
    name: str
    configured: bool
    healthy: bool = Field(description="Whether none of its models is left alone for failing too often.")
    capabilities: list[str]
    circuits: dict[str, Literal["closed", "open", "half_open"]] = Field(
        description="The state of the breaker of each model that was called."
    )


class ProviderList(BaseModel):
    data: list[Provider]
