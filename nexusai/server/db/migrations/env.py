"""How Alembic reaches the database: by the address that `migrate` hands over."""

from alembic import context
from sqlalchemy import create_engine

from nexusai.server.db.schema import metadata

engine = create_engine(context.config.attributes["url"])
with engine.begin() as connection:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    context.run_migrations()
engine.dispose()
