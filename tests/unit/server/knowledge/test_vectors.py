from __future__ import annotations

import numpy as np
import pytest

from nexusai.server.knowledge.vectors import Block, Entry, VectorCache, blocks_of, nearest, pack, refreshed


def rows(*numbers: int, dimensions: int = 4) -> list[tuple[int, str, bytes]]:
    return [(n, f"doc_{n % 2}", pack([1.0, *[n / 10] * (dimensions - 1)])) for n in numbers]


def block(*numbers: int) -> Block:
    made = refreshed(None, [], rows(*numbers))
    assert made is not None
    return made


def test_a_packed_vector_has_length_1():
    assert np.frombuffer(pack([3.0, 4.0]), "<f4").tolist() == pytest.approx([0.6, 0.8])


def test_a_vector_of_zeros_stays_so():
    assert pack([0.0, 0.0]) == bytes(8)


@pytest.mark.parametrize("vector", [[], [float("nan")], [float("inf"), 1.0], [[1.0]]])
def test_what_is_no_vector_is_refused(vector):
    with pytest.raises(ValueError, match="finite numbers"):
        pack(vector)


def test_blocks_hold_all_rows_in_order():
    blocks = list(blocks_of(rows(*range(10)), size=4))

    assert [part.numbers.tolist() for part in blocks] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_the_nearest_are_the_same_however_the_rows_are_cut(size: int):
    chance = np.random.default_rng(1)
    vectors = chance.normal(size=(200, 8))
    query = chance.normal(size=8)
    cosines = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    made = [(n, "doc_1", pack(vector.tolist())) for n, vector in enumerate(vectors)]

    found = nearest(blocks_of(made, size), query.tolist(), 7)

    assert [number for number, _ in found] == np.argsort(-cosines)[:7].tolist()
    assert [score for _, score in found] == pytest.approx(sorted(cosines, reverse=True)[:7], abs=1e-6)


def test_only_allowed_documents_are_near():
    found = nearest([block(1, 2, 3, 4)], [1.0, 0.0, 0.0, 0.0], 10, {"doc_0"})

    assert [number for number, _ in found] == [2, 4]


def test_refreshing_takes_what_is_new_and_leaves_what_is_gone():
    fresh = refreshed(block(1, 2, 3), [1, 3, 7], rows(7))

    assert fresh is not None
    assert fresh.numbers.tolist() == [1, 3, 7]
    assert np.array_equal(fresh.matrix, block(1, 3, 7).matrix)


def test_refreshing_to_nothing_leaves_nothing():
    assert refreshed(block(1, 2), [], []) is None
    assert refreshed(None, [], []) is None


def test_vectors_of_a_new_size_replace_the_old_ones():
    fresh = refreshed(block(1, 2), [3], rows(3, dimensions=9))

    assert fresh is not None
    assert fresh.matrix.shape == (1, 9)


def test_the_least_recently_used_leaves_a_full_cache():
    cache = VectorCache(2 * block(1).nbytes)
    cache.put(("kb_1", 1), Entry(1, block(1)))
    cache.put(("kb_2", 1), Entry(1, block(1)))
    cache.get(("kb_1", 1))

    cache.put(("kb_3", 1), Entry(1, block(1)))

    assert cache.get(("kb_2", 1)) is None
    assert cache.get(("kb_1", 1)) is not None
    assert cache.nbytes <= cache.limit


def test_what_is_larger_than_the_cache_is_not_kept():
    cache = VectorCache(block(1).nbytes)

    cache.put(("kb_1", 1), Entry(1, block(1, 2)))

    assert cache.get(("kb_1", 1)) is None


def test_an_older_revision_does_not_replace_a_newer_one():
    cache = VectorCache(1 << 20)
    cache.put(("kb_1", 1), Entry(2, block(1, 2)))

    cache.put(("kb_1", 1), Entry(1, block(1)))

    entry = cache.get(("kb_1", 1))
    assert entry is not None
    assert entry.revision == 2


def test_older_versions_leave_with_a_newer_one():
    cache = VectorCache(1 << 20)
    cache.put(("kb_1", 1), Entry(1, block(1)))

    cache.put(("kb_1", 2), Entry(2, block(2)))

    assert cache.get(("kb_1", 1)) is None
