"""Send chats to HTTP endpoints and take the time of each: a process of its own, told what to do by JSON on stdin.

    echo '{"targets": {"a": {"port": 8000, "path": "/v1/chat/completions", "headers": {}, "model": "ok"}}, "n": 100}' | python bench/load.py

Keys: `targets`, `n` (requests to each target, in all) or `seconds`; `in_flight` (1); `turns` (false: all requests to the first target;
true: to each target in turn, one at a time); `stream` (false; "half": every other one), `slow` (false); `stagger_s` (0: connections begin together; else spread
over that time); `max_tokens` (64); `seed`. Each prompt is a new one. On stdout, one JSON object: `elapsed_s`, and `samples`, rows of
[target, seconds to the first piece of text, seconds to the end, status].
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import re
import sys
import time
from typing import Any

NOUNS = [
    "rivers",
    "bridges",
    "taxes",
    "violins",
    "comets",
    "bread",
    "glaciers",
    "contracts",
    "verbs",
    "batteries",
    "maps",
    "orchards",
    "fevers",
    "magnets",
    "ballads",
    "ports",
    "looms",
    "mirrors",
    "treaties",
    "beetles",
    "sonnets",
    "engines",
    "quarries",
    "tides",
    "ledgers",
    "pigments",
    "lanterns",
    "volcanoes",
    "mosses",
    "kites",
    "turbines",
    "archives",
]
KINDS = [
    "old",
    "quiet",
    "northern",
    "cheap",
    "broken",
    "famous",
    "tiny",
    "patient",
    "copper",
    "royal",
    "damp",
    "early",
    "hollow",
    "painted",
    "distant",
    "stubborn",
]
ASKS = (
    "How are {} {} like {} {}?",
    "What do {} {} and {} {} have in common?",
    "Write a line about {} {} for people who sell {} {}.",
    "Which came first, {} {} or {} {}?",
    "What would a child ask about {} {} and {} {}?",
)
FIRST_TEXT = re.compile(rb'"content": ?"[^"]')


class Connection:
    """One kept-alive connection to a target; opened on first use, and again after it was closed."""

    def __init__(self, target: dict[str, Any], limit: int) -> None:
        self.target = target
        self.limit = limit
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        lines = [f"POST {target['path']} HTTP/1.1", "host: 127.0.0.1", "content-type: application/json"]
        lines += [f"{key}: {value}" for key, value in target["headers"].items()]
        self.head = "\r\n".join(lines).encode()

    async def ask(self, prompt: str, *, stream: bool) -> tuple[float | None, float, int]:
        """Send one chat; return the seconds to its first text (None: it had none) and to its end, and its status."""
        body: dict[str, Any] = {"model": self.target["model"], "max_tokens": self.limit}
        body["messages"] = [{"role": "user", "content": prompt}]
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        data = json.dumps(body).encode()
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.target["port"])
        reader, writer = self.streams
        began = time.perf_counter()
        writer.write(self.head + b"\r\ncontent-length: %d\r\n\r\n" % len(data) + data)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head[9:12])
        first = None
        if b"transfer-encoding: chunked" in head:
            while size := int(await reader.readline(), 16):
                piece = await reader.readexactly(size + 2)
                if first is None and FIRST_TEXT.search(piece):
                    first = time.perf_counter() - began
            await reader.readline()
        elif b"\r\ncontent-length:" in head:
            length = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
            if FIRST_TEXT.search(await reader.readexactly(length)):
                first = time.perf_counter() - began
        else:
            raise SystemExit(f"neither a length nor chunks: {head.decode()}")
        total = time.perf_counter() - began
        if b"\r\nconnection: close" in head:
            self.close()
        return first, total, status

    def close(self) -> None:
        if self.streams is not None:
            self.streams[1].close()
            self.streams = None


def prompts(seed: Any, *, slow: bool) -> Any:
    """Yield short prompts, of about fifteen tokens, any of which comes again about once in a million."""
    rng = random.Random(str(seed))
    while True:
        words = [rng.choice(each) for each in (KINDS, NOUNS, KINDS, NOUNS)]
        yield f"{'Slowly. ' if slow else ''}{rng.choice(ASKS).format(*words)}"


async def run(plan: dict[str, Any]) -> dict[str, Any]:
    texts = prompts(plan.get("seed", 0), slow=plan.get("slow", False))
    asked = itertools.count()
    limit = plan.get("max_tokens", 64)
    samples: list[tuple[str, float | None, float, int]] = []
    left = itertools.count(1)
    until = time.perf_counter() + plan.get("seconds", 1e9)

    async def one(name: str, connection: Connection) -> None:
        stream = next(asked) % 2 == 0 if plan.get("stream") == "half" else bool(plan.get("stream"))
        try:
            first, total, status = await connection.ask(next(texts), stream=stream)
        except (OSError, asyncio.IncompleteReadError):
            connection.close()
            first, total, status = None, 0.0, 0
        samples.append((name, first, total, status))

    async def worker(name: str, wait_s: float) -> None:
        connection = Connection(plan["targets"][name], limit)
        await asyncio.sleep(wait_s)
        while next(left) <= plan.get("n", 1e9) and time.perf_counter() < until:
            await one(name, connection)
        connection.close()

    began = time.perf_counter()
    if plan.get("turns"):
        connections = {name: Connection(target, limit) for name, target in plan["targets"].items()}
        for _ in range(plan["n"]):
            for name, connection in connections.items():
                await one(name, connection)
        for connection in connections.values():
            connection.close()
    else:
        name = next(iter(plan["targets"]))
        many = plan.get("in_flight", 1)
        await asyncio.gather(*(worker(name, n * plan.get("stagger_s", 0.0) / many) for n in range(many)))
    return {"elapsed_s": time.perf_counter() - began, "samples": samples}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(json.load(sys.stdin)))))
