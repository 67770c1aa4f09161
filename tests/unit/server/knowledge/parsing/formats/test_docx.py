from __future__ import annotations

from tests.fixtures.documents import office, word

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def body(blocks, xml):
    return blocks(office("docx", f"<w:document {W}><w:body>{xml}</w:body></w:document>"))


def test_headings_paragraphs_lists_and_tables_stand_in_order(blocks):
    document = word(
        [
            ("Title", "Manual"),
            ("Heading 1", "Start"),
            ("Normal", "Some text."),
            ("List Bullet", "first"),
            ("List Number", "second"),
            ("Heading 2", "More"),
        ],
        [["name", "size"], ["a|b", "2"]],
    )
    assert blocks(document) == [
        ("heading", 1, None, "Manual"),
        ("heading", 1, None, "Start"),
        ("paragraph", None, None, "Some text."),
        ("list", None, None, "- first\n- second"),
        ("heading", 2, None, "More"),
        ("table", None, None, "| name | size |\n| --- | --- |\n| a\\|b | 2 |"),
    ]


def test_chinese_with_its_title(parsed):
    document = parsed(
        word([("Heading 1", "简介"), ("Normal", "这是正文。")], [["项", "值"], ["甲", "一"]], "手册")
    )
    assert (document.title, document.language, document.pages) == ("手册", "zh", None)
    assert [block.text for block in document.blocks] == [
        "简介",
        "这是正文。",
        "| 项 | 值 |\n| --- | --- |\n| 甲 | 一 |",
    ]


def test_what_is_in_content_controls_and_insertions_is_read_and_what_was_deleted_is_not(blocks):
    xml = (
        "<w:sdt><w:sdtContent><w:p><w:r><w:t>controlled</w:t></w:r></w:p></w:sdtContent></w:sdt>"
        "<w:p><w:ins><w:r><w:t>new</w:t></w:r></w:ins><w:del><w:r><w:delText>old</w:delText></w:r></w:del></w:p>"
    )
    assert [text for *_, text in body(blocks, xml)] == ["controlled", "new"]


def test_tabs_and_line_ends_are_kept(blocks):
    xml = "<w:p><w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t></w:r></w:p>"
    assert body(blocks, xml)[0][3] == "a\tb\nc"


def test_an_outline_level_makes_a_heading_without_a_style(blocks):
    xml = '<w:p><w:pPr><w:outlineLvl w:val="2"/></w:pPr><w:r><w:t>Deep</w:t></w:r></w:p>'
    assert body(blocks, xml) == [("heading", 3, None, "Deep")]


def test_a_table_in_a_table_is_in_its_cell_once(blocks):
    cell = "<w:tc><w:p><w:r><w:t>{}</w:t></w:r></w:p>{}</w:tc>"
    inner = f"<w:tbl><w:tr>{cell.format('inner', '')}</w:tr></w:tbl>"
    xml = f"<w:tbl><w:tr>{cell.format('outer', inner)}{cell.format('right', '')}</w:tr></w:tbl>"
    assert body(blocks, xml)[0][3] == "| outer inner | right |\n| --- | --- |"
