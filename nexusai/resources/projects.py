"""Projects: who owns what; each of these calls needs a key of the scope `platform`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from nexusai._internal._flow import Call, Flow, ask, at, create, given
from nexusai.models import Project, ProjectPage
from nexusai.resources._resource import AsyncResource, Slice, SyncResource, by_cursor

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from nexusai.types import ProjectOptions

__all__ = ["AsyncProjects", "Projects"]


def _create(name: str, options: Mapping[str, Any]) -> Flow[Project]:
    return ask(create("/projects", json=given(name=name, **options)), Project)


def _get(project_id: str) -> Flow[Project]:
    return ask(Call("GET", at("projects", project_id)), Project)


def _list(limit: int | None, cursor: str | None) -> Flow[ProjectPage]:
    return ask(Call("GET", "/projects", params=given(limit=limit, cursor=cursor)), ProjectPage)


def _slice(limit: int | None, cursor: str | None) -> Flow[Slice[Project]]:
    return by_cursor(_list(limit, cursor))


def _update(project_id: str, name: str | None, options: Mapping[str, Any]) -> Flow[Project]:
    return ask(Call("PATCH", at("projects", project_id), json=given(name=name, **options)), Project)


class Projects(SyncResource):
    """The platform's projects. What belongs to one is seen by its keys alone."""

    def create(self, name: str, **options: Unpack[ProjectOptions]) -> Project:
        """Make a project; `client.keys.create(…, project=project.id)` makes a key of it."""
        return self._driver.run(_create(name, options))

    def get(self, project_id: str) -> Project:
        """What is known of a project. Raises `NotFoundError`."""
        return self._driver.run(_get(project_id))

    def list(self, *, limit: int | None = None, cursor: str | None = None) -> ProjectPage:
        """A page of projects; `page.next_cursor` goes into `cursor` for the next."""
        return self._driver.run(_list(limit, cursor))

    def iter(self, *, limit: int | None = None) -> Generator[Project, None, None]:
        """All projects, page after page of `limit` as they are wanted."""
        return self._iterate(partial(_slice, limit))

    def update(
        self, project_id: str, *, name: str | None = None, **options: Unpack[ProjectOptions]
    ) -> Project:
        """Change what is given and leave the rest. Raises `NotFoundError`."""
        return self._driver.run(_update(project_id, name, options))


class AsyncProjects(AsyncResource):
    """The platform's projects. What belongs to one is seen by its keys alone."""

    async def create(self, name: str, **options: Unpack[ProjectOptions]) -> Project:
        """Make a project; `client.keys.create(…, project=project.id)` makes a key of it."""
        return await self._driver.run(_create(name, options))

    async def get(self, project_id: str) -> Project:
        """What is known of a project. Raises `NotFoundError`."""
        return await self._driver.run(_get(project_id))

    async def list(self, *, limit: int | None = None, cursor: str | None = None) -> ProjectPage:
        """A page of projects; `page.next_cursor` goes into `cursor` for the next."""
        return await self._driver.run(_list(limit, cursor))

    def iter(self, *, limit: int | None = None) -> AsyncGenerator[Project, None]:
        """All projects, page after page of `limit` as they are wanted."""
        return self._iterate(partial(_slice, limit))

    async def update(
        self, project_id: str, *, name: str | None = None, **options: Unpack[ProjectOptions]
    ) -> Project:
        """Change what is given and leave the rest. Raises `NotFoundError`."""
        return await self._driver.run(_update(project_id, name, options))
