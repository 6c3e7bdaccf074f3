"""What a row of `batch` costs in the ledger: its call begun and ended, by the run's own books, on a real file.

    uv run python bench/ledger.py pairs [--rows 20000] [--group 64] [--repeats 5] [--sent] [--no-log]

Rows are made up: a request with a trace of one arm and a short prompt, one call, one answer, in a profile with caps on a
day, a month and the run. Those of a group begin together with the ends of the group before, as they come from an event loop
or from workers. CPU is that of the whole process: the scribe's thread, SQLite, the journal, the futures. `inserts` writes
the same final rows by one plain `executemany` for each table, with all indices and triggers, in as many transactions.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import tempfile
import time
from decimal import Decimal
from pathlib import Path

from scrimp.profiles.schema import Arm, Caps, Price, Profile
from scrimp.routing.asking.books import Closing, Settlement
from scrimp.routing.batch.files.output import Journal, Result
from scrimp.routing.batch.rows.row_books import Begun, Ended, RunBooks
from scrimp.routing.batch.state.recovery import entry
from scrimp.routing.ledger import batches
from scrimp.routing.ledger.reservations import Charge
from scrimp.routing.ledger.store import instant, new_id, open_ledger

TABLES = ("requests", "reservations", "attempts", "batch_rows")
BOUND = 3650
COST = 230
PRICE = Price(input_usd_per_mtok=Decimal("0.01"), output_usd_per_mtok=Decimal("0.04"))
PROFILE = Profile(
    name="bench",
    caps=Caps(per_day_usd=Decimal(1000), per_month_usd=Decimal(10000), per_run_usd=Decimal(1000)),
    arms=(Arm(name="only", model="openai/ok", api_base="http://127.0.0.1:9/v1", tier="small", price=PRICE),),
    default_arm="only",
)
OPTION = {
    "name": "only", "model": "openai/ok", "quality": 0.7458784847140718, "quality_low": 0.4458784847140718,
    "quality_high": 1.0, "basis": "uncalibrated", "rests_on": "tier and price", "input_tokens": 11, "input_bound": 285,
    "cached_tokens": None, "output_tokens_p50": 20, "output_tokens_p90": 20, "prompt_output_tokens": 49.402449105530145,
    "length_rests_on": "the router", "output_limit": 20, "cost_usd": 9.1e-07, "cost_usd_p90": 9.1e-07,
    "bound_usd": 3.65e-06, "utility": 0.07458693847140718, "propensity": 1.0, "feasible": True, "barrier": None,
    "by_cap": False, "limit_lowered": False, "why": "taken", "near": "", "nearness": 1.0, "learned": 0.0,
    "first_s": None, "seconds": None, "seconds_p90": None, "timed_by": "", "terms": {}, "flip_cost_usd": None,
    "flip_wtp_usd": None,
}  # fmt: skip
TRACE = {
    "schema_version": 1, "id": "", "profile": "bench", "arm": "only", "greedy_arm": "only", "explored": False,
    "propensity": 1.0, "propensity_note": None, "guard": None, "wtp_usd": 0.1, "min_quality": 0.0, "explore": 0.02,
    "ood": 0.0, "similarity": None, "level": None, "against": None, "price_share": None, "router_version": "tier-prior",
    "embedder_id": "", "input_tokens": 11, "required": [], "pace": None, "plan": None, "plans": [],
    "conversation": None, "guards": [], "rephrase": None, "assumed": {}, "brief": False, "minute_usd": 0.0,
    "max_seconds": None, "arms": [OPTION],
}  # fmt: skip


def begun(run, n, *, now, log, sent):
    key, at = new_id(now), instant(now)
    charge = Charge(key, "bench", "only", BOUND, "batch", run, None, 1)
    attempt = {
        "request_id": key, "seq": 1, "kind": "first", "arm": "only", "requested_model": "openai/ok", "started_at": at,
        "input_bound": 285, "output_limit": 20, "instructions": None, "expected_output": 20, "expected_output_p90": 20,
        "prompt_output": 49.402449105530145, "expected_s": None, "expected_s_p90": None,
    }  # fmt: skip
    request = {
        "id": key, "created_at": at, "command": "batch", "profile": "bench", "conversation_id": key, "redo_of": None,
        "embedding": None, "surface": None, "embedder_id": None, "router_version": "tier-prior",
        "decision": json.dumps(TRACE | {"id": key}), "arm": "only", "propensity": 1.0, "status": "pending", "tag": None,
        "system": None, "prompt": f"name colour {n}", "attachments": None, "schema": None, "messages": None,
    }  # fmt: skip
    return Begun(n, "only", charge, (), attempt, request if log else None, sent)


def ended(begun, reservation, *, now, log):
    key = begun.charge.request_id
    answer = "the answer is a short one"
    attempt = {
        "served_model": "ok", "input_tokens": 3, "cached_tokens": None, "cache_write_tokens": None, "output_tokens": 5,
        "reasoning_tokens": None, "usage_status": "reported", "usage": None, "cost_nano": COST, "latency_s": 0.001,
        "ttft_s": None, "finish_reason": "stop", "reply_id": None, "trace_id": "r",
    }  # fmt: skip
    over = {"status": "ok", "arm": "only", "error": None, "answer": answer} if log else {}
    records = (
        Settlement(reservation, COST, False, attempt, {}, key, None, True),
        Closing(key, over, (), {"agree": "agree", "most": "most"}, "all" if log else "money"),
    )
    result = Result(begun.n, begun.n, "ok", key, answer, "only", COST, 3, 5, None, "asked", "stop", "ok", int(now))
    return Ended(begun.n, key, entry(begun.n, key, records, result), records, result)


async def through(books, groups, *, now, log, sent):
    """Have groups of rows begun and ended by a run's books; return CPU seconds."""
    took, before = 0.0, []
    for group in [*groups, []]:
        ends = [ended(each, held, now=now, log=log) for each, held in before]
        started = time.process_time()
        begins = [books.begin(each) for each in group]
        await asyncio.gather(*map(books.end, ends))
        before = list(zip(group, await asyncio.gather(*begins), strict=True))
        if sent:
            await asyncio.gather(*(books.sent(held) for _, held in before))
        took += time.process_time() - started
    return took


