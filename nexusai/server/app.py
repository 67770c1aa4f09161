"""The platform as an ASGI application: its routes, and the order in which a request meets them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from nexusai.__version__ import __version__
from nexusai.server import openapi
from nexusai.server.batches import schema as batches_schema
from nexusai.server.batches.routes import BatchRoutes
from nexusai.server.conversations import schema as conversations_schema
from nexusai.server.conversations.routes import ConversationRoutes
from nexusai.server.files import schema as files_schema
from nexusai.server.files.routes import FileRoutes
from nexusai.server.gateway.anthropic import AnthropicRoutes, refusal
from nexusai.server.gateway.calls import Calls
from nexusai.server.gateway.completions import CompletionsRoutes
from nexusai.server.gateway.errors import error_response
from nexusai.server.gateway.files import GatewayFiles
from nexusai.server.gateway.media import MediaRoutes
from nexusai.server.gateway.openai import OpenAIRoutes
from nexusai.server.gateway.responses import ResponsesRoutes
from nexusai.server.gateway.sound import SoundRoutes
from nexusai.server.http import Endpoint, Problem, RequestContext, broken, problem_response
from nexusai.server.keys import schema as keys_schema
from nexusai.server.keys.routes import KeyRoutes
from nexusai.server.knowledge import schema as knowledge_schema
from nexusai.server.knowledge.routes import KnowledgeRoutes
from nexusai.server.observability.routes import HealthRoutes, MetricsRoutes
from nexusai.server.platform import Platform
from nexusai.server.providers import schema as providers_schema
from nexusai.server.providers.routes import ProviderRoutes
from nexusai.server.sessions import schema as sessions_schema
from nexusai.server.sessions.routes import SessionRoutes
from nexusai.server.tasks import schema as tasks_schema
from nexusai.server.tasks.answers import TaskAnswers
from nexusai.server.tasks.routes import TaskRoutes
from nexusai.server.traffic import ROUTE
from nexusai.server.usage import schema as usage_schema
from nexusai.server.usage.routes import UsageRoutes
from nexusai.server.webhooks import schema as webhooks_schema
from nexusai.server.webhooks.routes import WebhookRoutes

__all__ = ["create_app"]

BASE = "/api/v1"
INVOKE = f"{BASE}/invoke"
TASKS = f"{BASE}/tasks/"
METHODS = "DELETE", "GET", "PATCH", "POST", "PUT"


def create_app(platform: Platform) -> ASGIApp:
    """The application over an open platform."""
    settings = platform.settings
    tasks = TaskRoutes(
        platform.tasks, platform.files, platform.keys, settings.max_body_bytes, settings.sync_wait
    )
    files = FileRoutes(platform.files, platform.keys, settings.max_file_bytes)
    answers_of_tasks = TaskAnswers(platform.tasks, platform.files, settings.sync_wait)
    sessions = SessionRoutes(platform.sessions, answers_of_tasks, platform.keys, settings.max_body_bytes)
    webhooks = WebhookRoutes(platform.webhooks, platform.keys, settings.max_body_bytes)
    batches = BatchRoutes(platform.batches, platform.files, platform.keys, settings.max_body_bytes)
    knowledge = KnowledgeRoutes(
        platform.knowledge, platform.files, platform.keys, settings.max_body_bytes, settings.max_file_bytes
    )
    calls = Calls(
        platform.catalogue,
        platform.guard,
        platform.conversation_log,
        platform.files,
        settings.task_timeout,
    )
    openai = OpenAIRoutes(calls, platform.keys, settings.max_body_bytes)
    anthropic = AnthropicRoutes(calls, platform.keys, settings.max_body_bytes)
    responses = ResponsesRoutes(
        calls, platform.keys, platform.responses, platform.files, settings.max_body_bytes
    )
    api = FastAPI(
        title="Nexus AI", version=__version__, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    for router in (
        _tasks(tasks),
        _files(files),
        _sessions(sessions),
        _batches(batches),
        _webhooks(webhooks),
        _knowledge(knowledge),
        _keys(KeyRoutes(platform.keys, settings.max_body_bytes)),
        _usage(UsageRoutes(platform.usage, platform.keys)),
        _conversations(ConversationRoutes(platform.conversations, platform.keys)),
        _providers(ProviderRoutes(platform.catalogue, platform.keys)),
        _openai(openai, CompletionsRoutes(calls, platform.keys, settings.max_body_bytes)),
        _media(
            MediaRoutes(calls, platform.keys, platform.files, settings.max_body_bytes),
            SoundRoutes(calls, platform.keys, settings.max_body_bytes),
        ),
        _stored(GatewayFiles(platform.files, files, platform.keys, settings.max_file_bytes)),
        _responses(responses),
        _anthropic(anthropic),
        _machines(
            HealthRoutes(platform.health),
            MetricsRoutes(platform.metrics, platform.readings, platform.keys, settings.metrics),
        ),
    ):
        api.include_router(router)
    api.openapi = lambda: openapi.document(api)  # type: ignore[method-assign]
    answers = {
        Problem: _problem,
        HTTPException: _refused,
        RequestValidationError: _invalid,
        Exception: _failed,
    }
    for kind, answer in answers.items():
        api.add_exception_handler(kind, answer)
    busiest = {
        INVOKE: tasks.invoke,
        "/v1/chat/completions": openai.chat,
        "/v1/embeddings": openai.embeddings,
        "/v1/messages": anthropic.messages,
        "/v1/responses": responses.create_response,
    }
    posts = {path: Endpoint(route) for path, route in busiest.items()}
    app: ASGIApp = _Shortcut(posts, Endpoint(tasks.get), api)
    if platform.tracing is not None:
        app = platform.tracing.around(app)
    return RequestContext(app, platform.traffic)


class _Shortcut:
    """The calls that carry the load reach their functions at once; all others go through FastAPI.

    FastAPI knows them as well, and answers them the same: this saves half of what it costs.
    """

    def __init__(self, posts: Mapping[str, ASGIApp], get_task: ASGIApp, api: ASGIApp) -> None:
        self._posts = posts
        self._get_task = get_task
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope.get("method"), scope.get("path", "")
        if method == "POST" and (post := self._posts.get(path)) is not None:
            scope[ROUTE] = path
            await post(scope, receive, send)
            return
        if method == "GET" and path.startswith(TASKS):
            task_id = path[len(TASKS) :]
            if task_id and "/" not in task_id:
                scope["path_params"] = {"task_id": task_id}
                scope[ROUTE] = f"{TASKS}{{task_id}}"
                await self._get_task(scope, receive, send)
                return
        await self._api(scope, receive, send)


class _Plain(APIRoute):
    """A route whose function reads the request and makes the response: FastAPI documents it, no more."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        return self.endpoint


