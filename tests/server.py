"""A loopback server that speaks OpenAI chat completions, and misbehaves on request.

The name of the model chooses the behaviour (`BEHAVIOURS` lists them), unless a script is queued:

>>> with Server() as server:                        # doctest: +SKIP
...     server.script(["500", "ok"])                # the next two calls
...     post(server.base_url, model="ok")           # 500
...     post(server.base_url, model="ok")           # an answer
...     server.requests[0].status, server.requests[1].cost_nano

A name may carry settings after `@`, as in `ok@latency_ms=50,tokens=200`, `no-usage@text=It_is_42` (`_` for a space) or
`429@retry_after=2`, and a suffix `-then-ok` or `-N-then-ok`: misbehave on the first (N) calls of that name, then answer.
A provider prefix (`openai/`) is dropped.

`tools` calls what it is offered while the newest message is the user's, and answers with what the tools said after it:
the first tool, or the one that `tool_choice` names, with the JSON object that the user's text holds, else with
arguments made from the tool's schema (the user's text wherever a string is asked for). Its settings: `calls=2` for
parallel calls, `pieces=5` for the parts of each call's arguments, `rounds=2` for calls after a tool's result too,
`text=Let_me_look` for what is said before the call, `pause_s=0.05` before each event, `usage=none`.

The server bills honestly, whatever it reports: each request's true usage and its cost at the server's own prices are in
`requests`, and in a JSON Lines file when `log` is given, written before the answer leaves, so that a client killed in
mid-answer does not hide its bill. One token is one word; a count in words never exceeds a tokeniser's.

From a shell: `python tests/server.py --port 0 --price-in 1.0 --price-out 4.0 --log requests.jsonl` prints its URL.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import email.utils
import hashlib
import json
import random
import threading
import time
import urllib.parse
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

__all__ = ["BEHAVIOURS", "Request", "Server"]

WORDS = [
    "the",
    "answer",
    "is",
    "a",
    "short",
    "one",
    "and",
    "names",
    "what",
    "was",
    "asked",
    "with",
    "care",
    "for",
    "units",
    "dates",
    "places",
    "numbers",
]
REASONS = {
    200: "OK",
    307: "Temporary Redirect",
    418: "I'm a Teapot",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
}
ESCAPES = "before\x1b]0;owned title\x07\x1b[2J\x1b[31mred\x9b31m\x90q\x9c\u202eevil\u2066\u200b\x7f\rafter"


@dataclass
class Request:
    """What arrived, what was sent, and what it truly cost.

    `cost_nano` is in nano-USD at the server's own price list; token counts are the true ones, not the reported ones.
    """

    n: int
    time: float
    path: str
    authorization: str | None
    headers: dict[str, str]
    body: Any
    model: str | None = None
    behaviour: str | None = None
    stream: bool = False
    status: int | None = None
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nano: int = 0
    reported: Any = None
    finished: bool = False
    disconnected: bool = False

    @property
    def output_limit(self) -> int | None:
        """The output limit that the client sent, under either of its names."""
        body = self.body if isinstance(self.body, dict) else {}
        limits = [body[key] for key in ("max_completion_tokens", "max_tokens") if isinstance(body.get(key), int)]
        return min(limits) if limits else None

    @property
    def prompt(self) -> str:
        """The text of all messages, joined by newlines."""
        body = self.body if isinstance(self.body, dict) else {}
        texts = []
        for message in body.get("messages") or []:
            content = message.get("content")
            if isinstance(content, str):
                texts.append(content)
            elif isinstance(content, list):
                texts += [part.get("text") or "" for part in content if isinstance(part, dict)]
        return "\n".join(texts)


@dataclass(frozen=True)
class Plan:
    """One answer: what is said and reported, before any misbehaviour on the wire."""

    text: str | None
    output_tokens: int
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    finish_reason: str | None = "stop"
    usage: Any = "true"
    model: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class Server:
    """The server, as a context manager around a thread of its own.

    Parameters
    ----------
    port
        0 takes a free one.
    price_in, price_out, price_cached
        USD per million tokens; cached input costs `price_in` when `price_cached` is None. Reasoning counts as output.
    latency_ms
        Time to the first byte of every answer, in ms; `@latency_ms=` overrides.
    seed
        Seeds the lengths of answers, which depend on the request's number and on nothing else.
    median_tokens
        Median length of an answer where the behaviour does not fix it.
    max_in_flight
        Answer 429 to requests above this number at a time.
    log
        A JSON Lines file that gets one line per request; appended to.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        price_in: Decimal | str = "1",
        price_out: Decimal | str = "4",
        price_cached: Decimal | str | None = None,
        latency_ms: float = 0.0,
        seed: int = 0,
        median_tokens: int = 12,
        max_in_flight: int | None = None,
        log: Path | str | None = None,
    ) -> None:
        self.port = port
        self.price_in = Decimal(price_in) * 1000
        self.price_out = Decimal(price_out) * 1000
        self.price_cached = self.price_in if price_cached is None else Decimal(price_cached) * 1000
        self.latency_ms = latency_ms
        self.seed = seed
        self.median_tokens = median_tokens
        self.max_in_flight = max_in_flight
        self.requests: list[Request] = []
        self.in_flight = 0
        self.peak_in_flight = 0
        self.n_connections = 0
        self._log_path = None if log is None else Path(log)
        self._log_file: IO[str] | None = None
        self._lock = threading.Lock()
        self.canned: dict[str, tuple[str, bytes]] = {}
        self.errors: dict[str, tuple[int, Any, dict[str, str]]] = {}
        self._script: deque[str] = deque()
        self._scripts: dict[str, deque[str]] = {}
        self.on_chat: Callable[[int], object] | None = None
        self._calls: Counter[str] = Counter()
        self._arrived = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    # ---- what tests use

    @property
    def url(self) -> str:
        """The server's root, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What a profile gives as `api_base`."""
        return f"{self.url}/v1"

    @property
    def chats(self) -> list[Request]:
        """The chat completions asked for so far."""
        with self._lock:
            return [request for request in self.requests if request.path.endswith("/chat/completions")]

    @property
    def cost_nano(self) -> int:
        """The true cost of all requests so far, in nano-USD."""
        with self._lock:
            return sum(request.cost_nano for request in self.requests)

    def script(self, behaviours: Iterable[str], model: str | None = None) -> None:
        """Queue behaviours for the next calls (of a model); they win over its name. A model's last one stays."""
        with self._lock:
            (self._script if model is None else self._scripts.setdefault(model, deque())).extend(behaviours)

    def can(
        self,
        path: str,
        content_type: str,
        body: bytes | Callable[[Request], tuple[int, dict[str, str], bytes]],
    ) -> None:
        """Answer POSTs to a path with these bytes, or what a function of the request makes: other providers' shapes."""
        self.canned[path] = (content_type, body)

    def refuse(self, name: str, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        """Answer calls of the model `refuse@as=NAME` with an error of any shape."""
        self.errors[name] = (status, body, headers or {})

    def reset(self) -> None:
        """End every exchange and begin anew: nothing of an earlier test arrives late, and lengths repeat."""
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._hang_up(), self._loop).result(30)
        with self._lock:
            self._arrived = self.peak_in_flight = 0
            self.canned.clear()
            self.requests.clear()
            self._script.clear()
            self._scripts.clear()
            self._calls.clear()
            self.on_chat = None

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self.serve(ready.set)), name="server", daemon=True)
        self._thread.start()
        if not ready.wait(30):
            raise RuntimeError("the server did not start")
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not None:
            self._thread.join(30)
            if self._thread.is_alive():
                raise RuntimeError("the server did not stop")

    async def serve(self, on_ready: Callable[[], object] = lambda: None) -> None:
        """Serve until told to stop."""
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        if self._log_path is not None:
            self._log_file = self._log_path.open("a", encoding="utf-8")
        server = await asyncio.start_server(self._connection, "127.0.0.1", self.port, backlog=4096, limit=1 << 26)
        self.port = server.sockets[0].getsockname()[1]
        on_ready()
        try:
            await self._stop.wait()
        finally:
            server.close()
            await self._hang_up()
            if self._log_file is not None:
                self._log_file.close()

    async def _hang_up(self) -> None:
        for _ in range(5):  # what a client sent before it died may still wait to be accepted and read
            await asyncio.sleep(0)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports close one turn later; unclosed ones would warn in some later test

    # ---- HTTP

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.n_connections += 1
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, TimeoutError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        start, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = start.split(" ", 2)
        headers = {}
        for line in lines:
            if line:
                key, _, value = line.partition(":")
                headers[key.strip().lower()] = value.strip()
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if headers.get("transfer-encoding", "").lower() == "chunked":
            raw = b""
            while size := int((await reader.readline()).split(b";")[0], 16):
                raw += await reader.readexactly(size)
                await reader.readline()
            await reader.readline()
        else:
            raw = await reader.readexactly(int(headers.get("content-length", 0)))
        body: Any = None
        if raw:
            try:
                body = json.loads(raw)
            except ValueError:
                body = raw.decode("utf-8", "replace")
        with self._lock:
            self._arrived += 1
            request = Request(
                n=self._arrived,
                time=time.time(),
                path=path.split("?")[0],
                authorization=headers.get("authorization"),
                headers=headers,
                body=body,
            )
            self.requests.append(request)
        wire = Wire(self, request, reader, writer)
        if method == "GET":
            await self._get(wire)
            return wire.keep_alive
        if request.path in self.canned:
            content_type, answer = self.canned[request.path]
            if callable(answer):
                status, headers, body = answer(request)
                await wire.raw(status, body, content_type, headers)
            else:
                await wire.raw(200, answer, content_type)
            return wire.keep_alive
        if not request.path.endswith("/chat/completions"):
            await wire.error(404, "not_found_error", f"no such path: {request.path}")
            return wire.keep_alive
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        try:
            await self._chat(wire)
        except (ConnectionError, TimeoutError):
            request.disconnected = True
            raise
        finally:
            self.in_flight -= 1
            request.finished = True
            wire.bill()
        return wire.keep_alive

    async def _get(self, wire: Wire) -> None:
        path = wire.request.path
        with self._lock:
            self.requests.remove(wire.request)
        if path.endswith("/models"):
            names = ["ok", "echo", "random"]
            await wire.json(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in names]})
        elif path == "/requests":
            with self._lock:
                rows = [asdict(request) for request in self.requests]
            await wire.json(200, rows)
        elif path == "/stats":
            cost = self.cost_nano
            stats = {
                "requests": len(self.requests),
                "cost_nano": cost,
                "in_flight": self.in_flight,
                "peak_in_flight": self.peak_in_flight,
            }
            await wire.json(200, stats)
        else:
            await wire.error(404, "not_found_error", f"no such path: {path}")

    async def _chat(self, wire: Wire) -> None:
        request = wire.request
        if not isinstance(request.body, dict) or not isinstance(request.body.get("messages"), list):
            await wire.error(400, "invalid_request_error", "no messages")
            return
        request.model = str(request.body.get("model"))
        request.stream = bool(request.body.get("stream"))
        if self.max_in_flight is not None and self.in_flight > self.max_in_flight:
            request.behaviour = "429"
            await wire.error(429, "rate_limit_error", "too many requests in flight")
            return
        # A reply that nobody will hear is left to the next call.
        again = self.on_chat is not None and self.on_chat(len(self.chats)) is True
        with self._lock:
            name = request.model.rpartition("/")[2]
            if self._script:
                name = self._script.popleft()
            elif own := self._scripts.get(name):
                name = own.popleft() if len(own) > 1 and not again else own[0]
            name, _, settings = name.partition("@")
            for setting in filter(None, settings.split(",")):
                key, _, value = setting.partition("=")
                wire.settings[key] = value
            if name.endswith("-then-ok"):
                name = name.removesuffix("-then-ok")
                stem, _, times = name.rpartition("-")
                many = int(times) if stem and times.isdigit() and stem in BEHAVIOURS else 1
                name = stem if stem and times.isdigit() and stem in BEHAVIOURS else name
                self._calls[request.model] += 1
                if self._calls[request.model] > many:
                    name = "ok"
        request.behaviour = name
        latency_ms = float(wire.settings.get("latency_ms", self.latency_ms))
        await wire.wait(latency_ms / 1000)
        await BEHAVIOURS.get(name, ok)(wire)

    def n_tokens(self, wire: Wire) -> int:
        """Return the length of the answer that the model wants to give, before the limit, in tokens."""
        if "tokens" in wire.settings:
            return int(wire.settings["tokens"])
        rng = random.Random(f"{self.seed}:{wire.request.n}")
        return max(1, round(rng.lognormvariate(0, 0.7) * self.median_tokens))

    def _record(self, request: Request) -> None:
        if self._log_file is not None:
            row = asdict(request)
            with self._lock:
                self._log_file.write(json.dumps(row) + "\n")
                self._log_file.flush()


