from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nexusai.error import ConfigurationError
from nexusai.providers.adapters.adapter import Adapter
from nexusai.providers.adapters.registry import adapter_for, provider_names, vendor_of
from nexusai.providers.adapters.vendors import VENDORS

GOOD = """
from types import SimpleNamespace
from nexusai.providers.adapters import openai_compatible
from nexusai.providers.adapters.vendor import Vendor

vendor = Vendor("https://acme.example/v1", "ACME_API_KEY", {"chat": "acme-1"}, frozenset({"chat", "stream"}))
adapter = openai_compatible.ADAPTER
without_an_adapter = SimpleNamespace(vendor=vendor, adapter=None)
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with a distribution that adds providers, good and broken."""
    (tmp_path / "acme.py").write_text(GOOD)
    folder = tmp_path / "acme_models-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-models\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        "[nexusai.providers]\nacme = acme\nincomplete = acme:without_an_adapter\n"
        "absent = acme:nothing\nopenai = acme\n"
    )
    return tmp_path


def run(folder: Path, code: str, **environ: str) -> str:
    """What the code prints where the folder is on `sys.path`."""
    path = os.pathsep.join([str(folder), *filter(None, sys.path)])
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": path, **environ},
        check=True,
        capture_output=True,
        text=True,
    )
    return ended.stdout.strip()


@pytest.mark.parametrize("name", VENDORS)
def test_every_vendor_has_an_adapter_that_chats(name: str):
    adapter = adapter_for(name)
    assert isinstance(adapter, Adapter)
    assert adapter.chat is not None
    assert adapter.stream is not None
    assert adapter.parse_error is not None
    assert vendor_of(name) is VENDORS[name]


@pytest.mark.parametrize("name", VENDORS)
@pytest.mark.parametrize("operation", ["images", "speech", "transcription", "embeddings", "moderation"])
def test_what_a_vendor_can_do_its_adapter_does(name: str, operation: str):
    if operation in VENDORS[name].capabilities:
        assert getattr(adapter_for(name), operation) is not None


def test_an_unknown_provider_is_told_the_nearest():
    with pytest.raises(
        ConfigurationError, match=r"unknown provider 'opnai' \(did you mean 'openai'\?\): one of"
    ):
        adapter_for("opnai")


def test_adapters_are_loaded_when_they_are_needed():
    code = (
        "import sys; from nexusai.providers.adapters.registry import vendor_of; vendor_of('anthropic');"
        "print([name for name in sys.modules if name.startswith('nexusai.providers.adapters.a')])"
    )
    assert run(Path(), code) == "[]"


def test_a_distribution_adds_a_provider(installed: Path):
    code = (
        "from nexusai.providers.adapters import openai_compatible as own, registry\n"
        "print(registry.adapter_for('acme') is own.ADAPTER, registry.vendor_of('acme').key)\n"
        "print('acme' in registry.provider_names(), registry.vendor_of('openai').key)"
    )
    assert run(installed, code).split("\n") == ["True ACME_API_KEY", "True OPENAI_API_KEY"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "absent",
            "provider 'absent' of the distribution 'acme-models' cannot be loaded from 'acme:nothing'",
        ),
        (
            "incomplete",
            "provider 'incomplete' of the distribution 'acme-models': 'acme:without_an_adapter' needs",
        ),
    ],
)
def test_a_broken_provider_is_named_with_its_distribution(installed: Path, name: str, message: str):
    code = (
        "from nexusai.error import ConfigurationError\n"
        "from nexusai.providers.adapters.registry import vendor_of\n"
        f"try: vendor_of({name!r})\nexcept ConfigurationError as error: print(error)"
    )
    assert message in run(installed, code)


def test_our_own_providers_are_known_in_order():
    assert provider_names()[: len(VENDORS)] == list(VENDORS)