def _tasks(routes: TaskRoutes) -> APIRouter:
    router = APIRouter(prefix=BASE, tags=["tasks"])
    task = tasks_schema.Task
    stored = {202: {"model": tasks_schema.Accepted, "description": "Stored; it will run."}}
    _add(router, "POST", "/invoke", routes.invoke, task, plain=openapi.INVOKE, responses=stored)
    vectors = tasks_schema.Embeddings
    _add(router, "POST", "/embeddings", routes.embed, vectors, plain=openapi.EMBED, responses=stored)
    _add(router, "GET", "/tasks", routes.list, tasks_schema.TaskPage, openapi_extra=openapi.LIST_TASKS)
    _add(router, "GET", "/tasks/{task_id}", routes.get, task, plain=openapi.GET_TASK)
    _add(router, "DELETE", "/tasks/{task_id}", routes.delete, None, status_code=204)
    _add(router, "POST", "/tasks/{task_id}/cancel", routes.cancel, task)
    events: dict[str, Any] = {"plain": openapi.EVENTS, "response_class": Response}
    _add(router, "GET", "/tasks/{task_id}/events", routes.events, None, **events)
    return router


def _files(routes: FileRoutes) -> APIRouter:
    router = APIRouter(prefix=BASE, tags=["files"])
    _add(
        router, "POST", "/files", routes.upload, files_schema.Uploaded, plain=openapi.UPLOAD, status_code=201
    )
    _add(router, "GET", "/files", routes.list, files_schema.FilePage)
    _add(router, "GET", "/files/{file_id}", routes.get, files_schema.File)
    _add(router, "DELETE", "/files/{file_id}", routes.delete, files_schema.Deleted)
    content: dict[str, Any] = {"openapi_extra": openapi.CONTENT, "response_class": Response}
    _add(router, "GET", "/files/{file_id}/content", routes.content, None, **content)
    return router