def by_books(folder, args):
    """Return CPU seconds of a run's rows in the ledger."""
    log = not args.no_log
    run, now = new_id(), time.time()
    with open_ledger(folder / "scrimp.db") as ledger:
        made = batches.Run(run, instant(now), "running", "bench", "rows.jsonl", "", str(folder / "out"), args.rows, {})
        batches.add(ledger, made)
        journal = Journal.open(made.partial, new=True)
        rows = [begun(run, n, now=now, log=log, sent=not args.sent) for n in range(args.rows)]
        groups = [rows[first : first + args.group] for first in range(0, len(rows), args.group)]

        async def go():
            books = RunBooks(ledger, journal, run, PROFILE, max_cost_nano=10**12, clock=time.time)
            books.open()
            try:
                return await through(books, groups, now=now, log=log, sent=args.sent)
            finally:
                await asyncio.to_thread(books.close)

        took = asyncio.run(go())
        journal.close()
        assert batches.counts(ledger, run) == {"ok": args.rows}
        assert batches.charges(ledger, run) == (0, COST * args.rows)
    return took


def by_inserts(folder, args):
    """Return CPU seconds of inserting the rows that `by_books` left, into a ledger of their own."""
    with open_ledger(folder / "scrimp.db") as ledger:
        tables = {}
        for table in TABLES:
            cursor = ledger.conn.execute(f"SELECT * FROM {table} ORDER BY 1, 2")
            marks = ", ".join("?" * len(cursor.description))
            tables[f"INSERT INTO {table} VALUES ({marks})"] = cursor.fetchall()
    other = folder / "other"
    with open_ledger(other / "scrimp.db") as ledger:
        started = time.process_time()
        for first in range(0, args.rows, args.group):
            with ledger.transaction() as conn:
                for insert, rows in tables.items():
                    conn.executemany(insert, rows[first : first + args.group])
        return time.process_time() - started


def pairs(args):
    """Print CPU a pair and pairs a second of it, and what plain inserts of the same rows take."""
    found = {"books": [], "inserts": []}
    for _ in range(args.repeats):
        folder = Path(tempfile.mkdtemp(prefix="scrimp-pairs-"))
        try:
            found["books"].append(by_books(folder, args) / args.rows)
            found["inserts"].append(by_inserts(folder, args) / args.rows)
        finally:
            shutil.rmtree(folder)
    middle = {name: statistics.median(each) for name, each in found.items()}
    for name, each in middle.items():
        print(f"{name:8} {each * 1e3:6.3f} ms CPU a pair, {1.0 / each:7,.0f} pairs a CPU second")
    print(f"books to inserts: {middle['books'] / middle['inserts']:.2f}")
