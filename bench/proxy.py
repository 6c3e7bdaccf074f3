"""LiteLLM's proxy and scrimp's routing together: what may be trusted with money, and what it costs.

python bench/proxy.py hooks    what a callback in the proxy hears of calls that go well, fail, are tried again, and whose client goes away
python bench/proxy.py team     `scrimp serve` behind the proxy (docs/examples/litellm-proxy.yaml): caps, costs, clients that go away, speed

The proxy is that of the locked version of litellm, in an environment of its own (made on first use from the package index), without a database, on loopback;
the provider is tests/server.py, whose own bill is what counts.
"""

from __future__ import annotations

import argparse
import json
import socket
import sqlite3
import statistics
import sys
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from billing import BillingServer
from gateways import LiteLLMProxy, Serve, two_arms
from installed import MissingError

CALLBACK = """
import json, os
from litellm.integrations.custom_logger import CustomLogger

def put(**said):
    with open(os.environ["EVENTS"], "a") as file:
        file.write(json.dumps(said, default=str) + "\\n")

class Hears(CustomLogger):
    async def async_pre_call_hook(self, user_api_key_dict, cache, data, call_type):
        put(hook="pre_call")
        return data
    async def async_pre_call_deployment_hook(self, kwargs, call_type):
        put(hook="pre_call_deployment")
        return kwargs
    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        put(hook="success", cost=kwargs.get("response_cost"))
    async def async_log_failure_event(self, kwargs, response_obj, start_time, end_time):
        put(hook="failure")
    async def async_post_call_failure_hook(self, request_data, original_exception, user_api_key_dict, traceback_str=None):
        put(hook="post_call_failure", why=str(original_exception)[:200])

hears = Hears()
"""
HOOKS = ("pre_call", "pre_call_deployment", "success", "failure", "post_call_failure")
MESSAGES = [{"role": "user", "content": "Name a colour, with care."}]


class Proxy(LiteLLMProxy):
    """The proxy with a callback that hears, and models of its own."""

    def __init__(self, folder, models, *, retries=0):
        super().__init__(folder, "")
        self.models, self.retries = models, retries
        self.events = folder / "events.jsonl"
        (folder / "hears.py").write_text(CALLBACK)

    def config(self):
        models = [
            {"model_name": name, "litellm_params": {"model": model, "api_base": base, "api_key": key}}
            for name, (model, base, key) in self.models.items()
        ]
        return {
            "model_list": models,
            "litellm_settings": {
                "callbacks": "hears.hears", "telemetry": False, "num_retries": self.retries, "request_timeout": 600,
                "add_user_information_to_llm_headers": True,
            },
            "router_settings": {"num_retries": self.retries, "disable_cooldowns": True, "retry_after": 0},
            "general_settings": {
                "master_key": self.token, "disable_spend_logs": True, "always_include_stream_usage": True,
                "forward_client_headers_to_llm_api": True,
            },
        }  # fmt: skip

    def spawn(self, argv, env=None, **kwargs):
        super().spawn(argv, {**(env or {}), "EVENTS": str(self.events)}, **kwargs)

    def heard(self, since=0):
        lines = self.events.read_text().splitlines() if self.events.exists() else []
        return [json.loads(line) for line in lines[since:]]


class Tagged(Serve):
    """The endpoint, which takes labels from a header that the proxy sets for each key."""

    def spawn(self, argv, env=None, **kwargs):
        super().spawn([*argv, "--tag-header", "x-litellm-user_api_key_user_id"], env, **kwargs)


