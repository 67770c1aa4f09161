"""What the documents show is run against the embedded platform, and what they list is held to the code."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from nexusai import error
from nexusai.config import Config
from nexusai.server.settings import Settings
from nexusai.testing import Platform
from tests.docs.conftest import Run

ROOT = Path(__file__).parents[2]
READMES = ("README.md", "README.zh-CN.md")
DOCUMENTS = (
    *READMES,
    "docs/getting_started.md",
    "docs/sdk.md",
    "docs/sessions.md",
    "docs/files.md",
    "docs/audio.md",
    "docs/knowledge_bases.md",
    "docs/configuration.md",
    "docs/keys.md",
    "docs/conversations.md",
    "docs/gateway.md",
    "docs/observability.md",
    "docs/jobs/design.md",
)
PAGES = [
    *DOCUMENTS,
    "docs/api_reference.md",
    "docs/model_layer.md",
    "CONTRIBUTING.md",
    *(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/decisions/*.md")),
]

_BLOCK = re.compile(r"^(?:<!-- (?P<note>[^\n]+) -->\n)?```(?P<language>\w*)\n(?P<code>.*?)^```$", re.M | re.S)
_COMMENT = re.compile(r"(^|\s+)#.*")


class Block(NamedTuple):
    language: str
    code: str
    line: int
    """Where its code begins, from 1."""
    note: str
    """Of the comment above it: `not run: why`, `file: name`, or nothing."""


def blocks(document: str) -> list[Block]:
    text = (ROOT / document).read_text("utf-8")
    return [
        Block(
            found["language"],
            found["code"],
            text.count("\n", 0, found.start("code")) + 1,
            found["note"] or "",
        )
        for found in _BLOCK.finditer(text)
    ]


def program(document: str, language: str) -> str:
    """The blocks that are run, one after the other, each on the lines that it has in the document."""
    lines: list[str] = []
    for block in blocks(document):
        if block.language == language and not block.note:
            lines += [""] * (block.line - 1 - len(lines)) + block.code.splitlines()
    return "\n".join(lines) + "\n"


@pytest.fixture
def reader(document: str, tmp_path: Path) -> Path:
    """The reader's folder, with the files that the document says to save."""
    for block in blocks(document):
        if block.note.startswith("file: "):
            (tmp_path / block.note.removeprefix("file: ")).write_text(block.code)
    return tmp_path


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_python_of_a_document_runs(document: str, reader: Path, run: Run) -> None:
    script = reader / Path(document).with_suffix(".py").name
    script.write_text(program(document, "python"), "utf-8")
    assert "Nexus AI" in run("python", "-W", "error", script)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on this machine")
@pytest.mark.parametrize("document", ["docs/getting_started.md"])
def test_the_shell_of_a_document_runs(document: str, reader: Path, run: Run, platform: Platform) -> None:
    script = reader / "document.sh"
    script.write_text(f"set -euo pipefail; {program(document, 'shell')}", "utf-8")
    told = run("bash", script, NEXUS_BASE_URL=platform.base_url, NEXUS_API_KEY=platform.api_key)
    assert "3 passed" in told
    assert (reader / "lighthouse.png").read_bytes().startswith(b"\x89PNG")
    ids = re.findall(r"^id: (\d+)$", told, re.M)
    resumed = ids.index("1000000006", ids.index("1000000006") + 1)
    assert ids[resumed:] == [number for number in ids[:resumed] if int(number) > 1_000_000_005]
    once = re.findall(r'^{"task_id":"(\w+)".*?"status_poll_url"', told, re.M)
    assert once[-1] == once[-2]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_block_is_run_or_says_why_not(document: str) -> None:
    for block in blocks(document):
        assert block.language in ("python", "shell", "text", "toml", "mermaid"), f"{document}:{block.line}"
        assert not block.note or block.note.startswith(("not run: ", "file: ")), f"{document}:{block.line}"
    assert (ROOT / document).read_text("utf-8").count("\n```") == 2 * len(blocks(document))


def test_both_readmes_have_the_same_code() -> None:
    english, chinese = (
        [
            (block.language, _COMMENT.sub("", block.code), block.note.partition(":")[0])
            for block in blocks(readme)
        ]
        for readme in READMES
    )
    assert english == chinese


@pytest.mark.parametrize("document", [*READMES, ".env.example"])
def test_a_document_lists_every_setting_and_no_other(document: str) -> None:
    listed = set(re.findall(r"NEXUS_[A-Z_]+", (ROOT / document).read_text("utf-8")))
    named = {f"NEXUS_{name.upper()}" for name in (*Config.__dataclass_fields__, *Settings.model_fields)}
    assert {name for name in listed if not name.startswith("NEXUS_PROVIDER_")} == {
        *named,
        "NEXUS_HOME",
        "NEXUS_LOG",
    }


@pytest.mark.parametrize("document", READMES)
def test_a_readme_lists_every_error(document: str) -> None:
    listed = set(re.findall(r"^\| `(\w+Error)` \|", (ROOT / document).read_text("utf-8"), re.M))
    classes = {kind.__name__ for kind in vars(error).values() if isinstance(kind, type)} - {"Code", "Any"}
    assert listed == {name for name in classes if name.endswith("Error")} - {"NexusAIError"}


@pytest.mark.parametrize("document", PAGES)
def test_a_link_leads_somewhere(document: str) -> None:
    page = ROOT / document
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target
