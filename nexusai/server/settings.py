"""What can be set, each by the environment variable `NEXUS_` + its name, or in `.env`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from nexusai._internal._credentials import credentials_path
from nexusai.constants import KEY_PREFIX
from nexusai.error import ConfigurationError

__all__ = ["Settings"]

_KEY = re.compile(rf"{KEY_PREFIX}[A-Za-z0-9_-]{{16,}}")


class Settings(BaseSettings):
    """The platform's settings; none is needed."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix="NEXUS_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    config: Path | None = None
    """The file of providers, routes, prices …; else `nexus.yaml` in the working directory, if it is there."""

    data_dir: Path = Field(default_factory=lambda: credentials_path().parent / "data")
    """The folder of the database and the files; one process owns it at a time."""

    public_url: Annotated[str, Field(pattern=r"^https?://[^/\s]+\S*$")] | None = None
    """How clients reach the platform, for links in answers; else the request's own host."""

    bootstrap_api_key: SecretStr | None = None
    """The first key, instead of one that is made."""

    sync_wait: float = Field(default=60.0, gt=0, le=600)
    """Seconds a synchronous `POST /invoke` waits before it answers 202."""

    task_timeout: float = Field(default=600.0, gt=0)
    """Seconds a task may run when its request does not say, and a call under `/v1`."""

    max_running_tasks: int = Field(default=2000, ge=1)
    max_attempts: int = Field(default=5, ge=1)
    """Times a task is started before it fails with `WORKER_LOST`: each crash of its worker costs one."""

    lease: float = Field(default=30.0, gt=0)
    """Seconds until a worker that went silent loses its tasks."""

    reconcile_interval: float = Field(default=5.0, gt=0)
    max_body_bytes: int = Field(default=32 * 1024 * 1024, ge=1024)
    """Largest JSON body."""

    max_file_bytes: int = Field(default=512 * 1024 * 1024, ge=1024)
    """Largest uploaded file."""

    file_types: Annotated[str, Field(pattern=r"^ *[\w.+*-]+/[\w.+*-]+ *(, *[\w.+*-]+/[\w.+*-]+ *)*$")] = "*/*"
    """Types of files that are taken, found from their bytes; with commas between: `image/*,text/plain`."""

    storage: Annotated[str, Field(pattern=r"^s3://[a-z0-9][a-z0-9.-]+[a-z0-9](/[^?#]*)?$")] | None = None
    """A bucket for the files, as `s3://bucket/prefix`; else they lie in the data folder."""

    link_seconds: int = Field(default=24 * 3600, ge=1)
    """How long a link to a result is good."""

    response_days: int = Field(default=30, ge=0)
    """Days that a response under `/v1` is kept after the last turn of its conversation; 0 keeps none."""

    heartbeat: float = Field(default=15.0, gt=0)
    """Seconds between the comment lines that keep a silent stream open."""

    shutdown_grace: float = Field(default=5.0, ge=0)
    """Seconds that running tasks get to finish when the platform is told to stop."""

    allow_anonymous: bool = False
    """Whether programs on this very machine may do without a key."""

    usd_rates: dict[str, float] = Field(default={"CNY": 0.14})
    """What a unit of other currencies is worth in US dollars, for budgets: `{"CNY": 0.14}`."""

    conversation_days: int = Field(default=30, ge=1, le=36_500)
    """Days for which logged conversations are kept."""

    usage_days: int = Field(default=400, ge=32, le=36_500)
    """Days for which the rows of usage are kept; the budgets of a month need those of a month."""

    webhook_allow_private: bool = False
    """Whether webhooks may call addresses of this network and this machine."""

    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(str.lower)] = "info"
    """From which level on: `info` has a line for each request and task, `warning` only what goes wrong."""

    log_format: Annotated[Literal["auto", "json", "pretty"], BeforeValidator(str.lower)] = "auto"
    """`auto` is `pretty` on a terminal."""

    metrics: Annotated[Literal["local", "open", "off"], BeforeValidator(str.lower)] = "local"
    """Who reads `/metrics` without a key of the scope `platform`: programs on this machine, all, or none."""

    @field_validator("bootstrap_api_key")
    @classmethod
    def _a_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not _KEY.fullmatch(key.get_secret_value()):
            raise ConfigurationError(
                f"NEXUS_BOOTSTRAP_API_KEY must be {KEY_PREFIX} and then 16 or more letters, digits, - or _."
            )
        if key is not None and _is_example(key.get_secret_value()):
            raise ConfigurationError(
                "NEXUS_BOOTSTRAP_API_KEY is a key that others know or guess: take one of "
                f"`python -c \"import secrets; print('{KEY_PREFIX}' + secrets.token_urlsafe(32))\"`."
            )
        return key


_EXAMPLE = re.compile(
    r"(.)\1{7}|example|placeholder|your[-_]?(api[-_]?)?key|changeme|0123456789|123456789", re.I
)


def _is_example(key: str) -> bool:
    """Whether a chosen key is one that stands in somebody's documentation."""
    return bool(_EXAMPLE.search(key)) or len(set(key[4:])) < 8
