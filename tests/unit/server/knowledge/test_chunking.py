from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusai.server.knowledge.chunking import chunk, full_text
from nexusai.server.knowledge.parsing import Block

ENGLISH = "Dr. Smith went home. He slept well, e.g. for hours! Did he dream? Nobody knows it. "
CHINESE = "今天天气很好。我们去公园吧！你说呢？他说：“好的。”于是大家一起出发；路上很热闹。"


def paragraph(text, page=None):
    return Block("paragraph", text, page)


def heading(text, level=1, page=None):
    return Block("heading", text, page, level)


def rows(count):
    return "| n | name |\n| --- | --- |\n" + "\n".join(f"| {n} | row {n} |" for n in range(count))


def texts(blocks, size, overlap=0):
    return [part.text for part in chunk(blocks, size, overlap)]


words = st.text("ab c.!? 中文，。！？；\n\t—“”👍é|-", min_size=1, max_size=300).filter(str.strip)
kinds = st.sampled_from(["heading", "paragraph", "table", "code", "list"])
blocks_of_any_kind = st.lists(
    st.builds(Block, kinds, words, st.none() | st.integers(1, 9), st.none() | st.integers(1, 6)), max_size=12
)


@given(blocks_of_any_kind, st.integers(1, 200), st.data())
def test_nothing_but_white_space_is_lost_and_no_chunk_is_too_large(blocks, size, data):
    overlap = data.draw(st.integers(0, size - 1))
    text, parts = full_text(blocks), chunk(blocks, size, overlap)
    ends = [0, *(part.end for part in parts)]
    pieced = "".join(text[max(end, part.start) : part.end] for end, part in zip(ends, parts, strict=False))
    assert "".join(pieced.split()) == "".join(text.split())
    gaps = [text[end : part.start] for end, part in zip(ends, parts, strict=False)] + [text[ends[-1] :]]
    assert not "".join(gaps).strip()
    assert all(0 < len(part.text) <= size for part in parts)


@given(blocks_of_any_kind, st.integers(1, 200), st.data())
def test_a_chunk_is_its_range_of_the_text_and_repeats_no_more_than_asked(blocks, size, data):
    overlap = data.draw(st.integers(0, size - 1))
    text, parts = full_text(blocks), chunk(blocks, size, overlap)
    assert [part.index for part in parts] == list(range(len(parts)))
    assert all(part.text.endswith(text[part.start : part.end]) for part in parts)
    assert all(one.end - other.start <= overlap and one.start < other.start for one, other in pairwise(parts))


@pytest.mark.parametrize("sentences", [ENGLISH, CHINESE])
def test_long_paragraphs_are_divided_at_the_ends_of_sentences(sentences):
    parts = texts([paragraph(sentences * 20)], 120)
    assert len(parts) > 5
    assert all(part.endswith((".", "!", "?", "。", "！", "？", "；", "”")) for part in parts)
    assert not any(part.endswith(("Dr.", "e.g.")) for part in parts)


def test_a_closing_quotation_mark_stays_with_its_sentence():
    assert texts([paragraph("他说：“你好。”她笑了。")], 8) == ["他说：“你好。”", "她笑了。"]


def test_a_long_sentence_is_divided_at_clauses_then_words_then_anywhere():
    assert texts([paragraph("一二三四，五六七八，九十")], 6) == ["一二三四，", "五六七八，", "九十"]
    assert texts([paragraph("alpha beta gamma")], 11) == ["alpha beta", "gamma"]
    assert texts([paragraph("x" * 25)], 10) == ["x" * 10, "x" * 10, "x" * 5]


def test_a_paragraph_that_fits_is_not_divided():
    assert texts([paragraph("a" * 60), paragraph("One. Two. " * 5)], 100) == [
        "a" * 60,
        ("One. Two. " * 5).strip(),
    ]


def test_short_paragraphs_share_a_chunk():
    assert texts([paragraph("one"), paragraph("two")], 100) == ["one\n\ntwo"]


def test_what_is_repeated_begins_at_a_sentence():
    first, second, *_ = texts([paragraph("One is here. Two is here. Three is here. Four is here.")], 40, 20)
    assert first == "One is here. Two is here."
    assert second == "Two is here. Three is here."


def test_chinese_is_repeated_from_a_sentence_too():
    parts = texts([paragraph("第一句话在这里。第二句话在这里。第三句话在这里。第四句话在这里。")], 20, 10)
    assert parts == [
        "第一句话在这里。第二句话在这里。",
        "第二句话在这里。第三句话在这里。",
        "第三句话在这里。第四句话在这里。",
    ]


