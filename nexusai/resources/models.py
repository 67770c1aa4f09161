"""The models that the platform offers."""

from __future__ import annotations

from nexusai._internal._flow import Call, Flow, ask, given
from nexusai._internal._invoke import words
from nexusai.error import NotFoundError
from nexusai.models import Model, ModelPage
from nexusai.resources._resource import AsyncResource, SyncResource, by_cursor

__all__ = ["AsyncModels", "Models"]


def _list(limit: int | None = None, cursor: str | None = None) -> Flow[ModelPage]:
    return ask(Call("GET", "/models", params=given(limit=limit, cursor=cursor)), ModelPage)


def _get(name: str) -> Flow[Model]:
    """The model of that name, out of the list: the contract has no route for one alone."""
    words("name", name)
    cursor: str | None = None
    while True:
        models, following = yield from by_cursor(_list(cursor=cursor))
        for model in models:
            if name in (model.id, model.name):
                return model
        if following is None or following == cursor:
            raise NotFoundError(
                f"The platform has no model {name[:100]!r}: client.models.list() names those it has.",
                error_code="NOT_FOUND",
            )
        cursor = following


class Models(SyncResource):
    """The models that the platform offers."""

    def list(self, *, limit: int | None = None, cursor: str | None = None) -> ModelPage:
        """The models with their providers, abilities and prices; `page.next_cursor` is for the next page."""
        return self._driver.run(_list(limit, cursor))

    def get(self, name: str) -> Model:
        """One model, by its name or as `provider/name`. Raises `NotFoundError`."""
        return self._driver.run(_get(name))


class AsyncModels(AsyncResource):
    """The models that the platform offers."""

    async def list(self, *, limit: int | None = None, cursor: str | None = None) -> ModelPage:
        """The models with their providers, abilities and prices; `page.next_cursor` is for the next page."""
        return await self._driver.run(_list(limit, cursor))

    async def get(self, name: str) -> Model:
        """One model, by its name or as `provider/name`. Raises `NotFoundError`."""
        return await self._driver.run(_get(name))