def _sessions(routes: SessionRoutes) -> APIRouter:
    router = APIRouter(prefix=BASE, tags=["sessions"])
    one, turn = "/sessions/{session_id}", sessions_schema.SessionTurn
    session: type[Any] = sessions_schema.Session
    stored = {202: {"model": tasks_schema.Accepted, "description": "Stored; it will run."}}
    create, fork = openapi.creating("CreateSession"), openapi.creating("ForkSession", "session_id")
    _add(router, "POST", "/sessions", routes.create, session, plain=create, status_code=201)
    _add(router, "GET", "/sessions", routes.list, sessions_schema.SessionPage)
    _add(router, "GET", one, routes.get, session)
    _add(router, "PATCH", one, routes.update, session, plain=openapi.body("UpdateSession", "session_id"))
    _add(router, "DELETE", one, routes.delete, None, status_code=204)
    _add(router, "GET", f"{one}/history", routes.history, sessions_schema.SessionHistory)
    _add(router, "POST", f"{one}/fork", routes.fork, session, plain=fork, status_code=201)
    for view, name in ((routes.invoke, "TurnRequest"), (routes.regenerate, "RegenerateTurn")):
        plain = openapi.invoking(name, "session_id")
        _add(router, "POST", f"{one}/{view.__name__}", view, turn, plain=plain, responses=stored)
    return router


def _knowledge(routes: KnowledgeRoutes) -> APIRouter:
    router = APIRouter(prefix=f"{BASE}/knowledge-bases", tags=["knowledge_bases"])
    base, document, one = knowledge_schema.KnowledgeBase, knowledge_schema.KnowledgeDocument, "/{kb_id}"
    search, found = openapi.body("SearchKnowledgeBases"), knowledge_schema.SearchAnswer
    create, update = openapi.creating("CreateKnowledgeBase"), openapi.body("UpdateKnowledgeBase", "kb_id")
    _add(router, "POST", "", routes.create, base, plain=create, status_code=201)
    _add(router, "GET", "", routes.list, list[base])  # type: ignore[valid-type]
    _add(router, "POST", "/search", routes.search, found, plain=search)
    _add(router, "GET", one, routes.get, base)
    _add(router, "PATCH", one, routes.update, base, plain=update)
    _add(router, "DELETE", one, routes.delete, None, status_code=204)
    accepted, add = knowledge_schema.DocumentAccepted, openapi.ADD_DOCUMENT
    _add(router, "POST", f"{one}/documents", routes.add_document, accepted, plain=add, status_code=202)
    _add(router, "GET", f"{one}/documents", routes.list_documents, list[document])  # type: ignore[valid-type]
    _add(router, "GET", f"{one}/documents/{{doc_id}}", routes.get_document, document)
    _add(router, "DELETE", f"{one}/documents/{{doc_id}}", routes.delete_document, None, status_code=204)
    return router


def _batches(routes: BatchRoutes) -> APIRouter:
    router = APIRouter(prefix=BASE, tags=["batches"])
    batch = batches_schema.Batch
    asked = openapi.creating("BatchRequest")
    _add(router, "POST", "/batches", routes.create, batch, plain=asked, status_code=202)
    _add(router, "GET", "/batches", routes.list, batches_schema.BatchPage)
    _add(router, "GET", "/batches/{batch_id}", routes.get, batch)
    results: dict[str, Any] = {"openapi_extra": openapi.RESULTS, "response_class": Response}
    _add(router, "GET", "/batches/{batch_id}/results", routes.results, None, **results)
    _add(router, "POST", "/batches/{batch_id}/cancel", routes.cancel, batch)
    return router


def _webhooks(routes: WebhookRoutes) -> APIRouter:
    router = APIRouter(prefix=BASE, tags=["webhooks"])
    webhook, path = webhooks_schema.Webhook, "/webhooks/{webhook_id}"
    asked = openapi.creating("CreateWebhook")
    _add(router, "POST", "/webhooks", routes.create, webhook, plain=asked, status_code=201)
    _add(router, "GET", "/webhooks", routes.list, webhooks_schema.WebhookPage)
    _add(router, "GET", "/webhooks/secret", routes.secret, webhooks_schema.Secret)
    _add(router, "GET", path, routes.get, webhook)
    _add(router, "PATCH", path, routes.update, webhook, plain=openapi.body("UpdateWebhook", "webhook_id"))
    _add(router, "DELETE", path, routes.delete, None, status_code=204)
    _add(router, "POST", f"{path}/rotate-secret", routes.rotate, webhook)
    _add(router, "GET", f"{path}/deliveries", routes.deliveries, webhooks_schema.DeliveryPage)
    again = f"{path}/deliveries/{{delivery_id}}/redeliver"
    _add(router, "POST", again, routes.redeliver, webhooks_schema.Delivery, status_code=202)
    return router


