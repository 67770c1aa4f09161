"""Where settings are read from; `config.resolve` decides between them."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nexusai._internal._credentials import credentials_path, load
from nexusai.config import Config, resolve

__all__ = ["read_config"]

logger = logging.getLogger("nexusai")


def read_config(**arguments: Any) -> Config:
    """The settings in force here and now. `os.environ` is read and left alone."""
    return resolve(arguments, os.environ, _dotenv(Path(".env")), load(credentials_path()))


def _dotenv(path: Path) -> Mapping[str, str | None]:
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    try:
        return dotenv_values(path)
    except (OSError, UnicodeDecodeError) as error:
        logger.warning("%s cannot be read (%s) and is not used", path.absolute(), type(error).__name__)
        return {}
