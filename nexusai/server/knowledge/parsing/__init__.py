"""Documents in, blocks of text out: each is read in a process of its own, with limits."""

from nexusai.server.knowledge.parsing.models import Block, DocumentError, Limits, Parsed
from nexusai.server.knowledge.parsing.process import parse

__all__ = ["Block", "DocumentError", "Limits", "Parsed", "parse"]
