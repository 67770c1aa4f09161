"""The platform itself: its models, its keys, and what was used."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from nexusai.models._answer import Answer, Cost, Count, Date, Page

__all__ = ["Key", "KeyPage", "Model", "ModelPage", "UsageReport", "UsageRow"]


class Model(Answer):
    """A model that the platform offers."""

    name: str = Field(description="What to pass as `model`.")
    provider: str | None = Field(default=None, description="Who runs it.")
    capabilities: list[str] = Field(default_factory=list, description="What it can do.", repr=False)
    context_window: int | None = Field(default=None, description="Tokens of prompt and answer together.")
    prices: dict[str, Any] | None = Field(default=None, description="What it costs.", repr=False)

    @property
    def id(self) -> str:
        """Its name with its provider's, which is no other model's."""
        whole = self.provider is None or self.name.startswith(f"{self.provider}/")
        return self.name if whole else f"{self.provider}/{self.name}"


class ModelPage(Page[Model]):
    """One page of the models."""


class UsageRow(Answer):
    """What was used by one key, model or provider, or on one day."""

    key: str | None = Field(default=None, description="The key, when grouped by it.")
    model: str | None = Field(default=None, description="The model, when grouped by it.")
    provider: str | None = Field(default=None, description="The provider, when grouped by it.")
    day: str | None = Field(default=None, description="`2025-01-31`, in UTC, when grouped by it.")
    requests: Count = Field(default=0, description="Tasks and calls.")
    prompt_tokens: Count = Field(default=0, description="Tokens that went in.", repr=False)
    completion_tokens: Count = Field(default=0, description="Tokens that came out.", repr=False)
    total_tokens: Count = Field(default=0, description="Both together.")
    cost: Cost | None = Field(default=None, description="What it cost.")


class UsageReport(Page[UsageRow]):
    """What was used in a time, row by row: `for row in report`."""

    group_by: str | None = Field(default=None, description="key, model, provider or day.")
    from_: Date | None = Field(default=None, alias="from", description="Since when.")
    to: Date | None = Field(default=None, description="Until when.")


class Key(Answer):
    """A key of the project. `api_key`, the key itself, is there once: when it is made or rotated."""

    key_id: str = Field(description="`key_…`")
    name: str | None = Field(default=None, description="The name that it was given.")
    api_key: str | None = Field(
        default=None, description="`nxs_…`, shown once and never again: keep it.", repr=False
    )
    hint: str | None = Field(default=None, description="How the key begins.")
    scopes: list[str] = Field(default_factory=list, description="What it may do.", repr=False)
    rate_limits: dict[str, Any] | None = Field(
        default=None, description="How much it may ask for in a time.", repr=False
    )
    budget: dict[str, Any] | None = Field(default=None, description="How much it may spend.", repr=False)
    allowed_models: list[str] | None = Field(
        default=None, description="The models that it may use; all where none is named.", repr=False
    )
    is_active: bool = Field(default=True, description="Whether it opens anything.")
    created_at: Date | None = Field(default=None, description="When it was made.", repr=False)
    expires_at: Date | None = Field(default=None, description="When it stops working.", repr=False)
    last_used_at: Date | None = Field(default=None, description="When it was last used.", repr=False)

    @property
    def id(self) -> str:
        return self.key_id


class KeyPage(Page[Key]):
    """One page of the keys, the newest first."""
