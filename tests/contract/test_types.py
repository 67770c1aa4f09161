"""Every public name has a type that no type checker has to guess, as `pyright --verifytypes` counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import nexusai

ROOT = Path(nexusai.__file__).parents[1]


def test_every_public_type_is_known():
    pytest.importorskip("basedpyright", reason="pyright with its own Node: pip install basedpyright")
    verified = subprocess.run(
        [
            sys.executable,
            "-m",
            "basedpyright",
            "--outputjson",
            "--verifytypes",
            "nexusai",
            "--ignoreexternal",
        ],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(verified.stdout)["typeCompleteness"]
    unknown = [
        f"{symbol['name']}: {'; '.join(fault['message'] for fault in symbol['diagnostics'])}"
        for symbol in report["symbols"]
        if symbol["isExported"] and not (symbol["isTypeKnown"] and not symbol["isTypeAmbiguous"])
    ]
    assert unknown == []
    assert report["completenessScore"] == 1
    assert report["exportedSymbolCounts"]["withKnownType"] > 1000
