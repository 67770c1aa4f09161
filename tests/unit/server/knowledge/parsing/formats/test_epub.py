from __future__ import annotations

from tests.fixtures.documents import book

CHAPTERS = [
    "<h1>One</h1><p>Text&nbsp;here.</p>",
    "<h1>第二章</h1><p>中文正文。</p><h2>小节</h2><p>更多。</p>",
]


def test_chapters_stand_in_the_order_of_the_spine(blocks):
    assert blocks(book(CHAPTERS)) == [
        ("heading", 1, None, "One"),
        ("paragraph", None, None, "Text here."),
        ("heading", 1, None, "第二章"),
        ("paragraph", None, None, "中文正文。"),
        ("heading", 2, None, "小节"),
        ("paragraph", None, None, "更多。"),
    ]


def test_title_and_language_are_the_books_own(parsed):
    document = parsed(book(CHAPTERS, title="书", language="zh-Hans"))
    assert (document.title, document.language, document.file_type) == ("书", "zh", "epub")


def test_scrambled_fonts_lock_nothing(parsed):
    fonts = '<e><EncryptionMethod Algorithm="http://www.idpf.org/2008/embedding"/></e>'
    assert parsed(book(CHAPTERS, more={"META-INF/encryption.xml": fonts})).blocks
