"""`nexusai config`: what the platform would be configured to, without starting it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer
from pydantic import ValidationError

from nexusai.error import NexusAIError

if TYPE_CHECKING:
    from nexusai.providers.reliability.limiter import RateLimit
    from nexusai.providers.reliability.router import Route
    from nexusai.providers.setup import Setup

__all__ = ["config", "wrong_variables"]

config: typer.Typer = typer.Typer(no_args_is_help=True, help="The file nexus.yaml: check it, see an example.")


@config.command()
def check(
    file: Annotated[
        Path | None, typer.Argument(help="Else NEXUS_CONFIG, else nexus.yaml in this folder.")
    ] = None,
) -> None:
    """Say what is switched on, or all that is wrong, each with its place in the file."""
    from nexusai.server.configuration import config_file, load
    from nexusai.server.settings import Settings

    try:
        settings = Settings(config=file) if file else Settings()
        setup = load(settings)
    except ValidationError as error:
        typer.echo("\n".join(wrong_variables(error)), err=True)
        raise typer.Exit(1) from None
    except NexusAIError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    path = config_file(settings)
    typer.echo(f"{path} is fine." if path else "There is no nexus.yaml here; the environment says:")
    for line in _lines(setup):
        typer.echo(line)


@config.command()
def example() -> None:
    """Print a file to begin with, in which everything is explained."""
    from nexusai.server.configuration import EXAMPLE

    typer.echo(EXAMPLE.read_text("utf-8"), nl=False)


def wrong_variables(error: ValidationError) -> list[str]:
    """What is wrong with settings of the environment."""
    return [f"NEXUS_{str(wrong['loc'][0]).upper()}: {wrong['msg']}" for wrong in error.errors()]


def _lines(setup: Setup) -> Iterator[str]:
    models = {f"{name}/{model}": use for name, use, model in _defaults(setup)}
    yield from _part("providers", _providers(setup))
    yield from _part("default models", [[name, use] for name, use in models.items()])
    yield from _part("aliases", [[name, f"{to.provider}/{to.model}"] for name, to in setup.aliases.items()])
    yield from _part("routes", [[name, *_route(route)] for name, route in setup.named_routes.items()])
    yield from _part("models", [[name, *_model(setup, name)] for name in setup.described])
    yield from _part("limits", [[name, *_limit(limit)] for name, limit in setup.limits.items()])
    yield from _part("settings", [[name] for name in setup.settings])


def _providers(setup: Setup) -> list[list[str]]:
    rows = [
        [name, each.provider, _address(each.base_url), f"key from {setup.key_sources[name]}"]
        if setup.key_sources[name] != "none"
        else [name, each.provider, _address(each.base_url), "no key"]
        for name, each in setup.providers.items()
    ]
    return rows + [[name, "off"] for name in setup.off]


def _defaults(setup: Setup) -> Iterator[tuple[str, str, str]]:
    from nexusai.providers.endpoint import Endpoint

    for name, provider in setup.providers.items():
        uses: dict[str, list[str]] = {}
        for use, model in Endpoint.of(provider, name).config.models.items():
            uses.setdefault(model.removeprefix(f"{name}/"), []).append(use)
        for model, named in uses.items():
            yield name, ", ".join(named), model


def _address(base_url: str | None) -> str:
    """Without the name and password that may stand in it."""
    parts = urlsplit(base_url or "")
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def _route(route: Route) -> Iterator[str]:
    yield ", ".join(f"{each.provider}/{each.model} x {each.weight:g}" for each in route.deployments)
    if route.fallbacks:
        yield f"then {', '.join(route.fallbacks)}"
    if route.on:
        yield f"also for {', '.join(route.on)}"


def _model(setup: Setup, name: str) -> Iterator[str]:
    provider, _, model = name.partition("/")
    found = setup.models.find(provider, model)
    if found is None:  # one of a family, `gpt-*`
        return
    price = found.model.price
    if found.model.context_window is not None:
        yield f"{found.model.context_window} tokens"
    if price is not None and price.input is not None:
        yield f"{price.input:g} in, {price.output or 0:g} out, {price.currency} for a million"


def _limit(limit: RateLimit) -> Iterator[str]:
    if limit.requests_per_minute is not None:
        yield f"{limit.requests_per_minute} requests a minute"
    if limit.tokens_per_minute is not None:
        yield f"{limit.tokens_per_minute} tokens a minute"


def _part(title: str, rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table, if there is anything in it."""
    if rows:
        widths = [max(len(row[at]) for row in rows if len(row) > at) for at in range(max(map(len, rows)))]
        yield f"\n{title}"
    for row in rows:
        yield "  " + "  ".join(part.ljust(width) for part, width in zip(row, widths, strict=False)).rstrip()
