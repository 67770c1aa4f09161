"""Writes `docs/openapi.json`: what a platform of this version answers at `/openapi.json`."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path

import httpx

from nexusai.server.app import create_app
from nexusai.server.platform import Platform
from nexusai.server.settings import Settings

PATH = Path(__file__).parents[1] / "docs" / "openapi.json"


def text() -> str:
    """The published contract as the file holds it."""
    with tempfile.TemporaryDirectory() as folder:
        document = asyncio.run(_asked(Path(folder)))
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


async def _asked(folder: Path) -> object:
    platform = Platform(Settings(data_dir=folder))
    await platform.open()
    try:
        transport = httpx.ASGITransport(create_app(platform))
        async with httpx.AsyncClient(transport=transport, base_url="http://platform") as client:
            return (await client.get("/openapi.json")).json()
    finally:
        await platform.close()


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
    print(f"{PATH} is written.")
