"""The published contract: FastAPI's document, completed with what it does not see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from nexusai.error import CODES
from nexusai.server.batches.models import BatchRequest
from nexusai.server.keys.models import CreateKey, CreateProject, RotateKey, UpdateKey, UpdateProject
from nexusai.server.knowledge.models import (
    AddDocument,
    CreateKnowledgeBase,
    SearchKnowledgeBases,
    UpdateKnowledgeBase,
)
from nexusai.server.knowledge.processing import DOCUMENT_PROCESSING
from nexusai.server.sessions.models import (
    AgentConfig,
    CreateSession,
    ForkSession,
    RegenerateTurn,
    TurnRequest,
    UpdateSession,
)
from nexusai.server.tasks.kinds import KINDS as TASK_KINDS
from nexusai.server.tasks.models import InvokeRequest
from nexusai.server.tasks.shorthand import EmbeddingsRequest
from nexusai.server.webhooks.models import CreateWebhook, UpdateWebhook

__all__ = [
    "ADD_DOCUMENT",
    "CONTENT",
    "EMBED",
    "EVENTS",
    "GET_TASK",
    "INPUT_ITEMS",
    "INVOKE",
    "LIST_TASKS",
    "METRICS",
    "ONE_RESPONSE",
    "OPEN",
    "READY",
    "RESULTS",
    "UPLOAD",
    "USAGE",
    "body",
    "creating",
    "document",
    "invoking",
    "opaque",
    "optional_body",
]

KINDS = {**TASK_KINDS, DOCUMENT_PROCESSING.task_type: DOCUMENT_PROCESSING}

_REF = "#/components/schemas/{name}"

_EVENTS: dict[str, Any] = {"text/event-stream": {"schema": {"description": "Server-sent events."}}}
_PREFER = {
    "name": "Prefer",
    "in": "header",
    "description": "`respond-async` or `wait=N` (RFC 7240).",
    "schema": {"type": "string"},
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key and request give the first answer again, for 24 h.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}


def body(schema: str, *ids: str) -> dict[str, Any]:
    """What a bare function does not tell: its JSON body, and the ids of its path."""
    path = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in ids]
    content = {"application/json": {"schema": {"$ref": _REF.format(name=schema)}}}
    return {"parameters": path, "requestBody": {"required": True, "content": content}}


def opaque(media_type: str) -> dict[str, Any]:
    """A body and an answer in the words of another API, whose document describes them."""
    told = {media_type: {"schema": {"type": "object"}}}
    return {"requestBody": {"required": True, "content": told}}


def optional_body(told: dict[str, Any]) -> dict[str, Any]:
    """The same where the body may be left out."""
    return {**told, "requestBody": {**told["requestBody"], "required": False}}


def creating(schema: str, *ids: str) -> dict[str, Any]:
    """The same of what makes something."""
    told = body(schema, *ids)
    return {**told, "parameters": [*told["parameters"], _IDEMPOTENCY_KEY]}


def invoking(schema: str, *ids: str) -> dict[str, Any]:
    """The same of what makes a task, and is answered as its caller prefers."""
    told = creating(schema, *ids)
    finished = {
        "description": "The finished task; with `stream` its events.",
        "content": _EVENTS,
    }
    return {**told, "parameters": [*told["parameters"], _PREFER], "responses": {"200": finished}}


INVOKE: dict[str, Any] = invoking("InvokeRequest")

_EMBED = creating("EmbeddingsRequest")
EMBED: dict[str, Any] = {**_EMBED, "parameters": [*_EMBED["parameters"], _PREFER]}

GET_TASK: dict[str, Any] = {
    "parameters": [
        {"name": "task_id", "in": "path", "required": True, "schema": {"type": "string"}},
        _PREFER,
    ]
}

ONE_RESPONSE: dict[str, Any] = {
    "parameters": [{"name": "response_id", "in": "path", "required": True, "schema": {"type": "string"}}]
}
INPUT_ITEMS: dict[str, Any] = {
    "parameters": [
        *ONE_RESPONSE["parameters"],
        {"name": "after", "in": "query", "schema": {"type": "string"}},
        {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 100}},
        {"name": "order", "in": "query", "schema": {"type": "string", "enum": ["asc", "desc"]}},
    ]
}
LIST_TASKS: dict[str, Any] = {
    "parameters": [
        {
            "name": "metadata",
            "in": "query",
            "style": "deepObject",
            "explode": True,
            "schema": {"type": "object", "additionalProperties": {"type": "string"}},
        }
    ]
}

EVENTS: dict[str, Any] = {
    "responses": {
        "200": {
            "description": "Server-sent events: the start, deltas, the end, then `[DONE]`.",
            "content": _EVENTS,
        }
    },
    "parameters": [
        {"name": "task_id", "in": "path", "required": True, "schema": {"type": "string"}},
        {
            "name": "Last-Event-ID",
            "in": "header",
            "description": "Go on after this event.",
            "schema": {"type": "string", "pattern": "^[0-9]+$"},
        },
    ],
}

UPLOAD: dict[str, Any] = {
    "parameters": [_IDEMPOTENCY_KEY],
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "contentMediaType": "application/octet-stream"}
                    },
                }
            }
        },
    },
}

_BYTES: dict[str, Any] = {"*/*": {"schema": {"type": "string"}}}

CONTENT: dict[str, Any] = {
    "responses": {
        "200": {"description": "The file.", "content": _BYTES},
        "206": {"description": "The part that `Range` asked for.", "content": _BYTES},
        "304": {"description": "The file is the one that `If-None-Match` names."},
    },
    "security": [{"key": []}, {}],
}

_ADD = creating("AddDocument", "kb_id")
_FILE: dict[str, Any] = UPLOAD["requestBody"]["content"]
ADD_DOCUMENT: dict[str, Any] = {
    **_ADD,
    "requestBody": {"required": True, "content": {**_FILE, **_ADD["requestBody"]["content"]}},
}
"""A document comes as a file, or as the id of one."""

RESULTS: dict[str, Any] = {
    "responses": {
        "200": {
            "description": "A line of JSON for each request, in their order.",
            "content": {"application/jsonl": {"schema": {"type": "string"}}},
        }
    }
}

USAGE: dict[str, Any] = {
    "responses": {
        "200": {
            "description": "The sums; with `format=csv`, or `Accept: text/csv`, as lines of CSV.",
            "content": {"text/csv": {"schema": {"type": "string"}}},
        }
    }
}

OPEN: dict[str, Any] = {"security": []}
"""What needs no key."""

READY: dict[str, Any] = {
    **OPEN,
    "responses": {
        "200": {
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["status", "checks"],
                        "properties": {
                            "status": {"const": "healthy"},
                            "checks": {"type": "object", "additionalProperties": {"type": "string"}},
                        },
                    }
                }
            }
        }
    },
}

METRICS: dict[str, Any] = {
    **OPEN,  # to programs on the same machine
    "responses": {"200": {"content": {"text/plain": {"schema": {"type": "string"}}}}},
}

_PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "detail", "error_code", "timestamp", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "error_code": {"type": "string", "enum": sorted(CODES)},
        "timestamp": {"type": "string", "format": "date-time"},
        "request_id": {"type": "string"},
        "retry_after": {"type": "integer", "description": "Seconds."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["loc", "msg", "type"],
                "properties": {
                    "loc": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
                    "msg": {"type": "string"},
                    "type": {"type": "string"},
                },
            },
        },
    },
}


def _code(code: str) -> str:
    return {"UNAUTHORIZED": "invalid_api_key"}.get(code, code.lower())


_ERROR: dict[str, Any] = {
    "type": "object",
    "description": "What went wrong, as OpenAI says it.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string", "enum": sorted({_code(code) for code in CODES})},
            },
        }
    },
}
_MESSAGES_ERROR: dict[str, Any] = {
    "type": "object",
    "description": "What went wrong, as Anthropic says it.",
    "required": ["type", "error", "request_id"],
    "properties": {
        "type": {"const": "error"},
        "error": {
            "type": "object",
            "required": ["type", "message"],
            "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
        },
        "request_id": {"type": "string"},
    },
}
_OBJECT: dict[str, Any] = {"application/json": {"schema": {"type": "object"}}}
_TEXT: dict[str, Any] = {"text/plain": {"schema": {"type": "string"}}}
_FOREIGN: Final[Mapping[str, dict[str, Any]]] = {
    "/v1/chat/completions": {**_OBJECT, **_EVENTS},
    "/v1/completions": {**_OBJECT, **_EVENTS},
    "/v1/messages": {**_OBJECT, **_EVENTS},
    "/v1/responses": {**_OBJECT, **_EVENTS},
    "/v1/responses/{response_id}": {**_OBJECT, **_EVENTS},
    "/v1/files/{file_id}/content": _BYTES,
    "/v1/audio/speech": {"audio/*": {"schema": {"type": "string"}}, **_EVENTS},
    "/v1/audio/transcriptions": {**_OBJECT, **_TEXT, **_EVENTS},
    "/v1/audio/translations": {**_OBJECT, **_TEXT, **_EVENTS},
}
"""What good answers look like that are in the words of another API, where they may be more than an object."""


def _failure(path: str) -> dict[str, Any]:
    """What an operation answers when it fails."""
    media, schema = "application/problem+json", "Problem"
    if path.startswith("/v1/"):
        media, schema = "application/json", "Error"
    if path.startswith("/v1/messages"):
        schema = "MessagesError"
    content = {media: {"schema": {"$ref": _REF.format(name=schema)}}}
    return {"description": "A problem.", "content": content}


def document(api: FastAPI) -> dict[str, Any]:
    """OpenAPI 3.1 of the whole platform."""
    if api.openapi_schema is None:
        spec = get_openapi(
            title=api.title, version=api.version, routes=api.routes, description=api.description
        )
        schemas = spec.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(_structs())
        schemas |= {"Problem": _PROBLEM, "Error": _ERROR, "MessagesError": _MESSAGES_ERROR}
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        spec["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        spec["security"] = [{"key": []}]
        for path, operations in spec["paths"].items():
            for operation in operations.values():
                operation["responses"].pop("422", None)
                operation["responses"]["default"] = _failure(path)
                if path.startswith("/v1/"):
                    operation["responses"]["200"]["content"] = _FOREIGN.get(path, _OBJECT)
        api.openapi_schema = spec
    return api.openapi_schema


def _structs() -> dict[str, Any]:
    sessions = (CreateSession, UpdateSession, ForkSession, TurnRequest, RegenerateTurn)
    knowledge = (CreateKnowledgeBase, UpdateKnowledgeBase, AddDocument, SearchKnowledgeBases)
    types: list[Any] = [
        InvokeRequest,
        EmbeddingsRequest,
        AgentConfig,
        BatchRequest,
        CreateWebhook,
        UpdateWebhook,
        CreateKey,
        UpdateKey,
        RotateKey,
        CreateProject,
        UpdateProject,
    ]
    types += [*sessions, *knowledge]
    for kind in KINDS.values():
        types += [kind.input, kind.config]
    _, schemas = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    invoke = schemas["InvokeRequest"]["properties"]
    invoke["task_type"]["enum"] = list(KINDS)
    invoke["input"] = {"anyOf": [{"$ref": _REF.format(name=kind.input.__name__)} for kind in KINDS.values()]}
    configs = [{"$ref": _REF.format(name=kind.config.__name__)} for kind in KINDS.values()]
    invoke["config"] = {"anyOf": [*configs, {"type": "object"}, {"type": "null"}], "default": None}
    agent = {"anyOf": [{"$ref": _REF.format(name="AgentConfig")}, {"type": "null"}], "default": None}
    for name in ("CreateSession", "UpdateSession"):
        schemas[name]["properties"]["agent_config"] = agent
    named = {"type": "object", "properties": {"custom_id": {"type": ["string", "null"]}}}
    one = {"allOf": [named, {"description": "What `POST /invoke` takes, and a `custom_id`."}]}
    schemas["BatchRequest"]["properties"]["requests"]["anyOf"][0]["items"] = one
    return dict(schemas)
