"""What the sync transport does beyond the suites that all transports pass."""

from __future__ import annotations

import gzip
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from nexusai.providers import HttpRequest, HttpTransport, RetryableError, TimeoutError, transport_http
from tests.fixtures.wire import CLOSE, answer, chunked, serving

ROOT = Path(__file__).parents[3]


@pytest.fixture
def transport():
    transport = HttpTransport()
    yield transport
    transport.close()


def to(server, **parts):
    return HttpRequest("POST", f"{server.origin}/v1", body=b"{}", **{"timeout": 5.0, **parts})


# Connections


def test_threads_share_the_transport_but_no_connection(transport):
    def echo(request):
        return answer(request.body)

    def ask(number):
        for turn in range(10):
            text = f"{number}.{turn}".encode()
            request = HttpRequest("POST", server.origin, body=text)
            answers.append((text, transport.send(request).body))

    answers = []
    with serving(echo) as server:
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(answers) == 120
        assert all(sent == got for sent, got in answers)
        assert server.connections <= 12


FORKED = """
import os, sys
from nexusai.providers import HttpRequest, HttpTransport

transport, request = HttpTransport(), HttpRequest("GET", sys.argv[1])
transport.send(request)
child = os.fork()
for _ in range(2):
    assert transport.send(request).body == b"hello"
transport.close()
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_child_has_connections_of_its_own():
    with serving(answer(b"hello")) as server:
        command = [sys.executable, "-W", "error", "-c", FORKED, server.origin]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert (server.connections, len(server.requests)) == (2, 5)


def test_a_connection_that_was_idle_for_long_is_not_used_again(transport, monkeypatch):
    monkeypatch.setattr(transport_http, "_IDLE", 0.02)
    with serving() as server:
        transport.send(to(server))
        time.sleep(0.04)
        transport.send(to(server))
        assert server.connections == 2


def test_connections_that_nobody_asks_for_again_are_closed_in_time(transport, monkeypatch):
    with serving() as server, serving() as other:
        transport.send(to(server))
        monkeypatch.setattr(transport_http, "_IDLE", 0.05)
        time.sleep(0.06)
        transport.send(to(other))
        assert [len(kept) for kept in transport._idle.values()] == [0, 1]


def test_a_stream_is_read_to_its_end_when_only_the_last_bytes_are_missing(transport):
    with serving([chunked(b"data: [DONE]\n\n", end=False), 0.01, b"0\r\n\r\n"]) as server:
        for _ in range(3):
            with transport.stream(to(server)) as got:
                assert next(got.chunks()) == b"data: [DONE]\n\n"
        assert server.connections == 1


def test_a_stream_that_does_not_end_holds_nobody_up(transport):
    with serving([chunked(b"data: [DONE]\n\n", end=False), *[0.01, b" "] * 100]) as server:
        for _ in range(2):
            begun = time.monotonic()
            with transport.stream(to(server)) as got:
                next(got.chunks())
            assert time.monotonic() - begun < 0.5
        assert server.connections == 2


def test_more_than_the_end_is_not_waited_for(transport):
    with serving([chunked(b"a", end=False), 0.01, b"1\r\nb\r\n", 0.2]) as server:
        with transport.stream(to(server)) as got:
            next(got.chunks())
            begun = time.monotonic()
        assert time.monotonic() - begun < 0.15


def test_what_is_stale_in_the_pool_is_passed_over(transport):
    with serving() as server:
        with transport.stream(to(server)), transport.stream(to(server)), transport.stream(to(server)):
            pass
        server.drop()
        time.sleep(0.02)
        transport.send(to(server))
        assert server.connections == 4


# Addresses


@pytest.fixture
def addresses(monkeypatch):
    """Gives every name these ports of this machine."""

    def addresses(*ports):
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    return addresses


@pytest.fixture
def nowhere():
    """A port that takes no connection and refuses none."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
        yield port
        for client in waiting:
            client.close()


def test_an_address_that_refuses_gives_way_to_the_next(transport, addresses):
    with serving() as gone:
        pass
    with serving() as server:
        addresses(gone.port, server.port)
        assert transport.send(HttpRequest("GET", "http://vendor.test/")).status == 200


def test_an_address_that_leads_nowhere_leaves_time_for_the_next(transport, addresses, nowhere):
    with serving() as server:
        addresses(nowhere, server.port)
        assert transport.send(HttpRequest("GET", "http://vendor.test/", connect=0.2)).status == 200


def test_all_addresses_together_have_the_time_of_one(transport, addresses, nowhere):
    addresses(nowhere, nowhere, nowhere)
    begun = time.monotonic()
    with pytest.raises(RetryableError, match="could not connect"):
        transport.send(HttpRequest("GET", "http://vendor.test/", connect=0.1))
    assert time.monotonic() - begun < 0.4


def test_the_total_bounds_the_connecting_too(transport, addresses, nowhere):
    addresses(nowhere, nowhere)
    with pytest.raises(TimeoutError, match=r"was not done after 0\.1 s"):
        transport.send(HttpRequest("GET", "http://vendor.test/", total=0.1))


def test_a_literal_of_ipv6_is_reached(transport):
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("there is no IPv6")

    def serve():
        with listener.accept()[0] as client:
            client.recv(1000)
            client.sendall(answer(b"six", connection="close"))

    with listener:
        threading.Thread(target=serve, daemon=True).start()
        url = f"http://[::1]:{listener.getsockname()[1]}/"
        assert transport.send(HttpRequest("GET", url)).body == b"six"


# Answers


def test_a_refusal_is_read_though_the_connection_broke_while_sending(transport):
    refusal = answer(b"no", "413 Content Too Large")
    with serving([refusal, 0.1, CLOSE], reads=False) as server:
        request = HttpRequest("POST", server.origin, body=b"x" * 20_000_000)
        for _ in range(2):
            assert transport.send(request).status == 413
        assert server.connections == 2


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nno header\r\ncontent-length: 2\r\n\r\n{}", "its headers are malformed"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 200, "nothing but interim answers"),
        (
            answer(gzip.compress(b"x" * 1000, mtime=0)[:20], content_encoding="gzip"),
            "the compressed body ended too early",
        ),
        (answer(b"not packed", content_encoding="gzip"), "incorrect header"),
    ],
)
def test_an_answer_that_cannot_be_read_is_retryable(transport, sent, reason):
    with serving(sent) as server, pytest.raises(RetryableError, match=reason):
        transport.send(to(server))


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified", "200 OK"])
def test_an_empty_body_need_not_be_packed(transport, status):
    with serving(answer(b"", status, content_encoding="gzip")) as server:
        assert transport.send(to(server)).body == b""


def test_silence_is_not_the_total(transport):
    with serving([0.15, answer()]) as server, pytest.raises(TimeoutError, match=r"sent nothing for 0\.05 s"):
        transport.send(to(server, timeout=0.05, total=5.0))


def test_a_call_after_a_hurried_one_has_its_own_time(transport):
    with serving(answer(), [0.1, answer(b"late")]) as server:
        transport.send(to(server, total=0.05))
        assert transport.send(to(server)).body == b"late"
        assert server.connections == 1
