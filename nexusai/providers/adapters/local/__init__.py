"""The embedded provider: what a newcomer with no key runs, and what load tests run on."""

from nexusai.providers.adapters.local.operations import ADAPTER, VENDOR

__all__ = ["ADAPTER", "VENDOR"]
