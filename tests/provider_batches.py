"""A loopback server with OpenAI's, Anthropic's and Gemini's Batch APIs, and their calls at once; it misbehaves on request.

Built from their documented shapes. `BASE/v1` is OpenAI's, `BASE` Anthropic's, `BASE/v1beta` Gemini's:

>>> with BatchServer() as server:                    # doctest: +SKIP
...     server.openai, server.anthropic, server.gemini      # what `api_base` is set to
...     server.control(fail={"POST /v1/batches": 1})       # the next is answered with 500, and does nothing

What is asked decides what comes of it, by words in the prompt: EXPIRE, CANCEL, MISSING (its result is left out), HTTP400,
HTTP429, HTTP500, EMPTY (no usage), DUPLICATE; `HTTP429-ONCE` only where it is asked for the first time.

`control` takes: delay_s (how long a batch takes), never (it does not end), fail and late (how often a request of "METHOD
/path" is answered with 500: without having done anything, or after it was done), page (the size of a page), reversed,
strange (results that nobody asked for), no_keys (Gemini's do not say whose they are), refuse (a batch fails as a whole),
expire (batches end as expired, with the first half done), wait_s (before each reply), answer (every request has this
status, and nothing is done).

The server bills honestly: whatever it answers is in `billed`, and in a file when `log` is given: text, lane, cost in
nano-USD at the prices given. From a shell: `python tests/provider_batches.py --port 8766` prints its address.
"""

import argparse
import json
import math
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections import Counter
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

__all__ = ["BatchServer"]


def n_words(text):
    return max(1, len(text.split()))


class State:
    """What the server knows; every change under one lock."""

    def __init__(self, log, usd_in, usd_out, delay_s):
        self.lock = threading.RLock()
        self.log = log
        self.prices = (usd_in, usd_out)
        self.settings = {"delay_s": delay_s, "page": 20}
        self.fail, self.late = Counter(), Counter()
        self.files, self.batches = {}, {}
        self.billed, self.requests, self.bodies = [], [], []
        self.seen = Counter()
        self.n = 0

    def name(self, prefix):
        self.n += 1
        return f"{prefix}{self.n:06d}"

    def bill(self, text, lane, n_in, n_out):
        usd_in, usd_out = self.prices
        nano = math.ceil((n_in * usd_in + n_out * usd_out) * 1000 / (2 if lane == "batch" else 1))
        entry = {"text": text, "lane": lane, "cost_nano": nano}
        self.billed.append(entry)
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(json.dumps(entry) + "\n")

    # -- one request, whatever the provider

    def outcome(self, text, lane):
        """Return (kind, status, answer, usage): ok, error, expired, cancelled or missing."""
        self.seen[text] += 1
        for status in (400, 429, 500):
            if f"HTTP{status}-ONCE" in text:
                if self.seen[text] == 1:
                    return "error", status, "", None
            elif f"HTTP{status}" in text:
                return "error", status, "", None
        if lane == "batch":
            for word in ("EXPIRE", "CANCEL", "MISSING"):
                if word in text and not (f"{word}-ONCE" in text and self.seen[text] > 1):
                    return {"EXPIRE": "expired", "CANCEL": "cancelled", "MISSING": "missing"}[word], 0, "", None
        answer = f"answer to {text}"
        usage = None if "EMPTY" in text else (n_words(text), n_words(answer))
        self.bill(text, lane, n_words(text), n_words(answer))
        return "ok", 200, answer, usage


