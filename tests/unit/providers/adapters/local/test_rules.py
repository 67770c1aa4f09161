from __future__ import annotations

import base64
import json
import time

import pytest

from nexusai.providers.adapters.local.rules import RULES, judge
from nexusai.providers.adapters.local.words import Words


def found(text):
    """The categories that are hit."""
    judgement = judge(text, {})
    assert judgement.flagged is any(judgement.categories.values())
    return {name for name, hit in judgement.categories.items() if hit}


def part(**fields):
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).rstrip(b"=").decode()


# Put together here, so that nobody who looks for keys in this file finds one.
KEYS = [
    "sk-" + "proj-" + "a1B2" * 10,
    "sk-" + "ant-api03-" + "x9Y8" * 10,
    "AK" + "IA" + "ABCDEFGH12345678",
    "AI" + "za" + "Sy" + "a" * 33,
    "gh" + "p_" + "a1" * 18,
    "github" + "_pat_" + "A1" * 20,
    "gl" + "pat-" + "a1b2c" * 4,
    "xo" + "xb-" + "1234567890-abcdef",
    "hf" + "_" + "aB" * 17,
    "sk" + "_live_" + "a1" * 12,
    "SG" + "." + "a" * 22 + "." + "b" * 43,
    "LT" + "AI" + "4GAbcdefghijklmn",
    "nx" + "s_" + "aZ09-_" * 5,
    "gs" + "k_" + "a1" * 26,
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("text", ["{}", "my key is {}, keep it", "KEY='{}'", "密钥是{}。"])
def test_an_api_key_is_a_secret(key, text):
    assert "secrets/api_key" in found(text.format(key))


@pytest.mark.parametrize(
    "text",
    [
        "sk-circle-fade-dot-animation is a class",
        "risk-1234567890abcdefghijklmn",
        "sk-short1",
        "AKIA is a prefix",
        "the ghp_ prefix",
        "task_0123456789abcdefghij",
    ],
)
def test_what_only_looks_like_a_key_is_none(text):
    assert found(text) == set()


@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
def test_a_private_key_is_a_secret(kind):
    assert found(f"-----BEGIN {kind}PRIVATE KEY-----\nMIIB") == {"secrets/private_key"}


def test_a_public_key_is_none():
    assert found("-----BEGIN PUBLIC KEY-----") == set()


def test_a_token_of_json_is_a_secret():
    token = f"{part(alg='HS256', typ='JWT')}.{part(sub='1234567890')}.{'s1gn' * 10}"
    assert found(f"Bearer {token}") == {"secrets/jwt"}


def test_a_password_in_an_address_is_a_secret():
    assert "secrets/password_in_url" in found("postgres://app:hunter2@db.internal:5432/main")
    assert found("see https://example.com:8080/a@b and http://localhost:80") == set()


@pytest.mark.parametrize(
    "address", ["me@example.com", "a.b+c@mail.example.co.uk", "X_1@EXAMPLE.ORG", "用ｍｅ@ｅｘ.com"]
)
def test_an_e_mail_address_is_personal(address):
    assert found(f"write to {address}.") == {"personal_data/email"}


@pytest.mark.parametrize(
    "text", ["a@b", "@example.com", "me@", "5 @ 3.50", "user@localhost", "import x@1.2.3"]
)
def test_what_only_has_an_at_is_no_address(text):
    assert found(text) == set()


@pytest.mark.parametrize(
    "number",
    [
        "13812345678",
        "138 1234 5678",
        "138-1234-5678",
        "+86 138 1234 5678",
        "+1 (415) 555-2671",
        "+442071838750",
        "415-555-2671",
        "(415) 555-2671",
        "010-12345678",
        "０１０-１２３４５６７８",
    ],
)
def test_a_telephone_number_is_personal(number):
    assert found(f"call {number} today") == {"personal_data/phone"}


@pytest.mark.parametrize(
    "text",
    [
        "in 2024-2025",
        "12345678901234",
        "version 1.2.3.4",
        "+5 degrees",
        "10:30-11:45",
        "ISO 8601 2024-01-02",
        "12812345678",
    ],
)
def test_another_number_is_no_telephone(text):
    assert found(text) == set()


@pytest.mark.parametrize("number", ["11010519491231002X", "11010519491231002x", "440524188001010014"])
def test_a_chinese_identity_number_is_personal(number):
    assert found(f"身份证号{number}，请核对") == {"personal_data/china_id"}


@pytest.mark.parametrize("number", ["110105194912310021", "11010519491331002X", "01010519491231002X"])
def test_a_number_whose_check_or_day_is_wrong_is_none(number):
    assert "personal_data/china_id" not in found(number)


@pytest.mark.parametrize(
    "number",
    ["4111111111111111", "4111 1111 1111 1111", "5555-5555-5555-4444", "378282246310005", "6200000000000005"],
)
def test_a_card_number_is_personal(number):
    assert found(f"card {number}") == {"personal_data/credit_card"}


@pytest.mark.parametrize(
    "number", ["4111111111111112", "0000000000000000", "4111 1111", "41111111111111111111111"]
)
def test_a_number_that_fails_the_check_is_no_card(number):
    assert found(number) == set()


@pytest.mark.parametrize("number", ["123-45-6789", "078-05-1120"])
def test_a_social_security_number_is_personal(number):
    assert found(f"SSN {number}") == {"personal_data/us_ssn"}


@pytest.mark.parametrize(
    "number", ["000-45-6789", "666-45-6789", "900-45-6789", "123-00-6789", "123-45-0000"]
)
def test_a_number_that_was_never_given_out_is_none(number):
    assert found(number) == set()


@pytest.mark.parametrize(
    "number",
    [
        "DE89370400440532013000",
        "DE89 3704 0044 0532 0130 00",
        "GB82 WEST 1234 5698 7654 32",
        "NO93 8601 1117 947",
    ],
)
@pytest.mark.parametrize("text", ["{}", "IBAN {} BIC COBADEFF", "pay to {}, please"])
def test_an_account_number_is_personal(number, text):
    assert found(text.format(number)) == {"personal_data/iban"}


@pytest.mark.parametrize("text", ["DE88370400440532013000", "AB12 CDEF GHIJ KLMN", "IBAN: unknown"])
def test_an_account_number_that_fails_the_check_is_none(text):
    assert found(text) == set()


@pytest.mark.parametrize(
    "text", ["", "Hello, world.", "今天天气很好。", "def f(x): return x * 2", "🙂" * 100]
)
def test_plain_text_is_not_flagged(text):
    assert found(text) == set()


def test_a_score_is_one_for_a_hit_and_nothing_else():
    judgement = judge("me@example.com", {})
    assert judgement.category_scores == {
        name: 1.0 if name == "personal_data/email" else 0.0 for name in RULES
    }
    assert judgement.categories.keys() == RULES.keys()


def test_lists_of_words_are_categories():
    judgement = judge("The NIGHTINGALE sings", {"products": Words(["nightingale"]), "other": Words(["owl"])})
    assert judgement.categories["words/products"]
    assert judgement.category_scores["words/other"] == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "a" * 200_000,
        "1" * 200_000,
        "a@" * 100_000,
        "a.b" * 70_000,
        "+1 " * 70_000,
        "AB12 " * 40_000,
        "eyJ" * 70_000,
        "sk-a-" * 40_000,
    ],
)
def test_no_text_takes_long(text):
    begun = time.process_time()
    judge(text, {})
    assert time.process_time() - begun < 3
