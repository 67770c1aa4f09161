"""What is taken out of every line of the log, whoever wrote it."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from nexusai.error import ConfigurationError

__all__ = ["Redactor", "told"]

HIDDEN: Final = "***"
SHORTEST: Final = 8
"""Characters of a secret; what is shorter may be in any word."""
LONGEST: Final = 16_000
"""Characters of an exception that are kept: the end, where it was raised."""
_NAMED: Final = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS?)(_ID)?$")
"""Variables of the environment whose values are secrets."""
_LOOKS: Final = re.compile(
    r"\b(?:nxs_|sk-|AIza|xai-|gsk_|whsec_)[\w-]{8,}"
    r"|(?<=[?&])(?:[\w-]*key|[\w-]*token|sig|signature|secret|password)=[^&\s\"'<>\\]+"
    r"|\b(?:bearer|basic)\s+[\w.~+/=-]{8,}"
    r"|(?<=://)[^\s/@:\"']*:[^\s/@\"']+(?=@)",
    re.IGNORECASE,
)
_CODE: Final = re.compile(r"[\w.-]{1,40}")
_OURS: Final = (ConfigurationError, OSError, ImportError, AttributeError, NameError, AssertionError)
"""Errors whose words are ours, the system's or the interpreter's. Others may quote what they choked on."""


class Redactor:
    """Knows the secrets of an environment, and what a secret looks like."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._secrets: set[str] = set()
        self.learn(value for name, value in environ.items() if _NAMED.search(name))

    def learn(self, secrets: Iterable[str | None]) -> None:
        """Hide these too, from now on."""
        self._secrets |= {secret for secret in secrets if secret and len(secret) >= SHORTEST}
        known = "|".join(re.escape(secret) for secret in sorted(self._secrets, key=len, reverse=True))
        self._known = re.compile(known) if known else None

    def __call__(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        return _LOOKS.sub(HIDDEN, text)


def told(error: BaseException, *, whole: bool = False) -> str:
    """An error in a line: its class, its status and code, and its words where these cannot quote a prompt."""
    facts = [getattr(error, "status", None), getattr(error, "code", None)]
    known = [str(fact) for fact in facts if isinstance(fact, (int, str)) and _CODE.fullmatch(str(fact))]
    plain = whole or isinstance(error, _OURS) or type(error).__module__ == "sqlite3"
    words = str(error) if plain else ""
    return " ".join([type(error).__name__, *known]) + (f": {words}" if words else "")


def stack(error: BaseException, *, whole: bool = False) -> str:
    """Where an error came from, and those that led to it; of their words as much as `told` tells."""
    text = "".join(_links(error, whole, set()))
    return text if len(text) <= LONGEST else f"…{text[-LONGEST:]}"


def _links(error: BaseException, whole: bool, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen:
        yield from _links(before, whole, seen)
        yield "which led to\n"
    yield from traceback.format_tb(error.__traceback__)
    yield f"{told(error, whole=whole)}\n"
    for one in getattr(error, "exceptions", ()):
        if id(one) not in seen:
            yield "one of them\n"
            yield from _links(one, whole, seen)