class Wire:
    """One request's way back: writes answers whole or as server-sent events, and bills once."""

    def __init__(
        self, server: Server, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.server, self.request, self.reader, self.writer = server, request, reader, writer
        self.settings: dict[str, str] = {}
        self.keep_alive = True
        self._billed = False
        self.id = f"chatcmpl-{request.n}"

    # ---- billing

    def use(self, plan: Plan) -> None:
        """Set the true usage."""
        request = self.request
        request.input_tokens = max(1, len(request.prompt.split()))
        request.cached_tokens = min(plan.cached_tokens, request.input_tokens)
        request.output_tokens = plan.output_tokens
        request.reasoning_tokens = plan.reasoning_tokens

    def bill(self) -> None:
        """Fix the cost and write the log line, once."""
        if self._billed:
            return
        self._billed = True
        server, request = self.server, self.request
        fresh = request.input_tokens - request.cached_tokens
        cost = fresh * server.price_in + request.cached_tokens * server.price_cached
        cost += request.output_tokens * server.price_out
        request.cost_nano = -int(-cost // 1)
        server._record(request)

    def usage(self, plan: Plan) -> Any:
        """Return what is reported as usage."""
        if plan.usage != "true":
            return plan.usage
        request = self.request
        usage: dict[str, Any] = {
            "prompt_tokens": request.input_tokens,
            "completion_tokens": plan.output_tokens,
            "total_tokens": request.input_tokens + plan.output_tokens,
        }
        if plan.cached_tokens:
            usage["prompt_tokens_details"] = {"cached_tokens": request.cached_tokens}
        if plan.reasoning_tokens:
            usage["completion_tokens_details"] = {"reasoning_tokens": plan.reasoning_tokens}
        return usage

    # ---- bytes

    async def head(self, status: int, headers: dict[str, str]) -> None:
        self.request.status = status
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}", f"x-request-id: req-{self.request.n}"]
        lines += [f"{key}: {value}" for key, value in headers.items()]
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    async def raw(self, status: int, body: bytes, content_type: str, headers: dict[str, str] | None = None) -> None:
        self.bill()
        await self.head(status, {"content-type": content_type, "content-length": str(len(body)), **(headers or {})})
        self.writer.write(body)
        await self.writer.drain()

    async def json(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        await self.raw(status, json.dumps(value).encode(), "application/json", headers)

    async def error(
        self, status: int, kind: str, message: str, *, code: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        error = {"message": message, "type": kind, "param": None, "code": code}
        await self.json(status, {"error": error}, headers)

    async def open_events(self) -> None:
        await self.head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})

    async def chunk(self, data: bytes) -> None:
        if self.writer.is_closing() or self.reader.at_eof():
            raise ConnectionResetError
        self.writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        await self.writer.drain()

    async def event(self, value: Any) -> None:
        data = value if isinstance(value, str) else json.dumps(value)
        await self.chunk(f"data: {data}\n\n".encode())

    def delta(self, plan: Plan, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": int(self.request.time),
            "model": plan.model or self.request.model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
        }

    async def close_events(self) -> None:
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    def drop(self) -> None:
        """Break the connection."""
        self.bill()
        self.keep_alive = False
        self.writer.transport.abort()

    async def wait(self, seconds: float) -> None:
        """Say nothing for a while, unless the client goes away."""
        while seconds > 0:
            await asyncio.sleep(min(seconds, 0.05))
            seconds -= 0.05
            if self.reader.at_eof():
                raise ConnectionResetError

    async def hang(self) -> None:
        """Say nothing until the client goes away."""
        self.bill()
        self.keep_alive = False
        await self.reader.read()
        self.request.disconnected = True

    # ---- answers

    def plan(self, **changes: Any) -> Plan:
        """Return an honest answer within the limit that the client sent; `changes` override."""
        told = self.settings.get("text", "").replace("_", " ")
        wanted = len(told.split()) or self.server.n_tokens(self)
        reasoning = int(changes.get("reasoning_tokens", 0))
        limit = self.request.output_limit
        total = wanted + reasoning if limit is None else min(wanted + reasoning, limit)
        reasoning = min(reasoning, total)
        shown = total - reasoning
        values: dict[str, Any] = {
            "text": told or " ".join(WORDS[(self.request.n + i) % len(WORDS)] for i in range(shown)),
            "output_tokens": total,
            "finish_reason": "length" if limit is not None and wanted + int(changes.get("reasoning_tokens", 0)) > limit
            else "stop",
        }  # fmt: skip
        return Plan(**{**values, **changes, "reasoning_tokens": reasoning})

    async def answer(
        self,
        plan: Plan,
        *,
        pause_s: float = 0.0,
        message: dict[str, Any] | None = None,
        deltas: list[dict[str, Any]] | None = None,
    ) -> None:
        """Send an answer whole, or as events when the client asked for them.

        `message` replaces the message's (or the delta's) fields, `deltas` those of the events of a stream, one for
        each; `pause_s` waits before each event.
        """
        self.use(plan)
        content = {"role": "assistant", "content": plan.text} if message is None else message
        usage = self.usage(plan)
        self.request.reported = usage
        if not self.request.stream:
            if pause_s:
                await asyncio.sleep(pause_s)
            choice = {"index": 0, "message": content, "finish_reason": plan.finish_reason}
            body = {
                "id": self.id,
                "object": "chat.completion",
                "created": int(self.request.time),
                "model": plan.model or self.request.model,
                "choices": [choice],
                **plan.extra,
            }
            if usage is not None:
                body["usage"] = usage
            await self.json(200, body)
            return
        await self.open_events()
        sent = 0
        output_tokens, self.request.output_tokens = plan.output_tokens, plan.reasoning_tokens
        if deltas is not None:
            for delta in deltas:
                if pause_s:
                    await asyncio.sleep(pause_s)
                await self.event(self.delta(plan, delta))
        elif message is not None:
            await self.event(self.delta(plan, {"role": "assistant", **message}))
        else:
            await self.event(self.delta(plan, {"role": "assistant", "content": ""}))
            for piece in pieces(plan.text):
                if pause_s:
                    await asyncio.sleep(pause_s)
                sent += 1
                self.request.output_tokens = min(plan.reasoning_tokens + sent, output_tokens)
                await self.event(self.delta(plan, {"content": piece}))
        self.request.output_tokens = output_tokens
        self.bill()
        await self.event(self.delta(plan, {}, plan.finish_reason))
        if usage is not None and self.wants_usage:
            last = self.delta(plan, {})
            last["choices"] = []
            last["usage"] = usage
            await self.event(last)
        await self.event("[DONE]")
        await self.close_events()

    @property
    def wants_usage(self) -> bool:
        """Whether the client asked for usage in the stream."""
        return bool((self.request.body.get("stream_options") or {}).get("include_usage"))


def pieces(text: str | None) -> list[str]:
    """Split a text into words that keep their spaces; a long text into at most 2,000 pieces."""
    if not text:
        return []
    words = text.split(" ")
    words = [words[0], *(f" {word}" for word in words[1:])]
    per_piece = -(-len(words) // 2000)
    return ["".join(words[i : i + per_piece]) for i in range(0, len(words), per_piece)]


# ---- behaviours


async def ok(wire: Wire) -> None:
    await wire.answer(wire.plan())


async def echo(wire: Wire) -> None:
    text = wire.request.prompt.rpartition("\n")[2] if "last" in wire.settings else wire.request.prompt
    await wire.answer(wire.plan(text=text, output_tokens=max(1, len(text.split())), finish_reason="stop"))


async def digest(wire: Wire) -> None:
    """Answer with a digest of the messages: equal requests get equal answers."""
    text = hashlib.sha256(json.dumps(wire.request.body["messages"]).encode()).hexdigest()[:16]
    await wire.answer(wire.plan(text=text, output_tokens=1, finish_reason="stop"))


async def say(wire: Wire) -> None:
    """Answer `@text=...`: a space is written as `_`, a comma and what else has no place in a name as in a URL (`%2C`)."""
    text = urllib.parse.unquote(wire.settings.get("text", "yes").replace("_", " "))
    await wire.answer(wire.plan(text=text, output_tokens=max(1, len(text.split())), finish_reason="stop"))


async def as_json(wire: Wire) -> None:
    await wire.answer(wire.plan(text='{"answer": 42}', output_tokens=2, finish_reason="stop"))


async def cached(wire: Wire) -> None:
    await wire.answer(wire.plan(cached_tokens=max(1, len(wire.request.prompt.split()) // 2)))


async def reasoning(wire: Wire) -> None:
    await wire.answer(wire.plan(reasoning_tokens=int(wire.settings.get("reasoning", 7))))


async def fill(wire: Wire) -> None:
    """Use the whole output limit."""
    limit = wire.request.output_limit or 64
    text = " ".join(WORDS[i % len(WORDS)] for i in range(limit))
    await wire.answer(wire.plan(text=text, output_tokens=limit, finish_reason="length"))


async def drip(wire: Wire) -> None:
    await wire.answer(wire.plan(), pause_s=float(wire.settings.get("pause_s", 0.05)))


async def large(wire: Wire) -> None:
    n = int(wire.settings.get("tokens", 200_000))
    await wire.answer(wire.plan(text="word " * n, output_tokens=n, finish_reason="stop"))


async def escape(wire: Wire) -> None:
    await wire.answer(wire.plan(text=ESCAPES, output_tokens=4, finish_reason="stop"))


async def other_model(wire: Wire) -> None:
    await wire.answer(wire.plan(model="gpt-4o-of-another-name"))


async def surrogate(wire: Wire) -> None:
    await wire.answer(wire.plan(text="lone \ud800 half", output_tokens=3, finish_reason="stop"))


async def repeat(wire: Wire) -> None:
    """Say one word 400 times."""
    await wire.answer(wire.plan(text=" ".join(["ha"] * 400), output_tokens=400, finish_reason="stop"))


async def special(wire: Wire) -> None:
    """Answer with text that looks like a tokeniser's marks."""
    await wire.answer(wire.plan(text="a <s> b </s> c <|im_end|> d", output_tokens=7, finish_reason="stop"))


async def refusal(wire: Wire) -> None:
    message = {"role": "assistant", "content": None, "refusal": "I cannot help with that."}
    await wire.answer(wire.plan(text=None, output_tokens=5), message=message)


async def length(wire: Wire) -> None:
    await wire.answer(wire.plan(finish_reason="length"))


async def length_empty(wire: Wire) -> None:
    """Spend the whole limit on reasoning."""
    limit = wire.request.output_limit or 64
    await wire.answer(Plan(text="", output_tokens=limit, reasoning_tokens=limit, finish_reason="length"))


async def content_filter(wire: Wire) -> None:
    await wire.answer(wire.plan(text="", output_tokens=0, finish_reason="content_filter"))


async def tool_calls(wire: Wire) -> None:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    await wire.answer(wire.plan(text=None, output_tokens=5, finish_reason="tool_calls"), message=message)


async def tools(wire: Wire) -> None:
    """Call a tool that is offered, and answer with its results: the settings are in this module's docstring."""
    calls = _calls(wire)
    pause_s = float(wire.settings.get("pause_s", 0))
    usage = None if wire.settings.get("usage") == "none" else "true"
    if not calls:
        said = "\n".join(_results(wire)) or "nothing to call"
        await wire.answer(
            wire.plan(text=said, output_tokens=max(1, len(said.split())), finish_reason="stop", usage=usage),
            pause_s=pause_s,
        )
        return
    plan, deltas = _calling(wire, calls, usage)
    message = {"role": "assistant", "content": plan.text, "tool_calls": calls}
    await wire.answer(plan, pause_s=pause_s, message=message, deltas=deltas)


async def cut_tools(wire: Wire) -> None:
    """As `tools`, and break the connection within the arguments of the last call."""
    calls = _calls(wire)
    plan, deltas = _calling(wire, calls, "true")
    if not wire.request.stream or len(deltas) < 3:
        await _cut(wire)
        return
    wire.use(plan)
    wire.bill()
    await wire.open_events()
    for delta in deltas[:-1]:
        await wire.event(wire.delta(plan, delta))
    await asyncio.sleep(0.01)  # let the bytes leave before the connection breaks
    wire.drop()


def _calling(wire: Wire, calls: list[dict[str, Any]], usage: Any) -> tuple[Plan, list[dict[str, Any]]]:
    """Return a plan that calls tools, and the deltas that say so piece by piece."""
    said = wire.settings.get("text", "").replace("_", " ") or None
    words = sum(1 + len(call["function"]["arguments"].split()) for call in calls)
    plan = wire.plan(
        text=said, output_tokens=words + len((said or "").split()), finish_reason="tool_calls", usage=usage
    )
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": None if said is None else ""}]
    deltas += [{"content": piece} for piece in pieces(said)]
    n_parts = int(wire.settings.get("pieces", 3))
    for index, call in enumerate(calls):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        deltas.append({"tool_calls": [{"index": index, **call, "function": {"name": name, "arguments": ""}}]})
        size = max(1, -(-len(arguments) // n_parts))
        for start in range(0, len(arguments), size):
            part = {"index": index, "function": {"arguments": arguments[start : start + size]}}
            deltas.append({"tool_calls": [part]})
    return plan, deltas


def _results(wire: Wire) -> list[str]:
    """Return what the tools have said since the user's newest message."""
    said: list[str] = []
    for message in wire.request.body["messages"]:
        if message.get("role") == "user":
            said = []
        elif message.get("role") == "tool":
            content = message.get("content")
            texts = content if isinstance(content, list) else [{"text": content}]
            said.append("".join(str(part.get("text") or "") for part in texts))
    return said


def _calls(wire: Wire) -> list[dict[str, Any]]:
    """Return the tool calls to answer with; none when all has been called that is to be."""
    body = wire.request.body
    offered = [tool["function"] for tool in body.get("tools") or [] if isinstance(tool.get("function"), dict)]
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        offered = [tool for tool in offered if tool["name"] == choice.get("function", {}).get("name")]
    n_rounds = 0
    for message in body["messages"]:
        if message.get("role") == "user":
            n_rounds = 0
        elif message.get("role") == "assistant" and message.get("tool_calls"):
            n_rounds += 1
    if not offered or choice == "none" or n_rounds >= int(wire.settings.get("rounds", 1)):
        return []
    asked = next((message for message in reversed(body["messages"]) if message.get("role") == "user"), {})
    content = asked.get("content")
    text = content if isinstance(content, str) else "".join(part.get("text") or "" for part in content or [])
    n_calls = 1 if body.get("parallel_tool_calls") is False else int(wire.settings.get("calls", 1))
    return [
        {
            "id": f"call_{wire.request.n}_{i}",
            "type": "function",
            "function": {
                "name": offered[i % len(offered)]["name"],
                "arguments": json.dumps(_arguments(offered[i % len(offered)], text)),
            },
        }
        for i in range(n_calls)
    ]


def _arguments(tool: dict[str, Any], text: str) -> dict[str, Any]:
    """Return the JSON object in a text; else arguments that a tool's schema admits."""
    with contextlib.suppress(ValueError):
        found, _ = json.JSONDecoder().raw_decode(text[text.index("{") :])
        return dict(found)
    values = {"integer": 1, "number": 1.5, "boolean": True, "array": [], "object": {}, "null": None}
    schema = tool.get("parameters") or {}
    properties = schema.get("properties") or {}
    return {
        name: each["enum"][0] if each.get("enum") else values.get(each.get("type"), text)
        for name, each in properties.items()
        if name in schema.get("required", properties)
    }


async def null_content(wire: Wire) -> None:
    await wire.answer(wire.plan(text=None, output_tokens=3), message={"role": "assistant", "content": None})


async def empty_content(wire: Wire) -> None:
    await wire.answer(wire.plan(text="", output_tokens=0))


async def only_reasoning(wire: Wire) -> None:
    """Think, and say nothing."""
    message = {"role": "assistant", "content": "", "reasoning_content": "so it is"}
    await wire.answer(wire.plan(text="", output_tokens=9, reasoning_tokens=9, finish_reason="stop"), message=message)


async def parts(wire: Wire) -> None:
    """Answer in a list of parts."""
    message = {"role": "assistant", "content": [{"type": "text", "text": "Paris"}]}
    await wire.answer(wire.plan(text=None, output_tokens=1, finish_reason="stop"), message=message)


async def json_instead(wire: Wire) -> None:
    """Answer whole, whether or not a stream was asked for."""
    wire.request.stream = False
    await wire.answer(wire.plan())


async def sse_instead(wire: Wire) -> None:
    """Answer in a stream, whether or not one was asked for."""
    wire.request.stream = True
    await wire.answer(wire.plan())


async def no_finish(wire: Wire) -> None:
    """End properly, with [DONE] in a stream, but never say why."""
    await wire.answer(wire.plan(finish_reason=None))


async def two_choices(wire: Wire) -> None:
    if wire.request.stream:
        await ok(wire)
        return
    choices = [
        {"index": i, "message": {"role": "assistant", "content": f"choice {i}"}, "finish_reason": "stop"}
        for i in range(2)
    ]
    await wire.answer(wire.plan(extra={"choices": choices}))


# -- usage


async def no_usage(wire: Wire) -> None:
    await wire.answer(wire.plan(usage=None))


async def negative_usage(wire: Wire) -> None:
    await wire.answer(wire.plan(usage={"prompt_tokens": -5, "completion_tokens": -7, "total_tokens": -12}))


async def huge_usage(wire: Wire) -> None:
    usage = {"prompt_tokens": 10**12, "completion_tokens": 10**12, "total_tokens": 2 * 10**12}
    await wire.answer(wire.plan(usage=usage))


async def zero_usage(wire: Wire) -> None:
    await wire.answer(wire.plan(usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}))


async def empty_usage(wire: Wire) -> None:
    await wire.answer(wire.plan(usage={}))


async def text_usage(wire: Wire) -> None:
    await wire.answer(wire.plan(usage={"prompt_tokens": "many", "completion_tokens": "few", "total_tokens": "lots"}))


async def cached_above_input(wire: Wire) -> None:
    usage = {
        "prompt_tokens": 2,
        "completion_tokens": 2,
        "total_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 900},
    }
    await wire.answer(wire.plan(usage=usage))


async def breach(wire: Wire) -> None:
    """Ignore the output limit, and charge for it."""
    n = (wire.request.output_limit or 64) * 3
    await wire.answer(wire.plan(text=" ".join(["more"] * n), output_tokens=n, finish_reason="stop"))


# -- errors


async def e401(wire: Wire) -> None:
    """Refuse, and echo the key in every way that providers do."""
    key = (wire.request.authorization or "").removeprefix("Bearer ")
    masked = f"{key[:8]}{'*' * 12}{key[-4:]}" if len(key) > 16 else "****"
    await wire.error(
        401,
        "invalid_request_error",
        f"Incorrect API key provided: {masked}. You sent 'Authorization: {wire.request.authorization}'. Key: {key}.",
        code="invalid_api_key",
    )


async def e403(wire: Wire) -> None:
    key = (wire.request.authorization or "").removeprefix("Bearer ")
    await wire.error(403, "permission_error", f"Key {key} may not use this model.")


async def e404(wire: Wire) -> None:
    await wire.error(
        404, "invalid_request_error", f"The model {wire.request.model!r} does not exist", code="model_not_found"
    )


async def e400_context(wire: Wire) -> None:
    await wire.error(
        400,
        "invalid_request_error",
        "This model's maximum context length is 128 tokens. However, your messages resulted in 4096 tokens.",
        code="context_length_exceeded",
    )


async def e400(wire: Wire) -> None:
    await wire.error(400, "invalid_request_error", "Unsupported value: 'temperature' does not support 0.0.")


async def e400_quote(wire: Wire) -> None:
    """Refuse, and quote what was asked, as content filters do."""
    await wire.error(400, "invalid_request_error", f"This prompt was refused: {wire.request.prompt}")


async def e400_roles(wire: Wire) -> None:
    """A text at which some clients send the request again, changed."""
    await wire.error(
        400, "invalid_request_error", "Conversation roles must alternate user/assistant/user/assistant/..."
    )


async def e400_limit(wire: Wire) -> None:
    """A text at which some clients make up an answer."""
    await wire.error(
        400,
        "invalid_request_error",
        "Could not finish the message because max_tokens or model output limit was reached. Please try again with higher max_tokens.",
    )


async def e408(wire: Wire) -> None:
    await wire.error(408, "timeout", "The request took too long to arrive.")


async def e409(wire: Wire) -> None:
    await wire.error(409, "conflict", "Another request is at work.")


async def e425(wire: Wire) -> None:
    await wire.error(425, "too_early", "Too early.")


async def e402(wire: Wire) -> None:
    await wire.error(402, "insufficient_credits", "Your balance is too low to run this request")


async def e422(wire: Wire) -> None:
    await wire.error(422, "invalid_request_error", "Unprocessable: [{'loc': ['body', 'reasoning_effort']}]")


async def e429(wire: Wire) -> None:
    after = wire.settings.get("retry_after", "1")
    await wire.error(429, "rate_limit_error", "Rate limit reached", headers={"retry-after": after})


async def e429_date(wire: Wire) -> None:
    seconds = float(wire.settings.get("retry_after", 1))
    when = email.utils.formatdate(time.time() + seconds, usegmt=True)
    await wire.error(429, "rate_limit_error", "Rate limit reached", headers={"retry-after": when})


async def e429_ms(wire: Wire) -> None:
    after = wire.settings.get("retry_after_ms", "20")
    await wire.error(429, "rate_limit_error", "Rate limit reached", headers={"retry-after-ms": after})


async def e429_bare(wire: Wire) -> None:
    await wire.error(429, "rate_limit_error", "Rate limit reached")


async def e429_quota(wire: Wire) -> None:
    await wire.error(
        429,
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
        code="insufficient_quota",
    )


async def refuse(wire: Wire) -> None:
    """Answer with an error that a test has put together (`@as=NAME`)."""
    status, body, headers = wire.server.errors.get(wire.settings.get("as", ""), (418, {}, {}))
    if isinstance(body, bytes):
        await wire.raw(status, body, "text/html", headers)
    else:
        await wire.raw(status, json.dumps(body).encode(), "application/json", headers)


async def e500(wire: Wire) -> None:
    await wire.error(500, "server_error", "The server had an error while processing your request.")


async def e503(wire: Wire) -> None:
    headers = {"retry-after": wire.settings["retry_after"]} if "retry_after" in wire.settings else None
    await wire.error(503, "overloaded_error", "The engine is overloaded", headers=headers)


async def redirect(wire: Wire) -> None:
    """Send the client in a circle."""
    await wire.raw(307, b"", "text/plain", {"location": f"{wire.server.url}/v1/chat/completions"})


# -- the wire


async def hang_headers(wire: Wire) -> None:
    """Bill, and say nothing."""
    wire.use(wire.plan())
    await wire.hang()


async def hang_stream(wire: Wire) -> None:
    """Start an answer, and stop in the middle of it without closing."""
    plan = wire.plan(text="half an", output_tokens=2)
    wire.use(plan)
    wire.bill()
    if not wire.request.stream:
        await wire.head(200, {"content-type": "application/json", "content-length": "1000"})
        wire.writer.write(b'{"id": "half')
    else:
        await wire.open_events()
        for piece in pieces(plan.text):
            await wire.event(wire.delta(plan, {"content": piece}))
    await wire.writer.drain()
    await wire.hang()


async def drip_hang(wire: Wire) -> None:
    """Drip for a while, then hang."""
    plan = wire.plan(text="one two three four", output_tokens=4)
    wire.use(plan)
    await wire.open_events()
    for piece in pieces(plan.text):
        await asyncio.sleep(float(wire.settings.get("pause_s", 0.05)))
        await wire.event(wire.delta(plan, {"content": piece}))
    await wire.hang()


async def drop_headers(wire: Wire) -> None:
    """Close the connection before any byte of an answer."""
    wire.drop()


async def _cut(wire: Wire, *, clean: bool = False, finish: bool = False, done: bool = False) -> None:
    plan = wire.plan(text="an answer that stops", output_tokens=4)
    wire.use(plan)
    wire.bill()
    if not wire.request.stream:
        await wire.head(200, {"content-type": "application/json", "content-length": "1000"})
        begun = json.dumps({"id": wire.id, "model": wire.request.model})
        wire.writer.write(begun[:-1].encode() + b', "choices": [{"message": {"content": "an answ')
        await wire.writer.drain()
        wire.drop()
        return
    await wire.open_events()
    for piece in pieces(plan.text):
        await wire.event(wire.delta(plan, {"content": piece}))
    if finish:
        await wire.event(wire.delta(plan, {}, "stop"))
    if done:
        await wire.event("[DONE]")
    if clean:
        await wire.close_events()
        return
    await asyncio.sleep(0.01)  # let the bytes leave before the connection breaks
    wire.keep_alive = False
    wire.writer.write(b"ff\r\ndata: {")
    await wire.writer.drain()
    wire.drop()


async def cut(wire: Wire) -> None:
    await _cut(wire)


async def cut_clean(wire: Wire) -> None:
    """End a stream in good order, with neither finish reason nor [DONE]."""
    await _cut(wire, clean=True)


async def cut_done(wire: Wire) -> None:
    """End a stream with [DONE] and no finish reason."""
    await _cut(wire, clean=True, done=True)


async def cut_after_finish(wire: Wire) -> None:
    """Break the connection after the finish reason, before usage."""
    await _cut(wire, finish=True)


async def cut_before_text(wire: Wire) -> None:
    """Open a stream and break it before the first word."""
    if not wire.request.stream:
        await _cut(wire)
        return
    await wire.open_events()
    await wire.writer.drain()
    await asyncio.sleep(0.01)
    wire.drop()


async def sse_error(wire: Wire) -> None:
    """Report an error in the middle of a stream."""
    if not wire.request.stream:
        await e500(wire)
        return
    plan = wire.plan(text="so far", output_tokens=2)
    wire.use(plan)
    wire.bill()
    await wire.open_events()
    for piece in pieces(plan.text):
        await wire.event(wire.delta(plan, {"content": piece}))
    key = wire.request.authorization
    await wire.event({"error": {"message": f"backend died holding {key}", "type": "server_error", "code": 500}})
    await wire.close_events()


async def sse_overloaded(wire: Wire) -> None:
    """Report overload as the only event of a stream."""
    if not wire.request.stream:
        await e503(wire)
        return
    await wire.open_events()
    await wire.event({"error": {"message": "Overloaded", "type": "overloaded_error", "code": 529}})
    await wire.close_events()


async def error_200(wire: Wire) -> None:
    """Report an error with status 200."""
    await wire.json(200, {"error": {"message": "upstream failed", "type": "server_error", "code": 502}})


async def garbage(wire: Wire) -> None:
    if wire.request.stream:
        await wire.open_events()
        await wire.event('{"choices": [{"delta": {"content": "x"')
        await wire.event("[DONE]")
        await wire.close_events()
        return
    await wire.raw(200, b'{"choices": [{"mess\x00age": ', "application/json")


async def html(wire: Wire) -> None:
    key = wire.request.authorization
    await wire.raw(200, f"<html><body>Sign in to the network ({key})</body></html>".encode(), "text/html")


async def html_502(wire: Wire) -> None:
    await wire.raw(502, b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>", "text/html")


async def empty_body(wire: Wire) -> None:
    await wire.raw(200, b"", "application/json")


async def choices_empty(wire: Wire) -> None:
    plan = wire.plan(text="", output_tokens=0, extra={"choices": []})
    if not wire.request.stream:
        await wire.answer(plan)
        return
    wire.use(plan)
    await wire.open_events()
    chunk = wire.delta(plan, {})
    chunk["choices"] = []
    chunk["usage"] = wire.usage(plan)
    await wire.event(chunk)
    await wire.event("[DONE]")
    await wire.close_events()


async def choices_missing(wire: Wire) -> None:
    body = {"id": wire.id, "object": "chat.completion", "model": wire.request.model}
    if wire.request.stream:
        await wire.open_events()
        await wire.event(body)
        await wire.event("[DONE]")
        await wire.close_events()
        return
    await wire.json(200, body)


async def bad_utf8(wire: Wire) -> None:
    """Send bytes that are not UTF-8 inside the answer."""
    plan = wire.plan(text="caf~", output_tokens=1, finish_reason="stop")
    wire.use(plan)
    wire.bill()
    usage = wire.usage(plan)
    if not wire.request.stream:
        choice = {"index": 0, "message": {"role": "assistant", "content": plan.text}, "finish_reason": "stop"}
        body = {"id": wire.id, "object": "chat.completion", "model": "x", "choices": [choice], "usage": usage}
        await wire.raw(200, json.dumps(body).encode().replace(b"~", b"\xe9\xff"), "application/json")
        return
    await wire.open_events()
    data = json.dumps(wire.delta(plan, {"content": plan.text})).encode().replace(b"~", b"\xe9\xff")
    await wire.chunk(b"data: " + data + b"\n\n")
    await wire.event(wire.delta(plan, {}, "stop"))
    await wire.event({**wire.delta(plan, {}), "choices": [], "usage": usage})
    await wire.event("[DONE]")
    await wire.close_events()


async def split_events(wire: Wire) -> None:
    """Send a proper stream byte by byte, with comments and CRLF line ends."""
    plan = wire.plan(text="naïve – 😀 text", output_tokens=4, finish_reason="stop")
    if not wire.request.stream:
        await wire.answer(plan)
        return
    wire.use(plan)
    wire.bill()
    events: list[Any] = [wire.delta(plan, {"content": piece}) for piece in pieces(plan.text)]
    events += [wire.delta(plan, {}, "stop"), {**wire.delta(plan, {}), "choices": [], "usage": wire.usage(plan)}]
    data = b": a comment\r\n\r\n"
    data += b"".join(f"data: {json.dumps(event, ensure_ascii=False)}\r\n\r\n".encode() for event in events)
    data += b"data: [DONE]\r\n\r\n"
    await wire.open_events()
    for i in range(0, len(data), 7):
        await wire.chunk(data[i : i + 7])
    await wire.close_events()


BEHAVIOURS: dict[str, Callable[[Wire], Awaitable[None]]] = {
    "ok": ok, "random": ok, "echo": echo, "digest": digest, "say": say, "json": as_json, "cached": cached,
    "reasoning": reasoning, "fill": fill, "drip": drip, "large": large, "escape": escape, "other-model": other_model,
    "surrogate": surrogate, "repeat": repeat, "special": special, "refusal": refusal, "length": length,
    "length-empty": length_empty, "content-filter": content_filter, "tool-calls": tool_calls,
    "tools": tools, "cut-tools": cut_tools,
    "null-content": null_content, "empty-content": empty_content, "no-finish": no_finish, "two-choices": two_choices,
    "only-reasoning": only_reasoning, "parts": parts, "json-instead": json_instead, "sse-instead": sse_instead,
    "no-usage": no_usage, "negative-usage": negative_usage, "huge-usage": huge_usage, "zero-usage": zero_usage,
    "empty-usage": empty_usage, "text-usage": text_usage, "cached-above-input": cached_above_input, "breach": breach,
    "401": e401, "402": e402, "403": e403, "404": e404, "400": e400, "400-context": e400_context, "400-roles": e400_roles,
    "400-quote": e400_quote,
    "400-limit": e400_limit, "408": e408, "409": e409, "425": e425, "422": e422, "429": e429, "429-date": e429_date, "429-ms": e429_ms, "429-bare": e429_bare,
    "429-quota": e429_quota, "refuse": refuse, "500": e500, "503": e503, "redirect": redirect,
    "hang-headers": hang_headers, "hang-stream": hang_stream, "drip-hang": drip_hang, "drop-headers": drop_headers,
    "cut": cut, "cut-clean": cut_clean, "cut-done": cut_done, "cut-after-finish": cut_after_finish,
    "cut-before-text": cut_before_text, "sse-error": sse_error, "sse-overloaded": sse_overloaded,
    "error-200": error_200, "garbage": garbage, "html": html, "html-502": html_502, "empty-body": empty_body,
    "choices-empty": choices_empty, "choices-missing": choices_missing, "bad-utf8": bad_utf8,
    "split-events": split_events,
}  # fmt: skip
"""Every behaviour by the name that a model asks for it with; any other name behaves as `ok`."""


def main() -> None:
    parser = argparse.ArgumentParser(description="A loopback server that speaks OpenAI chat completions.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--price-in", default="1", help="USD per million input tokens")
    parser.add_argument("--price-out", default="4", help="USD per million output tokens")
    parser.add_argument("--price-cached", default=None, help="USD per million cached input tokens")
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--median-tokens", type=int, default=12)
    parser.add_argument("--max-in-flight", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, default=None)
    args = parser.parse_args()
    server = Server(**vars(args))

    async def run() -> None:
        await server.serve(on_ready=lambda: print(server.base_url, flush=True))

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())


if __name__ == "__main__":
    main()
