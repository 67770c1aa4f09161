"""The embedded provider: what a newcomer with no key runs, and what load tests run on."""

from nexusai.providers.adapters.local.provider import LocalProvider

__all__ = ["LocalProvider"]
