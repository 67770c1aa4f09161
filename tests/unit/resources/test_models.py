from __future__ import annotations

from typing import Any

import pytest
from pytest_httpx import HTTPXMock

from nexusai.error import NotFoundError
from nexusai.models import Model
from tests.fixtures.sdk import BASE, Both


def serve(httpx_mock: HTTPXMock, **page: Any) -> None:
    httpx_mock.add_response(
        url=f"{BASE}/models",
        json={
            "data": [
                {
                    "name": "simulate",
                    "provider": "local",
                    "capabilities": ["text_generation"],
                    "context_window": 8192,
                    "prices": {"prompt": 0},
                },
                {"name": "openai/gpt-4o", "provider": "openai"},
            ],
            **page,
        },
    )


def test_the_models_are_listed(sdk: Both, httpx_mock: HTTPXMock):
    serve(httpx_mock)
    first, second = sdk(lambda client: client.models.list())
    assert (first.id, first.context_window, first.capabilities) == (
        *("local/simulate", 8192),
        ["text_generation"],
    )
    assert second.id == "openai/gpt-4o"


@pytest.mark.parametrize("name", ["simulate", "local/simulate"])
def test_a_model_is_found_by_its_name_with_or_without_its_provider(
    name: str, sdk: Both, httpx_mock: HTTPXMock
):
    serve(httpx_mock)
    assert sdk(lambda client: client.models.get(name)).name == "simulate"


def test_a_model_is_found_on_a_later_page(sdk: Both, httpx_mock: HTTPXMock):
    serve(httpx_mock, has_more=True, next_cursor="c2")
    httpx_mock.add_response(url=f"{BASE}/models?cursor=c2", json={"data": [{"name": "last"}]})
    assert sdk(lambda client: client.models.get("last")).id == "last"


@pytest.mark.parametrize("page", [{}, {"has_more": True, "next_cursor": None}])
def test_a_model_that_is_not_there(page: Any, sdk: Both, httpx_mock: HTTPXMock):
    serve(httpx_mock, **page)
    with pytest.raises(NotFoundError, match=r"no model 'none': client\.models\.list"):
        sdk(lambda client: client.models.get("none"))


@pytest.mark.parametrize(("type", "id"), [("model", "openai/fast"), ("alias", "fast"), ("route", "fast")])
def test_an_alias_and_a_route_are_named_without_a_provider(type: str, id: str):
    assert Model(name="fast", provider="openai", type=type).id == id
