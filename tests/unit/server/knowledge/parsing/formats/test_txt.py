from __future__ import annotations


def test_paragraphs_stand_between_empty_lines(blocks):
    assert blocks("One\nline.\n\n\n二\n") == [
        ("paragraph", None, None, "One\nline."),
        ("paragraph", None, None, "二"),
    ]


def test_chapters_are_headings(blocks):
    found = blocks("第一章 开始\n正文。\nChapter 2\nText.\n第二章节里的一句话，不是标题。\n")
    assert [(kind, text) for kind, _, _, text in found] == [
        ("heading", "第一章 开始"),
        ("paragraph", "正文。"),
        ("heading", "Chapter 2"),
        ("paragraph", "Text.\n第二章节里的一句话，不是标题。"),
    ]