class OpenAI:
    """Shapes of OpenAI's."""

    @staticmethod
    def text_of(body):
        said = body["messages"][-1]["content"]
        return said if isinstance(said, str) else said[0]["text"]

    @staticmethod
    def reply(body, answer, usage, name):
        found = {
            "id": name,
            "object": "chat.completion",
            "model": body["model"],
            "choices": [{"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}],
        }
        if usage is not None:
            found["usage"] = {
                "prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)
            }  # fmt: skip
        return found

    @staticmethod
    def error(status):
        return {"error": {"message": f"a {status} was asked for", "type": "invalid_request_error", "code": None}}


class Anthropic:
    """Shapes of Anthropic's."""

    @staticmethod
    def text_of(body):
        said = body["messages"][-1]["content"]
        return said if isinstance(said, str) else said[0]["text"]

    @staticmethod
    def reply(body, answer, usage, name):
        return {
            "id": name,
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": [{"type": "text", "text": answer}],
            "stop_reason": "end_turn",
            **({} if usage is None else {"usage": {"input_tokens": usage[0], "output_tokens": usage[1]}}),
        }

    @staticmethod
    def error(status):
        kind = {400: "invalid_request_error", 429: "rate_limit_error", 500: "api_error"}[status]
        return {"type": "error", "error": {"type": kind, "message": f"a {status} was asked for"}}


class Gemini:
    """Shapes of Gemini's."""

    @staticmethod
    def text_of(body):
        return body["contents"][-1]["parts"][0]["text"]

    @staticmethod
    def reply(body, answer, usage, name):
        del body
        found = {
            "responseId": name,
            "modelVersion": "gemini-2.5-flash",
            "candidates": [{"content": {"role": "model", "parts": [{"text": answer}]}, "finishReason": "STOP"}],
        }
        if usage is not None:
            found["usageMetadata"] = {
                "promptTokenCount": usage[0], "candidatesTokenCount": usage[1], "totalTokenCount": sum(usage)
            }  # fmt: skip
        return found

    @staticmethod
    def error(status):
        code = {400: 3, 429: 8, 500: 13}[status]
        return {"error": {"code": code, "message": f"a {status} was asked for"}}


SHAPES = {"openai": OpenAI, "anthropic": Anthropic, "gemini": Gemini}


class Batch:
    """A batch of any provider's."""

    def __init__(self, state, api, name, entries, metadata):
        self.state, self.api, self.name = state, api, name
        self.entries, self.metadata = entries, metadata
        self.made_at = time.time()
        self.cancelled_at = None
        self.results = None
        self.word = None

    def settle(self):
        """Do the work, once its time has come."""
        settings = self.state.settings
        if self.results is not None or (settings.get("never") and self.cancelled_at is None):
            return
        if self.cancelled_at is None and time.time() - self.made_at < settings["delay_s"]:
            return
        half = len(self.entries) // 2
        ending = "cancelled" if self.cancelled_at is not None else "expired" if settings.get("expire") else "completed"
        if settings.get("refuse"):
            ending = "failed"
        results = []
        for place, (custom_id, body) in enumerate(self.entries):
            text = SHAPES[self.api].text_of(body)
            if ending == "failed":
                break
            if ending != "completed" and place >= half:
                results.append((custom_id, body, (ending, 0, "", None)))
                continue
            found = self.state.outcome(text, "batch")
            if found[0] == "missing":
                continue
            results.append((custom_id, body, found))
            if "DUPLICATE" in text:
                results.append((custom_id, body, found))
        if settings.get("strange"):
            results.insert(0, ("nobody-asked", self.entries[0][1], ("ok", 200, "strange", (1, 1))))
        if settings.get("reversed"):
            results.reverse()
        self.results, self.word, self.ended_at = results, ending, time.time()

    @property
    def n_done(self):
        return 0 if self.results is None else len(self.entries)

    # -- shapes

    def openai(self):
        self.settle()
        going = "cancelling" if self.cancelled_at else "in_progress"
        made = int(self.made_at)
        found = {
            "id": self.name, "object": "batch", "endpoint": "/v1/chat/completions", "status": self.word or going,
            "created_at": made, "expires_at": made + 86_400, "metadata": self.metadata, "completion_window": "24h",
            "request_counts": {"total": len(self.entries), "completed": self.n_done, "failed": 0},
            "output_file_id": None, "error_file_id": None, "errors": None,
        }  # fmt: skip
        if self.word == "failed":
            found["errors"] = {"object": "list", "data": [{"code": "bad", "message": "the file is not liked"}]}
        elif self.results is not None:
            found[f"{self.word}_at"] = int(self.ended_at)
            good = [each for each in self.results if each[2][0] == "ok"]
            found["output_file_id"] = f"file-out-{self.name}" if good else None
            found["error_file_id"] = f"file-err-{self.name}" if len(good) < len(self.results) else None
        return found

    def openai_lines(self, kind):
        for custom_id, body, (what, status, answer, usage) in self.results:
            if (what == "ok") is not (kind == "out"):
                continue
            line = {"id": f"r-{custom_id}", "custom_id": custom_id, "response": None, "error": None}
            if what == "ok":
                reply = OpenAI.reply(body, answer, usage, f"chatcmpl-{custom_id}")
                line["response"] = {"status_code": 200, "request_id": "q", "body": reply}
            elif what == "error":
                line["response"] = {"status_code": status, "request_id": "q", "body": OpenAI.error(status)}
            else:
                line["error"] = {"code": f"batch_{what}", "message": f"This request {what}"}
            yield line

    def anthropic(self):
        self.settle()
        over = self.results is not None
        kinds = Counter(each[2][0] for each in self.results or ())
        n = len(self.entries)
        return {
            "id": self.name, "type": "message_batch",
            "processing_status": "ended" if over else "canceling" if self.cancelled_at else "in_progress",
            "request_counts": {
                "processing": 0 if over else n, "succeeded": kinds["ok"], "errored": kinds["error"],
                "canceled": kinds["cancelled"], "expired": kinds["expired"],
            } if not over or sum(kinds.values()) == n else {"processing": 0, "succeeded": n},
            "created_at": stamp(self.made_at), "expires_at": stamp(self.made_at + 86_400),
            "ended_at": stamp(self.ended_at) if over else None,
            "results_url": "http://elsewhere.invalid/results" if over else None,
        }  # fmt: skip

    def anthropic_lines(self):
        for custom_id, body, (what, status, answer, usage) in self.results:
            if what == "ok":
                result = {"type": "succeeded", "message": Anthropic.reply(body, answer, usage, f"msg-{custom_id}")}
            elif what == "error":
                result = {"type": "errored", "error": Anthropic.error(status)}
            else:
                result = {"type": "canceled" if what == "cancelled" else "expired"}
            yield {"custom_id": custom_id, "result": result}

    def gemini(self):
        self.settle()
        over = self.results is not None
        word = {None: "RUNNING", "completed": "SUCCEEDED"}.get(self.word, (self.word or "").upper())
        found = {
            "name": self.name,
            "metadata": {
                "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
                "displayName": self.metadata["display_name"], "state": f"BATCH_STATE_{word}",
                "createTime": stamp(self.made_at), "name": self.name,
                "batchStats": {"requestCount": str(len(self.entries))},
                **({"endTime": stamp(self.ended_at)} if over else {}),
            },
        }  # fmt: skip
        if not over:
            return found
        found["done"] = True
        if self.word == "failed":
            return found | {"error": {"code": 3, "message": "the batch is not liked"}}
        if self.word == "cancelled":
            found["error"] = {"code": 1, "message": "cancelled"}
        each = []
        for custom_id, body, (what, status, answer, usage) in self.results:
            one = {} if self.state.settings.get("no_keys") else {"metadata": {"key": custom_id}}
            if what == "ok":
                one["response"] = Gemini.reply(body, answer, usage, f"g-{custom_id}")
            elif what == "error":
                one |= Gemini.error(status)
            else:
                code = 1 if what == "cancelled" else 4
                one["error"] = {"code": code, "message": f"the request {what}"}
            each.append(one)
        return found | {"response": {"inlinedResponses": {"inlinedResponses": each}}}


def stamp(at):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1e6):06d}Z"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.handle_one_of("GET")

    def do_POST(self):
        self.handle_one_of("POST")

    def handle_one_of(self, method):
        state = self.server.state
        data = self.rfile.read(int(self.headers.get("content-length") or 0))
        url = urllib.parse.urlsplit(self.path)
        path, query = url.path, dict(urllib.parse.parse_qsl(url.query))
        if path == "/control":
            return self.answer(200, state_control(state, json.loads(data or b"{}")))
        time.sleep(state.settings.get("wait_s", 0.0))
        with state.lock:
            state.requests.append(f"{method} {path}")
            if state.settings.get("answer"):
                return self.answer(
                    state.settings["answer"], {"error": {"message": "as asked"}}, {"location": "/v1/else"}
                )
            if taken(state.fail, method, path):
                return self.answer(500, {"error": {"message": "a failure was asked for", "type": "server_error"}})
            late = taken(state.late, method, path)
            status, found = route(state, method, path, query, data, self.headers)
        if late:
            return self.answer(500, {"error": {"message": "it was done, and this is said", "type": "server_error"}})
        return self.answer(status, found)

    def answer(self, status, found, headers=()):
        body = found if isinstance(found, bytes) else json.dumps(found).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def taken(counts, method, path):
    """Use one of the failures up that were asked for; a `*` stands for the rest of a path."""
    for key in counts:
        if counts[key] > 0 and (
            key == f"{method} {path}" or (key[-1] == "*" and f"{method} {path}".startswith(key[:-1]))
        ):
            counts[key] -= 1
            return True
    return False


