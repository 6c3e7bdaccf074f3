"""A provider of chat completions that costs next to nothing, so that what is measured is what stands before it.

    python bench/upstream.py        # prints its base URL; ends with SIGTERM or Ctrl-C

`tests/server.py`, which misbehaves on request, takes twice the processor's time a request and lets the lateness of a slow stream add up. This one
has one behaviour: twelve words, whole or as events, at once; a prompt that begins with `Slowly` is streamed as forty events, one each 25 ms.
It bills honestly at $1 and $4 a million tokens, a word a token: `GET /stats` gives the calls and nano-dollars of each model's name.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import sys
from collections import Counter
from typing import Any

PRICE_IN_NANO, PRICE_OUT_NANO = 1000, 4000
WORDS = ["The", "answer", "is", "a", "short", "one", "and", "it", "names", "what", "was", "asked."]
N_SLOW, EVERY_S = 40, 0.025
SLOWLY = "Slowly"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Bills:
    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.nano: Counter[str] = Counter()

    def as_json(self) -> bytes:
        return json.dumps({name: {"n": n, "cost_nano": self.nano[name]} for name, n in self.calls.items()}).encode()


class Wire(asyncio.Protocol):
    """One connection: requests one after the other, each with a length of its own."""

    def __init__(self, bills: Bills) -> None:
        self.bills = bills
        self.waiting = b""
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        while (end := self.waiting.find(b"\r\n\r\n")) >= 0:
            length = LENGTH.search(self.waiting, 0, end + 2)
            until = end + 4 + (int(length[1]) if length else 0)
            if len(self.waiting) < until:
                return
            head, body, self.waiting = self.waiting[:end], self.waiting[end + 4 : until], self.waiting[until:]
            if head.startswith(b"GET"):
                self.whole(self.bills.as_json())
            else:
                self.chat(json.loads(body))

    def whole(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self.transport.write(head % len(body) + body)

    def chat(self, body: dict[str, Any]) -> None:
        texts = [said(message.get("content")) for message in body["messages"]]
        slow = bool(body.get("stream")) and texts[-1].startswith(SLOWLY)
        words = [WORDS[n % len(WORDS)] for n in range(N_SLOW)] if slow else WORDS
        n_in, n_out = sum(len(text.split()) for text in texts), len(words)
        name = str(body["model"])
        self.bills.calls[name] += 1
        self.bills.nano[name] += n_in * PRICE_IN_NANO + n_out * PRICE_OUT_NANO
        usage = {"prompt_tokens": n_in, "completion_tokens": n_out, "total_tokens": n_in + n_out}
        common = {"id": f"chatcmpl-{sum(self.bills.calls.values())}", "created": 1_700_000_000, "model": name}
        if not body.get("stream"):
            choice = {
                "index": 0,
                "message": {"role": "assistant", "content": " ".join(words)},
                "finish_reason": "stop",
            }
            self.whole(
                json.dumps({**common, "object": "chat.completion", "choices": [choice], "usage": usage}).encode()
            )
            return
        common["object"] = "chat.completion.chunk"
        self.transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        pieces = [words[0], *(f" {word}" for word in words[1:])]
        events = [event(common, {"role": "assistant", "content": ""})]
        events += [event(common, {"content": piece}) for piece in pieces]
        last = [event(common, {}, "stop")]
        if (body.get("stream_options") or {}).get("include_usage"):
            last.append(chunk(json.dumps({**common, "choices": [], "usage": usage})))
        last += [chunk("[DONE]"), b"0\r\n\r\n"]
        if slow:
            self.drip(events, b"".join(last))
        else:
            self.transport.write(b"".join(events + last))

    def drip(self, events: list[bytes], last: bytes) -> None:
        """Write one event each 25 ms by the clock, so that lateness does not add up."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for n, each in enumerate([*events, last]):
            loop.call_at(began + n * EVERY_S, self.transport.write, each)


def said(content: Any) -> str:
    """Return the text of a message, given as a string or in parts."""
    return content if isinstance(content, str) else " ".join(part.get("text") or "" for part in content or [])


def event(common: dict[str, Any], delta: dict[str, Any], finish: str | None = None) -> bytes:
    return chunk(json.dumps({**common, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}))


def chunk(data: str) -> bytes:
    line = f"data: {data}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(line), line)


async def main() -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop.set)
    bills = Bills()
    server = await loop.create_server(lambda: Wire(bills), "127.0.0.1", 0, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
    sys.exit(0)
