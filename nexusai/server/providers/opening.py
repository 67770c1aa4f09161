"""The providers that the configuration switches on; changed for others while calls are under way."""

from __future__ import annotations

from collections.abc import Callable

from nexusai.providers.provider import Opened
from nexusai.providers.record import CallRecord
from nexusai.providers.setup import Setup
from nexusai.providers.transport import Transport
from nexusai.providers.transport_httptools import HttptoolsTransport
from nexusai.server.catalogue import Catalogue, Names
from nexusai.server.usage.metered import Meter, MeteredProvider

__all__ = ["Providers"]

Hook = Callable[[CallRecord], object]


class Providers:
    """Opens what a setup says behind the meter, and offers it in one catalogue, which stays the same."""

    def __init__(self, setup: Setup, meter: Meter, *hooks: Hook) -> None:
        """`hooks` hear of every call."""
        self._meter = meter
        self._hooks = hooks
        self._opened: Opened | None = None
        self.catalogue: Catalogue = self._open(setup, None)

    def change(self, setup: Setup) -> None:
        """Offer what another setup says.

        Calls that are under way go on with what they began with: the transport is the same for all, and
        breakers and limiters count on wherever nothing has changed about them.
        """
        before = self._opened
        self.catalogue.replace(self._open(setup, self.catalogue.transport))
        if before is not None:
            before.release()

    def _open(self, setup: Setup, transport: Transport | None) -> Catalogue:
        transport = transport or (HttptoolsTransport() if len(setup.providers) > 1 else None)
        opened = Opened(setup, transport, self._opened, hooks=self._hooks)
        routes = setup.named_routes
        names = Names.of(setup.aliases, {name: setup.reach(route) for name, route in routes.items()})
        free = {name for name, provider in opened.providers.items() if not provider.key_required}
        meter = self._meter.knowing(opened.prices, free, names)
        self._opened = opened
        return Catalogue(
            {name: MeteredProvider(each, meter) for name, each in opened.providers.items()},
            transport,
            routes={name: MeteredProvider(each, meter) for name, each in opened.routes.items()},
            names=names,
            models=setup.models,
        )
