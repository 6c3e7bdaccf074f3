"""One request on its way through the endpoint: read, answered whole or in pieces, given up when its client is gone."""

from __future__ import annotations

import asyncio
import contextlib
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.responses import Response

from scrimp.profiles.errors import (
    AuthError,
    BudgetRefusedError,
    GuardRefusedError,
    RequestRefusedError,
    ScrimpError,
    TooLongError,
    TryAgainError,
    UsageError,
)
from scrimp.profiles.money import NANO
from scrimp.routing.ledger.caps import RefusedError
from scrimp.routing.prices.usage import Usage
from scrimp.routing.text.sanitize import scrub

from .service import Asking
from .shapes.shape import STATUS, Sent, ShapeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from scrimp.routing.asking.request import Answer, Checked
    from scrimp.routing.calls.call import Delta

    from .service import Service
    from .shapes.protocol import Shape
    from .shapes.shape import Kind, Wanted

__all__ = ["MAX_BODY_BYTES", "SILENCE_S", "Exchange", "as_json", "headers_of", "read_body", "refusal"]

MAX_BODY_BYTES: Final = 64 << 20
"""A larger request is refused: no model reads so much."""

CHARGED: Final = "x-litellm-response-cost"
"""The header by which LiteLLM's proxy, standing before this endpoint, charges its teams what was charged here."""

SILENCE_S: Final = 15.0
"""How long a stream may say nothing, seconds, before it says that it is still there."""


def kind_of(error: BaseException) -> Kind:
    """Return what an error is to a client.

    What a provider refuses our key for is no fault of the client's own token, and what a cap refuses is no rate limit:
    neither gets better by trying again.
    """
    if isinstance(error, ShapeError):
        return error.kind
    if isinstance(error, TooLongError):
        return "too_long"
    if isinstance(error, BudgetRefusedError):  # where only live calls stand in the way, what they settle to may do
        return "rate_limit" if isinstance(error, RefusedError) and error.only_live else "budget"
    if isinstance(error, AuthError):
        return "permission"
    if isinstance(error, TryAgainError):
        return "rate_limit"
    if isinstance(error, UsageError | RequestRefusedError | GuardRefusedError):
        return "invalid_request"
    return "api"


class Exchange:
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
            wanted = self.shape.read(await read_body(self.request), headers_of(self.request))
        except ScrimpError as error:
            await self._refuse(error, scope, receive, send)
            return
        streams = wanted.stream
        self.asking.tag = self.service.tag_of(headers_of(self.request))
        work = self.service.start(wanted, self.asking, self._hear if streams else None)
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

    def _hear(self, delta: Delta, arm: str) -> None:
        self.asking.arm = arm
        self._pieces.put_nowait(delta)

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
        self.asking.arm = sent.model
        headers = self._response_headers(cost=sent.cost_usd) | {CHARGED: sent.charged_usd}
        await as_json(self.shape.whole(wanted, sent), 200, headers)(scope, receive, send)

    async def _stream(
        self, wanted: Wanted, work: asyncio.Task[Checked], scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Send the pieces as they come.

        The status waits for the first: until then, an error is an answer by itself. But not for ever: a client, or what
        stands between, would take the silence of a model that thinks for a connection that is lost.
        """
        pieces, over = await self._next()
        while not pieces and not over and self.asking.decision is None:
            pieces, over = await self._next()
        if over and not _answered(work):
            if not work.cancelled():
                await self._refuse(_error_of(work), scope, receive, send)
            return
        decision = self.asking.decision
        assert decision is not None  # noqa: S101 - see above
        encoder = self.shape.stream(wanted, id=decision.id, model=self._arm, created=self._created)
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
            *((name.encode(), value.encode()) for name, value in self._response_headers().items()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        out = encoder.begin()
        while not over:
            out += b"".join(map(encoder.delta, pieces)) or encoder.ping()
            await send({"type": "http.response.body", "body": out, "more_body": True})
            out = b""
            pieces, over = await self._next()
        out += b"".join(map(encoder.delta, pieces))
        if _answered(work):
            out += encoder.end(self._sent(work.result().answer))
        elif not work.cancelled():
            error = _error_of(work)
            out += encoder.error(kind_of(error), _message(error))
        await send({"type": "http.response.body", "body": out, "more_body": False})

    async def _next(self) -> tuple[list[Delta], bool]:
        """Return the pieces that have come, none after a while of silence, and whether there will be no more."""
        pieces: list[Delta] = []
        try:
            piece = await asyncio.wait_for(self._pieces.get(), SILENCE_S)
            while piece is not None:
                pieces.append(piece)
                piece = self._pieces.get_nowait()
        except (TimeoutError, asyncio.QueueEmpty):
            return pieces, False
        return pieces, True

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
            charged_usd=format(Decimal(answer.total_charged_nano) / NANO, "f"),
        )

    @property
    def _arm(self) -> str:
        """The arm that answers, as far as is known: where it failed, another took its place."""
        decision = self.asking.decision
        return self.asking.arm or (None if decision is None else decision.arm) or ""

    def _response_headers(self, *, cost: str | None = None) -> dict[str, str]:
        """Return what a client may read of an answer beside its body."""
        headers = {}
        if (decision := self.asking.decision) is not None:
            headers = {"x-scrimp-id": decision.id, "x-scrimp-arm": self._arm, "x-request-id": decision.id}
            headers["request-id"] = decision.id
        return headers if cost is None else {**headers, "x-scrimp-cost-usd": cost}

    async def _refuse(self, error: BaseException, scope: Scope, receive: Receive, send: Send) -> None:
        decision = self.asking.decision
        response = refusal(self.shape, error, self._response_headers(), id=None if decision is None else decision.id)
        await response(scope, receive, send)


def _error_of(work: asyncio.Task[Checked]) -> BaseException:
    error = work.exception()
    assert error is not None  # noqa: S101 - it is over, and has no answer
    return error


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
    from scrimp.profiles.keys import known_secrets

    return "unexpected error: " + scrub(f"{type(error).__name__}: {error}", known_secrets())


def headers_of(request: Request) -> dict[str, str]:
    """Return a request's headers, by their names in lower case."""
    return {name.lower(): value for name, value in request.headers.items()}


async def read_body(request: Request) -> Any:
    """Return the decoded body of a request.

    Raises
    ------
    ShapeError
        If it is too large, or no JSON.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise ShapeError(
                f"the request is over {MAX_BODY_BYTES >> 20} MB: no model reads that much", kind="too_large"
            )
    try:
        return msgspec.json.decode(bytes(body))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ShapeError(f"the body is not JSON: {error}") from None


def refusal(
    shape: Shape,
    error: BaseException,
    headers: dict[str, str] | None = None,
    *,
    id: str | None = None,  # noqa: A002 - the field's name
) -> Response:
    """Return the answer to a request that has none, in the words of its interface; `id` is the request's."""
    kind = kind_of(error)
    body = shape.error(kind, _message(error), param=getattr(error, "param", None), id=id)
    # What may help was tried: the official clients keep to this.
    again = {} if kind == "rate_limit" else {"x-should-retry": "false"}
    return as_json(body, STATUS[kind], {**(headers or {}), **again})


def as_json(body: Any, status: int, headers: dict[str, str] | None = None) -> Response:
    """Return a body of JSON."""
    return Response(msgspec.json.encode(body), status, headers, "application/json")
