"""Documents that were made to do harm, or that harm came to: each has its answer, and the caller lives."""

from __future__ import annotations

import io
import json
import zipfile
import zlib

import pytest

from nexusai.server.knowledge.parsing import DocumentError, Limits, parse
from tests.fixtures import documents

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
S = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
LAUGHS = '<!DOCTYPE l [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
OUTSIDE = '<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
WORD = documents.word([("Normal", "Fine")])
SHEET = documents.workbook({"A": [["x", "y"], [1, 2]]})
SMALL = Limits(seconds=20, cpu_seconds=20, characters=200_000, cells=50_000)


def word_xml(body, prolog=""):
    return documents.office(
        "docx", f"<?xml version='1.0'?>{prolog}<w:document {W}><w:body>{body}</w:body></w:document>"
    )


def sheet_xml(rows, dimension="A1:B2"):
    data = f'<worksheet {S}><dimension ref="{dimension}"/><sheetData>{rows}</sheetData></worksheet>'
    return documents.repacked(SHEET, {"xl/worksheets/sheet1.xml": data})


def entries(count):
    return documents.zipped({f"word/{number}.xml": b"" for number in range(count)})


def overlapping(copies):
    """Many entries of an archive's directory that name the same compressed bytes."""
    packed = documents.zipped({"word/document.xml": b"a" * 4_000_000})
    end = packed.rindex(b"PK\x05\x06")
    start = packed.index(b"PK\x01\x02")
    entry = packed[start:end]
    directory = b"".join(entry.replace(b"document.xml", b"d%07d.xml" % n) for n in range(copies))
    size = len(directory).to_bytes(4, "little")
    tail = (
        b"PK\x05\x06\0\0\0\0"
        + copies.to_bytes(2, "little") * 2
        + size
        + start.to_bytes(4, "little")
        + b"\0\0"
    )
    return packed[:start] + directory + tail


def locked_zip():
    """An archive whose entries say that they need a password."""
    packed = bytearray(WORD)
    place = 0
    while (place := packed.find(b"PK\x01\x02", place)) >= 0:
        packed[place + 8] |= 1
        place += 4
    return bytes(packed)


def ole(stream):
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + stream.encode("utf-16-le") + bytes(512)


