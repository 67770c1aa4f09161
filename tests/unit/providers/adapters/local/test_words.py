from __future__ import annotations

import os
import time

import pytest

from nexusai.providers.adapters.local.words import Words, word_lists
from nexusai.providers.errors import AdapterError


@pytest.mark.parametrize(
    ("word", "text", "there"),
    [
        ("fool", "what a fool", True),
        ("Fool", "WHAT A FOOL!", True),
        ("fool", "foolish", False),
        ("fool", "tomfool", False),
        ("fool", "他是fool吗", True),
        ("project x", "about Project\n X.", True),
        ("project x", "projectx", False),
        ("夜莺", "关于夜莺计划的事", True),
        ("夜莺", "夜 莺", False),
        ("c++", "we write c++ here", True),
        ("ＡＢＣ", "the abc", True),
        ("straße", "in der STRASSE", True),
        ("fool", "", False),
    ],
)
def test_a_word_is_found_where_a_word_is(word, text, there):
    assert Words([word, "zzz"]).are_in(text.casefold()) is there


def test_a_hundred_thousand_words_are_looked_for_in_no_time():
    words = Words(f"word{number}" for number in range(100_000))
    begun = time.process_time()
    assert not words.are_in("nothing of it is here " * 500)
    assert words.are_in("nothing of it is here " * 500 + "word77")
    assert time.process_time() - begun < 2


def test_without_a_file_there_are_none():
    assert word_lists(None) == word_lists("") == {}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "words.txt"


def test_a_file_has_words_by_category(file):
    file.write_text("\ufeff# ours\nfool\n\n  idiot  \n[products]\nproject x\n夜莺\n[empty]\n", "utf-8")
    lists = word_lists(str(file))
    assert {name: len(words) for name, words in lists.items()} == {"listed": 2, "products": 2}
    assert lists["listed"].are_in("an idiot")
    assert lists["products"].are_in("夜莺")


def test_a_file_that_changes_is_read_again(file):
    file.write_text("one\n")
    assert word_lists(str(file))["listed"].are_in("one")
    file.write_text("two\n")
    os.utime(file, ns=(1, 1))
    assert word_lists(str(file))["listed"].are_in("two")


def test_a_file_that_is_not_there_is_named_with_its_setting(file):
    with pytest.raises(
        AdapterError, match=r"words\.txt \(NEXUS_MODERATION_WORDS\) cannot be read: No such file"
    ):
        word_lists(str(file))


def test_a_file_that_is_no_text_is_named(file):
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AdapterError, match="it is not UTF-8"):
        word_lists(str(file))
