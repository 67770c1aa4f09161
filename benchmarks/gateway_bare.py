"""The bare pass-through: the platform's server stack (uvicorn, Starlette, aiohttp) without a gateway.

    python benchmarks/gateway_bare.py PORT UPSTREAM

It reads a body, sends it on, and gives back what comes: whole, or chunk by chunk for an event stream. No
key is looked at, nothing is parsed, counted or written down.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer sk-upstream"}


def application(upstream: str) -> Starlette:
    @asynccontextmanager
    async def session(app: Starlette) -> AsyncIterator[None]:
        connector = aiohttp.TCPConnector(limit=1000)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as app.state.session:
            yield

    async def chat(request: Request) -> Response:
        body = await request.body()
        session: aiohttp.ClientSession = request.app.state.session
        answer = await session.post(f"{upstream}/chat/completions", data=body, headers=HEADERS)
        kind = answer.headers["Content-Type"]
        if not kind.startswith("text/event-stream"):
            return Response(await answer.read(), answer.status, media_type=kind)

        async def chunks() -> AsyncIterator[bytes]:
            async for chunk in answer.content.iter_any():
                yield chunk

        return StreamingResponse(chunks(), answer.status, media_type=kind)

    return Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])], lifespan=session)


if __name__ == "__main__":
    uvicorn.run(
        application(sys.argv[2]),
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="error",
    )
