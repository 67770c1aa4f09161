"""What a call costs, by the table of prices."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from nexusai.providers.models import Models, Price, default_models, load_models
from nexusai.providers.types import Cost, Usage

__all__ = ["Prices", "default_prices"]

_MILLION: Final = 1_000_000
_HOUR: Final = 3600


class Prices:
    """Prices of models: the built-in ones, or those of `models`."""

    def __init__(self, models: Models | None = None) -> None:
        self.models: Models = models or default_models()

    @classmethod
    def load(cls, prices: str | Path | Mapping[str, Mapping[str, Any]]) -> Prices:
        """The built-in prices with those of a JSON file, or a mapping of the same form, over them.

        `{"openai/gpt-4o": {"price": {"input": 2.0, "output": 8.0}}}`; a price is replaced whole.
        Raises `ConfigurationError`.
        """
        if isinstance(prices, Mapping):
            return cls(default_models().merged(prices))
        return cls(load_models(prices))

    def has(self, provider: str, model: str) -> bool:
        """Whether the table knows the model."""
        return self.models.find(provider, model) is not None

    def cost(
        self,
        provider: str,
        model: str,
        usage: Usage | None = None,
        *,
        images: int | None = None,
        size: tuple[int, int] | None = None,
        quality: str | None = None,
        seconds: float | None = None,
        characters: int | None = None,
    ) -> Cost | None:
        """What a call costs by what it used; None where the price of any of that is not known.

        It is `estimated` when the tokens are, when the price is that of another edition of the model, or when
        it depends on something that is not seen here.
        """
        found = self.models.find(provider, model)
        price = found.model.price if found is not None else None
        if found is None or price is None:
            return None
        if usage is not None and price.tiers:
            price = price.for_prompt(usage.prompt_tokens)
        if price.input == price.output == 0:
            amount: float | None = 0.0
        else:
            amount = _of_tokens(price, usage) if usage is not None else None
            if amount is None:
                image = _of_image(price.image, size, quality) if images is not None else None
                amount = _of_units(price, image, images, seconds, characters)
        if amount is None:
            return None
        counted = usage is None or usage.source == "provider"
        certain = found.exact and counted and not price.varies
        return Cost(amount, price.currency, estimated=amount > 0 and not certain)


@cache
def default_prices() -> Prices:
    """The built-in prices."""
    return Prices()


def _of_units(
    price: Price, image: float | None, images: int | None, seconds: float | None, characters: int | None
) -> float | None:
    """By the first unit in which the model has a price and the call is counted."""
    if images is not None and image is not None:
        return images * image
    if seconds is not None and price.hour is not None:
        return seconds * price.hour / _HOUR
    if characters is not None and price.million_characters is not None:
        return characters * price.million_characters / _MILLION
    return None


def _of_tokens(price: Price, usage: Usage) -> float | None:
    fresh, received = usage.prompt_tokens, usage.completion_tokens
    price_in, price_out = price.input, price.output
    if usage.reasoning_tokens and price.thinking_output is not None:
        price_out = price.thinking_output
    if price_in is None or (received and price_out is None):
        return None
    amount = received * (price_out or 0.0)
    if cached := usage.cached_tokens:
        amount += cached * (price_in if price.cached_input is None else price.cached_input)
        fresh -= cached
    if written := usage.cache_write_tokens:
        amount += written * (price_in if price.cache_write is None else price.cache_write)
        fresh -= written
    if fresh > 0:
        amount += fresh * price_in
    return amount / _MILLION


def _of_image(prices: Mapping[str, float], size: tuple[int, int] | None, quality: str | None) -> float | None:
    shape = f"{size[0]}x{size[1]}" if size else ""
    asked = f"{quality or ''} {shape}".strip() or "default"
    return prices.get(asked, prices.get("*"))