def _keys(routes: KeyRoutes) -> APIRouter:
    router = APIRouter(prefix=BASE, tags=["keys"])
    key, one = keys_schema.Key, "/keys/{key_id}"
    create, update = openapi.creating("CreateKey"), openapi.body("UpdateKey", "key_id")
    _add(router, "POST", "/keys", routes.create, key, plain=create, status_code=201)
    _add(router, "GET", "/keys", routes.list, keys_schema.KeyPage)
    _add(router, "GET", one, routes.get, key)
    _add(router, "PATCH", one, routes.update, key, plain=update)
    rotate = openapi.optional_body(openapi.creating("RotateKey", "key_id"))
    _add(router, "POST", f"{one}/rotate", routes.rotate, key, plain=rotate)
    _add(router, "POST", f"{one}/disable", routes.disable, key)
    project, named = keys_schema.Project, "/projects/{project_id}"
    create, update = openapi.creating("CreateProject"), openapi.body("UpdateProject", "project_id")
    _add(router, "POST", "/projects", routes.create_project, project, plain=create, status_code=201)
    _add(router, "GET", "/projects", routes.list_projects, keys_schema.ProjectPage)
    _add(router, "GET", named, routes.get_project, project)
    _add(router, "PATCH", named, routes.update_project, project, plain=update)
    return router


def _usage(routes: UsageRoutes) -> APIRouter:
    router = APIRouter(prefix=BASE, tags=["usage"])
    _add(router, "GET", "/usage", routes.get, usage_schema.UsageReport, openapi_extra=openapi.USAGE)
    return router


def _conversations(routes: ConversationRoutes) -> APIRouter:
    router = APIRouter(prefix=BASE, tags=["conversations"])
    conversation: type[Any] = conversations_schema.Conversation
    one = "/conversations/{conversation_id}"
    _add(router, "GET", "/conversations", routes.list, conversations_schema.ConversationPage)
    _add(router, "DELETE", "/conversations", routes.delete_many, conversations_schema.ConversationsDeleted)
    _add(router, "GET", one, routes.get, conversation)
    _add(router, "DELETE", one, routes.delete, None, status_code=204)
    return router


def _providers(routes: ProviderRoutes) -> APIRouter:
    router = APIRouter(prefix=BASE, tags=["providers"])
    _add(router, "GET", "/models", routes.models, providers_schema.ModelPage)
    _add(router, "GET", "/providers", routes.list, providers_schema.ProviderList)
    return router


def _openai(routes: OpenAIRoutes, completions: CompletionsRoutes) -> APIRouter:
    """OpenAI's own document says what these take and answer."""
    router = APIRouter(prefix="/v1", tags=["gateway"])
    answer: dict[str, Any] = {"response_class": Response}
    json = openapi.opaque("application/json")
    _add(router, "POST", "/chat/completions", routes.chat, None, plain=json, **answer)
    _add(router, "POST", "/completions", completions.completions, None, plain=json, **answer)
    _add(router, "POST", "/embeddings", routes.embeddings, None, plain=json, **answer)
    _add(router, "POST", "/moderations", routes.moderations, None, plain=json, **answer)
    _add(router, "GET", "/models", routes.models, None, plain={}, **answer)
    one = {"parameters": [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}]}
    _add(router, "GET", "/models/{model:path}", routes.model, None, plain=one, **answer)
    return router


def _responses(routes: ResponsesRoutes) -> APIRouter:
    router = APIRouter(prefix="/v1/responses", tags=["gateway"])
    answer: dict[str, Any] = {"response_class": Response}
    create, one, items = openapi.opaque("application/json"), openapi.ONE_RESPONSE, openapi.INPUT_ITEMS
    _add(router, "POST", "", routes.create_response, None, plain=create, **answer)
    _add(router, "POST", "/input_tokens", routes.count_input_tokens, None, plain=create, **answer)
    _add(router, "GET", "/{response_id}", routes.response, None, plain=one, **answer)
    _add(router, "DELETE", "/{response_id}", routes.delete_response, None, plain=one, **answer)
    _add(router, "POST", "/{response_id}/cancel", routes.cancel_response, None, plain=one, **answer)
    _add(router, "GET", "/{response_id}/input_items", routes.input_items, None, plain=items, **answer)
    return router


