from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from nexusai.providers.child import Child, program


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-c", code]


def test_what_a_command_prints_and_how_it_ends_is_told():
    code = "import sys; print(sys.stdin.read().upper(), end=''); sys.exit('bad')"
    ended = Child().run(python(code), b"hello")
    assert (ended.status, ended.output, ended.errors.split()) == (1, b"HELLO", [b"bad"])


def test_commands_run_one_after_the_other():
    child = Child()
    assert [child.run(python(f"print({n})")).output.split() for n in (1, 2)] == [[b"1"], [b"2"]]


def test_a_command_sees_no_key_of_ours(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("ESPEAK_DATA_PATH", "/data")
    seen = Child().run(python("import os; print(dict(os.environ))")).output
    assert b"/data" in seen
    assert b"sk-secret" not in seen


def test_a_command_that_is_not_there_is_an_os_error():
    with pytest.raises(OSError):
        Child().run(["/nowhere/at/all"])


def test_a_command_that_takes_too_long_is_killed():
    begun = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        Child().run(python("import time; time.sleep(60)"), seconds=0.1)
    assert time.monotonic() - begun < 20


def test_stopping_ends_a_command_at_once():
    child = Child()
    ended: list[int] = []
    thread = threading.Thread(target=lambda: ended.append(child.run(["/bin/sleep", "60"]).status))
    thread.start()
    time.sleep(0.05)
    child.stop()
    thread.join(10)
    assert ended == [-9]


def test_a_child_that_was_stopped_ends_what_it_is_given():
    child = Child()
    child.stop()
    assert child.run(["/bin/sleep", "60"]).status == -9


def test_a_program_finds_what_we_find(tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("import sys; print(__name__, sys.argv[1:])")
    monkeypatch.syspath_prepend(str(tmp_path))
    ended = Child().run(program("only_here", "a b", "ü"))
    assert ended.output.decode().split(maxsplit=1) == ["__main__", "['a b', 'ü']\n"]
