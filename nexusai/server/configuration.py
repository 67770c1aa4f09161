"""What the platform is configured to: by `nexus.yaml`, where there is one, and by the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from dotenv import dotenv_values
from pydantic import ValidationError

from nexusai.error import ConfigurationError
from nexusai.providers.findings import Findings, no_such
from nexusai.providers.setup import Setup, load_setup
from nexusai.server.settings import Settings

__all__ = ["EXAMPLE", "config_file", "environment", "load", "load_settings"]

EXAMPLE: Final = Path(__file__).parent / "nexus.example.yaml"
_USUAL: Final = Path("nexus.yaml")


def environment() -> dict[str, str]:
    """The environment over the `.env` of the working directory, as the settings see it."""
    written = {name: value for name, value in dotenv_values(".env").items() if value is not None}
    return {**written, **os.environ}


def config_file(settings: Settings) -> Path | None:
    """The file that is named, else `nexus.yaml` in the working directory, if it is there."""
    return settings.config or (_USUAL if _USUAL.exists() else None)


def load(settings: Settings) -> Setup:
    """The models that the file and the environment speak of. Raises `ConfigurationError`."""
    return load_setup(config_file(settings), environment(), _checked)


def load_settings(**given: Any) -> Settings:
    """Settings: `given`, then those of the environment, then those of the file.

    Raises `ConfigurationError` for what is wrong with the file, `ValidationError` for the rest.
    """
    settings = Settings(**given)
    written = load(settings).settings
    return Settings(**given, **{n: v for n, v in written.items() if n not in settings.model_fields_set})


def _checked(written: Mapping[str, Any]) -> Mapping[str, Any]:
    """The section `settings`. Raises `Wrong`."""
    findings = Findings()
    names = [name for name in Settings.model_fields if name != "config"]
    for name in written:
        if name not in names:
            findings.add((name,), no_such("setting", name, names))
    known = {name: value for name, value in written.items() if name in names and value is not None}
    for name, value in known.items():
        with findings.at(name):
            _check(name, value)
    findings.settle()
    return known


def _check(name: str, value: Any) -> None:
    try:
        Settings(**{name: value})
    except ValidationError as error:
        wrong = [each for each in error.errors() if each["loc"][:1] == (name,)]
        if wrong:
            raise ConfigurationError("; ".join(each["msg"] for each in wrong)) from None
