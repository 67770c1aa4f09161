from __future__ import annotations

import pytest

from nexusai.server.knowledge.parsing import Limits
from nexusai.server.knowledge.parsing.reading import read


@pytest.fixture
def parsed(tmp_path):
    """A document of these bytes, or this text, read in this process."""

    def of(data, hint="", limits=None):
        path = tmp_path / "document"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return read(path, hint, limits or Limits())

    return of


@pytest.fixture
def blocks(parsed):
    """Its blocks as (kind, level, page, text)."""

    def of(data, hint=""):
        return [(block.kind, block.level, block.page, block.text) for block in parsed(data, hint).blocks]

    return of
