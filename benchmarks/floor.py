"""The floor: the platform's server stack (uvicorn, uvloop, httptools, Starlette) answering a constant."""

from __future__ import annotations

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

TASK = "task_0660c4ed4bd79ca8ef2ff6eaef2c128d"
ANSWER = (
    f'{{"task_id":"{TASK}","status":"queued","message":"The task is stored and will run. '
    f'Poll status_poll_url; Prefer: wait=30 holds the answer.","status_poll_url":"/api/v1/tasks/{TASK}"}}'
).encode()


async def invoke(request: Request) -> Response:
    await request.body()
    return Response(ANSWER, 202, media_type="application/json")


app = Starlette(routes=[Route("/api/v1/invoke", invoke, methods=["POST"])])

if __name__ == "__main__":
    uvicorn.run(
        app, port=int(sys.argv[1]), loop="uvloop", http="httptools", access_log=False, log_level="error"
    )
