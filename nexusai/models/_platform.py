"""The platform itself: its models, its keys, and what was used."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from nexusai.models._answer import Answer, Cost, Count, Date, Page, Usage

__all__ = [
    "Conversation",
    "ConversationPage",
    "ConversationsDeleted",
    "Key",
    "KeyPage",
    "Model",
    "ModelPage",
    "Project",
    "ProjectPage",
    "UsageReport",
    "UsageRow",
]


class Model(Answer):
    """A model that the platform offers."""

    name: str = Field(description="What to pass as `model`.")
    provider: str | None = Field(default=None, description="Who runs it; `route` where that differs.")
    type: str = Field(default="model", description="`model`; `alias`: a name for one; `route`: for several.")
    models: list[str] = Field(
        default_factory=list, description="What a call to an alias or a route may get to.", repr=False
    )
    capabilities: list[str] = Field(default_factory=list, description="What it can do.", repr=False)
    context_window: int | None = Field(default=None, description="Tokens of prompt and answer together.")
    prices: dict[str, Any] | None = Field(default=None, description="What it costs.", repr=False)

    @property
    def id(self) -> str:
        """The name that is no other model's: with its provider's, but for an alias or a route."""
        whole = self.type != "model" or self.provider is None or self.name.startswith(f"{self.provider}/")
        return self.name if whole else f"{self.provider}/{self.name}"


class ModelPage(Page[Model]):
    """One page of the models."""


class UsageRow(Answer):
    """What was used by one key, model or provider, or on one day."""

    key: str | None = Field(default=None, description="The key, when grouped by it.")
    model: str | None = Field(default=None, description="The model, when grouped by it.")
    provider: str | None = Field(default=None, description="The provider, when grouped by it.")
    project: str | None = Field(default=None, description="The project, when grouped by it.")
    day: str | None = Field(default=None, description="`2025-01-31`, in UTC, when grouped by it.")
    requests: Count = Field(default=0, description="Calls to models, those that failed included.")
    failed: Count = Field(default=0, description="How many of them failed.", repr=False)
    prompt_tokens: Count = Field(default=0, description="Tokens that went in.", repr=False)
    completion_tokens: Count = Field(default=0, description="Tokens that came out.", repr=False)
    total_tokens: Count = Field(default=0, description="Both together.")
    cached_tokens: Count = Field(default=0, description="Those of the prompts out of a cache.", repr=False)
    reasoning_tokens: Count = Field(default=0, description="Those of the answers to reason.", repr=False)
    cost: Cost | None = Field(default=None, description="What it cost, in US dollars.")
    unpriced: Count = Field(default=0, description="Calls whose price is not known.", repr=False)


class UsageReport(Page[UsageRow]):
    """What was used in a time, row by row: `for row in report`."""

    group_by: str | None = Field(default=None, description="key, model, provider, project or day.")
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
    project_id: str | None = Field(default=None, description="`proj_…`, whose key it is.", repr=False)
    scopes: list[str] = Field(default_factory=list, description="What it may do.", repr=False)
    rate_limits: dict[str, Any] | None = Field(
        default=None, description="How much it may ask for in a time.", repr=False
    )
    budget: dict[str, Any] | None = Field(
        default=None, description="US dollars that it may spend, `per_day` and `per_month`.", repr=False
    )
    allowed_models: list[str] | None = Field(
        default=None, description="The models that it may use; all where none is named.", repr=False
    )
    logging: str | None = Field(
        default=None,
        description="Of its calls under `/v1`: off, metadata or full; None: as its project.",
        repr=False,
    )
    is_active: bool = Field(default=True, description="Whether it opens anything.")
    created_at: Date | None = Field(default=None, description="When it was made.", repr=False)
    expires_at: Date | None = Field(default=None, description="When it stops working.", repr=False)
    last_used_at: Date | None = Field(default=None, description="When it was last used.", repr=False)
    previous_until: Date | None = Field(
        default=None, description="Until when the secret before this one opens too.", repr=False
    )

    @property
    def id(self) -> str:
        return self.key_id


class KeyPage(Page[Key]):
    """One page of the keys, the newest first."""


class Project(Answer):
    """A project: what belongs to it is seen by its keys alone."""

    project_id: str = Field(description="`proj_…`")
    name: str | None = Field(default=None, description="The name that it was given.")
    rate_limits: dict[str, Any] | None = Field(
        default=None, description="How much its keys may ask for together.", repr=False
    )
    budget: dict[str, Any] | None = Field(
        default=None, description="US dollars that they may spend, `per_day` and `per_month`.", repr=False
    )
    logging: str | None = Field(
        default=None, description="Of calls under `/v1`, for keys without a setting of their own.", repr=False
    )
    created_at: Date | None = Field(default=None, description="When it was made.", repr=False)

    @property
    def id(self) -> str:
        return self.project_id


class ProjectPage(Page[Project]):
    """One page of the projects, the newest first."""


class Conversation(Answer):
    """A call under `/v1` that its key had logged, with the model's answer."""

    conversation_id: str = Field(description="`conv_…`")
    created_at: Date | None = Field(default=None, description="When it began.")
    project_id: str | None = Field(default=None, description="`proj_…`", repr=False)
    key_id: str | None = Field(default=None, description="Whose call it was.", repr=False)
    request_id: str | None = Field(default=None, description="As the answer's header had it.", repr=False)
    route: str | None = Field(default=None, description="What was called, `/v1/chat/completions`.")
    provider: str | None = Field(default=None, description="Who answered.")
    model: str | None = Field(default=None, description="Which model.")
    status: str | None = Field(default=None, description="`completed`, `failed`, or `cut` by its caller.")
    http_status: int | None = Field(default=None, description="The answer's status.", repr=False)
    usage: Usage | None = Field(default=None, description="Its tokens.", repr=False)
    cost: Cost | None = Field(default=None, description="What it cost, where that is known.", repr=False)
    seconds: float | None = Field(default=None, description="How long it took.", repr=False)
    truncated: bool = Field(default=False, description="Whether something was left out.", repr=False)
    request: Any = Field(default=None, description="What was asked, if that is logged.", repr=False)
    answer: Any = Field(default=None, description="What was answered, if that is logged.", repr=False)

    @property
    def id(self) -> str:
        return self.conversation_id


class ConversationPage(Page[Conversation]):
    """One page of the log, the newest first."""


class ConversationsDeleted(Answer):
    """How many conversations were deleted."""

    deleted_count: Count = Field(default=0, description="How many they were.")
