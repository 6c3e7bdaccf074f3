"""A loopback server that answers chat completions as cheaply as Python can: what is measured is who asks.

python bench/quick_server.py [--latency-ms 50]

Prints its base URL. When its standard input ends, it prints one JSON object: how many requests came, the seconds between the first and the last, and the
CPU seconds that it took itself. One answer for everybody, after the latency; keep-alive; bodies by Content-Length.
"""

import argparse
import asyncio
import json
import sys
import time

BODY = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "ok",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": "one two three four five"},
            }
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }
).encode()
REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


class Quick(asyncio.Protocol):
    """One connection."""

    times: list[float] = []  # noqa: RUF012 - of all connections
    latency_s = 0.05

    def connection_made(self, transport):
        self.transport = transport
        self.held = b""
        self.loop = asyncio.get_running_loop()

    def data_received(self, data):
        self.held += data
        while (end := self.held.find(b"\r\n\r\n")) >= 0:
            head = self.held[:end].lower()
            at = head.find(b"content-length:")
            size = 0 if at < 0 else int(head[at + 15 :].split(b"\r\n", 1)[0])
            if len(self.held) < end + 4 + size:
                return
            self.held = self.held[end + 4 + size :]
            self.times.append(time.monotonic())
            self.loop.call_later(self.latency_s, self.answer)

    def answer(self):
        if not self.transport.is_closing():
            self.transport.write(REPLY)


async def serve(latency_s):
    Quick.latency_s = latency_s
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Quick, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    times = Quick.times
    span = times[-1] - times[0] if times else 0.0
    print(json.dumps({"requests": len(times), "seconds": span, "cpu_s": time.process_time()}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency-ms", type=float, default=50.0)
    asyncio.run(serve(parser.parse_args().latency_ms / 1000.0))
