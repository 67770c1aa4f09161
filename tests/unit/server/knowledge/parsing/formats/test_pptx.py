from __future__ import annotations

from tests.fixtures.documents import slide_with_table, slides


def test_slides_are_pages_and_titles_headings(blocks):
    deck = slides([("Plan", ["first", "second"], "Say hello"), ("总结", ["完成"], "")])
    assert blocks(deck) == [
        ("heading", 1, 1, "Plan"),
        ("list", None, 1, "- first\n- second"),
        ("paragraph", None, 1, "Say hello"),
        ("heading", 1, 2, "总结"),
        ("paragraph", None, 2, "完成"),
    ]


def test_the_number_of_slides_is_known(parsed):
    assert parsed(slides([("A", [], ""), ("B", [], "")])).pages == 2


def test_a_table_is_read(blocks):
    found = blocks(slide_with_table([["地区", "sales"], ["北京", "3"]]))
    assert found == [("table", None, 1, "| 地区 | sales |\n| --- | --- |\n| 北京 | 3 |")]
