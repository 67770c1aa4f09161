"""Where settings are read from; `config.resolve` decides between them."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nexusai._internal._credentials import credentials_path, load
from nexusai._internal._logging import show
from nexusai.config import Config, resolve, webhook_secret

__all__ = ["read_config", "read_webhook_secret"]

logger = logging.getLogger("nexusai")


def read_config(**arguments: Any) -> Config:
    """The settings in force here and now. `os.environ` is read and left alone; `NEXUS_LOG` is heeded."""
    dotenv = _dotenv(Path(".env"))
    if level := (os.environ.get("NEXUS_LOG") or dotenv.get("NEXUS_LOG") or "").strip():
        show(level)
    return resolve(arguments, os.environ, dotenv, _kept())


def read_webhook_secret(secret: str | None) -> str | None:
    """The setting alone, for whoever has no key."""
    return webhook_secret({"webhook_secret": secret}, os.environ, _dotenv(Path(".env")))


def _kept() -> Mapping[str, Any]:
    try:
        return load(credentials_path())
    except RuntimeError:  # a user without a home, as in some containers
        return {}


def _dotenv(path: Path) -> Mapping[str, str | None]:
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    try:
        return dotenv_values(path)
    except (OSError, UnicodeDecodeError) as error:
        logger.warning("%s cannot be read (%s) and is not used", path.absolute(), type(error).__name__)
        return {}