def post(gateway, body, timeout=60):
    """Return the status, headers and text of an answer."""
    request = urllib.request.Request(
        f"{gateway.url}/v1/chat/completions",
        json.dumps({"messages": MESSAGES, **body}).encode(),
        {"content-type": "application/json", "authorization": f"Bearer {gateway.token}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def leave(gateway, body, after_s):
    """Ask, and go away."""
    text = json.dumps({"messages": MESSAGES, **body}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {gateway.token}\r\ncontent-length: {len(text)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", gateway.port)) as sock:
        sock.sendall(head.encode() + text)
        time.sleep(after_s)


def hooks(_args):
    """Ask in several ways, and count what the callback hears of each beside what the provider saw and billed."""
    with tempfile.TemporaryDirectory() as name, BillingServer(Path(name) / "bills.jsonl", 1) as server:
        folder = Path(name)
        names = {
            "ok": "ok", "again": "500-2-then-ok", "slow": "ok@latency_ms=2500", "drip": "drip@tokens=30,pause_s=0.1",
            "broken": "500",
        }  # fmt: skip
        models = {key: (f"openai/{model}", server.base_url, "none") for key, model in names.items()}
        with Proxy(folder, models, retries=2) as proxy:
            post(proxy, {"model": "ok"})
            cases = {
                "it goes well": lambda: post(proxy, {"model": "ok"}),
                "a stream goes well": lambda: post(proxy, {"model": "ok", "stream": True}),
                "fails twice, tried again": lambda: post(proxy, {"model": "again"}),
                "fails each time": lambda: post(proxy, {"model": "broken"}),
                "client goes away": lambda: leave(proxy, {"model": "slow"}, 1.0),
                "client leaves a stream": lambda: leave(proxy, {"model": "drip", "stream": True}, 1.0),
            }
            print(f"{'':26}" + "".join(f"{hook:>20}" for hook in HOOKS) + f"{'provider saw':>14} {'billed':>10}")
            for what, do in cases.items():
                time.sleep(1.0)
                heard, saw = len(proxy.heard()), len(server.bills())
                do()
                time.sleep(4.0)
                told = [each["hook"] for each in proxy.heard(heard)]
                bills = server.bills()[saw:]
                billed = sum(each["cost_nano"] for each in bills) / 1e9
                counts = "".join(f"{told.count(hook):20}" for hook in HOOKS)
                print(f"{what:26}{counts}{len(bills):14} {billed:10.6f}", flush=True)


def speed(gateway, asks):
    """Return the median of some asks one by one, ms, and how many a second come back of four times as many, 16 at once."""
    body = {"model": "scrimp", "max_tokens": 1}
    times = []
    for _ in range(asks):
        began = time.perf_counter()
        assert post(gateway, body)[0] == 200
        times.append(time.perf_counter() - began)
    began = time.perf_counter()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: post(gateway, body), range(asks * 4)))
    return statistics.median(times) * 1000.0, asks * 4 / (time.perf_counter() - began)


def costs(proxy, rows):
    """Hold what the proxy would charge a team against what scrimp was charged, for an answer in one piece and a stream."""
    for stream in (False, True):
        heard = len(proxy.heard())
        status, headers, text = post(proxy, {"model": "scrimp/cheap", "stream": stream})
        assert status == 200, text
        time.sleep(1.5)
        (cost,) = [each["cost"] for each in proxy.heard(heard) if each["hook"] == "success"]
        ((charged,),) = rows("SELECT charged_nano FROM reservations ORDER BY id DESC LIMIT 1")
        which = f"{'stream' if stream else 'plain'}, arm {headers.get('llm_provider-x-scrimp-arm')}"
        print(f"{which}: the proxy's cost ${cost:.9f}, scrimp's ${charged / 1e9:.9f}")
        assert abs(cost * 1e9 - charged) < 1.0


def flood(proxy, server, rows, args):
    """Ask for more than the cap leaves, many at once."""
    saw = len(server.bills())
    with ThreadPoolExecutor(48) as pool:
        answers = list(pool.map(lambda i: post(proxy, {"model": "scrimp", "stream": bool(i % 2)}), range(args.flood)))
    statuses = [status for status, _, _ in answers]
    refused = next((text for status, _, text in answers if status != 200), "")
    billed = sum(each["cost_nano"] for each in server.bills()) / 1e9
    ((charged, n_open),) = rows("SELECT sum(charged_nano) / 1e9, sum(status = 'reserved') FROM reservations")
    counts = {status: statuses.count(status) for status in sorted(set(statuses))}
    print(
        f"{args.flood} requests, 48 at once, under a cap of ${args.cap}: {counts}; calls made {len(server.bills()) - saw}"
    )
    print(f"billed in all ${billed:.6f}, charged ${charged:.6f}, still reserved {n_open}; refused as: {refused[:300]}")
    assert billed <= float(args.cap), "the cap was broken"


def team(args):
    """Run scrimp behind the proxy."""
    with tempfile.TemporaryDirectory() as name, BillingServer(Path(name) / "bills.jsonl", 2) as server:
        folder = Path(name)
        profile = two_arms(folder, server.base_url, model="ok", cap_usd=args.cap)
        with Tagged(folder, str(profile)) as serve:
            ledger = f"file:{serve.home / 'scrimp.db'}?mode=ro"
            behind = {"scrimp*": ("openai/scrimp*", f"{serve.url}/v1", serve.token)}

            def rows(sql):
                with sqlite3.connect(ledger, uri=True) as conn:
                    return conn.execute(sql).fetchall()

            with Proxy(folder, behind) as proxy:
                costs(proxy, rows)
                print("labels:", *rows("SELECT DISTINCT tag FROM reservations"))
                for _ in range(2):
                    for who, gateway in (("serve alone", serve), ("behind the proxy", proxy)):
                        cpu = serve.cpu_s() + proxy.cpu_s()
                        median, rate = speed(gateway, args.asks)
                        cpu = (serve.cpu_s() + proxy.cpu_s() - cpu) / (args.asks * 5) * 1000.0
                        print(f"{who:17} median {median:5.1f} ms; 16 at once {rate:5.0f}/s; {cpu:.1f} ms CPU each")
                flood(proxy, server, rows, args)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(required=True)
    one = parts.add_parser("hooks")
    one.set_defaults(do=hooks)
    one = parts.add_parser("team")
    one.add_argument("--cap", default="0.06")
    one.add_argument("--asks", type=int, default=50)
    one.add_argument("--flood", type=int, default=300)
    one.set_defaults(do=team)
    args = parser.parse_args()
    try:
        args.do(args)
    except MissingError as error:
        print(f"LiteLLM's proxy cannot be had: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
