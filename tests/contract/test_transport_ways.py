"""The ways that every transport takes: proxies and certificates, over real sockets."""

from __future__ import annotations

import base64
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import trustme

from nexusai.providers import AdapterError, RetryableError
from nexusai.providers.transport import UNREACHABLE, HttpRequest, Transport
from tests.fixtures.forward_proxy import forwarding
from tests.fixtures.transports import TRANSPORTS
from tests.fixtures.wire import WireServer, answer, serving

NAME = "vendor.test"
"""Nobody but the proxy knows where that is."""


@pytest.fixture(autouse=True)
def no_proxies_of_this_machine(monkeypatch: pytest.MonkeyPatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(params=TRANSPORTS)
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[Callable[[], Transport]]:
    """Opens a transport, which sees the environment as it is then."""
    transports: list[Transport] = []

    def opened() -> Transport:
        transports.append(request.param())
        return transports[-1]

    yield opened
    for transport in transports:
        await transport.aclose()


@pytest.fixture
def transport(no_proxies_of_this_machine: None, opened: Callable[[], Transport]) -> Transport:
    return opened()


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture
def plain() -> Iterator[WireServer]:
    with serving(answer(b"hello")) as server:
        yield server


def certified(ca: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names).configure_cert(context)
    return context


@pytest.fixture
def secure(ca: trustme.CA) -> Iterator[WireServer]:
    with serving(answer(b"hello"), tls=certified(ca, NAME, "127.0.0.1")) as server:
        yield server


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


# Proxies


async def test_http_goes_through_a_proxy(transport: Transport, plain: WireServer):
    with forwarding({NAME: plain.port}) as proxy:
        request = HttpRequest("POST", f"http://{NAME}/v1/chat", {"x-a": "b"}, b"{}", proxy=proxy.url)
        assert (await transport.send(request)).body == b"hello"
    assert proxy.requests[0].line == f"POST http://{NAME}/v1/chat HTTP/1.1"
    assert proxy.requests[0].headers["host"] == NAME
    assert plain.requests[0].headers["x-a"] == "b"


async def test_http_to_a_port_goes_through_a_proxy(transport: Transport, plain: WireServer):
    with forwarding({NAME: plain.port}) as proxy:
        await transport.send(HttpRequest("GET", f"http://{NAME}:8080/v1?a=b", proxy=proxy.url))
    assert proxy.requests[0].line == f"GET http://{NAME}:8080/v1?a=b HTTP/1.1"
    assert proxy.requests[0].headers["host"] == f"{NAME}:8080"


async def test_https_goes_through_a_tunnel(transport: Transport, secure: WireServer, ca_file: str):
    with forwarding({NAME: secure.port}) as proxy:
        request = HttpRequest(
            "POST",
            f"https://{NAME}/v1/chat",
            {"authorization": "Bearer sk-secret"},
            b"{}",
            proxy=proxy.url,
            ca_file=ca_file,
        )
        for _ in range(2):
            assert (await transport.send(request)).body == b"hello"
    assert [request.line.split()[:2] for request in proxy.requests] == [["CONNECT", f"{NAME}:443"]]
    assert "secret" not in str(proxy.requests)
    assert secure.requests[1].headers["authorization"] == "Bearer sk-secret"


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_password_is_told_to_the_proxy_alone(
    transport: Transport, plain: WireServer, secure: WireServer, ca_file: str, scheme: str
):
    server = plain if scheme == "http" else secure
    with forwarding({NAME: server.port}, "user:p@ss") as proxy:
        url = proxy.url.replace("//", "//user:p%40ss@")
        request = HttpRequest("GET", f"{scheme}://{NAME}/", proxy=url, ca_file=ca_file)
        assert (await transport.send(request)).body == b"hello"
    assert proxy.requests[0].headers["proxy-authorization"] == basic("user:p@ss")
    assert "proxy-authorization" not in server.requests[0].headers
    assert "p%40ss" not in repr(request)


async def test_a_proxy_that_refuses_us_is_named_as_the_trouble(transport: Transport, ca_file: str):
    with forwarding({}, "user:pass") as proxy:
        tunnel = HttpRequest("GET", f"https://{NAME}/", proxy=proxy.url, ca_file=ca_file)
        with pytest.raises(RetryableError, match=r"could not connect to vendor\.test.*407") as failure:
            await transport.send(tunnel)
        assert failure.value.code == UNREACHABLE
        answered = await transport.send(HttpRequest("GET", f"http://{NAME}/", proxy=proxy.url))
        assert answered.status == 407


async def test_a_proxy_that_is_not_there_is_unreachable(transport: Transport):
    with serving() as gone:
        pass
    with pytest.raises(RetryableError, match="could not connect") as failure:
        await transport.send(HttpRequest("GET", f"http://{NAME}/", proxy=gone.origin))
    assert failure.value.code == UNREACHABLE


async def test_the_password_of_a_proxy_is_in_no_error(transport: Transport):
    with pytest.raises(RetryableError) as failure:
        await transport.send(HttpRequest("GET", f"http://{NAME}/", proxy="http://user:hunter2@127.0.0.1:9"))
    assert "hunter2" not in str(failure.value)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "127.0.0.1", "http://"])
