"""Holds every call of the SDK to the published contract, `docs/openapi.json`.

Each public method is called, with what the document answers: once with everything that an answer may hold,
once with what it must. What the method sends must be in the document, and what the document answers must be
known to the SDK. Run it to see a table; the tests run the same.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import httpx
import sdk_source as sdk
from contract import Contract, Operation
from pydantic import BaseModel
from sdk_calls import COST, EXAMPLES, MADE, OUTPUTS, ROW, STREAM, USAGE

from nexusai import NexusAIClient, TaskPoller
from nexusai.error import NotFoundError

NOT_SERVED: frozenset[str] = frozenset()
"""Methods whose routes the document does not have yet. One that is served leaves this set."""

SENDS_NOTHING = frozenset(
    {"tasks.attach", "webhooks.verify", "TaskHandle.to_dict", "TaskEventStream.close", "TextStream.close"}
)

UNREAD = frozenset({"File.message", "Image.images", "Task.message", "Task.status_poll_url"})
"""What the document answers and the SDK has no field for, on purpose: words for people, our path."""

NO_CALLS = (TaskPoller,)
"""Classes whose methods send nothing by themselves."""


class Played(NamedTuple):
    """What came of an example."""

    name: str
    sent: list[str]
    """The operations that it called, as `POST tasks_invoke`; `GET /path` for what the document has not."""
    complaints: list[str]
    unserved: bool
    unread: set[str]
    """`Model.field` of what the SDK has no field for."""

    @property
    def method(self) -> str:
        return self.name.partition(" ")[0]


class Server:
    """Answers as the document says, and keeps what it has against the requests."""

    def __init__(self, contract: Contract, full: bool) -> None:
        self.contract = contract
        self.full = full
        self.sent: list[str] = []
        self.complaints: list[str] = []
        self.unserved = False
        self._task_type = "text_generation"

    def __call__(self, request: httpx.Request) -> httpx.Response:
        operation = self.contract.operation(request)
        self.sent.append(operation.name if operation else f"{request.method} {request.url.path}")
        if operation is None or self._is_to_come(request):
            self.unserved = True
            return httpx.Response(404, json={"detail": "not in the document", "error_code": "NOT_FOUND"})
        self.complaints += [
            f"{operation.name}: {each}" for each in self.contract.complaints(request, operation)
        ]
        return self._answer(request, operation)

    def _is_to_come(self, request: httpx.Request) -> bool:
        """Whether it asks for a type of task, or for a webhook, that the document does not have."""
        if request.url.path.endswith(("/invoke", "/regenerate")) and "/sessions/" in request.url.path:
            self._task_type = "session_turn"
        elif request.url.path.endswith("/invoke"):
            return self._asks_for_more(request)
        return False

    def _asks_for_more(self, request: httpx.Request) -> bool:
        asked, known = json.loads(request.content), self.contract.schema("InvokeRequest")["properties"]
        self._task_type = asked.get("task_type", self._task_type)
        return self._task_type not in known["task_type"]["enum"] or "webhook" in asked.keys() - known.keys()

    def _answer(self, request: httpx.Request, operation: Operation) -> httpx.Response:
        wanted = [
            answer for answer in operation.answers if answer[1] and answer[1] in request.headers["accept"]
        ]
        status, kind, schema = (wanted or list(operation.answers))[0]
        later = [answer for answer in wanted if answer[0] == 202]
        if later and "respond-async" in request.headers.get("prefer", ""):
            status, kind, schema = later[0]
        if kind == "application/json":
            sample = self._sample(schema, "queued" if status == 202 else "completed", operation.ids)
            return httpx.Response(status, json=sample)
        content = {"text/event-stream": f"{STREAM}data: [DONE]\n\n", "application/jsonl": ROW, "": ""}.get(
            kind, "bytes"
        )
        return httpx.Response(status, text=content, headers={"content-type": kind} if kind else {})

    def _sample(self, schema: Mapping[str, Any], state: str, ids: Mapping[str, str]) -> Any:
        sample = self.contract.sample(schema, full=self.full, state=state)
        if isinstance(sample, dict):
            sample |= {name: ids[name] for name in ids.keys() & sample.keys()}
            if "task_type" in sample:
                sample |= {"task_type": self._task_type, "output": {**MADE, **OUTPUTS[self._task_type]}}
        return sample


def play(contract: Contract, name: str, *, full: bool) -> Played:
    """One example, against answers that hold everything, or what they must."""
    server = Server(contract, full)
    given: Any = None
    with httpx.Client(transport=httpx.MockTransport(server)) as http:
        client = NexusAIClient("nxs_example", "http://platform/api/v1", max_retries=0, http_client=http)
        try:
            given = EXAMPLES[name](client)
        except Exception as error:
            if not (server.unserved and isinstance(error, NotFoundError)):
                server.complaints.append(f"with {'full' if full else 'sparse'} answers {error!r}")
    return Played(name, server.sent, server.complaints, server.unserved, set(_unread(given)))


def contract() -> Contract:
    """The committed document."""
    return Contract.published({"usage": USAGE, "cost": COST})


def played() -> list[Played]:
    document = contract()
    return [play(document, name, full=full) for name in EXAMPLES for full in (True, False)]


def public_methods() -> set[str]:
    """`resource.method` and `Class.method` of all that sends something."""
    bound = {
        name: kind for name, kind in sdk.answers().items() if kind.__module__.startswith("nexusai.resources")
    }
    kinds = {**sdk.resource_classes(), **sdk.objects(), **bound}
    return {
        f"{name}.{member.name}"
        for name, kind in kinds.items()
        if kind not in NO_CALLS
        for member in sdk.members(kind)
        if not member.kind
    }


def faults(results: list[Played]) -> list[str]:
    """Everything that is wrong, in words."""
    found = [f"{each.name}: {complaint}" for each in results for complaint in dict.fromkeys(each.complaints)]
    exercised = {each.method for each in results}
    more = {name for name in exercised - public_methods() if name.split(".")[0] in sdk.answers()}
    found += _differences("has no example", "is no public method", public_methods(), exercised - more)
    found += _differences(
        "is not in NOT_SERVED, and the document has not got its route",
        "is in NOT_SERVED, and is served",
        {each.method for each in results if each.unserved},
        NOT_SERVED,
    )
    found += _differences(
        "sends nothing",
        "is in SENDS_NOTHING, and sends something",
        exercised - {each.method for each in results if each.sent},
        SENDS_NOTHING,
    )
    found += _differences(
        "is answered, and no field of the model",
        "is in UNREAD, and a field or never answered",
        {name for each in results for name in each.unread},
        UNREAD,
    )
    return list(dict.fromkeys(found))


def _differences(
    missing: str, left_over: str, found: set[str], listed: set[str] | frozenset[str]
) -> list[str]:
    return [f"{name} {missing}" for name in sorted(found - listed)] + [
        f"{name} {left_over}" for name in sorted(listed - found)
    ]


def _unread(given: Any) -> Iterator[str]:
    if isinstance(given, BaseModel):
        yield from (f"{type(given).__name__}.{name}" for name in given.model_extra or {})
        yield from _unread(list(vars(given).values()))
    elif isinstance(given, (list, tuple)):
        for each in given:
            yield from _unread(each)
    elif type(given).__module__.startswith("nexusai"):
        yield from _unread([value for value in vars(given).values() if isinstance(value, BaseModel)])


def main() -> int:
    """Prints a table of what each call sends, then what is wrong; 1 when something is."""
    results = played()
    for each in results[::2]:
        state = "not served yet" if each.unserved else "wrong" if each.complaints else "ok"
        print(f"{each.name:28} {state:15} {', '.join(dict.fromkeys(each.sent))}")
    found = faults(results)
    print(f"\n{len(EXAMPLES)} calls, {len(NOT_SERVED)} methods not served yet, {len(found)} faults")
    print(*found, sep="\n")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
