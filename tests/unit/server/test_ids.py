from __future__ import annotations

import re

from nexusai.server.ids import new_id


def test_an_id_is_its_prefix_and_32_hex_digits():
    assert re.fullmatch(r"task_[0-9a-f]{32}", new_id("task"))


def test_ids_are_unique_though_made_at_the_same_moment():
    ids = [new_id("task") for _ in range(20_000)]

    assert len(set(ids)) == len(ids)


def test_ids_sort_by_the_time_they_were_made(monkeypatch):
    moments = iter([10**18, 10**18 + 1000, 17 * 10**17, 4 * 10**18])
    monkeypatch.setattr("time.time_ns", lambda: next(moments))

    ids = [new_id("task") for _ in range(4)]

    assert ids == sorted(ids)
