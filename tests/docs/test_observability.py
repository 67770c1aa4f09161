"""The page on observability and the dashboard are held to what `/metrics` answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from nexusai.testing import Platform
from tests.docs.test_documents import ROOT

ENDINGS = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
PAGE = (ROOT / "docs/observability.md").read_text("utf-8")
DASHBOARD = json.loads((ROOT / "docs/grafana.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def answered(platform: Platform) -> dict[str, str]:
    """The type of each metric."""
    text = httpx.get(f"{platform.url}/metrics").text
    return {family.name: family.type for family in text_string_to_metric_families(text)}


def queries() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]


def test_the_page_lists_every_metric_and_no_other(answered: dict[str, str]) -> None:
    listed = dict(re.findall(r"^\| `(nexus_\w+)` \| (\w+) \|", PAGE, re.M))
    named = {
        name + ("_total" if kind == "counter" else ""): kind
        for name, kind in answered.items()
        if name.startswith("nexus_")
    }
    assert listed == named


def test_the_page_lists_the_labels_of_every_metric() -> None:
    from nexusai.server.observability.exposition import READINGS
    from nexusai.server.observability.metrics import Metrics
    from nexusai.server.usage.models import Rates

    listed = {
        name.removesuffix("_total"): set(re.findall(r"`(\w+)`", labels))
        for name, labels in re.findall(r"^\| `(nexus_\w+)` \|[^|]*\|[^|]*\|([^|]*)\|", PAGE, re.M)
    }
    counted = {each.name: set(each.labels) for each in Metrics(Rates({}), lambda *_: "other").families}
    assert listed == counted | {name: set(labels) for name, (_, labels, _) in READINGS.items()}


def test_the_dashboard_asks_for_metrics_that_there_are(answered: dict[str, str]) -> None:
    samples = {name + ending for name, kind in answered.items() for ending in ENDINGS[kind]}
    asked = {name for query in queries() for name in re.findall(r"\b(?:nexus|process)_\w+", query)}
    assert asked
    assert asked <= samples


def test_the_dashboard_shows_every_metric_of_ours(answered: dict[str, str]) -> None:
    shown = " ".join(queries())
    assert [name for name in answered if name.startswith("nexus_") and name not in shown] == []


def test_the_dashboard_has_no_two_panels_in_one_place() -> None:
    places = [
        {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        for at in (panel["gridPos"] for panel in DASHBOARD["panels"])
    ]
    assert len(set.union(*places)) == sum(map(len, places))
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
