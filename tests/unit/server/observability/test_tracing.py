from __future__ import annotations

import sys

import pytest

from nexusai.error import ConfigurationError
from nexusai.server.observability.tracing import open_tracing

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize("environ", [{}, {**ENDPOINT, "OTEL_SDK_DISABLED": "true"}])
def test_nothing_is_traced_unless_somebody_wants_it(environ: dict[str, str]):
    assert open_tracing(environ) is None


def test_without_the_extra_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")

    with pytest.raises(ConfigurationError, match=r"pip install 'nexusai\[server,otel\]'"):
        open_tracing(ENDPOINT)


def test_a_protocol_that_is_not_spoken_is_told_of():
    with pytest.raises(ConfigurationError, match="sent by http/protobuf"):
        open_tracing({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
