"""`nexusai keys`: the keys of a running platform, asked for with this user's own key."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nexusai.error import NexusAIError

if TYPE_CHECKING:
    from nexusai import NexusAIClient
    from nexusai.models import Key, Project

__all__ = ["keys"]

keys: typer.Typer = typer.Typer(no_args_is_help=True, help="Keys: who may use the platform, and how much.")

AsJson = Annotated[bool, typer.Option("--json", help="Print what the API answers.")]
KeyId = Annotated[str, typer.Argument(help="key_…, as `nexusai keys list` names it.")]
Requests = Annotated[int | None, typer.Option("--rpm", min=1, help="Most requests a minute.")]
Tokens = Annotated[int | None, typer.Option("--tpm", min=1, help="Most tokens a minute.")]
Tasks = Annotated[int | None, typer.Option("--tasks", min=1, help="Most tasks at the same time.")]
PerDay = Annotated[float | None, typer.Option("--per-day", min=0, help="Most US dollars a day (UTC).")]
PerMonth = Annotated[float | None, typer.Option("--per-month", min=0, help="Most US dollars a month (UTC).")]


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    project: Annotated[str | None, typer.Option(help="proj_…; that of your own key without.")] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="invoke, read, admin, platform; invoke and read without.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="A model it may use, such as openai/*; any without.")
    ] = None,
    rpm: Requests = None,
    tpm: Tokens = None,
    tasks: Tasks = None,
    per_day: PerDay = None,
    per_month: PerMonth = None,
    expires_at: Annotated[str | None, typer.Option(help="2027-01-31, or a time; never without.")] = None,
    logging: Annotated[
        str | None,
        typer.Option(help="What to log of its calls: off, metadata, full; as its project without."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and show it, this once."""
    options: dict[str, Any] = {
        "project": project,
        "scopes": scope or None,
        "allowed_models": model or None,
        "rate_limits": _rates(rpm, tpm, tasks),
        "budget": _budget(per_day, per_month),
        "expires_at": expires_at,
        "logging": logging,
    }
    _shown_once(_asked(lambda client: client.keys.create(name, **options)), as_json)


@keys.command("list")
def list_keys(
    project: Annotated[str | None, typer.Option(help="proj_…; that of your own key without.")] = None,
    as_json: AsJson = False,
) -> None:
    """List keys, newest first."""
    found = _asked(lambda client: list(client.keys.iter(project=project, limit=100)))
    if as_json:
        typer.echo(json.dumps([key.model_dump(mode="json") for key in found], indent=2))
        return
    _table(("KEY", "NAME", "BEGINS", "SCOPES", "STATE", "LAST USED"), [_row(key) for key in found])


@keys.command()
def rotate(
    key_id: KeyId,
    grace: Annotated[int, typer.Option(min=0, help="Seconds for which the old one still opens.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Give a key a new secret and show it, this once."""
    _shown_once(_asked(lambda client: client.keys.rotate(key_id, grace_seconds=grace)), as_json)


@keys.command()
def disable(key_id: KeyId) -> None:
    """Have a key open nothing any more."""
    key = _asked(lambda client: client.keys.disable(key_id))
    typer.echo(f"{key.id} ({key.name}) is disabled; `nexusai keys enable {key.id}` undoes it.")


@keys.command()
def enable(key_id: KeyId) -> None:
    """Have a disabled key work again."""
    key = _asked(lambda client: client.keys.update(key_id, is_active=True))
    typer.echo(f"{key.id} ({key.name}) works again.")


@keys.command()
def limit(
    key_id: KeyId,
    rpm: Requests = None,
    tpm: Tokens = None,
    tasks: Tasks = None,
    per_day: PerDay = None,
    per_month: PerMonth = None,
) -> None:
    """Give a key other limits: those that are not named are taken away."""
    changes: dict[str, Any] = {
        "rate_limits": _rates(rpm, tpm, tasks) or {},
        "budget": _budget(per_day, per_month) or {},
    }
    key = _asked(lambda client: client.keys.update(key_id, **changes))
    typer.echo(f"{key.id} ({key.name}): {_limits(key)}")


@keys.command("log")
def log(
    key_id: KeyId,
    what: Annotated[str, typer.Argument(help="off, metadata (all but what was said) or full.")],
) -> None:
    """Have a key's calls under /v1 logged, or not."""
    changes: dict[str, Any] = {"logging": what}
    key = _asked(lambda client: client.keys.update(key_id, **changes))
    typer.echo(f"{key.id} ({key.name}): logging {key.logging}")


@keys.command("create-project")
def create_project(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    rpm: Requests = None,
    tpm: Tokens = None,
    tasks: Tasks = None,
    per_day: PerDay = None,
    per_month: PerMonth = None,
) -> None:
    """Make a project: what belongs to it is seen by its keys alone."""
    options: dict[str, Any] = {
        "rate_limits": _rates(rpm, tpm, tasks),
        "budget": _budget(per_day, per_month),
    }
    project = _asked(lambda client: client.projects.create(name, **options))
    typer.echo(f"{project.id}  {_limits(project)}")


@keys.command("projects")
def list_projects() -> None:
    """List projects, newest first."""
    found = _asked(lambda client: list(client.projects.iter(limit=100)))
    _table(("PROJECT", "NAME", "LIMITS"), [(each.id, each.name or "", _limits(each)) for each in found])


def _asked(ask: Callable[[NexusAIClient], Any]) -> Any:
    """What the platform answers to this user's key."""
    from nexusai import NexusAIClient

    try:
        with NexusAIClient() as client:
            return ask(client)
    except NexusAIError as error:
        typer.echo(f"nexusai: {error}", err=True)
        raise typer.Exit(1) from None


def _shown_once(key: Key, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(key.model_dump(mode="json"), indent=2))
        return
    typer.echo(key.api_key)
    typer.echo(f"{key.id} ({key.name}), {_limits(key)}. It is not shown again: keep it.", err=True)


def _row(key: Key) -> Sequence[str]:
    state = "active" if key.is_active else "closed"
    used = key.last_used_at.strftime("%Y-%m-%d %H:%M") if key.last_used_at else "never"
    return key.id, key.name or "", key.hint or "", ",".join(key.scopes), state, used


def _limits(subject: Key | Project) -> str:
    words = {**(subject.rate_limits or {}), **(subject.budget or {})}
    return ", ".join(f"{name.replace('_', ' ')}: {most:g}" for name, most in words.items()) or "no limits"


def _rates(rpm: int | None, tpm: int | None, tasks: int | None) -> dict[str, int] | None:
    limits = {"requests_per_minute": rpm, "tokens_per_minute": tpm, "concurrent_tasks": tasks}
    return {name: most for name, most in limits.items() if most is not None} or None


def _budget(per_day: float | None, per_month: float | None) -> dict[str, float] | None:
    budget = {"per_day": per_day, "per_month": per_month}
    return {name: most for name, most in budget.items() if most is not None} or None


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    for row in (head, *rows):
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
