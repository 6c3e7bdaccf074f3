"""What `scrimp serve` adds to a call, beside the provider asked directly and LiteLLM's proxy in the same place.

    uv run python bench/serve.py                            # everything; about ten minutes
    uv run python bench/serve.py --parts latency,streams
    uv run python bench/serve.py --parts memory --requests 2000
    uv run python bench/serve.py --parts rate --under 'py-spy record -o serve.svg --'

Every prompt is a new one, so nothing comes from a cache; `serve` routes each between two arms, with caps and log on. All sides answer from the
same upstream (`upstream.py`), on the same cores, in turns within one run. The load is a process of its own (`load.py`). LiteLLM's proxy,
of the version in uv.lock, is installed into a cache folder: one worker, a master key, no database, no logging. Parts:

latency   a short chat, one at a time, each request to each side in turn: whole, and the first word of a stream. Added: the difference of medians
          (of 95th percentiles). Target: serve adds <= 15 ms in the median.
streams   16 streams at a time of 40 events over one second, begun at different moments. Added: each stream's whole time less the median of the direct ones; its
          95th percentile. Target: <= 40 ms. A row without a target begins all 16 at one instant.
rate      32 chats in flight: requests a second. Target: serve >= 0.9 times the proxy.
memory    resident memory of serve (less what is shared) after 1,000 requests and after 10,000. Target: <= 1.05 times.
books     (with any of these) the ledger of all that was measured against what the upstream sold to serve. Target: equal to the nano-dollar.
caps      1,000 chats, half of them streamed, at one instant on a cap of $1.00 with 20 `scrimp ask` beside them, against a server that bills by itself and
          whose answers vary in length. Targets: the bill within the cap; every settled row equal to its bill to the nano-dollar; no row unknown.

Exit status 1 when a target is missed or anything failed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accounts import account
from billing import LIMIT, BillingServer
from gateways import SCRIMP, Gateway, LiteLLMProxy, Serve, Upstream, two_arms
from installed import MissingError

LOAD = Path(__file__).with_name("load.py")


@dataclass
class Table:
    """The rows of the result, printed as they come and again at the end."""

    rows: list[tuple[str, str, str, str, str]] = field(default_factory=list)

    def add(self, what: str, figures: str, figure: str = "", target: str = "", *, ok: bool | None = None) -> None:
        verdict = "" if ok is None else "ok" if ok else "MISSED"
        self.rows.append((what, figures, figure, target, verdict))
        print(self.line(self.rows[-1]), flush=True)

    def line(self, row: tuple[str, str, str, str, str]) -> str:
        return f"{row[0]:<34} {row[1]:<58} {row[2]:>14}  {row[3]:<10} {row[4]}".rstrip()

    @property
    def missed(self) -> bool:
        return any(row[4] == "MISSED" for row in self.rows)


@dataclass(frozen=True)
class Sides:
    """Who answers: the upstream itself, serve, and the proxy where it could be had."""

    upstream: Upstream
    serve: Serve
    proxy: Gateway | None

    @property
    def all(self) -> dict[str, Gateway]:
        sides: dict[str, Gateway] = {"direct": self.upstream, "serve": self.serve}
        return sides if self.proxy is None else {**sides, "litellm": self.proxy}


_seeds = iter(range(1, 10**9))


def load(sides: dict[str, Gateway], *, allowed: tuple[int, ...] = (200,), **plan: Any) -> dict[str, Any]:
    """Run the load generator in a process of its own; stop at any status that is not allowed."""
    targets = {name: side.target for name, side in sides.items()}
    plan = {"targets": targets, "seed": f"{os.getpid()}-{next(_seeds)}", **plan}
    done = subprocess.run(
        [sys.executable, str(LOAD)], input=json.dumps(plan), stdout=subprocess.PIPE, text=True, check=True
    )
    result: dict[str, Any] = json.loads(done.stdout)
    wrong = Counter((name, status) for name, _, _, status in result["samples"] if status not in allowed)
    if wrong:
        raise SystemExit(f"not answered (side, status; 0: connection lost): {dict(wrong)}")
    return result


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def warm(sides: Sides) -> None:
    for side in sides.all.values():
        load({"one": side}, n=100, in_flight=4)
        load({"one": side}, n=40, in_flight=4, stream=True)


# ---- parts


def latency(sides: Sides, table: Table, rounds: int) -> None:
    for stream, column, what in ((False, 2, "whole"), (True, 1, "first word")):
        times: dict[str, list[float]] = {name: [] for name in sides.all}
        for _ in range(rounds):
            for name, *sample in load(sides.all, n=60, turns=True, stream=stream)["samples"]:
                times[name].append(sample[column - 1] * 1000)
        for share, target in ((0.5, 15.0), (0.95, None)):
            at = {name: percentile(values, share) for name, values in times.items()}
            figures = ", ".join(f"{name} {value:.1f}" for name, value in at.items()) + " ms"
            added = {name: value - at["direct"] for name, value in at.items() if name != "direct"}
            beside = f" (litellm +{added['litellm']:.1f})" if "litellm" in added else ""
            table.add(
                f"latency: {what}, p{share * 100:.0f}",
                figures + beside,
                f"+{added['serve']:.1f} ms",
                "" if target is None else f"<= {target:.0f} ms",
                ok=None if target is None else added["serve"] <= target,
            )


def streams(sides: Sides, table: Table, rounds: int) -> None:
    for stagger, what in ((1.0, "begun apart"), (0.0, "at one instant")):
        times: dict[str, list[float]] = {name: [] for name in sides.all}
        for _ in range(rounds):
            for name, side in sides.all.items():
                n = 64 if stagger else 16
                plan = {"n": n, "in_flight": 16, "stagger_s": stagger, "stream": True, "slow": True}
                times[name] += [sample[2] * 1000 for sample in load({name: side}, **plan)["samples"]]
        base = statistics.median(times["direct"])
        added = {name: [value - base for value in values] for name, values in times.items()}
        p50, p95 = ({name: percentile(values, share) for name, values in added.items()} for share in (0.5, 0.95))
        figures = ", ".join(f"{name} +{p50[name]:.1f}/{p95[name]:.1f}" for name in added) + " ms (p50/p95)"
        table.add(
            f"streams: 16 {what}, p95",
            figures,
            f"+{p95['serve']:.1f} ms",
            "<= 40 ms" if stagger else "",
            ok=p95["serve"] <= 40 if stagger else None,
        )


def rate(sides: Sides, table: Table, rounds: int, seconds: float) -> None:
    rates: dict[str, list[float]] = {name: [] for name in sides.all}
    cpu: dict[str, list[float]] = {name: [] for name in sides.all}
    for _ in range(rounds):
        for name, side in sides.all.items():
            before = side.cpu_s()
            done = load({name: side}, seconds=seconds if name != "direct" else 1.0, in_flight=32)
            rates[name].append(len(done["samples"]) / done["elapsed_s"])
            cpu[name].append((side.cpu_s() - before) * 1000 / len(done["samples"]))
    middle = {name: statistics.median(values) for name, values in rates.items()}
    figures = ", ".join(f"{name} {value:.0f}" for name, value in middle.items()) + " a second"
    if "litellm" in middle:
        ratio = middle["serve"] / middle["litellm"]
        table.add("rate: 32 in flight", figures, f"{ratio:.2f} of proxy", ">= 0.9", ok=ratio >= 0.9)
    else:
        table.add("rate: 32 in flight", figures)
    table.add(
        "rate: processor a request",
        ", ".join(f"{name} {statistics.median(ms):.2f}" for name, ms in cpu.items()) + " ms",
    )


def memory(sides: Sides, table: Table, requests: int) -> None:
    first = max(1, requests // 10)
    load({"serve": sides.serve}, n=first, in_flight=16)
    before = sides.serve.memory_mb()
    load({"serve": sides.serve}, n=requests - first, in_flight=16)
    after = sides.serve.memory_mb()
    table.add(
        f"memory: after {first:,} and {requests:,}",
        f"serve {before:.1f} and {after:.1f} MB",
        f"{after / before:.3f} times",
        "<= 1.05",
        ok=after / before <= 1.05,
    )


def books(sides: Sides, table: Table) -> None:
    sold = sides.upstream.stats()
    n = sum(sold[name]["n"] for name in ("small", "large") if name in sold)
    nano = sum(sold[name]["cost_nano"] for name in ("small", "large") if name in sold)
    ours = account(sides.serve.home / "scrimp.db")
    equal = (
        len(ours.settled) == n
        and ours.charged == nano
        and not ours.unsure
        and not ours.n_live
        and not ours.n_wrong_sums
    )
    table.add(
        "books: ledger and bill",
        f"{n:,} calls sold, {len(ours.settled):,} settled, {len(ours.unsure)} unknown, {ours.n_live} live",
        f"{ours.charged - nano:+d} nano",
        "equal",
        ok=equal,
    )


def caps(table: Table, folder: Path, chats: int, asks: int) -> None:
    cap_nano = 10**9
    with BillingServer(folder / "bills.jsonl", seed=1) as server:
        profile = two_arms(folder, server.base_url, model="ok", cap_usd="1.00")
        with Serve(folder, str(profile)) as serve:
            load({"serve": serve}, n=4)  # a fair crowd: what a first call loads is loaded
            argv = [SCRIMP, "ask", "-p", str(profile), "-q"]
            beside = [
                subprocess.Popen(
                    [*argv, f"Ask {n}: name some colours"],
                    env=os.environ | serve.env,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                for n in range(asks)
            ]
            try:
                crowd = load(
                    {"serve": serve}, n=chats, in_flight=chats, stream="half", max_tokens=LIMIT, allowed=(200, 402, 429)
                )
                codes = Counter(each.wait(600) for each in beside)
            finally:
                for each in beside:
                    each.kill()
                    each.wait()
        ours = account(serve.home / "scrimp.db")
    bills = sorted(row["cost_nano"] for row in server.bills())
    statuses = Counter(sample[3] for sample in crowd["samples"])
    slowest = max(sample[2] for sample in crowd["samples"])
    bitten = set(statuses) != {200} or 3 in codes
    held = sum(bills) < cap_nano and ours.charged <= cap_nano and not set(codes) - {0, 3, 75}
    table.add(
        f"caps: {chats:,} chats, {asks} asks, $1.00",
        f"chats {dict(statuses)}, asks by exit code {dict(codes)}, slowest {slowest:.0f} s, {ours.charged / cap_nano:.0%} used",
        f"${sum(bills) / 1e9:.6f}",
        "< $1.00" if bitten else "(too few chats to reach it)",
        ok=held if bitten else None,
    )
    table.add(
        "caps: ledger and bill",
        f"{len(bills)} calls sold, {len(ours.settled)} settled, {len(ours.unsure)} unknown, {ours.n_live} live",
        f"{ours.charged - sum(bills):+d} nano",
        "equal",
        ok=sorted(ours.settled) == bills and not ours.unsure and not ours.n_live and not ours.n_wrong_sums,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default="latency,streams,rate,memory,caps")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of a round of `rate`")
    parser.add_argument("--requests", type=int, default=10_000, help="of `memory`")
    parser.add_argument("--chats", type=int, default=1000, help="of `caps`, at one instant")
    parser.add_argument("--asks", type=int, default=20, help="of `caps`, beside them")
    parser.add_argument("--no-peers", action="store_true", help="leave LiteLLM's proxy out")
    parser.add_argument(
        "--under", default="", metavar="COMMAND", help="run serve under a profiler: its command line up to --"
    )
    args = parser.parse_args()
    parts = args.parts.split(",")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    table = Table()
    with tempfile.TemporaryDirectory(prefix="scrimp-bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        if set(parts) - {"caps"}:
            (folder / "sides").mkdir()
            upstream = stack.enter_context(Upstream(folder / "sides"))
            profile = two_arms(folder / "sides", f"{upstream.url}/v1")
            serve = stack.enter_context(Serve(folder / "sides", str(profile), under=args.under))
            proxy = None
            if not args.no_peers and set(parts) & {"latency", "streams", "rate"}:
                try:
                    proxy = stack.enter_context(LiteLLMProxy(folder / "sides", f"{upstream.url}/v1"))
                except MissingError as error:
                    print(f"LiteLLM's proxy is not measured: {error}", file=sys.stderr)
            sides = Sides(upstream, serve, proxy)
            warm(sides)
            if "latency" in parts:
                latency(sides, table, args.rounds)
            if "streams" in parts:
                streams(sides, table, args.rounds)
            if "rate" in parts:
                rate(sides, table, args.rounds, args.seconds)
            if "memory" in parts:
                memory(sides, table, args.requests)
            books(sides, table)
            stack.close()
        if "caps" in parts:
            (folder / "caps").mkdir()
            caps(table, folder / "caps", args.chats, args.asks)
    print("\n" + "\n".join(map(table.line, table.rows)))
    return 1 if table.missed else 0


if __name__ == "__main__":
    sys.exit(main())
