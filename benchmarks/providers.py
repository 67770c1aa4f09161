"""The model layer beside LiteLLM, the official client and bare httpx, on this machine. Prints a table.

    python benchmarks/providers.py [--rounds 5] [--litellm .venv/litellm/bin/python]

Each takes its turns in a process of its own against the same server in another one; only the processor time
of the process that calls counts. LiteLLM lives in an environment of its own (`make interop` makes it); openai
comes with `pip install -e '.[bench]'`. One that is missing is named and left out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.turns import Row, print_table, row
from nexusai.testing import _free_port

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = ("nexusai", "httpx", "openai", "litellm")
WORK = ("call", "async call", "chunk", "async chunk", "chunk of 40", "async chunk of 40")


@contextmanager
def answers() -> Iterator[str]:
    """The server that answers constants; its address."""
    port = _free_port()
    command = [sys.executable, str(ROOT / "benchmarks/answers.py"), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        server.stdout.readline()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()


def contestants(litellm: Path) -> dict[str, str]:
    """The Python that runs each, of those that are here."""
    found = {name: sys.executable for name in COLUMNS if name != "litellm" and find_spec(name)}
    if litellm.exists():
        found["litellm"] = str(litellm)
    for name in COLUMNS:
        if name not in found:
            print(f"{name} is not here and left out: see the head of this script", file=sys.stderr)
    return found


def measure(name: str, python: str, url: str) -> dict[str, float]:
    command = [python, str(ROOT / "benchmarks/provider_calls.py"), name, url]
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONPATH": str(ROOT) if name == "nexusai" else ""}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **quiet})
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def rows(measured: Mapping[str, Mapping[str, list[float]]]) -> list[Row]:
    def of(what: str, scale: float) -> dict[str, list[float]]:
        return {name: [value * scale for value in figures[what]] for name, figures in measured.items()}

    def within(share: float) -> Callable[[float, float], bool]:
        return lambda _, ratio: not ratio > share

    table = [
        row(
            "import, ms",
            of("import", 1e3),
            "{:.1f}",
            beside="litellm",
            bar="<= 1/20 of litellm",
            met=within(1 / 20),
        )
    ]
    for what in WORK:
        peer, share, bar = (
            ("litellm", 1 / 8, "<= 1/8 of litellm")
            if "call" in what
            else ("openai", 1 / 3, "<= 1/3 of openai")
        )
        table.append(row(f"{what}, us", of(what, 1e6), "{:.1f}", beside=peer, bar=bar, met=within(share)))
    return table


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--litellm", type=Path, default=ROOT / ".venv/litellm/bin/python")
    arguments = parser.parse_args()
    pythons = contestants(arguments.litellm)
    measured: dict[str, dict[str, list[float]]] = {name: {} for name in pythons}
    with answers() as url:
        for _ in range(arguments.rounds):
            for name, python in pythons.items():
                for what, value in measure(name, python, url).items():
                    measured[name].setdefault(what, []).append(value)
    print_table(rows(measured), COLUMNS)


if __name__ == "__main__":
    main()
