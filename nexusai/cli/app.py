"""The commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer
from pydantic import ValidationError

from nexusai.__version__ import __version__
from nexusai.cli.config import config, wrong_variables
from nexusai.cli.keys import keys
from nexusai.error import NexusAIError

__all__ = ["app"]

app: typer.Typer = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    help="Nexus AI: every model by one key and one contract.",
)


def _fail(message: str) -> NoReturn:
    typer.echo(f"nexusai: {message}", err=True)
    raise typer.Exit(1)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nexusai {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say and stop.")
    ] = False,
) -> None: ...


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8000,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the database and the files.")] = None,
    config_: Annotated[
        Path | None,
        typer.Option("--config", help="The configuration; else nexus.yaml in this folder, if it is there."),
    ] = None,
) -> None:
    """Run the platform: SQLite and local disk, no other service, no key needed."""
    from nexusai.server.configuration import load_settings
    from nexusai.server.serve import serve as run

    given = {"data_dir": data_dir, "config": config_}
    try:
        settings = load_settings(**{name: value for name, value in given.items() if value})
        run(settings, host, port)
    except ValidationError as error:
        _fail(f"a setting is wrong: {'; '.join(wrong_variables(error))}")
    except NexusAIError as error:
        _fail(str(error))


app.add_typer(keys, name="keys")
app.add_typer(config, name="config")


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="Folder for what the demo makes.")] = Path("nexusai-demo"),
) -> None:
    """Start a platform in a temporary folder, use it, kill it half-way, and show that nothing was lost."""
    from nexusai.cli.demo import run

    try:
        run(output)
    except NexusAIError as error:
        _fail(str(error))
