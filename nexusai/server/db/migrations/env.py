"""How Alembic reaches the database: by the address that `migrate` hands over."""

from alembic import context
from sqlalchemy import create_engine

from nexusai.server.db.schema import metadata

_engine = create_engine(context.config.attributes["url"])
with _engine.begin() as _connection:
    context.configure(connection=_connection, target_metadata=metadata, render_as_batch=True)
    context.run_migrations()
_engine.dispose()