async def test_a_proxy_that_is_no_http_url_is_an_error_that_says_so(transport: Transport, proxy: str):
    with pytest.raises(AdapterError, match="http://host:port") as failure:
        await transport.send(HttpRequest("GET", f"http://{NAME}/", proxy=proxy))
    assert (failure.value.code, failure.value.retryable) == ("invalid_proxy", False)


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize("with_scheme", [True, False])
async def test_the_proxy_of_the_environment_is_used(
    opened: Callable[[], Transport],
    plain: WireServer,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    with_scheme: bool,
):
    with forwarding({NAME: plain.port}) as proxy:
        monkeypatch.setenv(name, proxy.url if with_scheme else f"127.0.0.1:{proxy.port}")
        assert (await opened().send(HttpRequest("GET", f"http://{NAME}/"))).body == b"hello"
    assert len(proxy.requests) == 1


async def test_the_proxy_of_the_request_goes_before_that_of_the_environment(
    opened: Callable[[], Transport], plain: WireServer, monkeypatch: pytest.MonkeyPatch
):
    with forwarding({}) as other, forwarding({NAME: plain.port}) as proxy:
        monkeypatch.setenv("http_proxy", other.url)
        await opened().send(HttpRequest("GET", f"http://{NAME}/", proxy=proxy.url))
    assert (len(other.requests), len(proxy.requests)) == (0, 1)


async def test_this_very_machine_is_reached_without_the_proxy_of_the_environment(
    opened: Callable[[], Transport], plain: WireServer, monkeypatch: pytest.MonkeyPatch
):
    with forwarding({}) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        for host in ("127.0.0.1", "localhost"):
            answered = await opened().send(HttpRequest("GET", f"http://{host}:{plain.port}/"))
            assert answered.body == b"hello"
    assert proxy.requests == []


@pytest.mark.parametrize("exceptions", ["vendor.test", ".test", "other, vendor.test:80", "*"])
async def test_no_proxy_is_obeyed(
    opened: Callable[[], Transport], plain: WireServer, monkeypatch: pytest.MonkeyPatch, exceptions: str
):
    with forwarding({NAME: plain.port}) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", exceptions)
        with pytest.raises(RetryableError):  # whose name nobody else knows
            await opened().send(HttpRequest("GET", f"http://{NAME}/"))
    assert proxy.requests == []


# Certificates


async def test_a_ca_of_ones_own_is_trusted_where_it_is_named(
    transport: Transport, secure: WireServer, ca_file: str
):
    request = HttpRequest("POST", f"{secure.origin}/v1", body=b"{}", ca_file=ca_file)
    for _ in range(3):
        assert (await transport.send(request)).body == b"hello"
    assert secure.connections == 1


async def test_a_certificate_of_nobody_known_is_refused(transport: Transport, secure: WireServer):
    with pytest.raises(AdapterError, match=r"certificate of 127\.0\.0\.1:\d+ is not trusted") as failure:
        await transport.send(HttpRequest("POST", secure.origin, {"authorization": "Bearer sk"}, b"{}"))
    assert (failure.value.code, failure.value.retryable) == ("untrusted_certificate", False)
    assert "ca_file" in str(failure.value)
    assert secure.requests == []


async def test_the_certificate_of_another_name_is_refused(transport: Transport, ca: trustme.CA, ca_file: str):
    with serving(tls=certified(ca, "other.test")) as server:
        with pytest.raises(AdapterError, match=r"is not trusted: .*(mismatch|not valid for)"):
            await transport.send(HttpRequest("GET", server.origin, ca_file=ca_file))
        assert server.requests == []


async def test_the_certificate_behind_a_tunnel_is_checked(
    transport: Transport, secure: WireServer, ca_file: str
):
    with forwarding({"other.test": secure.port}) as proxy:
        request = HttpRequest("GET", "https://other.test/", proxy=proxy.url, ca_file=ca_file)
        with pytest.raises(AdapterError, match="is not trusted"):
            await transport.send(request)


async def test_speaking_tls_to_who_does_not_is_unreachable(transport: Transport, plain: WireServer):
    with pytest.raises(RetryableError, match="could not connect"):
        await transport.send(HttpRequest("GET", plain.origin.replace("http:", "https:"), timeout=0.15))


async def test_a_ca_file_that_is_not_there_is_an_error_that_names_it(transport: Transport):
    with pytest.raises(AdapterError, match=r"'/nowhere/ca\.pem' cannot be read: No such file") as failure:
        await transport.send(HttpRequest("GET", f"https://{NAME}/", ca_file="/nowhere/ca.pem"))
    assert (failure.value.code, failure.value.retryable) == ("invalid_ca_file", False)


async def test_a_ca_file_without_a_certificate_is_an_error_that_says_so(transport: Transport, tmp_path: Path):
    empty = tmp_path / "ca.pem"
    empty.write_text("nothing\n")
    with pytest.raises(AdapterError, match="it holds no certificate"):
        await transport.send(HttpRequest("GET", f"https://{NAME}/", ca_file=str(empty)))
