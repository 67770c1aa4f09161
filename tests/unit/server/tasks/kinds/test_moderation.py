from __future__ import annotations

from nexusai.providers.types import Cost, Judgement, ModerationRequest, ModerationResponse
from tests.fixtures.jobs import Attempt, Vendor

RESULTS = [Judgement(True, {"violence": True}, {"violence": 0.9}), Judgement(False, {"violence": False})]


def attempt() -> Attempt:
    answer = ModerationResponse(RESULTS, "used-model", Cost(0.0), {"demo": True})
    return Attempt("moderation", Vendor(answer))


async def test_the_texts_go_to_the_provider():
    tried = attempt()

    await tried.run(b'{"texts":["one","two"]}', {"strict": True, "cancel_on_disconnect": True})

    assert tried.request == ModerationRequest("given-model", ["one", "two"], {"strict": True})


async def test_the_judgements_are_the_output():
    output = await attempt().run(b'{"texts":["one","two"]}')

    assert output == {
        "results": [
            {"flagged": True, "categories": {"violence": True}, "category_scores": {"violence": 0.9}},
            {"flagged": False, "categories": {"violence": False}, "category_scores": {}},
        ],
        "provider": "vendor",
        "model": "used-model",
        "cost": {"amount": 0.0, "currency": "USD", "estimated": False},
        "demo": True,
    }
