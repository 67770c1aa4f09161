"""What the pages on policies and costs show is run, and prints what they say it prints."""

from __future__ import annotations

import re

import pytest

from tests.docs.conftest import Run
from tests.docs.test_documents import ROOT, blocks, program

PAGES = ["docs/providers/reliability.md", "docs/providers/costs.md"]


def printed(code: str) -> list[str]:
    """The comments that say what a `print` prints: behind it, or on the line after it."""
    return re.findall(r"print\(.*\)(?:  |\n)# (.*)", code)


@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page_prints_what_it_says(page: str, tmp_path, run: Run) -> None:
    for block in blocks(page):
        if block.note.startswith("file: "):
            (tmp_path / block.note.removeprefix("file: ")).write_text(block.code)
    script = tmp_path / "page.py"
    script.write_text(program(page, "python"), "utf-8")
    told = run("python", "-W", "error", script)
    assert told.splitlines() == printed(script.read_text("utf-8"))


@pytest.mark.parametrize("page", PAGES)
def test_a_link_leads_somewhere(page: str) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text("utf-8")):
        assert (ROOT / page).parent.joinpath(target).exists(), target
