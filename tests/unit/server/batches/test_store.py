from __future__ import annotations

from pathlib import Path

from nexusai.server.batches.models import Counts, Item, StoredBatch
from nexusai.server.batches.store import BatchStore
from nexusai.server.db.engine import Database, migrate

CANCELLED = '{"code": "CANCELLED"}'


async def test_what_was_cancelled_while_it_was_handed_in_stays_cancelled(tmp_path: Path):
    """Else a batch that is shown as ended would be open again."""
    migrate(tmp_path / "nexus.db")
    database = Database(tmp_path / "nexus.db")
    store = BatchStore(database)
    batch = StoredBatch("batch_1", "proj_1", "req_1", 3, None, None, None, None, created_at=1)
    await store.add(batch, [Item(position, None, "{}") for position in range(3)])
    page = await store.waiting(batch.id, -1, 3)

    await store.cancel(batch.id, 2, CANCELLED)
    ended = await store.counts(batch)
    await store.note(batch.id, [item._replace(task_id=f"task_{item.position}") for item in page])

    assert ended == await store.counts(batch) == Counts(3, 0, 0, 3)
    assert [item.error_json for item in await store.after(batch.id, -1, 3)] == [CANCELLED] * 3
    database.close()