def test_a_heading_begins_a_chunk_and_names_the_way_to_it():
    blocks = [
        heading("A"),
        paragraph("one"),
        heading("B", 2),
        paragraph("two"),
        heading("C"),
        paragraph("three"),
    ]
    parts = chunk(blocks, 100, 20)
    assert [(part.text, part.heading_path) for part in parts] == [
        ("A\n\none", ("A",)),
        ("B\n\ntwo", ("A", "B")),
        ("C\n\nthree", ("C",)),
    ]


def test_headings_that_follow_each_other_stay_with_their_text():
    parts = chunk([heading("A"), heading("B", 2), paragraph("x" * 50 + ". Yes.")], 60, 0)
    assert parts[0].text == "A\n\nB\n\n" + "x" * 50 + "."
    assert parts[0].heading_path == ("A", "B")


def test_nothing_is_repeated_from_another_section():
    parts = texts([heading("A"), paragraph("One. Two."), heading("B"), paragraph("Three.")], 50, 30)
    assert parts[1] == "B\n\nThree."


def test_a_chunk_is_of_one_page():
    parts = chunk([paragraph("One.", 1), paragraph("Two.", 2), paragraph("Two, too.", 2)], 100, 20)
    assert [(part.text, part.page) for part in parts] == [("One.", 1), ("Two.\n\nTwo, too.", 2)]


def test_a_heading_at_the_foot_of_a_page_goes_with_its_text():
    parts = chunk([heading("A", page=1), paragraph("One.", 2)], 100, 20)
    assert [(part.text, part.page) for part in parts] == [("A\n\nOne.", 2)]


def test_a_sentence_that_goes_on_over_a_page_is_whole_on_the_second():
    first, second = chunk([paragraph("Once. The lamp burns", 1), paragraph("oil. Whale oil.", 2)], 100, 20)
    assert (first.text, first.page) == ("Once. The lamp burns", 1)
    assert (second.text, second.page) == ("The lamp burns\n\noil. Whale oil.", 2)


def test_line_ends_before_a_text_belong_to_no_chunk():
    first, second = chunk([paragraph("\n" + "?" * 10, 1), paragraph("?", 2), paragraph("\n\nx", 2)], 16, 13)
    assert (first.text, first.start) == ("?" * 10, 1)
    assert second.start > first.start


def test_a_table_that_fits_is_whole():
    parts = texts([paragraph("p" * 80), Block("table", rows(3)), paragraph("q" * 80)], 120)
    assert rows(3) in parts


def test_a_larger_table_is_divided_by_rows_under_its_header():
    parts = texts([paragraph("before"), Block("table", rows(60))], 200, 50)
    head = "| n | name |\n| --- | --- |\n"
    assert parts[0] == "before"
    assert all(part.startswith(head) and part.endswith("|") for part in parts[1:])
    assert "\n".join(part.removeprefix(head) for part in parts[1:]) == rows(60).removeprefix(head)


def test_a_header_that_would_fill_the_chunks_is_not_repeated():
    table = f"| {'h' * 80} |\n| --- |\n" + "\n".join(f"| {n} |" for n in range(50))
    assert sum("hhh" in part for part in texts([Block("table", table)], 100)) == 1


def test_code_is_whole_and_keeps_its_indentation():
    code = "    def f():\n        return 1.\n\n    f()"
    assert texts([Block("code", code)], 100) == [code]


def test_longer_code_is_divided_at_empty_lines():
    parts = texts([Block("code", "a = 1\nb = 2\n\nc = 3\nd = 4\n\ne = 5")], 15)
    assert parts == ["a = 1\nb = 2", "c = 3\nd = 4", "e = 5"]


def test_a_list_is_divided_between_items():
    parts = texts([Block("list", "\n".join(f"- item {n}. It is." for n in range(9)))], 50)
    assert all(line.startswith("- ") for part in parts for line in part.split("\n"))


def test_no_blocks_are_no_chunks():
    assert chunk([]) == []


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (10, 10), (10, -1)])
def test_impossible_sizes_are_refused(size, overlap):
    with pytest.raises(ValueError, match=f"not {size} and {overlap}"):
        chunk([paragraph("x")], size, overlap)


@pytest.mark.parametrize(
    "text", ["中文句子没有标点" * 125_000, "word " * 200_000, "。" * 1_000_000, CHINESE * 25_000]
)
def test_a_million_characters_take_moments(text):
    start = time.perf_counter()
    assert len(chunk([paragraph(text)])) > 500
    assert time.perf_counter() - start < 10
