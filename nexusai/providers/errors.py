"""Every way in which a model call fails.

    AdapterError
    ├── RetryableError         the vendor is down, overloaded or out of reach
    ├── RateLimitError         429; `retry_after` in seconds when the vendor says it
    ├── TimeoutError           no answer in time
    ├── AuthenticationError    the vendor refused our key
    ├── ValidationError        the vendor refused the request
    │   ├── ContextWindowError the prompt does not fit the model
    │   └── ContentFilterError the vendor will not answer this
    └── CapabilityError        this provider cannot do that

Each carries provider, model, status, the vendor's code and its request id; none a key or a prompt.
"""

from __future__ import annotations

from typing import Any

from nexusai.error import NexusAIError

__all__ = [
    "AdapterError",
    "AuthenticationError",
    "CapabilityError",
    "ContentFilterError",
    "ContextWindowError",
    "RateLimitError",
    "RetryableError",
    "TimeoutError",
    "ValidationError",
]


class AdapterError(NexusAIError):
    """A model call failed."""

    retryable = False

    def __init__(
        self,
        message: str,
        *,
        provider: str | None = None,
        model: str | None = None,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.provider = provider
        self.model = model
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self).__new__, (type(self), self.message), self.__dict__)


class RetryableError(AdapterError):
    """The vendor is down, overloaded or out of reach: the same call may work later."""

    retryable = True


class RateLimitError(AdapterError):
    """The vendor's 429."""

    retryable = True


class TimeoutError(AdapterError):
    """No answer in time."""

    retryable = True


class AuthenticationError(AdapterError):
    """The vendor refused our key."""


class ValidationError(AdapterError):
    """The vendor refused the request."""


class ContextWindowError(ValidationError):
    """The prompt does not fit the model."""


class ContentFilterError(ValidationError):
    """The vendor will not answer this."""


class CapabilityError(AdapterError):
    """This provider cannot do that; the message says which can."""
