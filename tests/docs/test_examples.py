from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.docs.conftest import Run
from tests.fixtures.sounds import wav

EXAMPLES = Path(__file__).parents[2] / "examples"

listening = pytest.mark.skipif(
    find_spec("pocketsphinx") is None, reason="PocketSphinx has no wheel for this Python or machine"
)


def test_basic_usage_writes_draws_and_speaks(run: Run, tmp_path: Path) -> None:
    told = run("python", "-W", "error", EXAMPLES / "basic_usage.py")
    assert "“The lighthouse was built in 1854.”" in told
    assert "by local/text" in told
    assert "lighthouse.png: 1024 by 1024 pixels" in told
    assert (tmp_path / "lighthouse.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "light.wav").read_bytes().startswith(b"RIFF")
    assert "When was it built? - The passage says:" in told


def test_streaming_example_shows_a_text_as_it_is_written(run: Run) -> None:
    told = run("python", "-W", "error", EXAMPLES / "streaming_example.py")
    assert "No language model is configured" in told
    assert "stop: " in told
    assert "sea: " in told
    assert "hills: " in told


def test_session_chat_remembers_what_it_was_told(run: Run) -> None:
    told = run("python", "-W", "error", EXAMPLES / "session_chat.py")
    assert "“The lighthouse was built in 1854.”" in told
    assert "“Its lamp burned whale oil.”" in told
    assert "6 messages in sess_" in told


@listening
def test_transcribe_listens_to_what_it_says(run: Run, tmp_path: Path) -> None:
    told = run("python", "-W", "error", EXAMPLES / "transcribe.py")
    assert "spoken.wav: completed 100%" in told
    assert "seconds, heard by local/transcribe" in told
    heard = {"thank", "you", "very", "much", "for", "your", "time", "the", "president", "said", "that"}
    assert len(heard.intersection(told.split())) > 3
    subtitles = (tmp_path / "spoken.srt").read_text("utf-8")
    assert subtitles.startswith("1\n00:00:0")
    assert f"spoken.srt: {subtitles.count(' --> ')} subtitles" in told
    times = re.findall(r"\d\d:\d\d:\d\d,\d{3}", subtitles)
    assert times == sorted(times)


def test_transcribe_goes_on_after_a_file_that_it_cannot_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.wav").write_text("hello")
    (tmp_path / "silence.wav").write_bytes(wav((0.5, 0)))
    program = f"""
import runpy, sys
sys.argv[1:] = ["notes.wav", "silence.wav"]
sys.stderr = sys.stdout
try:
    runpy.run_path({str(EXAMPLES / "transcribe.py")!r}, run_name="__main__")
except SystemExit as ended:
    print("status", ended.code)
"""
    told = run("python", "-W", "error", "-c", program)
    assert "notes.wav: input.file_id: the file is no recording that can be read" in told
    assert "silence.wav: 0.5 seconds" in told
    assert told.endswith("status True\n")


def test_knowledge_base_rag_answers_in_both_languages_and_reads_a_document_once(run: Run) -> None:
    once, again = (run("python", "-W", "error", EXAMPLES / "knowledge_base_rag.py") for _ in range(2))
    kinds = {Path(line.split(":")[0]).suffix for line in once.splitlines() if ": completed, " in line}
    office, web = {".pdf", ".docx", ".pptx", ".xlsx"}, {".csv", ".json", ".html", ".md", ".txt", ".epub"}
    assert kinds == office | web
    for name, quote in (
        ("history.en.html", "Ida Marsh kept the light for thirty-one years"),
        ("history.zh.docx", "守塔人每隔两分钟敲一次铜钟"),
        ("keepers_handbook.en.pdf, page 2", "Clean the lens with spirit of wine"),
        ("maintenance.zh.pdf, page 2", "备用灯应在十秒内自动点亮"),
        ("prices.en.csv", "| Family ticket | 18 |"),
        ("volunteers.zh.xlsx", "周海生"),
    ):
        assert any(f"[{name}]" in line and quote in line for line in once.splitlines()), name
    assert again.partition("\nyou: ")[2] == once.partition("\nyou: ")[2]  # nothing is there twice


def test_every_example_is_run_here() -> None:
    tested = Path(__file__).read_text("utf-8")
    assert all(f'"{example.name}"' in tested for example in EXAMPLES.glob("*.py"))
