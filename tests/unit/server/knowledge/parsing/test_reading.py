from __future__ import annotations

import pytest

from nexusai.server.knowledge.parsing import Limits
from nexusai.server.knowledge.parsing.reading import read


@pytest.fixture
def text(tmp_path):
    def of(words, hint=""):
        path = tmp_path / "document"
        path.write_bytes(words.encode())
        return read(path, hint, Limits())

    return of


def test_line_ends_of_every_kind_are_one(text):
    assert text("one\r\ntwo\rthree\u2028four\n").blocks[0].text == "one\ntwo\nthree\nfour"


def test_what_cannot_be_shown_is_left_out(text):
    assert text("a\ufeffb\x7fc" + "." * 99).blocks[0].text == "abc" + "." * 99


@pytest.mark.parametrize(
    ("words", "language"),
    [
        ("今天天气很好，我们用 Python 写程序。", "zh"),
        ("今日はとても天気がいいです。", "ja"),
        ("오늘은 날씨가 좋습니다.", "ko"),
        ("The weather is fine today.", None),
        ("12345", None),
    ],
)
def test_a_script_gives_its_language_away(text, words, language):
    assert text(words).language == language


def test_a_document_that_begins_with_a_heading_is_called_that(text):
    assert text("# The name\n\ntext", "md").title == "The name"
    assert text("text\n\n# A section", "md").title is None
