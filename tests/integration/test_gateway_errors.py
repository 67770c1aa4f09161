"""Every error class of the official clients: what raises it, or why nothing does."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import anthropic
import openai
import pytest
from anthropic import _exceptions as anthropic_errors
from openai import _exceptions as openai_errors
from pydantic import BaseModel

from tests.fixtures.hostile_vendor import script
from tests.fixtures.served import Served, served
from tests.fixtures.wire import WireServer, serving

TRIES = 2
"""How often the platform asks a vendor."""
LIMIT = 4096
"""Bytes of a body."""


class Said(BaseModel):
    text: str


@pytest.fixture(scope="module")
def vendor() -> Iterator[WireServer]:
    with serving(script) as server:
        yield server


@pytest.fixture(scope="module")
def platform(vendor: WireServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("platform")
    one = {"base_url": vendor.origin, "api_key": "sk-hostile", "timeout": 0.4, "max_retries": TRIES - 1}
    written = {"providers": {"openai_compatible": one, "anthropic": one}}
    (folder / "nexus.yaml").write_text(json.dumps(written))
    settings: dict[str, Any] = {"config": folder / "nexus.yaml", "max_body_bytes": LIMIT}
    with served(folder, shutdown_grace=0, **settings) as platform:
        with platform.client() as admin:
            limits = {"rate_limits": {"tokens_per_minute": 1}}
            platform.narrow = admin.post("/keys", json={"name": "n", "allowed_models": ["local/*"]}).json()  # type: ignore[attr-defined]
            platform.slow = admin.post("/keys", json={"name": "s", **limits}).json()  # type: ignore[attr-defined]
        yield platform


Ask = Callable[..., Any]


class Clients:
    """The official clients with what is asked of each; `model` is a way to fail."""

    def __init__(self, platform: Served) -> None:
        self.platform = platform

    def openai(
        self, model: str, *, key: str | None = None, url: str | None = None, **options: Any
    ) -> tuple[Any, Any]:
        own = {name: options.pop(name) for name in ("timeout", "max_retries") if name in options}
        client = openai.OpenAI(
            api_key=key or self.platform.key, base_url=f"{url or self.platform.url}/v1", **own
        )
        asked = {"model": model, "messages": [{"role": "user", "content": "is all well?"}], **options}
        return client, asked

    def anthropic(
        self, model: str, *, key: str | None = None, url: str | None = None, **options: Any
    ) -> tuple[Any, Any]:
        own = {name: options.pop(name) for name in ("timeout", "max_retries") if name in options}
        client = anthropic.Anthropic(
            api_key=key or self.platform.key, base_url=url or self.platform.url, **own
        )
        said = [{"role": "user", "content": "is all well?"}]
        return client, {"model": model, "messages": said, "max_tokens": 9, **options}


@pytest.fixture(scope="module")
def clients(platform: Served) -> Clients:
    return Clients(platform)


def chat(clients: Clients, model: str, **options: Any) -> None:
    client, asked = clients.openai(model, **options)
    with client:
        answer = client.chat.completions.create(**asked)
        if options.get("stream"):
            list(answer)


def parse(clients: Clients, model: str, **options: Any) -> None:
    client, asked = clients.openai(model, **options)
    with client:
        client.chat.completions.parse(response_format=Said, **asked)


def message(clients: Clients, model: str, **options: Any) -> None:
    client, asked = clients.anthropic(model, **options)
    with client:
        answer = client.messages.create(**asked)
        if options.get("stream"):
            list(answer)


def nowhere() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


VENDOR: Mapping[str, str] = {"openai": "openai_compatible", "anthropic": "anthropic"}


# The vendor's failures: what it answers, the class of each client, and how often the vendor was asked.

FAILURES: list[tuple[str, str, str, int]] = [
    ("400", "BadRequestError", "BadRequestError", 1),
    ("422", "BadRequestError", "BadRequestError", 1),  # the contract has field errors as 400
    ("401", "InternalServerError", "InternalServerError", 1),  # our key was refused, not the caller's
    ("404", "NotFoundError", "NotFoundError", 1),
    ("429", "RateLimitError", "RateLimitError", TRIES),
    ("500", "InternalServerError", "InternalServerError", TRIES),
    ("529", "InternalServerError", "OverloadedError", TRIES),
    ("reset", "InternalServerError", "InternalServerError", 1),  # it may have been carried out
    ("good-page", "InternalServerError", "InternalServerError", 1),
    ("silence", "APIStatusError", "RequestTimeoutError", 1),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("fault", "of_openai", "of_anthropic", "times"), FAILURES)
@pytest.mark.parametrize("client", ["openai", "anthropic"])
def test_a_failure_of_the_vendor_is_its_class_and_the_client_does_not_multiply_it(
    clients: Clients,
    vendor: WireServer,
    client: str,
    fault: str,
    of_openai: str,
    of_anthropic: str,
    times: int,
    stream: bool,
) -> None:
    errors, ask = (openai_errors, chat) if client == "openai" else (anthropic_errors, message)
    asked = len(vendor.requests)
    with pytest.raises(Exception) as failed:
        ask(clients, f"{VENDOR[client]}/{fault}.{client}{stream}", stream=stream)

    error: Any = failed.value
    assert type(error) is getattr(errors, of_openai if client == "openai" else of_anthropic)
    assert error.request_id.startswith("req_")
    assert len(vendor.requests) - asked == times
    assert "sk-hostile" not in str(error)


# The platform's own.

Cause = tuple[Ask, str, dict[str, Any]]
LONG = [{"role": "user", "content": "x" * LIMIT}]


def own_causes(ask: Ask) -> dict[str, Cause]:
    """What the platform itself, or the way to it, raises in both clients."""
    return {
        "BadRequestError": (ask, "local/simulate", {"extra_body": {"temperature": "warm"}}),
        "AuthenticationError": (ask, "local/simulate", {"key": "nxs_unknown"}),
        "PermissionDeniedError": (ask, "openai_compatible/good", {"key": "narrow"}),
        "NotFoundError": (ask, "openai_compatible/404.own", {}),
        "RateLimitError": (ask, "local/simulate", {"key": "slow"}),
        "InternalServerError": (ask, "openai_compatible/500.own", {}),
        "APITimeoutError": (ask, "openai_compatible/never-ends.own", {"timeout": 0.2, "max_retries": 0}),
        "APIConnectionError": (ask, "local/simulate", {"url": "nowhere", "max_retries": 0}),
        "APIError": (ask, "openai_compatible/breaks.own", {"stream": True}),
    }


OPENAI: dict[str, Cause] = {
    **own_causes(chat),
    "APIStatusError": (chat, "openai_compatible/silence.own", {}),  # 408, for which it has no class
    "LengthFinishReasonError": (parse, "openai_compatible/length", {}),
    "ContentFilterFinishReasonError": (parse, "openai_compatible/filtered", {}),
}
ANTHROPIC: dict[str, Cause] = {
    **own_causes(message),
    "RequestTimeoutError": (message, "anthropic/silence.own", {}),
    "ContentTooLargeError": (message, "local/simulate", {"messages": LONG}),
    "RequestTooLargeError": (message, "local/simulate", {"messages": LONG}),
    "ServiceUnavailableError": (message, "anthropic/500.burst", {"after": 5}),
    "OverloadedError": (message, "anthropic/529.own", {}),
    # an error in a stream goes by the status of the answer, which is 200 by then
    "APIStatusError": (message, "anthropic/breaks.own", {"stream": True}),
}
NEVER_OPENAI = {
    "OpenAIError": "the root",
    "ConflictError": "nothing under /v1 is in a state that forbids a call",
    "UnprocessableEntityError": "the contract has field errors as 400",
    "APIResponseValidationError": "for answers that do not fit, of clients that are strict",
    "OAuthError": "keys are the only way in",
    "SubjectTokenProviderError": "as above",
    "InvalidWebhookSignatureError": "raised by the client alone",
    "WebSocketConnectionClosedError": "there are no sockets of that kind",
    "WebSocketQueueFullError": "as above",
}
NEVER_ANTHROPIC = {
    "AnthropicError": "the root",
    "ConflictError": NEVER_OPENAI["ConflictError"],
    "UnprocessableEntityError": NEVER_OPENAI["UnprocessableEntityError"],
    "APIResponseValidationError": NEVER_OPENAI["APIResponseValidationError"],
    "APIWebhookValidationError": "raised by the client alone",
    "ClientClosedRequestError": "who hung up is not answered",
    "CredentialsError": "raised by the client alone",
    "IdentityTokenFileError": "raised by the client alone",
    "RetryableError": "raised by the client's own middleware",
    "PaymentRequiredError": "a budget that is spent is a 429, for it is there again tomorrow",
    "PreconditionFailedError": "no route under /v1 takes conditions",
    "RequestHeaderFieldsTooLargeError": "the server refuses those before any route, as a 400",
    "HTTPNotImplementedError": "the contract has 404 and 405",
    "GatewayTimeoutError": "the contract has a vendor that is late as 408",
    "DeadlineExceededError": "as above",
}


def classes(module: Any) -> set[str]:
    return {
        name
        for name, found in vars(module).items()
        if isinstance(found, type) and issubclass(found, Exception) and found.__module__ != "builtins"
        if found.__module__.startswith(("openai", "anthropic"))
    }


@pytest.mark.parametrize(
    ("module", "causes", "never"),
    [(openai_errors, OPENAI, NEVER_OPENAI), (anthropic_errors, ANTHROPIC, NEVER_ANTHROPIC)],
    ids=["openai", "anthropic"],
)
def test_every_class_has_a_cause_or_a_reason_why_it_has_none(
    module: Any, causes: dict[str, Cause], never: dict[str, str]
) -> None:
    assert classes(module) - causes.keys() - never.keys() == set()
    assert causes.keys() & never.keys() == set()


@pytest.mark.parametrize(
    ("module", "name", "cause"),
    [
        *((openai_errors, name, cause) for name, cause in OPENAI.items()),
        *((anthropic_errors, name, cause) for name, cause in ANTHROPIC.items()),
    ],
    ids=[*(f"openai.{name}" for name in OPENAI), *(f"anthropic.{name}" for name in ANTHROPIC)],
)
def test_a_class_has_its_cause(clients: Clients, platform: Any, module: Any, name: str, cause: Cause) -> None:
    kind = getattr(module, name, None)
    if kind is None:
        pytest.skip(f"this version of the client has no {name}")
    ask, model, told = cause
    options = dict(told)
    for _ in range(options.pop("after", 0)):
        with suppress(Exception):
            ask(clients, model, **_named(platform, options))
    with pytest.raises(kind) as failed:
        ask(clients, model, **_named(platform, options))

    error: Any = failed.value
    if isinstance(error, (openai.APIStatusError, anthropic.APIStatusError)):
        assert error.request_id.startswith("req_")


def _named(platform: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with what only a running platform knows."""
    keys = {"narrow": platform.narrow["api_key"], "slow": platform.slow["api_key"]}
    found = dict(options)
    if "key" in found:
        found["key"] = keys.get(found["key"], found["key"])
    if found.get("url") == "nowhere":
        found["url"] = nowhere()
    return found