def state_control(state, wanted):
    with state.lock:
        for key in ("fail", "late"):
            if key in wanted:
                setattr(state, key, Counter(wanted.pop(key)))
        state.settings |= wanted
        for batch in state.batches.values():
            batch.settle()
        batches = [{"name": b.name, "api": b.api, "n": len(b.entries), "word": b.word} for b in state.batches.values()]
        return {"billed": state.billed, "requests": state.requests, "batches": batches}


def jsonl(lines):
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def route(state, method, path, query, data, headers):
    """Return status and body."""
    none = 404, {"error": {"message": f"there is no {method} {path}", "type": "invalid_request_error"}}
    if path.startswith("/v1/messages"):
        return anthropic(state, method, path, query, data) or none
    if path.startswith("/v1beta/"):
        return gemini(state, method, path.removeprefix("/v1beta/"), query, data) or none
    if path.startswith("/v1/"):
        return openai(state, method, path.removeprefix("/v1"), query, data, headers) or none
    return none


def at_once(state, api, body):
    shape = SHAPES[api]
    state.bodies.append({name: value for name, value in body.items() if name != "stream"})
    what, status, answer, usage = state.outcome(shape.text_of(body), "sync")
    return (
        (200, shape.reply(body, answer, usage, state.name("once"))) if what == "ok" else (status, shape.error(status))
    )


