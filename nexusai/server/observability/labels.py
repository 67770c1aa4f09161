"""Which names of models may be a label: those that are known here."""

from __future__ import annotations

from typing import Final

from nexusai.server.catalogue import Catalogue

__all__ = ["KnownModels"]

OTHER: Final = "other"
REMEMBERED: Final = 4096
LONGEST: Final = 200
"""Characters of a name that is worth a look; callers may send megabytes."""


class KnownModels:
    """A model by the name that the catalogue has for it; anything else that callers ask for is `other`."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._names: frozenset[tuple[str, str]] | None = None
        self._labels: dict[tuple[str, str], str] = {}

    def __call__(self, provider: str, model: str) -> str:
        if len(model) > LONGEST:
            return OTHER
        key = provider, model
        label = self._labels.get(key)
        if label is None:
            if len(self._labels) >= REMEMBERED:
                self._labels.clear()
            label = self._labels[key] = self._label(provider, model)
        return label

    def forget(self) -> None:
        """Look again: the catalogue has changed."""
        self._names = None
        self._labels.clear()

    def _label(self, provider: str, model: str) -> str:
        if self._names is None:
            self._names = frozenset((offer.provider, offer.model) for offer in self._catalogue.offers())
            self._names |= self._catalogue.names.targets
        if (provider, model) in self._names:
            return model
        found = self._catalogue.known(provider, model)  # an edition of one, or one of a family
        return OTHER if found is None else found.name
