"""The task type `document_processing`: a stored document as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from nexusai.server.knowledge.parsing import Block, DocumentError, Parsed, parse
from nexusai.server.knowledge.pipeline import problem_of
from nexusai.server.tasks.kinds.kind import Job, Kind, NonEmpty, Output

__all__ = ["DOCUMENT_PROCESSING", "DocumentConfig", "DocumentInput"]


class DocumentInput(Struct, forbid_unknown_fields=True, kw_only=True):
    file_id: NonEmpty


class DocumentConfig(Struct, kw_only=True):
    """`ocr` is refused: a page that is only a picture has no text here."""

    output: Literal["markdown", "text"] = "markdown"
    ocr: Literal[False] = False


async def process(job: Job) -> Output:
    async with job.media.on_disk(job.project, job.input.file_id) as file:
        try:
            parsed = await parse(file.path, file.filename, file.content_type)
        except DocumentError as error:
            raise problem_of(error) from None
    write = _markdown if job.config.output == "markdown" else _text
    return {
        "content": write(parsed.blocks),
        "pages": parsed.pages,
        "metadata": {"filename": file.filename, **_about(parsed)},
        "provider": job.provider.name,
        "model": job.model,
        "cost": None,
    }


def _about(parsed: Parsed) -> Output:
    about = {"file_type": parsed.file_type, "title": parsed.title, "language": parsed.language}
    return {name: value for name, value in about.items() if value is not None}


def _markdown(blocks: Sequence[Block]) -> str:
    return "\n\n".join(map(_marked, blocks))


def _marked(block: Block) -> str:
    if block.kind == "heading":
        return f"{'#' * min(block.level or 1, 6)} {' '.join(block.text.split())}"
    if block.kind == "code":
        fence = "```" if "```" not in block.text else "````"
        return f"{fence}\n{block.text.rstrip()}\n{fence}"
    return block.text


def _text(blocks: Sequence[Block]) -> str:
    return "\n\n".join(block.text for block in blocks)


DOCUMENT_PROCESSING = Kind("document_processing", None, DocumentInput, DocumentConfig, process)