def openai(state, method, path, query, data, headers):
    if (method, path) == ("POST", "/chat/completions"):
        return at_once(state, "openai", json.loads(data))
    if (method, path) == ("POST", "/files"):
        head = f"content-type: {headers['content-type']}\r\n\r\n".encode()
        parts = {}
        for part in BytesParser(policy=HTTP).parsebytes(head + data).iter_parts():
            parts[part.get_param("name", header="content-disposition")] = part.get_payload(decode=True)
        assert parts["purpose"].strip() == b"batch"
        name = state.name("file-")
        state.files[name] = parts["file"]
        return 200, {"id": name, "object": "file", "purpose": "batch", "bytes": len(parts["file"])}
    if (method, path) == ("POST", "/batches"):
        asked = json.loads(data)
        assert asked["completion_window"] == "24h"
        assert asked["endpoint"] == "/v1/chat/completions"
        lines = [json.loads(line) for line in state.files[asked["input_file_id"]].splitlines()]
        assert all(line["method"] == "POST" and line["url"] == asked["endpoint"] for line in lines)
        entries = [(line["custom_id"], line["body"]) for line in lines]
        batch = Batch(state, "openai", state.name("batch_"), entries, asked.get("metadata") or {})
        state.batches[batch.name] = batch
        return 200, batch.openai() | {"status": "validating"}
    if (method, path) == ("GET", "/batches"):
        return 200, page_of(state, "openai", query.get("after"), int(query.get("limit", 20)))
    if path.startswith("/batches/"):
        name, _, verb = path.removeprefix("/batches/").partition("/")
        batch = state.batches.get(name)
        if batch is None:
            return None
        if verb == "cancel" and batch.results is None:
            batch.cancelled_at = time.time()
            return 200, batch.openai() | {"status": "cancelling"}
        return 200, batch.openai()
    if path.startswith("/files/file-") and path.endswith("/content"):
        kind, _, name = path.removeprefix("/files/file-").removesuffix("/content").partition("-")
        return 200, jsonl(state.batches[name].openai_lines(kind))
    return None


