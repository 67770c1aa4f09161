"""The command `nexusai`."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; says what to install when only the SDK is there."""
    try:
        import typer  # noqa: F401
    except ImportError:
        sys.exit("The command needs more than the SDK: pip install 'nexusai[server]'")
    from nexusai.cli.app import app

    app()
