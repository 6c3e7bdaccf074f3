"""The endpoint as an ASGI application: who may ask, and what is to be had by which path."""

from __future__ import annotations

import asyncio
import hmac
import time
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.routing import Route

from scrimp.profiles.errors import ScrimpError

from .exchange import Exchange, as_json, headers_of, read_body, refusal
from .names import model_names
from .shapes.anthropic import Anthropic
from .shapes.models import list_models, one_model, speaks_anthropic
from .shapes.openai_chat import OpenAIChat
from .shapes.openai_responses import OpenAIResponses
from .shapes.shape import ShapeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from scrimp.routing.asking.request import Checked

    from .service import Asking, Service
    from .shapes.protocol import Shape

__all__ = ["make_app"]

_CHAT: Final = OpenAIChat()
_RESPONSES: Final = OpenAIResponses()
_ANTHROPIC: Final = Anthropic()

_HERE: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def make_app(
    service: Service,
    *,
    token: str | None,
    hosts: Sequence[str] = (),
    done: Callable[[Asking, Checked | BaseException], None] = lambda _asking, _outcome: None,
) -> Starlette:
    """Return the application.

    Parameters
    ----------
    token
        What a client must show, as `Authorization: Bearer` or `x-api-key`; None asks for none.
    hosts
        Names by which it may be called beside those of this machine: a page in a browser, led here by a name of its
        own, is refused.
    done
        Takes each request that is over, with its answer or its error.
    """
    allowed = _HERE.union(hosts)
    began = int(time.time())

    def check(request: Request, shape: Shape) -> Response | None:
        """Return the refusal of a request that may not ask; None where it may."""
        headers = request.headers
        if _host(headers.get("host", "")) not in allowed and token is None:
            return refusal(shape, ShapeError("this endpoint is not called by that name", kind="permission"))
        if token is not None:
            scheme, _, shown = headers.get("authorization", "").partition(" ")
            shown = shown.strip() if scheme.lower() == "bearer" else ""
            shown = headers.get("x-api-key", "") or shown
            if not hmac.compare_digest(shown.encode(), token.encode()):
                why = "no such token: give the one that `scrimp serve` prints as the API key"
                return refusal(shape, ShapeError(why, kind="authentication"))
        return None

    def answering(shape: Shape) -> Callable[[Request], Awaitable[Any]]:
        async def endpoint(request: Request) -> Any:
            return check(request, shape) or Exchange(service, shape, request, done)

        return endpoint

    async def count_tokens(request: Request) -> Response:
        refused = check(request, _ANTHROPIC)
        if refused is not None:
            return refused
        try:
            wanted = _ANTHROPIC.read_count(await read_body(request), headers_of(request))
        except ScrimpError as error:
            return refusal(_ANTHROPIC, error)
        return as_json(_ANTHROPIC.count(await asyncio.to_thread(service.count_tokens, wanted)), 200)

    def of(request: Request) -> Shape:
        return _ANTHROPIC if speaks_anthropic(headers_of(request)) else _CHAT

    async def models(request: Request) -> Response:
        names = model_names(service.space.profile)
        return check(request, of(request)) or as_json(list_models(names, headers_of(request), created=began), 200)

    async def model(request: Request) -> Response:
        name = request.path_params["name"]
        refused = check(request, of(request))
        if refused is not None:
            return refused
        if name not in model_names(service.space.profile):
            return refusal(of(request), ShapeError(f"no model {name[:80]!r}", kind="not_found"))
        return as_json(one_model(name, headers_of(request), created=began), 200)

    async def embeddings(request: Request) -> Response:
        why = "scrimp routes answers: it has no embeddings to give. Ask the provider of them directly"
        return check(request, _CHAT) or refusal(_CHAT, ShapeError(why, kind="not_found"))

    async def health(_request: Request) -> Response:
        return as_json({"status": "ok"}, 200)

    async def nothing(request: Request, _error: Exception) -> Response:
        there = "/v1/chat/completions, /v1/responses, /v1/messages, /v1/messages/count_tokens and /v1/models"
        why = f"nothing at {request.method} {request.url.path}; there are {there}"
        return refusal(of(request), ShapeError(why, kind="not_found"))

    routes: list[Route] = [Route("/health", health)]
    for base in ("/v1", ""):  # programs differ in whether their base URL ends in /v1
        routes += [
            Route(f"{base}/chat/completions", answering(_CHAT), methods=["POST"]),
            Route(f"{base}/responses", answering(_RESPONSES), methods=["POST"]),
            Route(f"{base}/messages", answering(_ANTHROPIC), methods=["POST"]),
            Route(f"{base}/messages/count_tokens", count_tokens, methods=["POST"]),
            Route(f"{base}/models", models),
            Route(f"{base}/models/{{name:path}}", model),
            Route(f"{base}/embeddings", embeddings, methods=["POST"]),
        ]
    return Starlette(routes=routes, exception_handlers={404: nothing, 405: nothing})


def _host(header: str) -> str:
    """Return the name in a Host header, without its port.

    Examples
    --------
    >>> _host("localhost:8080"), _host("[::1]:80"), _host("127.0.0.1")
    ('localhost', '::1', '127.0.0.1')
    """
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()