def _media(media: MediaRoutes, sound: SoundRoutes) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["gateway"])
    answer: dict[str, Any] = {"response_class": Response}
    json, form = openapi.opaque("application/json"), openapi.opaque("multipart/form-data")
    _add(router, "POST", "/images/generations", media.images, None, plain=json, **answer)
    _add(router, "POST", "/images/edits", media.edits, None, plain=form, **answer)
    _add(router, "POST", "/images/variations", media.variations, None, plain=form, **answer)
    _add(router, "POST", "/audio/speech", sound.speech, None, plain=json, **answer)
    _add(router, "POST", "/audio/transcriptions", sound.transcriptions, None, plain=form, **answer)
    _add(router, "POST", "/audio/translations", sound.translations, None, plain=form, **answer)
    return router


def _stored(routes: GatewayFiles) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["gateway"])
    answer: dict[str, Any] = {"response_class": Response}
    form = openapi.opaque("multipart/form-data")
    name = {"name": "file_id", "in": "path", "required": True, "schema": {"type": "string"}}
    one = {"parameters": [name]}
    _add(router, "POST", "/files", routes.upload, None, plain=form, **answer)
    _add(router, "GET", "/files", routes.list_files, None, plain={}, **answer)
    _add(router, "GET", "/files/{file_id}", routes.file, None, plain=one, **answer)
    _add(router, "DELETE", "/files/{file_id}", routes.delete_file, None, plain=one, **answer)
    _add(router, "GET", "/files/{file_id}/content", routes.file_content, None, plain=one, **answer)
    return router


def _anthropic(routes: AnthropicRoutes) -> APIRouter:
    """And Anthropic's what these do."""
    router = APIRouter(prefix="/v1", tags=["gateway"])
    answer: dict[str, Any] = {"plain": openapi.opaque("application/json"), "response_class": Response}
    _add(router, "POST", "/messages", routes.messages, None, **answer)
    _add(router, "POST", "/messages/count_tokens", routes.count_tokens, None, **answer)
    return router


def _machines(health: HealthRoutes, metrics: MetricsRoutes) -> APIRouter:
    router = APIRouter(tags=["health"])
    views = {
        "/health": health.live,
        "/health/live": health.live,
        "/health/ready": health.ready,
        f"{BASE}/health": health.live,
    }
    for path, view in views.items():
        name = path.strip("/").replace("/", "_")
        extra = openapi.READY if view == health.ready else openapi.OPEN
        router.add_api_route(path, view, methods=["GET"], operation_id=name, openapi_extra=extra)
    _add(router, "GET", "/metrics", metrics.metrics, None, plain=openapi.METRICS, response_class=Response)
    return router


def _add(
    router: APIRouter,
    method: str,
    path: str,
    view: Callable[..., Awaitable[Response]],
    model: type[Any] | None,
    *,
    plain: dict[str, Any] | None = None,
    **options: Any,
) -> None:
    """Add a route; `plain` documents one whose function reads the request by itself."""
    if plain is not None:
        options |= {"route_class_override": _Plain, "openapi_extra": plain}
    name = f"{router.tags[0]}_{view.__name__}"
    router.add_api_route(path, view, methods=[method], response_model=model, operation_id=name, **options)


async def _problem(request: Request, error: Any) -> Response:
    return _answered(request, error)


def _answered(request: Request, problem: Problem) -> Response:
    """A problem, under `/v1` in OpenAI's form, or in Anthropic's where its clients call."""
    path = f"{request.url.path}/"
    if path.startswith("/v1/messages/"):
        return refusal(problem)
    return error_response(problem) if path.startswith("/v1/") else problem_response(problem)


async def _failed(request: Request, error: Exception) -> Response:
    return _answered(request, broken(error))


async def _refused(request: Request, error: Any) -> Response:
    """What the router itself refuses: no such path, no such method."""
    if error.status_code == 405:
        allowed = _allowed(request)
        detail = f"{request.url.path} takes {allowed}."
        return _answered(request, Problem("METHOD_NOT_ALLOWED", detail, headers={"Allow": allowed}))
    return _answered(request, Problem("NOT_FOUND", f"There is nothing at {request.url.path}."))


def _allowed(request: Request) -> str:
    """The methods that a path takes: each is a route of its own."""
    routes = request.app.routes
    scopes = {method: {**request.scope, "method": method} for method in METHODS}
    takes = {name for name, scope in scopes.items() if any(r.matches(scope)[0] is Match.FULL for r in routes)}
    return ", ".join(sorted(takes))


async def _invalid(request: Request, error: Any) -> Response:
    """A wrong parameter is a 400 here, not FastAPI's 422."""
    errors = [
        {"loc": list(found["loc"][1:]), "msg": found["msg"], "type": found["type"]}
        for found in error.errors()
    ]
    detail = "; ".join(f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in errors)
    return _answered(request, Problem("INVALID_REQUEST", detail, errors=errors))