def page_of(state, api, after, limit):
    """Return a page of batches, newest first."""
    size = min(limit, state.settings["page"])
    every = [b for b in reversed(state.batches.values()) if b.api == api]
    names = [b.name for b in every]
    start = 0 if after is None else names.index(after) + 1
    shown = every[start : start + size]
    return {
        "object": "list",
        "data": [getattr(b, api)() for b in shown],
        "has_more": start + size < len(every),
        "last_id": shown[-1].name if shown else None,
    }


def anthropic(state, method, path, query, data):
    rest = path.removeprefix("/v1/messages")
    if (method, rest) == ("POST", ""):
        return at_once(state, "anthropic", json.loads(data))
    if (method, rest) == ("POST", "/batches"):
        entries = [(each["custom_id"], each["params"]) for each in json.loads(data)["requests"]]
        assert len({custom_id for custom_id, _ in entries}) == len(entries)
        if state.settings.get("refuse"):
            return 400, {"type": "error", "error": {"type": "invalid_request_error", "message": "it is not liked"}}
        batch = Batch(state, "anthropic", state.name("msgbatch_"), entries, {})
        state.batches[batch.name] = batch
        return 200, batch.anthropic()
    if (method, rest) == ("GET", "/batches"):
        return 200, page_of(state, "anthropic", query.get("after_id"), int(query.get("limit", 20)))
    name, _, verb = rest.removeprefix("/batches/").partition("/")
    batch = state.batches.get(name)
    if batch is None:
        return None
    batch.settle()
    if verb == "results":
        return (200, jsonl(batch.anthropic_lines())) if batch.results is not None else None
    if verb == "cancel" and batch.results is None:
        batch.cancelled_at = time.time()
    return 200, batch.anthropic()


def gemini(state, method, path, query, data):
    if method == "POST" and path.endswith(":generateContent"):
        return at_once(state, "gemini", json.loads(data))
    if method == "POST" and path.endswith(":batchGenerateContent"):
        asked = json.loads(data)["batch"]
        requests = asked["input_config"]["requests"]["requests"]
        entries = [(each["metadata"]["key"], each["request"]) for each in requests]
        batch = Batch(state, "gemini", f"batches/{state.name('g')}", entries, {"display_name": asked["display_name"]})
        state.batches[batch.name] = batch
        return 200, batch.gemini()
    if (method, path) == ("GET", "batches"):
        size = min(int(query.get("pageSize", 20)), state.settings["page"])
        every = [b for b in reversed(state.batches.values()) if b.api == "gemini"]
        start = int(query.get("pageToken", 0))
        found = {"operations": [b.gemini() for b in every[start : start + size]]}
        return 200, found | ({"nextPageToken": str(start + size)} if start + size < len(every) else {})
    name, _, verb = path.partition(":")
    batch = state.batches.get(name)
    if batch is None:
        return None
    if verb == "cancel":
        if batch.results is None:
            batch.cancelled_at = time.time()
        return 200, {}
    return 200, batch.gemini()


class BatchServer:
    """The server in a thread of this process; as a process of its own, run this file."""

    def __init__(self, *, port=0, log=None, usd_in=1.0, usd_out=4.0, delay_s=0.3):
        self.http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.http.daemon_threads = True
        self.http.state = self.state = State(None if log is None else Path(log), usd_in, usd_out, delay_s)
        self.base = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.openai, self.anthropic, self.gemini = f"{self.base}/v1", self.base, f"{self.base}/v1beta"

    def control(self, **wanted):
        return state_control(self.state, wanted)

    def __enter__(self):
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


def main():
    parser = argparse.ArgumentParser(description="Batch APIs on loopback.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--delay-s", type=float, default=0.0)
    parser.add_argument("--price-in", type=float, default=1.0)
    parser.add_argument("--price-out", type=float, default=4.0)
    given = parser.parse_args()
    server = BatchServer(
        port=given.port, log=given.log, usd_in=given.price_in, usd_out=given.price_out, delay_s=given.delay_s
    )
    sys.stdout.write(f"{server.base}\n")
    sys.stdout.flush()
    server.http.serve_forever()


if __name__ == "__main__":
    main()
