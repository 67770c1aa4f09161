"""The pages of the providers: made ones are as their data says, and what they show runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import provider_docs
import pytest

from nexusai.providers.adapters.vendors import VENDORS
from tests.docs.test_documents import blocks, program

FOLDER = provider_docs.FOLDER
PAGES = sorted(path.name for path in FOLDER.glob("*.md"))
MADE = provider_docs.pages()


@pytest.mark.parametrize("name", MADE)
def test_a_page_that_is_made_is_as_the_data_says(name: str):
    assert (FOLDER / name).read_text("utf-8") == MADE[name], "run `make docs`"


@pytest.mark.parametrize("name", VENDORS)
def test_every_provider_has_a_page_that_the_first_page_leads_to(name: str):
    assert f"({name}.md)" in MADE["README.md"]
    page = (FOLDER / f"{name}.md").read_text("utf-8")
    assert VENDORS[name].key in page


@pytest.mark.parametrize("name", VENDORS)
def test_the_example_of_an_env_file_has_what_switches_a_provider_on(name: str):
    vendor = VENDORS[name]
    listed = (FOLDER.parents[1] / ".env.example").read_text("utf-8").splitlines()
    switches = [vendor.key] if vendor.key_required else [vendor.moved_by[0]]
    assert {f"#{switch}=" for switch in (*switches, *vendor.options.values())} <= {
        *listed,
        "#OPENAI_CHAT_API=",
    }


@pytest.mark.parametrize("name", PAGES)
def test_a_block_is_run_or_says_why_not(name: str):
    for block in blocks(f"docs/providers/{name}"):
        assert block.language in ("python", "shell", "text"), block.line
        assert not block.note or block.note.startswith(("not run: ", "file: ")), block.line


@pytest.mark.parametrize("name", PAGES)
def test_a_link_leads_somewhere(name: str):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", (FOLDER / name).read_text("utf-8")):
        assert (FOLDER / target).exists(), target


def run(folder: Path, document: str, code: str | None = None, **environ: str) -> str:
    """What the document's program, or the code, prints in a folder with the files that it says to save."""
    for block in blocks(document):
        if block.note.startswith("file: "):
            (folder / block.note.removeprefix("file: ")).write_text(block.code)
    path = os.pathsep.join([str(folder), *filter(None, sys.path)])
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code or program(document, "python")],
        cwd=folder,
        env={"PYTHONPATH": path, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_file_of_the_first_page_is_read(tmp_path: Path):
    assert run(tmp_path, "docs/providers/README.md") == "{'api_version': '2024-10-21'}\n"


class Oracle(BaseHTTPRequestHandler):
    """The vendor of the example."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["question"]
        known = self.headers["authorization"] == "Key k"
        body = json.dumps({"answer": f"{asked} It will.", "words": [3, 2]}).encode()
        self.send_response(200 if known else 401)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def oracle() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Oracle) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The distribution of the example as an installer leaves it: its metadata beside its modules."""
    [project] = [block for block in blocks("docs/providers/extending.md") if "pyproject" in block.note]
    points = project.code.partition('[project.entry-points."nexusai.providers"]\n')[2].replace('"', "")
    folder = tmp_path / "acme_models-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-models\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[nexusai.providers]\n{points}")
    return tmp_path


def test_the_provider_of_the_example_answers(installed: Path, oracle: str):
    environ = {"ORACLE_API_KEY": "k", "ORACLE_BASE_URL": oracle}
    assert run(installed, "docs/providers/extending.md", **environ) == "Will it rain? It will. 5\n"


def test_a_key_switches_the_other_provider_of_the_example_on(installed: Path):
    code = "from nexusai.providers import configured; print(list(configured({'ACME_API_KEY': 'k'})))"
    assert run(installed, "docs/providers/extending.md", code) == "['acme']\n"


def test_the_local_provider_does_what_its_page_shows(tmp_path: Path):
    told = run(tmp_path, "docs/providers/local.md").splitlines()
    assert told[:2] == ["True", "b'\\x89PNG'"]
    assert len(told[2].split()) == 5
