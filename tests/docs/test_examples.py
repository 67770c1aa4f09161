from __future__ import annotations

from pathlib import Path

from tests.docs.conftest import Run

EXAMPLES = Path(__file__).parents[2] / "examples"


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


def test_every_example_is_run_here() -> None:
    tested = Path(__file__).read_text("utf-8")
    assert all(f'"{example.name}"' in tested for example in EXAMPLES.glob("*.py"))
