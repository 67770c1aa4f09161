"""Webhooks: the project's endpoints, and the calls that they get."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from functools import partial
from typing import Any

from nexusai._internal._client import AsyncDriver, SyncDriver
from nexusai._internal._flow import Call, Flow, ask, at, create, given
from nexusai._internal._invoke import listed
from nexusai._internal._signature import verified
from nexusai.error import ConfigurationError
from nexusai.models import Delivery, DeliveryPage, Webhook, WebhookEvent, WebhookPage, WebhookSecret
from nexusai.resources._resource import AsyncResource, Slice, SyncResource, by_cursor

__all__ = ["AsyncWebhooks", "Verifier", "Webhooks"]


def _create(url: str, events: Sequence[str] | None) -> Flow[Webhook]:
    return ask(create("/webhooks", json=given(url=url, events=_names(events))), Webhook)


def _get(webhook_id: str) -> Flow[Webhook]:
    return ask(Call("GET", at("webhooks", webhook_id)), Webhook)


def _list(limit: int | None, cursor: str | None) -> Flow[WebhookPage]:
    return ask(Call("GET", "/webhooks", params=given(limit=limit, cursor=cursor)), WebhookPage)


def _slice(limit: int | None, cursor: str | None) -> Flow[Slice[Webhook]]:
    return by_cursor(_list(limit, cursor))


def _update(webhook_id: str, fields: Mapping[str, Any]) -> Flow[Webhook]:
    return ask(Call("PATCH", at("webhooks", webhook_id), json=fields), Webhook)


def _delete(webhook_id: str) -> Flow[None]:
    yield Call("DELETE", at("webhooks", webhook_id))


def _secret() -> Flow[str]:
    shown = yield from ask(Call("GET", "/webhooks/secret"), WebhookSecret)
    return shown.secret


def _rotate_secret(webhook_id: str) -> Flow[Webhook]:
    return ask(Call("POST", at("webhooks", webhook_id, "rotate-secret"), retry=False), Webhook)


def _deliveries(webhook_id: str, limit: int | None, cursor: str | None) -> Flow[DeliveryPage]:
    params = given(limit=limit, cursor=cursor)
    return ask(Call("GET", at("webhooks", webhook_id, "deliveries"), params=params), DeliveryPage)


def _slice_of_log(webhook_id: str, limit: int | None, cursor: str | None) -> Flow[Slice[Delivery]]:
    return by_cursor(_deliveries(webhook_id, limit, cursor))


def _redeliver(webhook_id: str, delivery_id: str) -> Flow[Delivery]:
    return ask(Call("POST", at("webhooks", webhook_id, "deliveries", delivery_id, "redeliver")), Delivery)


def _names(events: Sequence[str] | None) -> list[str] | None:
    return None if events is None else listed("events", events, alone=str)


class Verifier:
    """What needs a secret alone, and no platform."""

    def __init__(self, secret: str | None) -> None:
        self._secret = secret

    def verify(
        self,
        payload: bytes,
        headers: Mapping[str, str],
        secret: str | None = None,
        tolerance: float = 300.0,
    ) -> WebhookEvent:
        """The event that a call of the platform's brings, once its signature is found right.

        `payload` is the request's body, byte for byte. The secret is the client's `webhook_secret` unless
        one is given; `tolerance` is in seconds, before and after now. Nothing is sent. Raises
        `WebhookVerificationError`: answer such a call with 400. Attempts to deliver one event have one `id`.
        """
        secret = secret or self._secret
        if not secret:
            raise ConfigurationError(
                "There is no webhook secret: give secret=, the client's webhook_secret=, or "
                "NEXUS_WEBHOOK_SECRET in the environment."
            )
        return verified(payload, headers, secret, tolerance=tolerance, now=time.time())


class Webhooks(Verifier, SyncResource):
    """Endpoints of your own that hear of the project's tasks."""

    def __init__(self, driver: SyncDriver) -> None:
        Verifier.__init__(self, driver.config.webhook_secret)
        SyncResource.__init__(self, driver)

    def create(self, url: str, *, events: Sequence[str] | None = None) -> Webhook:
        """Have the platform call `url` at these events, all without; keep the answer's `secret`."""
        return self._driver.run(_create(url, events))

    def get(self, webhook_id: str) -> Webhook:
        """What is known of an endpoint. Raises `NotFoundError`."""
        return self._driver.run(_get(webhook_id))

    def list(self, *, limit: int | None = None, cursor: str | None = None) -> WebhookPage:
        """A page of endpoints; `page.next_cursor` goes into `cursor` for the next."""
        return self._driver.run(_list(limit, cursor))

    def iter(self, *, limit: int | None = None) -> Generator[Webhook, None, None]:
        """All endpoints, page after page of `limit` as they are wanted."""
        return self._iterate(partial(_slice, limit))

    def update(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        is_active: bool | None = None,
    ) -> Webhook:
        """Change what is given and leave the rest. Raises `NotFoundError`."""
        fields = given(url=url, events=_names(events), is_active=is_active)
        return self._driver.run(_update(webhook_id, fields))

    def delete(self, webhook_id: str) -> None:
        """Call it no more. Raises `NotFoundError`."""
        self._driver.run(_delete(webhook_id))

    def secret(self) -> str:
        """`whsec_…`: what signs the calls to an address that a task or a batch names itself."""
        return self._driver.run(_secret())

    def rotate_secret(self, webhook_id: str) -> Webhook:
        """Give an endpoint a new secret at once, and keep the answer's `secret`. Raises `NotFoundError`."""
        return self._driver.run(_rotate_secret(webhook_id))

    def deliveries(
        self, webhook_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> DeliveryPage:
        """A page of an endpoint's log, newest first. Raises `NotFoundError`."""
        return self._driver.run(_deliveries(webhook_id, limit, cursor))

    def iter_deliveries(
        self, webhook_id: str, *, limit: int | None = None
    ) -> Generator[Delivery, None, None]:
        """All of an endpoint's log, page after page of `limit` as they are wanted."""
        return self._iterate(partial(_slice_of_log, webhook_id, limit))

    def redeliver(self, webhook_id: str, delivery_id: str) -> Delivery:
        """Send an event again, as the same message. Raises `NotFoundError`."""
        return self._driver.run(_redeliver(webhook_id, delivery_id))


class AsyncWebhooks(Verifier, AsyncResource):
    """Endpoints of your own that hear of the project's tasks."""

    def __init__(self, driver: AsyncDriver) -> None:
        Verifier.__init__(self, driver.config.webhook_secret)
        AsyncResource.__init__(self, driver)

    async def create(self, url: str, *, events: Sequence[str] | None = None) -> Webhook:
        """Have the platform call `url` at these events, all without; keep the answer's `secret`."""
        return await self._driver.run(_create(url, events))

    async def get(self, webhook_id: str) -> Webhook:
        """What is known of an endpoint. Raises `NotFoundError`."""
        return await self._driver.run(_get(webhook_id))

    async def list(self, *, limit: int | None = None, cursor: str | None = None) -> WebhookPage:
        """A page of endpoints; `page.next_cursor` goes into `cursor` for the next."""
        return await self._driver.run(_list(limit, cursor))

    def iter(self, *, limit: int | None = None) -> AsyncGenerator[Webhook, None]:
        """All endpoints, page after page of `limit` as they are wanted."""
        return self._iterate(partial(_slice, limit))

    async def update(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        is_active: bool | None = None,
    ) -> Webhook:
        """Change what is given and leave the rest. Raises `NotFoundError`."""
        fields = given(url=url, events=_names(events), is_active=is_active)
        return await self._driver.run(_update(webhook_id, fields))

    async def delete(self, webhook_id: str) -> None:
        """Call it no more. Raises `NotFoundError`."""
        await self._driver.run(_delete(webhook_id))

    async def secret(self) -> str:
        """`whsec_…`: what signs the calls to an address that a task or a batch names itself."""
        return await self._driver.run(_secret())

    async def rotate_secret(self, webhook_id: str) -> Webhook:
        """Give an endpoint a new secret at once, and keep the answer's `secret`. Raises `NotFoundError`."""
        return await self._driver.run(_rotate_secret(webhook_id))

    async def deliveries(
        self, webhook_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> DeliveryPage:
        """A page of an endpoint's log, newest first. Raises `NotFoundError`."""
        return await self._driver.run(_deliveries(webhook_id, limit, cursor))

    def iter_deliveries(self, webhook_id: str, *, limit: int | None = None) -> AsyncGenerator[Delivery, None]:
        """All of an endpoint's log, page after page of `limit` as they are wanted."""
        return self._iterate(partial(_slice_of_log, webhook_id, limit))

    async def redeliver(self, webhook_id: str, delivery_id: str) -> Delivery:
        """Send an event again, as the same message. Raises `NotFoundError`."""
        return await self._driver.run(_redeliver(webhook_id, delivery_id))
