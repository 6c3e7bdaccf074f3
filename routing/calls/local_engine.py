"""Local models: llama.cpp in this process (xllamacpp)."""

from __future__ import annotations

import atexit
import json
import os
import queue
import shutil
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from scrimp.profiles.errors import ConfigError
from scrimp.profiles.installer import how_to_add

from .local_weights import PACKAGED_SHA256, check_available, check_weights, is_packaged

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = [
    "DEFAULT_SYSTEM",
    "PROMPT_BATCH",
    "Finished",
    "Flag",
    "LocalEngine",
    "LocalError",
    "engine",
    "threads_for",
]


DEFAULT_SYSTEM = "Answer briefly and correctly."
"""System message of the packaged model when the conversation has none: its own default derails its 4-bit weights."""

CONTEXT_TOKENS = 8192
PROMPT_BATCH = 128
"""Prompt tokens evaluated between two looks at the abort flag: half a second of a busy core."""

_JOIN_S = 5.0
"""How long an abandoned generation may take to notice; at most two prompt batches on a busy machine."""

_SOCKET_PATH_MAX = 100
"""Unix socket paths are limited to 104-108 bytes."""


class LocalError(Exception):
    """The engine refused a request or failed; `local_call` says what it means for a call.

    Parameters
    ----------
    message
        What the engine said.
    kind
        What it means: the prompt is too long, the request is malformed, or the engine failed.
    """

    def __init__(self, message: str, kind: Literal["context_window", "bad_request", "server"] = "server") -> None:
        super().__init__(message)
        self.message = message
        self.kind: Literal["context_window", "bad_request", "server"] = kind


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a generation; counts are None where the engine did not report them.

    `finish_reason` is `stop`, `length` or `abort`.
    """

    prompt_tokens: int | None
    completion_tokens: int | None
    finish_reason: str


class LocalEngine:
    """One llama.cpp model in this process; loads on first use, generates one answer at a time.

    Parameters
    ----------
    weights
        A GGUF file.
    sha256
        What the file must hash to before it is parsed; any file is taken when None.
    default_system
        System message put before a conversation that has none.
    threads
        Cores used. One for each two of the machine's when None: llama.cpp's threads spin at barriers, and with one
        for each core a busy machine slows them down a hundredfold.
    """

    def __init__(
        self,
        weights: Path,
        *,
        sha256: str | None = None,
        default_system: str | None = None,
        threads: int | None = None,
    ) -> None:
        self.weights = weights
        self.sha256 = sha256
        self.default_system = default_system
        self.threads = threads
        self._turn = threading.Lock()
        self._loading = threading.Lock()
        self._stopping = threading.Event()
        self._worker: threading.Thread | None = None
        self._server: Any = None

    def load(self) -> None:
        """Load the weights now; safe to call from a thread while other work goes on.

        Raises
        ------
        ConfigError
            If xllamacpp is missing, or the weights are missing, damaged, or not a model llama.cpp can load.
        """
        with self._loading:
            if self._server is None:
                self._server = self._start()

    def generate(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int | None = None,
        stop: str | Sequence[str] | None = None,
        schema: Mapping[str, Any] | None = None,
        abort: Flag | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Iterator[str | Finished]:
        """Yield the answer's text in pieces, then one `Finished`.

        The engine runs in a thread of its own; closing the iterator, setting `abort` or Ctrl-C in the caller's thread
        stops it within a token (within a batch of 128 tokens while it reads the prompt).

        Parameters
        ----------
        messages
            OpenAI-style messages with text content.
        max_tokens
            Most tokens to generate, at least 1.
        temperature
            0 is greedy: the same request gives the same answer.
        seed
            Of the sampler; only matters above temperature 0.
        stop
            Strings that end the answer.
        schema
            JSON Schema that the answer is constrained to.
        abort
            Ends the generation when set, with finish reason `abort`.
        extra
            Further llama.cpp request fields (top_p, top_k, ...).

        Raises
        ------
        ConfigError
            As `load`.
        LocalError
            If the engine refuses the request or fails.
        """
        self.load()
        request = self._request(
            messages, max_tokens, temperature=temperature, seed=seed, stop=stop, schema=schema, extra=extra
        )
        stopping = _AnyEvent(self._stopping, *([abort] if abort is not None else []))
        while not self._turn.acquire(timeout=0.05):
            if stopping.is_set():
                yield Finished(None, None, "abort")
                return
        abandoned = threading.Event()
        chunks: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def on_chunk(chunk: Any) -> bool:
            chunks.put(chunk)
            return abandoned.is_set() or stopping.is_set()

        def work() -> None:
            try:
                self._server.handle_chat_completions(request, on_chunk)
            except Exception as error:  # noqa: BLE001 - every failure goes to the caller's thread
                chunks.put(error)
            finally:
                self._turn.release()
                chunks.put(None)

        self._worker = worker = threading.Thread(target=work, name="scrimp-local", daemon=True)
        try:
            worker.start()
        except RuntimeError:  # no more threads
            self._turn.release()
            raise
        try:
            yield from _pieces(chunks, stopping)
        finally:
            abandoned.set()
            worker.join(_JOIN_S)

    def close(self) -> None:
        """Stop what is running and free the model."""
        self._stopping.set()
        worker = self._worker
        if worker is not None and worker is not threading.current_thread():
            worker.join(_JOIN_S)
            if worker.is_alive():
                return  # freeing under a running generation would crash: leave it to the end of the process
        with self._loading:
            self._server = None

    def _request(
        self,
        messages: Sequence[Mapping[str, Any]],
        max_tokens: int,
        *,
        temperature: float = 0.0,
        seed: int | None = None,
        stop: str | Sequence[str] | None = None,
        schema: Mapping[str, Any] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        conversation = [dict(message) for message in messages]
        if self.default_system and not any(message.get("role") in {"system", "developer"} for message in conversation):
            conversation.insert(0, {"role": "system", "content": self.default_system})
        request: dict[str, Any] = {
            **(extra or {}),
            "messages": conversation,
            "max_tokens": max_tokens,
            "temperature": temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
            "return_progress": True,  # a callback for each batch of the prompt: a place to abort
            "cache_prompt": False,  # what was asked before must not change the answer
        }
        if seed is not None:
            request["seed"] = seed
        if stop:
            request["stop"] = [stop] if isinstance(stop, str) else list(stop)
        if schema is not None:
            request["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": dict(schema)},
            }
        # Lone surrogates have no UTF-8 form, and the engine refuses the escape that stands for them.
        text = json.dumps(request, ensure_ascii=False).encode("utf-8", "replace").decode("utf-8")
        checked: dict[str, Any] = json.loads(text)
        return checked

    def _start(self) -> Any:
        check_weights(self.weights, self.sha256)
        xllamacpp = _import_xllamacpp()
        params = xllamacpp.CommonParams()
        params.model.path = str(self.weights)
        params.n_ctx = CONTEXT_TOKENS
        params.n_batch = params.n_ubatch = PROMPT_BATCH
        params.n_parallel = 1
        threads = self.threads or _half_the_cores()
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.n_threads_http = 1
        params.verbosity = -1
        params.warmup = False
        params.fit_params = False
        params.ui = False
        params.cache_ram_mib = 0
        params.endpoint_metrics = True  # for the question below
        # The engine insists on listening. A socket in a private folder that is deleted at once listens to nobody.
        folder = tempfile.mkdtemp(prefix="scrimp-")
        socket = str(Path(folder) / "s.sock")
        params.hostnames = [socket if os.name == "posix" and len(socket) < _SOCKET_PATH_MAX else "127.0.0.1"]
        try:
            server = xllamacpp.Server(params)
        except (RuntimeError, ValueError, OSError) as error:
            raise ConfigError(
                f"llama.cpp cannot load {self.weights}: {error}",
                hint="is it a GGUF language model that this version of xllamacpp knows?",
            ) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        # The engine's queue may not run yet, and then telling it to stop is forgotten: whoever leaves now would wait
        # for ever. What goes through the queue comes back only once it runs.
        server.handle_metrics()
        return server


class Flag(Protocol):
    """What tells a generation to stop."""

    def is_set(self) -> bool:
        """Tell whether to."""
        ...


class _AnyEvent:
    """Set when one of its events is."""

    def __init__(self, *events: Flag) -> None:
        self._events = events

    def is_set(self) -> bool:
        return any(event.is_set() for event in self._events)


def _pieces(chunks: queue.SimpleQueue[Any], stopping: _AnyEvent) -> Iterator[str | Finished]:
    """Turn the engine's chunks into text and one `Finished`."""
    reason: str | None = None
    usage: Mapping[str, Any] = {}
    while True:
        try:
            # With a time limit, so that an abort is seen even while the engine is silent.
            chunk = chunks.get(timeout=0.1)
        except queue.Empty:
            if stopping.is_set():
                yield Finished(None, None, "abort")
                return
            continue
        if chunk is None:
            break
        if isinstance(chunk, Exception):
            raise _local_error(str(chunk)) from chunk
        if "error" in chunk:
            raise _local_error(str(chunk["error"].get("message", chunk["error"])), str(chunk["error"].get("type", "")))
        usage = chunk.get("usage") or usage
        for choice in chunk.get("choices", ()):
            reason = choice.get("finish_reason") or reason
            piece = (choice.get("delta") or {}).get("content")
            if piece:
                yield piece
    if reason is None:
        if not stopping.is_set():
            raise LocalError("the local engine stopped in the middle of an answer")
        reason = "abort"
    yield Finished(usage.get("prompt_tokens"), usage.get("completion_tokens"), reason)


