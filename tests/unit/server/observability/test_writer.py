from __future__ import annotations

import io
import threading

from nexusai.server.observability.writer import LineWriter


class Stuck(io.StringIO):
    """A stream whose reader takes nothing until it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.free = threading.Event(), threading.Event()

    def write(self, text: str) -> int:
        self.entered.set()
        assert self.free.wait(10)
        return super().write(text)


class Closed(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_lines_are_written_in_their_order():
    stream = io.StringIO()
    writer = LineWriter(stream)
    writer.start()
    for number in range(1000):
        writer.write(str(number))
    writer.stop()

    assert stream.getvalue().split() == [str(number) for number in range(1000)]


def test_a_reader_that_is_stuck_keeps_nobody_waiting_and_what_is_lost_is_counted():
    stream = Stuck()
    writer = LineWriter(stream, most=10)
    writer.start()
    writer.write("first", now=True)
    assert stream.entered.wait(10)
    for number in range(25):
        writer.write(str(number))
    lost = writer.dropped
    stream.free.set()
    writer.stop()

    assert lost == 15
    assert stream.getvalue().split() == ["first", *(str(number) for number in range(10))]


def test_lines_that_nobody_reads_any_more_are_counted():
    writer = LineWriter(Closed())
    writer.start()
    writer.write("to nobody")
    writer.stop()

    assert writer.dropped == 1
