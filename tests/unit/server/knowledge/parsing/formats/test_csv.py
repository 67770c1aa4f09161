from __future__ import annotations

import pytest


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(blocks, mark):
    text = f"name{mark}size\none{mark}1\n"
    assert blocks(text, "csv") == [("table", None, None, "| name | size |\n| --- | --- |\n| one | 1 |")]


def test_chinese_in_gb18030_as_spreadsheets_save_it(blocks):
    found = blocks("城市,人口\n北京,2189\n上海,2487\n".encode("gb18030"), "csv")
    assert found[0][3] == "| 城市 | 人口 |\n| --- | --- |\n| 北京 | 2189 |\n| 上海 | 2487 |"


def test_quoted_cells_keep_marks_and_lose_line_ends(blocks):
    assert blocks('a,b\n"x, y","one\ntwo"\n', "csv")[0][3].endswith("| x, y | one two |")