def swollen_stream():
    """A PDF whose page's contents unpack to 200 MB."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(b" " * 1_000_000) for _ in range(200)) + packer.flush()
    bodies = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R >>",
        f"<< /Length {len(packed)} /Filter /FlateDecode >>\nstream\n{packed.decode('latin-1')}\nendstream",
        "<< >>",
        "<< >>",
    ]
    return documents.assembled(bodies)


def page_tree(kids, count):
    bodies = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {count} /Kids [{kids}] >>",
        *["<< >>"] * 4,
    ]
    return documents.assembled(bodies)


def nested(depth):
    data = b"bottom"
    for _ in range(depth):
        data = documents.zipped({"word/document.xml": data}, zipfile.ZIP_STORED)
    return documents.office("docx", data)


def torn_archive():
    """An archive with one byte of its contents changed."""
    with zipfile.ZipFile(io.BytesIO(WORD)) as archive:
        place = archive.getinfo("word/document.xml").header_offset + 30 + len("word/document.xml") + 40
    return WORD[:place] + bytes([WORD[place] ^ 0xFF]) + WORD[place + 1 :]


REFUSED = {
    "no bytes": (lambda: b"", "empty"),
    "white space only": (lambda: b" \n\t\r\n" * 100, "empty"),
    "a mark of UTF-8 and nothing else": (lambda: b"\xef\xbb\xbf", "empty"),
    "an empty archive": (lambda: documents.zipped({}), "unsupported"),
    "a zip bomb": (lambda: documents.office("docx", b" " * 64_000_000), "bomb"),
    "a zip bomb of many files": (
        lambda: documents.office("docx", "x", {f"w/{n}.xml": b" " * 9_000_000 for n in range(60)}),
        "bomb",
    ),
    "a zip bomb of overlapping files": (lambda: overlapping(3000), "bomb"),
    "an archive in an archive": (
        lambda: documents.office("docx", "x", {"word/media/a.bin": documents.zipped({"b": b"c"})}),
        "bomb",
    ),
    "a hundred archives in each other": (lambda: nested(100), "bomb"),
    "an archive of 10,001 files": (lambda: entries(10_001), "bomb"),
    "a path to the parent folder": (lambda: documents.repacked(WORD, {"../../etc/cron.d/x": "x"}), "broken"),
    "a path with backslashes": (lambda: documents.repacked(WORD, {"..\\..\\x.xml": "x"}), "broken"),
    "an absolute path": (lambda: documents.repacked(WORD, {"/etc/passwd": "x"}), "broken"),
    "a path on a drive": (lambda: documents.repacked(WORD, {"C:/x.xml": "x"}), "broken"),
    "a path with a line feed": (lambda: documents.repacked(WORD, {"word/a\nb.xml": "x"}), "broken"),
    "an archive cut off": (lambda: WORD[: len(WORD) // 2], "broken"),
    "an archive with a false checksum": (torn_archive, "broken"),
    "an archive under a password": (locked_zip, "encrypted"),
    "a plain archive": (lambda: documents.zipped({"a.txt": "hello"}), "unsupported"),
    "an OpenDocument text": (
        lambda: documents.zipped(
            {"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": "<x/>"}
        ),
        "unsupported",
    ),
    "Word under a password": (lambda: ole("EncryptedPackage"), "encrypted"),
    "Word of 1997": (lambda: ole("WordDocument"), "unsupported"),
    "Word without its main part": (
        lambda: documents.zipped({"[Content_Types].xml": "wordprocessingml.document.main+xml"}),
        "broken",
    ),
    "Word that is no XML": (lambda: documents.office("docx", b"\x00\x01\x02"), "broken"),
    "Word with XML cut off": (lambda: documents.office("docx", f"<w:document {W}><w:body>"), "broken"),
    "Word with a billion laughs": (
        lambda: word_xml("<w:p><w:r><w:t>&i;</w:t></w:r></w:p>", LAUGHS + "]>"),
        "broken",
    ),
    "Word with an external entity": (
        lambda: word_xml("<w:p><w:r><w:t>&x;</w:t></w:r></w:p>", OUTSIDE),
        "broken",
    ),
    "Word with an entity behind a long comment": (
        lambda: word_xml("<w:p><w:r><w:t>&x;</w:t></w:r></w:p>", f"<!--{' ' * 5000}-->{OUTSIDE}"),
        "empty",
    ),
    "Word nested 100,000 deep": (lambda: word_xml("<w:sdt>" * 100_000 + "</w:sdt>" * 100_000), "broken"),
    "Word without a word": (lambda: documents.word(), "empty"),
    "a workbook with a billion laughs": (
        lambda: documents.repacked(
            SHEET, {"xl/sharedStrings.xml": f"{LAUGHS}]><sst {S}><si><t>&i;</t></si></sst>"}
        ),
        "broken",
    ),
    "a workbook of a row with too many cells": (
        lambda: sheet_xml("".join(f'<row r="{n}"><c r="XFD{n}"><v>1</v></c></row>' for n in range(1, 9))),
        "too_large",
    ),
    "a workbook with a cell in no column": (
        lambda: sheet_xml('<row r="1"><c r="$$$"><v>1</v></c></row>'),
        "broken",
    ),
    "a presentation without slides": (lambda: documents.slides([]), "empty"),
    "a presentation that is a document": (lambda: documents.office("pptx", f"<w:document {W}/>"), "broken"),
    "a book without contents": (
        lambda: documents.zipped({"META-INF/container.xml": "<container/>"}),
        "broken",
    ),
    "a book whose contents are elsewhere": (
        lambda: documents.zipped(
            {"META-INF/container.xml": '<c><rootfile full-path="../../../etc/passwd"/></c>'}
        ),
        "broken",
    ),
    "a book that laughs": (
        lambda: documents.book(["<p>x</p>"], more={"META-INF/container.xml": f"{LAUGHS}]><c>&i;</c>"}),
        "broken",
    ),
    "a book with locked chapters": (
        lambda: documents.book(
            ["<p>x</p>"],
            more={"META-INF/encryption.xml": '<e><EncryptionMethod Algorithm="urn:aes256-cbc"/></e>'},
        ),
        "encrypted",
    ),
    "a PDF under a password": (documents.locked_pdf, "encrypted"),
    "a PDF of its first line": (lambda: b"%PDF-1.7\n", "broken"),
    "a PDF of random bytes": (lambda: b"%PDF-1.7\n" + bytes(range(256)) * 40, "broken"),
    "a PDF with a broken table": (lambda: documents.pdf([[(12, "x")]])[:300], "broken"),
    "a PDF of 10,001 pages": (lambda: documents.pdf([[]] * 10_001), "too_large"),
    "a PDF whose pages are themselves": (lambda: page_tree("2 0 R", 3), "broken"),
    "a PDF that says it has 2,000,000,000 pages": (lambda: page_tree("", 2_000_000_000), "broken"),
    "a PDF without text": (lambda: documents.pdf([[], []]), "empty"),
    "a PDF that unpacks to 200 MB of nothing": (swollen_stream, "empty"),
    "HTML nested 100,000 deep": (lambda: b"<!doctype html>" + b"<div>" * 100_000 + b"x", "broken"),
    "HTML of scripts": (lambda: b"<!doctype html><script>alert(1)</script><style>p{}</style>", "empty"),
    "JSON nested 100,000 deep": (lambda: b"[" * 100_000, "broken"),
    "JSON cut off": (lambda: b'{"a": [1, 2', "broken"),
    "JSON of nothing": (lambda: b"[]", "empty"),
    "CSV of too many cells": (lambda: b",".join([b"1"] * 60_000), "too_large"),
    "too long a text": (lambda: "长".encode() * 200_001, "too_large"),
    "more bytes than any text has": (lambda: b"x" * 800_001, "too_large"),
    "a picture": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(64), "unsupported"),
    "a picture with an archive behind it": (lambda: b"GIF89a" + bytes(32) + WORD, "unsupported"),
    "a program": (lambda: b"\x7fELF" + bytes(64), "unsupported"),
    "a gzip archive": (lambda: b"\x1f\x8b\x08" + bytes(64), "unsupported"),
    "an RTF document": (lambda: b"{\\rtf1 hello}", "unsupported"),
    "a film": (lambda: b"\x00\x00\x00\x18ftypmp42" + bytes(64), "unsupported"),
    "bytes of every value": (lambda: bytes(range(256)) * 64, "unsupported"),
    "a text full of control characters": (lambda: b"a\x01\x02\x03\x04" * 100, "unsupported"),
}
HINTS = {"JSON": "x.json", "CSV": "x.csv", "HTML": "x.html"}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_hostile_document_is_refused_with_its_reason(tmp_path, name):
    make, code = REFUSED[name]
    path = tmp_path / "document"
    path.write_bytes(make())
    with pytest.raises(DocumentError) as refused:
        await parse(path, HINTS.get(name.split(" ")[0], "x.bin"), None, SMALL)
    assert refused.value.code == code
    assert refused.value.message.startswith("The ")
    assert "/etc" not in refused.value.message


READ = {
    "a PDF called docx": (lambda: documents.pdf([[(12, "Hello")]]), "a.docx", "pdf", "Hello"),
    "Word called pdf": (lambda: WORD, "a.pdf", "docx", "Fine"),
    "text called pdf": (lambda: b"only words", "a.pdf", "txt", "only words"),
    "HTML called docx": (lambda: b"<!DOCTYPE html><p>404", "a.docx", "html", "404"),
    "text called html": (lambda: b"1 < 2", "a.html", "txt", "1 < 2"),
    "a PDF with an archive behind it": (
        lambda: documents.pdf([[(12, "Front")]]) + WORD, "a.zip", "pdf", "Front"),
    "a PDF that an answer's head stands before": (
        lambda: b"HTTP/1.1 200 OK\r\n\x00\r\n" + documents.pdf([[(12, "Late")]]), "a.pdf", "pdf", "Late"),
    "an archive with a PDF in it": (
        lambda: documents.repacked(WORD, {"docProps/a.pdf": documents.pdf([[]])}), "a", "docx", "Fine"),
    "a workbook that says it has a cell": (lambda: SHEET, "a.xlsx", "xlsx", "| 1 | 2 |"),
    "a workbook that says it fills a sheet": (
        lambda: sheet_xml('<row r="1"><c r="A1"><v>7</v></c></row>', "A1:XFD1048576"), "a", "xlsx", "| 7 |"),
    "a workbook that hides its rows": (
        lambda: sheet_xml("".join(f'<row><c r="A{n}"><v>{n}</v></c></row>' for n in range(1, 999)), "A1"),
        "a", "xlsx", "| 998 |"),
    "a workbook in a presentation": (
        lambda: documents.repacked(documents.slides([("Hi", [], "")]), {"ppt/embeddings/a.xlsx": SHEET}),
        "a", "pptx", "Hi"),
    "a book with an external entity": (
        lambda: documents.book(["<p>kept</p>"], more={"OEBPS/text/c0.xhtml": f"{OUTSIDE}<p>kept &x;</p>"}),
        "a", "epub", "kept"),
    "XML that laughs": (lambda: f"<?xml version='1.0'?>{LAUGHS}]><l>&i;</l>".encode(), "a.xml", "txt", "&i;"),
    "JSON with a number of 10,000 digits": (
        lambda: b'{"a": ' + b"9" * 10_000 + b"}", "a.json", "json", "9" * 10_000),
    "JSON with half a character": (lambda: b'{"a": "x\\ud800y"}', "a.json", "json", "a: xy"),
    "a text with control characters": (lambda: b"one\x1b two\x07" + b"." * 99, "a", "txt", "one two"),
    "UTF-8 with a broken byte": (
        lambda: "中文文字很多，这里有一个坏字节。".encode() * 9 + b"\xff", "a", "txt", "坏字节"),
    "UTF-16 cut in half a character": (
        lambda: "\ufeff你好世界".encode("utf-16-le") + b"\x00", "a", "txt", "你好世界"),
    "CSV with an open quotation mark": (lambda: b'a,b\n"never closed,\n1,2', "a.csv", "csv", "never closed"),
    "Markdown of 100,000 brackets": (lambda: b"# T\n\n" + b"[" * 100_000, "a.md", "md", "[["),
    "Markdown of 2,000 quotes in each other": (lambda: b">" * 2000 + b" deep", "a.md", "md", "deep"),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
async def test_a_deceptive_document_is_read_as_what_its_bytes_are(tmp_path, name):
    make, filename, kind, text = READ[name]
    path = tmp_path / "document"
    path.write_bytes(make())
    parsed = await parse(path, filename, None, SMALL)
    assert parsed.file_type == kind
    assert text in "\n".join(block.text for block in parsed.blocks)
    assert "root:" not in json.dumps(list(parsed.lines()))


NAMES = {
    "a path": "../../../etc/passwd",
    "a path of Windows": "..\\..\\boot.ini",
    "nothing": "",
    "dots": "...",
    "control characters": "a\x00\x07\n\r.md",
    "right to left": "invoice\u202efdp.exe",
    "a long one": "x" * 200_000 + ".pdf",
    "half a character": "a\ud800.txt",
    "an option": "--version",
    "a command": "$(touch /tmp/x); `id`.csv",
    "emoji": "👩‍👩‍👧‍👧📄.json",
    "an ending like a path": "a./../b",
}


@pytest.mark.parametrize("name", NAMES)
async def test_a_hostile_name_is_only_a_name(tmp_path, name):
    path = tmp_path / "document"
    path.write_bytes(documents.pdf([[(12, "Hello")]]))
    parsed = await parse(path, NAMES[name], NAMES[name], SMALL)
    assert (parsed.file_type, parsed.blocks[0].text) == ("pdf", "Hello")
