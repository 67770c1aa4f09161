"""Every way in which a model call fails.

    AdapterError
    ├── RetryableError         the vendor is down, overloaded or out of reach
    ├── RateLimitError         429, or a limit set here; `retry_after` in seconds when it is known
    ├── TimeoutError           no answer in time
    ├── AuthenticationError    the vendor refused our key
    ├── ValidationError        the vendor refused the request
    │   ├── ContextWindowError the prompt does not fit the model
    │   └── ContentFilterError the vendor will not answer this
    ├── CapabilityError        this provider cannot do that
    ├── CircuitOpenError       not sent: the vendor failed too often lately; `retry_after` in seconds
    └── BudgetExceededError    not sent: the money set aside is spent

Each carries provider, model, status, the vendor's code and its request id; none a key or a prompt.
"""

from __future__ import annotations

from typing import Any

from nexusai.error import NexusAIError

__all__ = [
    "AdapterError",
    "AuthenticationError",
    "BudgetExceededError",
    "CapabilityError",
    "CircuitOpenError",
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
    """The vendor's 429, or a limit set here that leaves no room (`code` is `client_rate_limit`)."""

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


class CircuitOpenError(AdapterError):
    """Not sent, because the vendor failed too often lately; it is tried again after `retry_after` seconds."""

    retryable = True


class BudgetExceededError(AdapterError):
    """Not sent, because the money set aside is spent, or the call would cost more than what is left."""
