"""`local/rules`: moderation by named rules. A rule is hit or not: scores are 1 and 0, nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Final, TypeAlias
from unicodedata import normalize

from nexusai.providers.adapters.local.words import Words
from nexusai.providers.types import Judgement

__all__ = ["RULES", "judge"]

Rule: TypeAlias = Callable[[str], bool]


def judge(text: str, lists: Mapping[str, Words]) -> Judgement:
    """What the rules, and the user's own lists of words as `words/<name>`, say of a text."""
    plain = normalize("NFKC", text)
    found = {name: rule(plain) for name, rule in RULES.items()}
    folded = plain.casefold()
    found |= {f"words/{name}": words.are_in(folded) for name, words in lists.items()}
    return Judgement(any(found.values()), found, {name: float(hit) for name, hit in found.items()})


def _pattern(pattern: str, holds: Callable[[str], bool] = bool) -> Rule:
    """Whether there is a match for which something holds."""
    compiled = re.compile(pattern, re.VERBOSE | re.ASCII)
    return lambda text: any(holds(match.group()) for match in compiled.finditer(text))


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def _is_phone(text: str) -> bool:
    return 8 <= len(_digits(text)) <= 15


def _is_china_id(text: str) -> bool:
    """GB 11643: region, day of birth, serial number, check character by ISO 7064 MOD 11-2."""
    try:
        born = date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        return False
    total = sum(int(digit) * pow(2, 17 - at, 11) for at, digit in enumerate(text[:17]))
    return 1850 <= born.year <= 2150 and "10X98765432"[total % 11] == text[17].upper()


def _is_card(text: str) -> bool:
    """ISO/IEC 7812: check digit by Luhn. A number of identity is none, though one in ten would pass."""
    digits = [int(digit) for digit in reversed(_digits(text))]
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + doubled) % 10 == 0 and not (len(digits) == 18 and _is_china_id(_digits(text)))


def _is_iban(text: str) -> bool:
    """ISO 13616: rest 1 by 97. Words in capitals may follow: groups are taken off until it fits."""
    return any(_remainder(text[:end]) == 1 for end in _ends(text))


def _ends(text: str) -> Iterator[int]:
    yield len(text)
    yield from (match.start() for match in re.finditer(" ", text) if match.start() > 14)


def _remainder(text: str) -> int:
    plain = text.replace(" ", "")
    return int("".join(str(int(sign, 36)) for sign in plain[4:] + plain[:4])) % 97 if len(plain) > 14 else 0


_KEYS: Final = r"""(?<![A-Za-z0-9])(?:
    sk-(?=[A-Za-z_-]{0,40}\d)[A-Za-z0-9_-]{20,} | (?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,}
  | nxs_[A-Za-z0-9_-]{16,}
  | (?:AKIA|ASIA)[A-Z0-9]{16} | AIza[A-Za-z0-9_-]{35} | LTAI[A-Za-z0-9]{12,24} | AKID[A-Za-z0-9]{32}
  | gh[pousr]_[A-Za-z0-9]{36,} | github_pat_[A-Za-z0-9_]{22,} | glpat-[A-Za-z0-9_-]{20,}
  | xox[abeoprs]-[A-Za-z0-9-]{10,} | hf_[A-Za-z0-9]{30,} | npm_[A-Za-z0-9]{36} | pypi-[A-Za-z0-9_-]{50,}
  | SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43} | gsk_[A-Za-z0-9]{40,} | xai-[A-Za-z0-9]{40,}
)"""
"""Keys by the beginnings that their makers give them."""

_PHONE: Final = r"""
    \+\d[\d ().-]{6,20}\d(?!\d)                                 # with its country
  | (?<![\d.-])1[3-9]\d(?:[ -]?\d{4}){2}(?![\d-])               # a mobile in China
  | (?<![\d.-])(?:\(\d{3}\)[ ]?|\d{3}-)\d{3}-\d{4}(?![\d-])     # North America
  | (?<![\d.-])0\d{2,3}-\d{7,8}(?![\d-])                        # a landline in China
"""
_PART: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"

RULES: Final[Mapping[str, Rule]] = {
    "secrets/api_key": _pattern(_KEYS),
    "secrets/private_key": _pattern(r"-----BEGIN[ ](?:[A-Z0-9]+[ ]){0,3}PRIVATE[ ]KEY(?:[ ]BLOCK)?-----"),
    "secrets/jwt": _pattern(r"(?<![\w-])eyJ[\w-]{5,}\.eyJ[\w-]{5,}\.[\w-]{10,}"),
    "secrets/password_in_url": _pattern(
        r"[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/:@]{1,64}:[^\s/@]{1,128}@[\w\[]"
    ),
    "personal_data/email": _pattern(
        rf"(?<![\w.+-])[A-Za-z0-9][\w.%+-]{{0,63}}@(?:{_PART}\.){{1,8}}[A-Za-z]{{2,24}}(?![\w-])"
    ),
    "personal_data/phone": _pattern(_PHONE, _is_phone),
    "personal_data/china_id": _pattern(r"(?<![A-Za-z0-9])[1-9]\d{16}[\dXx](?![A-Za-z0-9])", _is_china_id),
    "personal_data/us_ssn": _pattern(r"(?<![\d-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])"),
    "personal_data/credit_card": _pattern(r"(?<![\d.-])[2-6](?:[ -]?\d){12,18}(?![\d-])", _is_card),
    "personal_data/iban": _pattern(
        r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,3})?(?![A-Za-z0-9])",
        _is_iban,
    ),
}
"""What is looked for, by category."""
