from __future__ import annotations

PAGE = """<!DOCTYPE html><html lang="zh-CN"><head><title>标题</title><style>p {}</style></head><body>
<h1>A <i>b</i></h1>loose <b>bold</b>
text<br>new line<p>one<script>evil()</script> two
<table><tr><th>a<th>b<tr><td>1<td>x<br>y</table>
<pre>  code
 more</pre>
<ol><li>x<li>y<ul><li>z</ul></ol>last</body>"""


def test_every_kind_of_block_is_found(blocks):
    assert blocks(PAGE) == [
        ("heading", 1, None, "A b"),
        ("paragraph", None, None, "loose bold text\nnew line"),
        ("paragraph", None, None, "one two"),
        ("table", None, None, "| a | b |\n| --- | --- |\n| 1 | x y |"),
        ("code", None, None, "  code\n more"),
        ("list", None, None, "- x\n- y\n  - z"),
        ("paragraph", None, None, "last"),
    ]


def test_title_and_language_are_the_pages_own(parsed):
    document = parsed(PAGE)
    assert (document.title, document.language) == ("标题", "zh")


def test_elements_closed_as_in_xml_do_not_swallow_the_rest(blocks):
    page = (
        '<?xml version="1.0" encoding="utf-8"?><html><head><title/><script src="x"/></head><p>中文</p></html>'
    )
    assert blocks(page) == [("paragraph", None, None, "中文")]


def test_two_thousand_levels_are_read(blocks):
    assert blocks("<!doctype html>" + "<div>" * 2000 + "deep") == [("paragraph", None, None, "deep")]
