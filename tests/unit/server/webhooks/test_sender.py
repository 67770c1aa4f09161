from __future__ import annotations

import asyncio

import pytest

from nexusai.server.webhooks import sender as module
from nexusai.server.webhooks.sender import Outcome, Sender, is_public
from tests.fixtures.hooks import running_hook


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ],
)
def test_an_address_of_a_network_like_this_is_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "64:ff9b::808:808"])
def test_an_address_of_the_internet_is_public(address):
    assert is_public(address)


async def test_a_name_is_looked_at_where_the_connection_is_made():
    with running_hook() as hook:
        sender = Sender()
        outcome = await sender.post(hook.url.replace("127.0.0.1", "localhost"), b"{}", {})
        await sender.close()
    assert outcome == Outcome(None, "OSError: localhost leads to no address of the internet")
    assert not hook.calls


@pytest.mark.parametrize("status", [200, 204, 301, 400, 410, 500])
async def test_what_is_answered_is_told(status):
    with running_hook() as hook:
        hook.answers = [status]
        sender = Sender(allow_private=True)
        outcome = await sender.post(hook.url, b'{"a": 1}', {"webhook-id": "msg_1"})
        await sender.close()
    assert (outcome.status, outcome.good) == (status, status < 300)
    assert [(call.body, call.headers["webhook-id"]) for call in hook.calls] == [(b'{"a": 1}', "msg_1")]


async def test_an_endpoint_that_says_nothing_is_given_up(monkeypatch, unused_tcp_port):
    gone = asyncio.Event()

    async def silent(reader, writer):
        await reader.read()
        writer.close()
        await writer.wait_closed()
        gone.set()

    monkeypatch.setattr(module, "TIMEOUT", 0.1)
    async with await asyncio.start_server(silent, "127.0.0.1", unused_tcp_port):
        sender = Sender(allow_private=True)
        outcome = await sender.post(f"http://127.0.0.1:{unused_tcp_port}/", b"", {})
        await sender.close()
        await gone.wait()
    assert outcome == Outcome(None, "no answer within 0.1 s")


async def test_nobody_there_is_an_outcome(unused_tcp_port):
    sender = Sender(allow_private=True)
    outcome = await sender.post(f"http://127.0.0.1:{unused_tcp_port}/", b"", {})
    await sender.close()
    assert outcome.status is None
    assert outcome.error
