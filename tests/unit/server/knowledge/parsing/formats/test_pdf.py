from __future__ import annotations

from tests.fixtures.documents import pdf

ENGLISH = [
    [
        (24, "The Manual"),
        (12, "The first line of a paragraph that goes on in the next"),
        (12, "one and ends there."),
        (12, "A second paragraph, about as wide as the first line is."),
    ],
    [(18, "Details"), (12, "On the second page there is more text to be read.")],
]
CHINESE = [
    [(24, "产品手册"), (12, "今天天气很好，我们一起去公园散步，然后回家吃饭。晚上"), (12, "看电影。")],
    [(18, "第二节 概述"), (12, "这一页介绍主要功能，以及它们的使用方法和注意事项。")],
]


def test_english_pages_have_headings_by_size_and_paragraphs_by_their_last_line(blocks):
    assert blocks(pdf(ENGLISH)) == [
        ("heading", 1, 1, "The Manual"),
        ("paragraph", None, 1, "The first line of a paragraph that goes on in the next one and ends there."),
        ("paragraph", None, 1, "A second paragraph, about as wide as the first line is."),
        ("heading", 2, 2, "Details"),
        ("paragraph", None, 2, "On the second page there is more text to be read."),
    ]


def test_chinese_lines_are_joined_without_spaces(blocks):
    assert blocks(pdf(CHINESE)) == [
        ("heading", 1, 1, "产品手册"),
        ("paragraph", None, 1, "今天天气很好，我们一起去公园散步，然后回家吃饭。晚上看电影。"),
        ("heading", 2, 2, "第二节 概述"),
        ("paragraph", None, 2, "这一页介绍主要功能，以及它们的使用方法和注意事项。"),
    ]


def test_pages_title_and_language_are_known(parsed):
    document = parsed(pdf(CHINESE, title="手册"))
    assert (document.pages, document.title, document.language) == (2, "手册", "zh")


def test_text_of_one_size_has_no_headings(blocks):
    assert {kind for kind, *_ in blocks(pdf([[(12, "One line"), (12, "and another")]]))} == {"paragraph"}


def test_ten_thousand_pages_are_read_each_by_its_number(blocks):
    found = blocks(pdf([[(12, f"Page {number}")] for number in range(1, 10_001)]))
    assert found[-1] == ("paragraph", None, 10_000, "Page 10000")
