from __future__ import annotations

import pytest

from nexusai.server.knowledge.parsing import DocumentError
from nexusai.server.knowledge.parsing.sniffing import decode, hint, signature, text_type

TEXTS = {
    "utf-8": "Größe, 大小, размер",
    "utf-8-sig": "标记 with a mark",
    "utf-16": "一二三 with a mark",
    "utf-16-le": "Plain words, 一些汉字 and a line\n",
    "utf-16-be": "Plain words, 一些汉字 and a line\n",
    "utf-32": "四字节 words",
    "gb18030": "第一章 绪论\n这是一个简体中文的测试文件，内容包括许多常用的汉字。",
    "gbk": "北京，上海。",
    "big5": "第一章 緒論\n這是一個繁體中文的測試文件，內容包括許多常用的漢字。",
    "cp1252": "Le café où l’été s’arrête, déjà vu à la crèche – 5 €.",
    "cp1251": "Это текст на русском языке, который написан в старой кодировке.",
    "shift_jis": "これは日本語のテストです。文字コードの判定を確認します。",
    "cp949": "안녕하세요 세계 이것은 시험입니다",
}


@pytest.mark.parametrize("encoding", TEXTS)
def test_text_is_read_in_its_encoding(encoding):
    assert decode(TEXTS[encoding].encode(encoding)) == TEXTS[encoding]


def test_a_long_text_in_gb18030_loses_nothing():
    text = "中文文档需要完整读取，不能丢失任何内容。𠀀\n" * 20_000
    assert decode(text.encode("gb18030")) == text


@pytest.mark.parametrize("data", [bytes(range(256)) * 9, b"\x00" * 99, b"\x93\x01\x02\x03" * 50])
def test_what_is_no_text_is_refused(data):
    with pytest.raises(DocumentError) as refused:
        decode(data)
    assert refused.value.code == "unsupported"


@pytest.mark.parametrize(
    ("filename", "content_type", "kind"),
    [
        ("a.MD", None, "md"),
        ("a.csv", "text/plain", "csv"),
        ("a.tsv", None, "csv"),
        ("a.jsonl", None, "json"),
        ("a", "text/html; charset=utf-8", "html"),
        ("a.txt", "text/markdown", "md"),
        ("a.pdf", "application/pdf", ""),
        ("csv", None, ""),
    ],
)
def test_a_name_tells_one_kind_of_text_from_another(filename, content_type, kind):
    assert hint(filename, content_type) == kind


@pytest.mark.parametrize(
    ("text", "hint", "kind"),
    [
        ("<!DOCTYPE html><p>x", "", "html"),
        ("  <!-- c --><HTML>", "md", "html"),
        ("<?xml version='1.0'?>\n<html xmlns='x'>", "", "html"),
        ("<p>part of a page", "html", "html"),
        ("1 < 2 and 3 > 2", "html", "txt"),
        ("# Title", "md", "md"),
        ("# Title", "", "txt"),
    ],
)
def test_html_shows_in_a_text_and_the_rest_is_as_named(text, hint, kind):
    assert text_type(text, hint) == kind


def test_a_signature_goes_before_everything():
    assert signature(b"%PDF-1.4 <html>") == "pdf"
    assert signature(b"PK\x03\x04%PDF-") == "zip"
    assert signature(b"the words %PDF- in a text") is None
