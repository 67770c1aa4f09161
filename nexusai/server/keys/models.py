"""Keys and projects: what is asked for, what is stored, what is shown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from nexusai.server.clock import milliseconds, now_ms, rfc3339

__all__ = [
    "ALL_SCOPES",
    "Budget",
    "CreateKey",
    "CreateProject",
    "Key",
    "Limits",
    "Logging",
    "Project",
    "RateLimits",
    "RotateKey",
    "Scope",
    "UpdateKey",
    "UpdateProject",
    "check_expiry",
]

Scope = Literal["invoke", "read", "admin", "platform"]
ALL_SCOPES: Final[tuple[Scope, ...]] = ("invoke", "read", "admin", "platform")
"""`invoke` runs models and changes what the project has; `read` looks at it, and comes with `invoke`; `admin`
manages the project's keys and sees its usage; `platform` does so for every project, and makes projects."""

Logging = Literal["off", "metadata", "full"]
"""What is written down of the calls under `/v1`: nothing, their facts, or what was said as well."""

Name = Annotated[str, Meta(min_length=1, max_length=100)]
Most = Annotated[int, Meta(ge=1, le=10**12)]
Money = Annotated[float, Meta(ge=0, le=10**9)]
LAST_YEAR: Final = 9000
LONGEST_GRACE: Final = 30 * 24 * 3600


class RateLimits(Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True, kw_only=True):
    """What may be asked for; minutes are those of the clock, in UTC."""

    requests_per_minute: Most | None = None
    tokens_per_minute: Annotated[Most | None, Meta(description="Of prompts and answers together.")] = None
    concurrent_tasks: Annotated[Most | None, Meta(description="Tasks that run, and calls under `/v1`.")] = (
        None
    )


class Budget(Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True, kw_only=True):
    """What may be spent in US dollars, in each day and month of UTC."""

    per_day: Money | None = None
    per_month: Money | None = None

    @property
    def limits(self) -> bool:
        """Whether it is one at all."""
        return self.per_day is not None or self.per_month is not None


class Limits(Struct, omit_defaults=True, frozen=True):
    """Both, as they are stored."""

    rate_limits: RateLimits = RateLimits()
    budget: Budget = Budget()

    def dump(self) -> str:
        return msgspec.json.encode(self).decode()


Models = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=200)]], Meta(min_length=1, max_length=200)
]


class CreateKey(Struct, forbid_unknown_fields=True, kw_only=True):
    name: Name
    project: Annotated[str | None, Meta(description="`proj_…`; the caller's own without.")] = None
    scopes: Annotated[list[Scope], Meta(min_length=1)] | None = None
    rate_limits: RateLimits | None = None
    budget: Budget | None = None
    allowed_models: Annotated[Models | None, Meta(description="`provider/model`, with `*` for any.")] = None
    expires_at: datetime | None = None
    logging: Annotated[
        Logging | None, Meta(description="Of its calls under `/v1`; as its project says without.")
    ] = None

    def __post_init__(self) -> None:
        check_expiry(self.expires_at)


class UpdateKey(Struct, forbid_unknown_fields=True, kw_only=True):
    """What is left out stays; `null` takes a limit away."""

    name: Name | UnsetType = UNSET
    scopes: Annotated[list[Scope], Meta(min_length=1)] | UnsetType = UNSET
    rate_limits: RateLimits | UnsetType | None = UNSET
    budget: Budget | UnsetType | None = UNSET
    allowed_models: Models | UnsetType | None = UNSET
    expires_at: datetime | UnsetType | None = UNSET
    is_active: bool | UnsetType = UNSET
    logging: Logging | UnsetType | None = UNSET


class RotateKey(Struct, forbid_unknown_fields=True, kw_only=True):
    grace_seconds: Annotated[
        int, Meta(ge=0, le=LONGEST_GRACE, description="How long the old secret still works.")
    ] = 0


class CreateProject(Struct, forbid_unknown_fields=True, kw_only=True):
    name: Name
    rate_limits: RateLimits | None = None
    budget: Budget | None = None
    logging: Logging | None = None


