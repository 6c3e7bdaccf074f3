"""Try to spend more than a cap: many processes, one ledger, a server that bills by itself, and kill -9.

    python bench/caps.py                        # 50 processes x 20 calls, cap $1.00; under ten minutes
    python bench/caps.py --parts hold,kill --workers 8 --calls 10 --cap 0.05
    python bench/caps.py --json

Parts: `hold` (all workers live), `kill` (every fifth is killed in the middle of its work), `rate` (what the ledger alone can
take), `peers` (other tools in the place of the ledger: `peers.py`). The server runs in a process of its own; the length
of its answers, and so their cost, varies (lognormal, sigma 0.7) up to three times the median and more, within the limit
that is sent. Calls go the way of `scrimp ask`: the real decision, reservation, LiteLLM over HTTP, settlement; only the
embedder is left out, which has no say in money. Workers are forked from a parent that has imported LiteLLM, since
fifty imports would take minutes; each opens the ledger for itself.

Exit status 1 when a promise is broken: the server's bill within the cap, the ledger's settled rows equal to it to the
nano-dollar, each unknown call's true cost within its reservation, 95% of the cap used while work remains.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import peers
from billing import LIMIT, PRICE_IN, PRICE_OUT, BillingServer, fork, wait_for

from scrimp.profiles.errors import BudgetRefusedError
from scrimp.profiles.money import format_usd, nano_from_usd
from scrimp.profiles.schema import Arm, Caps, Policy, Price, Profile
from scrimp.routing.asking.request import Ask
from scrimp.routing.asking.workspace import Workspace
from scrimp.routing.deciding.decide import Decider, Wishes
from scrimp.routing.ledger import caps as budget_caps
from scrimp.routing.ledger import reservations
from scrimp.routing.ledger.store import open_ledger
from scrimp.routing.prices.table import PriceTable
from scrimp.routing.prompts.prompt import Prompt
from scrimp.routing.router.tier_prior import TierPrior

PART_DEADLINE_S = 140.0


@dataclass(frozen=True)
class Plan:
    workers: int
    calls: int
    cap_nano: int
    seed: int
    folder: Path


class NoEmbedder:
    """Stands in for the embedder: money does not depend on it."""

    id = "none"

    def embed(self, texts: Any) -> Any:
        return np.zeros((len(texts), 4), dtype=np.float32)


def make_profile(base_url: str, cap_nano: int) -> Profile:
    price = Price(input_usd_per_mtok=Decimal(PRICE_IN), output_usd_per_mtok=Decimal(PRICE_OUT))
    arm = Arm(
        name="small",
        model="openai/ok",
        api_base=base_url,
        max_output_tokens=LIMIT,
        price=price,
        tier="small",
        timeout_s=60.0,
        context_window=100_000,
    )
    caps = Caps(per_day_usd=Decimal(cap_nano) / 10**9)
    return Profile(name="stress", default_arm="small", arms=(arm,), caps=caps, policy=Policy(explore=0.0))


# ---- workers


def ask_away(decider: Decider, path: Path, worker: int, calls: int, report: Path, seed: int) -> None:
    """Ask `calls` prompts, one after the other; write down what came of each."""
    rng = random.Random(seed * 1000 + worker)
    with open_ledger(path) as ledger, report.open("w") as out:
        space = Workspace(decider, ledger, lambda _arm: "k", rng=rng)
        for n in range(calls):
            request = Ask(Prompt(f"worker {worker} call {n}: name some colours"), Wishes(arm="small"))
            try:
                answer = space.answer(request)
                what = {"ok": True, "cost_nano": answer.cost_nano}
            except BudgetRefusedError as error:
                what = {"ok": False, "refused": error.message}
            except Exception as error:
                what = {"ok": False, "error": f"{type(error).__name__}: {error}"}
            out.write(json.dumps(what) + "\n")
            out.flush()


# ---- parts


def stress(plan: Plan, *, kill: bool) -> dict[str, Any]:
    """Let all workers spend at once; with `kill`, kill every fifth in the middle."""
    from scrimp.routing.calls.dispatch import prepare

    prepare()
    import openai.resources  # noqa: F401  # what a first call imports: else each worker would, for half a second

    name = "kill" if kill else "hold"
    folder = plan.folder / name
    folder.mkdir()
    path = folder / "scrimp.db"
    open_ledger(path).close()
    began = time.monotonic()
    rng = random.Random(plan.seed)
    with BillingServer(folder / "server.jsonl", plan.seed) as server:
        decider = Decider(make_profile(server.base_url, plan.cap_nano), PriceTable.load(), TierPrior(), NoEmbedder())
        reports = [folder / f"worker-{n}.jsonl" for n in range(plan.workers)]
        pids = [fork(ask_away, decider, path, n, plan.calls, reports[n], plan.seed) for n in range(plan.workers)]
        killed = 0
        if kill:
            for pid in rng.sample(pids, max(1, plan.workers // 5)):
                # After a few of this worker's calls, wherever it then is.
                report = reports[pids.index(pid)]
                wanted, patience = rng.randint(0, max(1, plan.calls // 3)), time.monotonic() + 20
                while time.monotonic() < patience and _lines(report) < wanted:
                    time.sleep(0.01)
                time.sleep(rng.random() * 0.15)
                if os.waitpid(pid, os.WNOHANG)[0] == 0:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                    killed += 1
                pids.remove(pid)
                reports.remove(report)
        late = wait_for(pids, began + PART_DEADLINE_S)
        time.sleep(0.3)  # what dead clients asked for is billed all the same
    seconds = time.monotonic() - began
    return judge(plan, folder, server.bills(), seconds=seconds, killed=killed, late=late, name=name)


def _lines(path: Path) -> int:
    try:
        return path.read_bytes().count(b"\n")
    except OSError:
        return 0


def judge(
    plan: Plan, folder: Path, bills: list[dict[str, Any]], *, seconds: float, killed: int, late: int, name: str
) -> dict[str, Any]:
    """Hold the server's bill against the ledger."""
    billed: dict[str, int] = {}
    for bill in bills:
        prompt = bill["body"]["messages"][-1]["content"]
        billed[prompt] = billed.get(prompt, 0) + bill["cost_nano"]
    outcomes = [
        json.loads(line) for report in folder.glob("worker-*.jsonl") for line in report.read_text().splitlines()
    ]
    with open_ledger(folder / "scrimp.db") as ledger:
        reservations.reap(ledger, now=time.time())
        rows = ledger.rows(
            "SELECT r.status, r.charged_nano, r.reserved_nano, r.breach, q.prompt FROM reservations r "
            "JOIN requests q ON q.id = r.request_id"
        )
        wrong_sums = len(reservations.audit_balances(ledger))
    settled = [row for row in rows if row["status"] == "settled"]
    unsure = [row for row in rows if row["status"] in ("unknown", "unverified")]
    true_total = sum(bill["cost_nano"] for bill in bills)
    charged = sum(row["charged_nano"] for row in rows)
    unlike = [row for row in settled if row["charged_nano"] != billed.get(row["prompt"], 0)]
    under = [row for row in unsure if billed.get(row["prompt"], 0) > row["reserved_nano"]]
    costs = sorted(row["charged_nano"] for row in settled)
    refused = sum("refused" in outcome for outcome in outcomes)
    errors = [outcome["error"] for outcome in outcomes if "error" in outcome]
    checks = {
        "bill within cap": true_total <= plan.cap_nano,
        "charged within cap": charged <= plan.cap_nano,
        "settled rows equal the bill": not unlike and len(settled) > 0,
        "unknowns within their reservations": not under,
        "95% of the cap used": refused == 0 or charged >= 0.95 * plan.cap_nano,
        "running sums right": wrong_sums == 0,
        "no errors": not errors and late == 0,
    }
    return {
        "part": name,
        "ok": all(checks.values()),
        "checks": checks,
        "cap_usd": plan.cap_nano / 1e9,
        "billed_usd": true_total / 1e9,
        "charged_usd": charged / 1e9,
        "used": charged / plan.cap_nano,
        "n_calls_wanted": plan.workers * plan.calls,
        "n_paid": len(bills),
        "n_settled": len(settled),
        "n_unknown": len(unsure),
        "n_refused": refused,
        "n_killed": killed,
        "cost_usd_median": costs[len(costs) // 2] / 1e9 if costs else None,
        "cost_usd_max": costs[-1] / 1e9 if costs else None,
        "seconds": round(seconds, 1),
        "errors": errors[:3],
    }


def rate(plan: Plan, *, seconds: float = 4.0) -> dict[str, Any]:
    """Count the pairs of reserve and settle that the ledger takes, from one process and from all at once."""
    result: dict[str, Any] = {"part": "rate", "ok": True}
    for workers in (1, plan.workers):
        folder = plan.folder / f"rate-{workers}"
        folder.mkdir()
        path = folder / "scrimp.db"
        open_ledger(path).close()
        pids = [fork(pairs, path, folder / str(n), seconds) for n in range(workers)]
        late = wait_for(pids, time.monotonic() + seconds + 60)
        counts = [int((folder / str(n)).read_text()) for n in range(workers) if (folder / str(n)).exists()]
        with open_ledger(path) as ledger:
            sound = not reservations.audit_balances(ledger) and ledger.rows("SELECT count(*) AS n FROM reservations")[
                0
            ]["n"] == sum(counts)
        result[f"pairs_per_s_{workers}"] = round(sum(counts) / seconds, 1)
        result["ok"] = result["ok"] and sound and late == 0 and len(counts) == workers
    return result


def pairs(path: Path, report: Path, seconds: float) -> None:
    profile = make_profile("http://127.0.0.1:9/v1", 10**12)
    done = 0
    with open_ledger(path) as ledger:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            now = time.time()
            caps = budget_caps.applicable_caps(ledger, profile, "small", now=now, run_id=f"{os.getpid()}-{done}")
            charge = reservations.Charge("r", "stress", "small", 1000, run_id=f"{os.getpid()}-{done}")
            held = reservations.reserve(ledger, charge, caps, now=now)
            reservations.settle(ledger, held, cost_nano=500, now=now)
            done += 1
    report.write_text(str(done))


# ---- the report


def show(result: dict[str, Any]) -> str:
    name = result["part"]
    if name == "rate":
        figures = ", ".join(
            f"{value:,} from {key.rpartition('_')[2]}" for key, value in result.items() if "pairs" in key
        )
        return f"{name}: reserve + settle pairs a second: {figures}"
    if name.startswith("peer"):
        if result["missing"]:
            return f"{name}: not measured: {result['missing']}"
        return (
            f"{name}: {result['n_paid']} calls, billed ${result['billed_usd']:.4f} of a ${result['cap_usd']:.2f} budget: "
            f"{result['overshoot']:+.1%}; {result['seconds']} s"
        )
    first = (
        f"{name}: {result['n_calls_wanted']} calls wanted, {result['n_paid']} paid, {result['n_refused']} refused, "
        f"{result['n_killed']} workers killed, {result['n_unknown']} calls unknown, {result['seconds']} s"
    )
    second = (
        f"  billed ${result['billed_usd']:.9f}, charged ${result['charged_usd']:.9f} of ${result['cap_usd']:.2f} "
        f"({result['used']:.1%}); a call cost ${result['cost_usd_median']:.6f} in the median, "
        f"${result['cost_usd_max']:.6f} at most"
    )
    lines = [first, second]
    lines += [f"  {'ok ' if passed else 'NOT'} {check}" for check, passed in result["checks"].items()]
    lines += [f"  error: {error}" for error in result["errors"]]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workers", type=int, default=50)
    parser.add_argument("--calls", type=int, default=20, help="calls a worker")
    parser.add_argument("--cap", default="1.00", help="USD")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--parts", default="rate,hold,kill,peers")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(args.workers, args.calls, nano_from_usd(args.cap), args.seed, Path(folder))
        for part in args.parts.split(","):
            done = {
                "hold": lambda: stress(plan, kill=False),
                "kill": lambda: stress(plan, kill=True),
                "rate": lambda: rate(plan),
                "peers": lambda: peers.measure(plan.workers, plan.calls, plan.cap_nano, plan.seed, plan.folder),
            }[part]()
            results += done if isinstance(done, list) else [done]
            if not args.json:
                print("\n".join(map(show, results[-(len(done) if isinstance(done, list) else 1) :])), flush=True)
    if args.json:
        print(json.dumps(results))
    else:
        print(f"cap of {format_usd(plan.cap_nano)}: " + ("held" if all(each["ok"] for each in results) else "NOT held"))
    return 0 if all(each["ok"] for each in results) else 1


if __name__ == "__main__":
    sys.exit(main())
