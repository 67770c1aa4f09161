from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nexusai.server.knowledge.parsing import DocumentError, Limits, parse
from tests.fixtures import documents

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes by /proc")


@pytest.fixture
def hello(tmp_path):
    path = tmp_path / "hello"
    path.write_bytes(b"# Hello\n\nworld")
    return path


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A workbook of a million cells: some seconds of work."""
    row = "".join(f'<c r="{column}{{0}}"><v>1</v></c>' for column in "ABCDEFGHIJKLMNOPQRST")
    rows = "".join(f'<row r="{n}">{row.replace("{0}", str(n))}</row>' for n in range(1, 50_000))
    sheet = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    data = documents.repacked(
        documents.workbook({"A": [["x"]]}),
        {"xl/worksheets/sheet1.xml": f"{sheet}{rows}</sheetData></worksheet>"},
    )
    path = tmp_path_factory.mktemp("slow") / "slow.xlsx"
    path.write_bytes(data)
    return path


def children(path):
    """The processes that read this document."""
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = command.read_bytes()
        except OSError:
            continue
        if b"knowledge.parsing\0" in words and str(path).encode() in words:
            found.append(int(command.parent.name))
    return found


def environment_of(process):
    return Path(f"/proc/{process}/environ").read_bytes()


def until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.02)


async def test_a_document_comes_back_as_blocks(hello):
    parsed = await parse(hello, "hello.md", None, Limits())
    assert [(block.kind, block.text) for block in parsed.blocks] == [
        ("heading", "Hello"),
        ("paragraph", "world"),
    ]


async def test_the_content_type_tells_kinds_of_text_apart_when_the_name_does_not(hello):
    assert (await parse(hello, "hello", "text/markdown; charset=utf-8", Limits())).file_type == "md"
    assert (await parse(hello, "hello", None, Limits())).file_type == "txt"


async def test_documents_are_read_side_by_side(hello):
    parsed = await asyncio.gather(*(parse(hello, "a.md", None) for _ in range(4)))
    assert [len(document.blocks) for document in parsed] == [2] * 4


@linux
async def test_a_document_that_takes_too_long_is_given_up(slow):
    with pytest.raises(DocumentError) as refused:
        await parse(slow, "a.xlsx", None, Limits(seconds=0.5))
    assert (refused.value.code, refused.value.retryable) == ("timeout", True)
    assert "0.5 s" in refused.value.message
    assert children(slow) == []


@linux
async def test_a_document_that_takes_too_much_processor_time_is_given_up(slow):
    with pytest.raises(DocumentError) as refused:
        await parse(slow, "a.xlsx", None, Limits(cpu_seconds=1))
    assert refused.value.code == "timeout"


@linux
async def test_a_document_that_takes_too_much_memory_is_given_up(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(b"word " * 40_000_000)
    limits = Limits(memory_bytes=400 * 1024**2, characters=10**9)
    with pytest.raises(DocumentError) as refused:
        await parse(path, "a.txt", None, limits)
    assert (refused.value.code, refused.value.retryable) == ("memory", True)
    assert "400 MiB" in refused.value.message


@linux
@pytest.mark.parametrize(("ending", "code"), [(signal.SIGKILL, "memory"), (signal.SIGSEGV, "broken")])
async def test_a_child_that_is_killed_is_a_document_that_failed(slow, ending, code):
    reading = asyncio.create_task(parse(slow, "a.xlsx", None, Limits()))
    await asyncio.to_thread(until, lambda: children(slow))
    os.kill(children(slow)[0], ending)
    with pytest.raises(DocumentError) as refused:
        await reading
    assert refused.value.code == code


@linux
async def test_a_call_that_is_cancelled_leaves_no_child(slow):
    reading = asyncio.create_task(parse(slow, "a.xlsx", None, Limits()))
    await asyncio.to_thread(until, lambda: children(slow))
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert children(slow) == []


@linux
def test_a_child_ends_with_its_parent(slow):
    code = (
        "import asyncio, pathlib, sys; from nexusai.server.knowledge.parsing import parse;"
        "asyncio.run(parse(pathlib.Path(sys.argv[1]), 'a.xlsx', None))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(slow)])
    try:
        until(lambda: children(slow))
    finally:
        parent.kill()
        parent.wait()
    until(lambda: not children(slow))


@linux
async def test_a_child_knows_nothing_of_our_environment(slow, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    reading = asyncio.create_task(parse(slow, "a.xlsx", None, Limits()))
    await asyncio.to_thread(until, lambda: children(slow))
    environment = environment_of(children(slow)[0])
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert b"PYTHONPATH" in environment
    assert b"sk-secret" not in environment


@pytest.mark.parametrize(
    "attempt",
    [
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.system('true')",
    ],
)
def test_a_child_has_neither_network_nor_processes(attempt):
    code = (
        "import sys; from nexusai.server.knowledge.parsing.__main__ import refuse;"
        f"sys.addaudithook(refuse); {attempt}"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 1
    assert "is not for documents" in ended.stderr


async def test_more_output_than_the_limit_is_too_large(tmp_path):
    path = tmp_path / "wide"
    path.write_bytes(b"a,b\n" * 400)
    with pytest.raises(DocumentError) as refused:
        await parse(path, "a.csv", None, Limits(characters=500))
    assert refused.value.code == "too_large"


def test_the_parsers_are_loaded_in_the_child_alone():
    code = (
        "import sys; import nexusai.server.knowledge.parsing;"
        "print({'lxml', 'pypdfium2', 'docx', 'openpyxl', 'pptx', 'charset_normalizer'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "set()"


def test_a_document_is_read_under_uvloop_too(hello):
    uvloop = pytest.importorskip("uvloop")
    loop = uvloop.new_event_loop()
    try:
        parsed = loop.run_until_complete(parse(hello, "hello.md", None))
    finally:
        loop.close()
    assert len(parsed.blocks) == 2