class UpdateProject(Struct, forbid_unknown_fields=True, kw_only=True):
    """What is left out stays; `null` takes a limit away."""

    name: Name | UnsetType = UNSET
    rate_limits: RateLimits | UnsetType | None = UNSET
    budget: Budget | UnsetType | None = UNSET
    logging: Logging | UnsetType | None = UNSET


def check_expiry(expires_at: datetime | None) -> None:
    """Raises `ValueError` for a time that is over."""
    if expires_at is None:
        return
    if expires_at.year > LAST_YEAR:
        raise ValueError(f"`expires_at` is after the year {LAST_YEAR}: leave it out for never")
    if milliseconds(expires_at) <= now_ms():
        raise ValueError("`expires_at` is over already")


class Project(Struct, frozen=True, dict=True):
    """A row of the table `projects`."""

    id: str
    name: str
    limits_json: str
    created_at: int
    idempotency_key: str | None = None
    request_hash: bytes | None = None
    logging: Logging | None = None

    @cached_property
    def limits(self) -> Limits:
        return msgspec.json.decode(self.limits_json, type=Limits)

    def show(self) -> dict[str, Any]:
        return {
            "project_id": self.id,
            "name": self.name,
            "rate_limits": msgspec.to_builtins(self.limits.rate_limits) or None,
            "budget": msgspec.to_builtins(self.limits.budget) or None,
            "logging": self.logging or "off",
            "created_at": rfc3339(self.created_at),
        }


class Key(Struct, frozen=True, dict=True):
    """A row of the table `keys`; `hint` is the part of the key that may be shown.

    The digest before the last rotation opens as well, until `previous_until`.
    """

    id: str
    project: str
    name: str
    digest: bytes
    hint: str
    created_at: int
    scopes: str = " ".join(ALL_SCOPES)
    limits_json: str = "{}"
    models_json: str | None = None
    expires_at: int | None = None
    disabled_at: int | None = None
    last_used_at: int | None = None
    previous_digest: bytes | None = None
    previous_until: int | None = None
    idempotency_key: str | None = None
    request_hash: bytes | None = None
    logging: Logging | None = None

    @cached_property
    def limits(self) -> Limits:
        return msgspec.json.decode(self.limits_json, type=Limits)

    @cached_property
    def granted(self) -> frozenset[str]:
        """Its scopes, with what comes with them."""
        scopes = set(self.scopes.split())
        if "invoke" in scopes:
            scopes.add("read")
        if "platform" in scopes:
            scopes.add("admin")
        return frozenset(scopes)

    @cached_property
    def models(self) -> Sequence[str] | None:
        return msgspec.json.decode(self.models_json, type=list[str]) if self.models_json else None

    def may_use(self, provider: str, model: str) -> bool:
        """Whether it may call a model."""
        whole = f"{provider}/{model}"
        return self.models is None or any(
            fnmatchcase(whole, pattern if "/" in pattern else f"*/{pattern}") for pattern in self.models
        )

    def show(self, secret: str | None = None, now: int | None = None) -> dict[str, Any]:
        """The key as the API answers it; with itself when it was just made."""
        now = now_ms() if now is None else now
        grace = self.previous_until if self.previous_until and self.previous_until > now else None
        shown = {
            "key_id": self.id,
            "project_id": self.project,
            "name": self.name,
            "hint": self.hint,
            "scopes": self.scopes.split(),
            "rate_limits": msgspec.to_builtins(self.limits.rate_limits) or None,
            "budget": msgspec.to_builtins(self.limits.budget) or None,
            "allowed_models": self.models,
            "logging": self.logging,
            "is_active": self.disabled_at is None and (self.expires_at is None or self.expires_at > now),
            "created_at": rfc3339(self.created_at),
            "expires_at": _shown(self.expires_at),
            "last_used_at": _shown(self.last_used_at),
            "previous_until": _shown(grace),
        }
        return shown if secret is None else {**shown, "api_key": secret}


def _shown(moment: int | None) -> str | None:
    return None if moment is None else rfc3339(moment)
