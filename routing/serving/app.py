"""The endpoint as an ASGI application: who may ask, what goes in and out by which path, and clients that go away."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from scrimp.profiles.errors import (
    AuthError,
    BudgetRefusedError,
    RequestRefusedError,
    ScrimpError,
    TryAgainError,
    UsageError,
)
from scrimp.profiles.money import NANO
from scrimp.routing.prices.usage import Usage
from scrimp.routing.text.sanitize import scrub

from .names import model_names
from .service import Asking
from .shapes.anthropic import Anthropic
from .shapes.models import list_models, one_model, speaks_anthropic
from .shapes.openai_chat import OpenAIChat
from .shapes.openai_responses import OpenAIResponses
from .shapes.shape import STATUS, Sent, ShapeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from scrimp.routing.asking.request import Answer, Checked
    from scrimp.routing.calls.call import Delta

    from .service import Service
    from .shapes.protocol import Shape
    from .shapes.shape import Kind, Wanted

__all__ = ["MAX_BODY_BYTES", "make_app"]

MAX_BODY_BYTES: Final = 64 << 20
"""A larger request is refused: no model reads so much."""

_CHAT: Final = OpenAIChat()
_RESPONSES: Final = OpenAIResponses()
_ANTHROPIC: Final = Anthropic()

_HERE: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class _Refused(Exception):  # noqa: N818 - it is answered, not raised to anybody
    """A request that is not answered, and why."""

    def __init__(self, kind: Kind, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.message = message
        self.param = param


def kind_of(error: BaseException) -> Kind:
    """Return what an error is to a client.

    What a provider refuses our key for is no fault of the client's own token, and what a cap refuses is no rate limit:
    neither gets better by trying again.
    """
    if isinstance(error, ShapeError):
        return error.kind
    if isinstance(error, BudgetRefusedError):
        return "budget"
    if isinstance(error, AuthError):
        return "permission"
    if isinstance(error, TryAgainError):
        return "rate_limit"
    if isinstance(error, UsageError | RequestRefusedError):
        return "invalid_request"
    return "api"


class _Exchange:
    """One request and its answer.

    Parameters
    ----------
    shape
        The interface that is spoken.
    done
        Takes what became of the request, for whoever runs the server.
    """

    def __init__(
        self, service: Service, shape: Shape, request: Request, done: Callable[[Asking, Checked | BaseException], None]
    ) -> None:
        self.service = service
        self.shape = shape
        self.request = request
        self.asking = Asking()
        self._done = done
        self._pieces: asyncio.Queue[Delta | None] = asyncio.Queue()
        self._created = int(time.time())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        try:
            wanted = self.shape.read(await read_body(self.request), _headers(self.request))
        except (_Refused, ScrimpError) as error:
            await self._refuse(error, scope, receive, send)
            return
        streams = wanted.stream
        work = self.service.start(wanted, self.asking, self._pieces.put_nowait if streams else None)
        work.add_done_callback(lambda _work: self._pieces.put_nowait(None))
        leaver = asyncio.create_task(_when_gone(receive, work))
        try:
            if streams:
                await self._stream(wanted, work, scope, receive, send)
            else:
                await self._whole(wanted, work, scope, receive, send)
        finally:
            leaver.cancel()
            if not work.done():
                work.cancel()
            with contextlib.suppress(BaseException):
                await work
            self._done(self.asking, _outcome(work))

    async def _whole(
        self, wanted: Wanted, work: asyncio.Task[Checked], scope: Scope, receive: Receive, send: Send
    ) -> None:
        try:
            checked = await asyncio.shield(work)
        except asyncio.CancelledError:
            if not work.cancelled():  # we are being stopped, and the work is not
                raise
            return
        except Exception as error:  # noqa: BLE001 - each has its answer
            await self._refuse(error, scope, receive, send)
            return
        sent = self._sent(checked.answer)
        headers = self._response_headers(arm=sent.model, cost=sent.cost_usd)
        await _json(self.shape.whole(wanted, sent), 200, headers)(scope, receive, send)

    async def _stream(
        self, wanted: Wanted, work: asyncio.Task[Checked], scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Send the pieces as they come. The status waits for the first: until then, an error is an answer by itself."""
        piece = await self._pieces.get()
        if piece is None and not _answered(work):
            if not work.cancelled():
                error = work.exception()
                assert error is not None  # noqa: S101 - it is over, and has no answer
                await self._refuse(error, scope, receive, send)
            return
        decision = self.asking.decision
        assert decision is not None  # noqa: S101 - something came
        encoder = self.shape.stream(wanted, id=decision.id, model=decision.arm or "", created=self._created)
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
            *((name.encode(), value.encode()) for name, value in self._response_headers().items()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        out = encoder.begin()
        while piece is not None:
            out += encoder.delta(piece)
            with contextlib.suppress(asyncio.QueueEmpty):
                while piece is not None:  # what has come meanwhile goes out with it
                    piece = self._pieces.get_nowait()
                    out += b"" if piece is None else encoder.delta(piece)
            if piece is None:
                break
            await send({"type": "http.response.body", "body": out, "more_body": True})
            out = b""
            piece = await self._pieces.get()
        if _answered(work):
            out += encoder.end(self._sent(work.result().answer))
        elif not work.cancelled():
            error = work.exception()
            assert error is not None  # noqa: S101 - it is over, and has no answer
            out += encoder.error(kind_of(error), _message(error))
        await send({"type": "http.response.body", "body": out, "more_body": False})

    def _sent(self, answer: Answer) -> Sent:
        usage = None
        if answer.input_tokens is not None and answer.output_tokens is not None:
            usage = Usage(
                answer.input_tokens,
                answer.output_tokens,
                cached_tokens=answer.cached_tokens,
                reasoning_tokens=answer.reasoning_tokens,
            )
        return Sent(
            id=answer.id,
            model=answer.arm,
            created=self._created,
            text=answer.text,
            tool_calls=answer.tool_calls,
            finish_reason=answer.finish_reason,
            usage=usage,
            cost_usd=None if answer.cost_nano is None else format(Decimal(answer.cost_nano) / NANO, "f"),
        )

    def _response_headers(self, *, arm: str | None = None, cost: str | None = None) -> dict[str, str]:
        """Return what a client may read of an answer beside its body.

        Parameters
        ----------
        arm
            Which answered; None says which was decided on, as far as is known yet.
        """
        headers = {}
        if (decision := self.asking.decision) is not None:
            arm = arm or decision.arm or ""
            headers = {"x-scrimp-id": decision.id, "x-scrimp-arm": arm, "x-request-id": decision.id}
            headers["request-id"] = decision.id
        return headers if cost is None else {**headers, "x-scrimp-cost-usd": cost}

    async def _refuse(self, error: BaseException, scope: Scope, receive: Receive, send: Send) -> None:
        kind: Kind = error.kind if isinstance(error, _Refused) else kind_of(error)
        decision = self.asking.decision
        body = self.shape.error(
            kind,
            _message(error),
            param=getattr(error, "param", None),
            id=None if decision is None else decision.id,
        )
        headers = self._response_headers()
        if kind != "rate_limit":
            headers["x-should-retry"] = "false"  # what may help was tried: the official clients keep to this
        await _json(body, STATUS[kind], headers)(scope, receive, send)


def _answered(work: asyncio.Task[Checked]) -> bool:
    return work.done() and not work.cancelled() and work.exception() is None


def _outcome(work: asyncio.Task[Checked]) -> Checked | BaseException:
    if work.cancelled():
        return asyncio.CancelledError()
    return work.exception() or work.result()


async def _when_gone(receive: Receive, work: asyncio.Task[Any]) -> None:
    """Give a request up when its client goes away."""
    while (await receive())["type"] != "http.disconnect":
        pass
    work.cancel()


def _message(error: BaseException) -> str:
    """Return what a client is told: one line, without keys."""
    if isinstance(error, ScrimpError):
        return error.message if error.hint is None else f"{error.message} ({error.hint})"
    if isinstance(error, _Refused):
        return error.message
    from scrimp.profiles.keys import known_secrets

    return "unexpected error: " + scrub(f"{type(error).__name__}: {error}", known_secrets())


def _headers(request: Request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


async def read_body(request: Request) -> Any:
    """Return the decoded body of a request.

    Raises
    ------
    _Refused
        If it is too large, or no JSON.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise _Refused("too_large", f"the request is over {MAX_BODY_BYTES >> 20} MB: no model reads that much")
    try:
        return msgspec.json.decode(bytes(body))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _Refused("invalid_request", f"the body is not JSON: {error}") from None


def _json(body: Any, status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status, headers, "application/json")


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
            return _json(shape.error("permission", "this endpoint is not called by that name"), 403)
        if token is not None:
            scheme, _, shown = headers.get("authorization", "").partition(" ")
            shown = shown.strip() if scheme.lower() == "bearer" else ""
            shown = headers.get("x-api-key", "") or shown
            if not hmac.compare_digest(shown.encode(), token.encode()):
                why = "no such token: give the one that `scrimp serve` prints as the API key"
                return _json(shape.error("authentication", why), 401, {"x-should-retry": "false"})
        return None

    def answering(shape: Shape) -> Callable[[Request], Awaitable[Any]]:
        async def endpoint(request: Request) -> Any:
            return check(request, shape) or _Exchange(service, shape, request, done)

        return endpoint

    async def count_tokens(request: Request) -> Response:
        refused = check(request, _ANTHROPIC)
        if refused is not None:
            return refused
        try:
            wanted = _ANTHROPIC.read_count(await read_body(request), _headers(request))
        except (_Refused, ScrimpError) as error:
            kind: Kind = error.kind if isinstance(error, _Refused) else kind_of(error)
            return _json(_ANTHROPIC.error(kind, _message(error), param=getattr(error, "param", None)), STATUS[kind])
        return _json(_ANTHROPIC.count(await asyncio.to_thread(service.count_tokens, wanted)), 200)

    def of(request: Request) -> Shape:
        return _ANTHROPIC if speaks_anthropic(_headers(request)) else _CHAT

    async def models(request: Request) -> Response:
        names = model_names(service.space.profile)
        return check(request, of(request)) or _json(list_models(names, _headers(request), created=began), 200)

    async def model(request: Request) -> Response:
        name = request.path_params["name"]
        refused = check(request, of(request))
        if refused is not None:
            return refused
        if name not in model_names(service.space.profile):
            return _json(of(request).error("not_found", f"no model {name[:80]!r}"), 404)
        return _json(one_model(name, _headers(request), created=began), 200)

    async def embeddings(request: Request) -> Response:
        why = "scrimp routes answers: it has no embeddings to give. Ask the provider of them directly"
        return check(request, _CHAT) or _json(_CHAT.error("not_found", why), 404, {"x-should-retry": "false"})

    async def health(_request: Request) -> Response:
        return _json({"status": "ok"}, 200)

    async def nothing(request: Request, _error: Exception) -> Response:
        shape = of(request)
        there = "/v1/chat/completions, /v1/responses, /v1/messages, /v1/messages/count_tokens and /v1/models"
        return _json(
            shape.error("not_found", f"nothing at {request.method} {request.url.path}; there are {there}"), 404
        )

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
