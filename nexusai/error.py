"""Every error of the SDK, and every error code of the API.

    NexusAIError
    ├── ConfigurationError            a setting is missing or wrong; nothing was sent
    ├── WebhookVerificationError      a call that claims to be the platform's is not
    ├── APIError                      the platform, or the way to it, said no
    │   ├── InvalidRequestError       400, `errors` names the fields (alias ValidationError)
    │   ├── AuthenticationError       401, or no key at all
    │   ├── PermissionError           403
    │   ├── NotFoundError             404
    │   ├── ConflictError             409
    │   ├── PayloadTooLargeError      413
    │   ├── RateLimitError            429, `retry_after` in seconds
    │   ├── ServerError               5xx
    │   ├── APIConnectionError        no answer arrived (alias NetworkError)
    │   ├── APITimeoutError           no answer arrived in time
    │   ├── StreamError               a stream broke, or ended before its last event
    │   ├── ParseError                a text is not what `response_model` asks for; `text` has it
    │   └── TaskError                 the task's own end, `task` holds what is known of it
    │       ├── TaskFailedError
    │       ├── TaskCancelledError
    │       └── TaskTimeoutError      also an APITimeoutError; the task may still be running: `handle`

No message holds a key or a prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from nexusai.models import Task

__all__ = [
    "CODES",
    "APIConnectionError",
    "APIError",
    "APITimeoutError",
    "AuthenticationError",
    "Code",
    "ConfigurationError",
    "ConflictError",
    "InvalidRequestError",
    "NetworkError",
    "NexusAIError",
    "NotFoundError",
    "ParseError",
    "PayloadTooLargeError",
    "PermissionError",
    "RateLimitError",
    "ServerError",
    "StreamError",
    "TaskCancelledError",
    "TaskError",
    "TaskFailedError",
    "TaskTimeoutError",
    "ValidationError",
    "WebhookVerificationError",
    "class_for_status",
]


class Code(NamedTuple):
    """What an error code means on the wire."""

    status: int
    title: str
    retryable: bool = False


CODES: Final[Mapping[str, Code]] = {
    "INVALID_REQUEST": Code(400, "Invalid request"),
    "UNAUTHORIZED": Code(401, "Unauthorized"),
    "FORBIDDEN": Code(403, "Forbidden"),
    "NOT_FOUND": Code(404, "Not found"),
    "METHOD_NOT_ALLOWED": Code(405, "Method not allowed"),
    "TIMEOUT": Code(408, "Timeout", retryable=True),
    "CONFLICT": Code(409, "Conflict"),
    "SESSION_BUSY": Code(409, "Session busy", retryable=True),
    "CANCELLED": Code(409, "Cancelled"),
    "PAYLOAD_TOO_LARGE": Code(413, "Payload too large"),
    "UNSUPPORTED_MEDIA_TYPE": Code(415, "Unsupported media type"),
    "RANGE_NOT_SATISFIABLE": Code(416, "Range not satisfiable"),
    "RATE_LIMIT_EXCEEDED": Code(429, "Rate limit exceeded", retryable=True),
    "INTERNAL_ERROR": Code(500, "Internal error", retryable=True),
    "WORKER_LOST": Code(500, "Worker lost", retryable=True),
    "PROVIDER_ERROR": Code(502, "Provider error", retryable=True),
    "SERVICE_UNAVAILABLE": Code(503, "Service unavailable", retryable=True),
}
"""The error codes of the API, with the HTTP status that carries each."""


class NexusAIError(Exception):
    """Anything this SDK raises on purpose."""


class ConfigurationError(NexusAIError):
    """A setting is missing or wrong; the message names it and the fix."""


class WebhookVerificationError(NexusAIError):
    """A call that claims to be the platform's is not, or is too old: do not act on it."""


class APIError(NexusAIError):
    """The platform, or the way to it, said no."""

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        error_code: str | None = None,
        request_id: str | None = None,
        response_body: Any = None,
        retryable: bool = False,
        retry_after: float | None = None,
        errors: list[dict[str, Any]] | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status_code = status_code
        self.error_code = error_code
        self.request_id = request_id
        self.response_body = response_body
        self.retryable = retryable
        self.retry_after = retry_after
        self.errors: list[dict[str, Any]] = errors or []
        self.idempotency_key = idempotency_key

    def __str__(self) -> str:
        facts = [str(fact) for fact in (self.status_code, self.error_code) if fact]
        if self.request_id:
            facts.append(f"request {self.request_id}")
        return f"{self.message} ({', '.join(facts)})" if facts else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self).__new__, (type(self), self.message), self.__dict__)


class InvalidRequestError(APIError):
    """400: the request is wrong; `errors` lists `{loc, msg, type}` for each field."""


class AuthenticationError(APIError):
    """401: the key is missing, unknown or disabled."""


class PermissionError(APIError):
    """403: the key may not do this."""


class NotFoundError(APIError):
    """404: no such thing in the key's project."""


class ConflictError(APIError):
    """409: the thing is not in a state that allows this."""


class PayloadTooLargeError(APIError):
    """413: the body is over the platform's limit."""


class RateLimitError(APIError):
    """429: too many requests; `retry_after` says when to come back, in seconds."""


class ServerError(APIError):
    """5xx: the platform or the provider behind it broke."""


class APIConnectionError(APIError):
    """No answer arrived: refused, reset, or the name was not found."""


class APITimeoutError(APIError):
    """No answer arrived in time."""


class StreamError(APIError):
    """A stream broke, or ended before its last event."""


class ParseError(APIError):
    """A text is not what `response_model` asks for: `errors` lists the fields, `text` is what was written."""

    def __init__(self, message: str, *, text: str = "", **facts: Any) -> None:
        super().__init__(message, **facts)
        self.text = text


class TaskError(APIError):
    """A task ended without a result; `task` is what was last known of it."""

    def __init__(self, message: str, *, task: Task, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.task = task


class TaskFailedError(TaskError):
    """The task failed; message and code are the task's own."""


class TaskCancelledError(TaskError):
    """The task was cancelled."""


class TaskTimeoutError(TaskError, APITimeoutError):
    """The wait is over, the task is not: `error.handle.wait()` waits again, if it was not cancelled.

    `handle` is a `TaskHandle` of the client that waited (an `AsyncTaskHandle` of the async one).
    """

    handle: Any = None


NetworkError = APIConnectionError
ValidationError = InvalidRequestError

_BY_STATUS: Final[Mapping[int, type[APIError]]] = {
    400: InvalidRequestError,
    401: AuthenticationError,
    403: PermissionError,
    404: NotFoundError,
    408: APITimeoutError,
    409: ConflictError,
    413: PayloadTooLargeError,
    415: InvalidRequestError,
    422: InvalidRequestError,
    429: RateLimitError,
}


def class_for_status(status: int) -> type[APIError]:
    """The error class that stands for an HTTP status."""
    return _BY_STATUS.get(status, ServerError if status >= 500 else APIError)