def _local_error(message: str, error_type: str = "") -> LocalError:
    if error_type == "exceed_context_size_error" or "context size" in message:
        return LocalError(message, "context_window")
    known = (
        "not supported" in message
        or "Expected" in message
        or "parse" in message
        or error_type == "invalid_request_error"
    )
    return LocalError(message, "bad_request" if known else "server")


def engine(model: str) -> LocalEngine:
    """Return this process's engine for a model, not yet loaded; it is kept until the process ends.

    Parameters
    ----------
    model
        `smollm2-135m-instruct` or a path to a GGUF file, with or without `local/` before it.

    Raises
    ------
    ConfigError
        As `check_available`.
    """
    weights = check_available(model)
    with _engines_lock:
        known = _engines.get(weights)
        if known is None:
            packaged = is_packaged(model)
            known = LocalEngine(
                weights,
                sha256=PACKAGED_SHA256 if packaged else None,
                default_system=DEFAULT_SYSTEM if packaged else None,
                threads=threads_for(model),
            )
            _engines[weights] = known
        return known


def threads_for(model: str) -> int:
    """Return how many cores a model's engine uses."""
    return 1 if is_packaged(model) else _half_the_cores()


_engines: dict[Path, LocalEngine] = {}
_engines_lock = threading.Lock()


@atexit.register
def _close_engines() -> None:
    with _engines_lock:
        while _engines:
            _engines.popitem()[1].close()


def _import_xllamacpp() -> Any:
    try:
        import xllamacpp
    except ImportError as error:
        raise ConfigError(
            f"xllamacpp cannot be loaded: {error}",
            hint=f"{how_to_add('local')}; a missing libgomp.so.1 comes with the system package libgomp1",
        ) from error
    return xllamacpp


def _half_the_cores() -> int:
    return max(1, _cores() // 2)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
