"""The design document is true: each scenario leads to tests that are there, and each mark to what is so."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from tests.docs.test_documents import ROOT, blocks

DESIGN = "docs/jobs/design.md"
TEXT = (ROOT / DESIGN).read_text("utf-8")
LINK = re.compile(r"\[`(test_\w+)`\]\(([^)]+)\)")
HEADING = "| Given | When | Then | 测试 |"


@cache
def defined_in(path: Path) -> set[str]:
    """The names of the test functions of a file, those in classes as well."""
    tree = ast.parse(path.read_text("utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, functions)}


def scenarios() -> list[list[str]]:
    """The cells of each row of the tables of scenarios."""
    tables = TEXT.split(f"\n{HEADING}\n")[1:]
    rows = [row for table in tables for row in table.partition("\n\n")[0].splitlines()[1:]]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def test_every_test_that_is_linked_is_there():
    found = LINK.findall(TEXT)
    pages = {target: (ROOT / DESIGN).parent / target for _, target in found}
    assert len(found) > 100
    assert [target for target, page in pages.items() if not page.is_file()] == []
    assert [f"{target}: {name}" for name, target in found if name not in defined_in(pages[target])] == []


def test_every_test_that_is_named_is_linked():
    assert re.findall(r"`test_\w+`", LINK.sub("", TEXT)) == []


def test_every_scenario_has_its_four_parts_and_a_test():
    rows = scenarios()
    assert len(rows) > 80
    assert [row for row in rows if len(row) != 4 or not all(row) or not LINK.search(row[3])] == []


def test_a_block_that_is_not_run_is_python_all_the_same():
    for block in blocks(DESIGN):
        if block.language == "python" and block.note:
            compile(block.code, f"{DESIGN}:{block.line}", "exec")
