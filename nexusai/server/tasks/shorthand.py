"""`POST /embeddings`: the `embeddings` task in the words of OpenAI's API."""

from __future__ import annotations

import base64
import sys
from array import array
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
import orjson
from msgspec import Meta, Struct

from nexusai.server.tasks.kinds.embeddings import Texts
from nexusai.server.tasks.kinds.kind import NonEmpty
from nexusai.server.tasks.models import InvokeRequest, TaskRow

__all__ = ["EmbeddingsRequest", "base64_of", "embeddings_of"]


class EmbeddingsRequest(Struct, forbid_unknown_fields=True, kw_only=True):
    input: NonEmpty | Texts
    model: str | None = None
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    encoding_format: Literal["float", "base64"] = "float"
    user: str | None = None

    def task(self) -> InvokeRequest:
        """The task that it stands for."""
        texts = [self.input] if isinstance(self.input, str) else self.input
        config = {"dimensions": self.dimensions} if self.dimensions else None
        input = msgspec.Raw(msgspec.json.encode({"texts": texts}))
        return InvokeRequest(task_type="embeddings", input=input, model=self.model, config=config)


def embeddings_of(row: TaskRow, encoding: str) -> dict[str, Any]:
    """The output of a completed task as OpenAI's API answers it."""
    output = orjson.loads(row.output_json or "{}")
    encoded = base64_of if encoding == "base64" else list
    data = [
        {"object": "embedding", "index": index, "embedding": encoded(vector)}
        for index, vector in enumerate(output["embeddings"])
    ]
    usage = {name: output["usage"][name] for name in ("prompt_tokens", "total_tokens")}
    return {"object": "list", "data": data, "model": output["model"], "usage": usage}


def base64_of(vector: Sequence[float]) -> str:
    """32-bit numbers, the lowest byte first."""
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()
