from __future__ import annotations

from datetime import datetime

from tests.fixtures.documents import workbook


def test_sheets_are_headings_over_tables(blocks):
    book = workbook({"销售": [["地区", "额"], [], ["北京", 3.0]], "Notes": [["text"], ["fine", None, "far"]]})
    assert blocks(book) == [
        ("heading", 1, None, "销售"),
        ("table", None, None, "| 地区 | 额 |\n| --- | --- |\n| 北京 | 3 |"),
        ("heading", 1, None, "Notes"),
        ("table", None, None, "| text |\n| --- |\n| fine |  | far |"),
    ]


def test_values_are_shown_as_people_write_them(blocks):
    row = [1.5, 2.0, True, datetime(2024, 2, 3), datetime(2024, 2, 3, 4, 5)]  # noqa: DTZ001
    text = blocks(workbook({"A": [["x"], row]}))[1][3]
    assert text.endswith("| 1.5 | 2 | True | 2024-02-03 | 2024-02-03 04:05:00 |")
