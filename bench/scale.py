"""How fast the ledger takes calls, and how long a batch of 10,000 to a billion rows lasts.

python bench/scale.py pairs [--long LEDGER]     calls that are reserved, marked and settled a second, one by one and as many wait
python bench/scale.py scan                      what the first reading of a file takes of memory and time a row
python bench/scale.py simulate                  a run of driver and workers, call by call, against formulas; the table of docs/scale.md

`pairs` has `scrimp batch` write a few hundred rows, keeps what it wrote as data, and gives that under new ids to the run's own books: journal, fsync, triggers,
caps, all of it. The ratio is to the same rows put into tables without indices by SQLite alone. `--long` is a ledger as `bench/ledger.py --keep` leaves one.

`simulate` needs what `pairs` has measured (`--pair-ms`, `--group-ms`), and the processor's time of a row (`--cpu-ms`, `bench/batch.py throughput`).
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import json
import math
import os
import pickle
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path

from batch import quick, rows_file
from ledger import ARM, ARMS, CAPS, question, rows_of

GROUP = 256
"""Calls that the scribe puts into one transaction at most."""
RECORD = """
import pickle, sys
from scrimp.routing.batch.rows.row_books import RunBooks
begun, ended = {}, {}
begin, end = RunBooks.begin, RunBooks.end
def keep_begun(self, call):
    begun[call.n] = call
    return begin(self, call)
def keep_ended(self, call):
    ended[call.n] = call
    return end(self, call)
def keep_all(self):
    close(self)
    with open(place, "wb") as file:
        pickle.dump([(begun[n], ended[n]) for n in sorted(begun.keys() & ended.keys())], file)
place, close = sys.argv.pop(1), RunBooks.close
RunBooks.begin, RunBooks.end, RunBooks.close = keep_begun, keep_ended, keep_all
from scrimp.cli.main import main
sys.exit(main())
"""


# ---- pairs


def record(folder, n):
    """Return what `scrimp batch` wrote of some rows over three arms, and the home that it wrote it to."""
    home, rows, place = folder / "home", folder / "rows.jsonl", folder / "written"
    rng = random.Random(0)
    rows.write_text("".join(json.dumps({"prompt": question(rng, i)}) + "\n" for i in range(n)))
    profile = folder / "bench.toml"
    with quick(0) as (url, _):
        arms = (ARM.format(name=a, tokens=b, price=c, output=d, url=url) for a, b, c, d in ARMS)
        profile.write_text(CAPS + "".join(arms))
        argv = [sys.executable, "-c", RECORD, str(place), "batch", str(rows), "-o", str(folder / "out.jsonl")]
        argv += ["-p", str(profile), "-j", "16", "--yes", "--json", "--overwrite"]
        env = {**os.environ, "SCRIMP_HOME": str(home)}
        subprocess.run(argv, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with place.open("rb") as file:
        return pickle.load(file), home


def books_of(path, folder, home):
    """Return the books of a new run on a ledger; its run's row is like that of the recorded run."""
    from scrimp.profiles.load import load_profile
    from scrimp.profiles.paths import paths
    from scrimp.routing.batch.files.output import Journal
    from scrimp.routing.batch.rows.row_books import RunBooks
    from scrimp.routing.ledger.store import new_id, open_ledger

    where = paths({"SCRIMP_HOME": str(home)})
    loaded = load_profile(str(folder / "bench.toml"), env=os.environ, cwd=folder, paths=where)
    with sqlite3.connect(home / "scrimp.db") as conn:
        (run, *_) = rows_of(conn, "batch_runs")
    ledger = open_ledger(path)
    run = {**run, "id": new_id(), "status": "running"}
    with ledger.transaction():
        ledger.insert("batch_runs", run)
    journal = Journal.open(folder / f"{run['id']}.journal", new=True)
    return RunBooks(ledger, journal, run["id"], loaded.profile, max_cost_nano=None, clock=time.time)


async def replay(books, written, n, at_once):
    """Write `n` calls like those that were written, so many of them at once; return the seconds."""
    from scrimp.routing.ledger.store import new_id

    places = iter(range(n))

    async def one():
        for place in places:
            begun, ended = written[place % len(written)]
            key = new_id()
            charge = replace(begun.charge, request_id=key, run_id=books.run_id)
            request = begun.request and {**begun.request, "id": key, "conversation_id": key}
            held = await books.begin(replace(begun, n=place, charge=charge, request=request))
            if not begun.sent:
                await books.sent(held)
            records = tuple(
                replace(each, request_id=key, **({"reservation": held} if hasattr(each, "reservation") else {}))
                for each in ended.records
            )
            assert await books.end(replace(ended, n=place, request_id=key, records=records)) == "ok"

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(at_once)))
    return time.perf_counter() - began


def bare(folder, home, n, group):
    """Return the seconds that SQLite takes to put the same rows into bare tables, and to change them, in groups."""
    tables = ("reservations", "attempts", "requests", "batch_rows")
    with sqlite3.connect(home / "scrimp.db") as conn:
        like = {table: list(rows_of(conn, table)[0].values()) for table in tables}
    path = folder / f"bare-{time.monotonic_ns()}.db"
    conn = sqlite3.connect(path, isolation_level=None)
    conn.execute("PRAGMA journal_mode = WAL")
    conn.execute("PRAGMA synchronous = FULL")
    for table, values in like.items():
        conn.execute(f"CREATE TABLE {table} (n INTEGER PRIMARY KEY, {', '.join(f'c{i}' for i in range(len(values)))})")
    began = time.perf_counter()
    for first in range(0, n, group):
        some = range(first, min(first + group, n))
        conn.execute("BEGIN IMMEDIATE")
        for table, values in like.items():
            marks = ", ".join("?" * (len(values) + 1))
            conn.executemany(f"INSERT INTO {table} VALUES ({marks})", [(i, *values) for i in some])
        conn.execute("COMMIT")
        conn.execute("BEGIN IMMEDIATE")
        for table in like:
            conn.executemany(f"UPDATE {table} SET c1 = c2 WHERE n = ?", [(i,) for i in some])
        conn.execute("COMMIT")
    took = time.perf_counter() - began
    conn.close()
    return took


def fsync_ms(folder, n=50):
    with (folder / "probe").open("wb") as file:
        began = time.perf_counter()
        for _ in range(n):
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
    return (time.perf_counter() - began) / n * 1000.0


def pairs(args):
    """Measure the empty and the long ledger."""
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        written, home = record(folder, 300)
        print(f"an fsync of 4 KB: {fsync_ms(folder):.2f} ms; {len(written)} rows recorded")
        ledgers = {"empty": home / "scrimp.db"}
        if args.long is not None:
            ledgers["long"] = folder / "long.db"
            shutil.copy(args.long, ledgers["long"])
            subprocess.run(["sync", str(ledgers["long"])], check=True)
        print(
            f"{'ledger':8} {'requests':>10} {'at once':>8} {'pairs/s':>9} {'ms each':>8} {'CPU ms':>7} {'bare':>8} {'ratio':>6}"
        )
        for which, path in ledgers.items():
            books = books_of(path, folder, home)
            (there,) = books.ledger.rows("SELECT count(*) AS n FROM requests")
            books.open()
            asyncio.run(replay(books, written, 200, 16))
            for at_once, n in (
                (1, args.calls // 8),
                (16, args.calls // 2),
                (GROUP, args.calls),
                (8 * GROUP, args.calls),
            ):
                cpu = time.process_time()
                took = asyncio.run(replay(books, written, n, at_once))
                cpu = time.process_time() - cpu
                group = min(at_once, GROUP)
                without = bare(folder, home, n, group)
                print(
                    f"{which:8} {there['n']:10,} {at_once:8} {n / took:9,.0f} {took / n * 1000.0:8.2f} "
                    f"{cpu / n * 1000.0:7.2f} {n / without:8,.0f} {without / took:6.2f}",
                    flush=True,
                )
            books.close()
            books.ledger.close()


# ---- scan


SCAN = """
import resource, sys, time
from pathlib import Path
from scrimp.routing.batch.files.scan import scan
from scrimp.routing.batch.files.source import Source
import numpy
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before, began = peak(), time.process_time()
found = scan(Source.of(Path(sys.argv[1])))
print(found.n_rows, (peak() - before) / found.n_rows, (time.process_time() - began) / found.n_rows * 1e6)
"""


def scans(args):
    """Read files of several sizes, each in a process of its own."""
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        for n in args.sizes:
            path = rows_file(Path(name), n)
            done = subprocess.run([sys.executable, "-c", SCAN, str(path)], check=True, capture_output=True, text=True)
            rows, size, cpu = (float(word) for word in done.stdout.split())
            print(f"{rows:,.0f} rows: {size:.0f} bytes of memory and {cpu:.1f} \u00b5s of CPU a row", flush=True)


# ---- simulate


@dataclass(frozen=True)
class Setup:
    """A run.

    Attributes
    ----------
    latency_s
        The mean of an answer's time, lognormal; `spread` is the standard deviation of its logarithm.
    in_flight
        Calls at once, over all workers.
    cpu_s
        The processor's time of a row on its worker, half of it before the call.
    group_s, pair_s
        What the ledger takes for a transaction, and for one call's share of both.
    per_minute
        What the providers take; 0 for no limit.
    mean_life_s, restart_s
        How long a worker lives, and how long another takes to stand in for it; 0 for ever.
    bound_usd, cost_usd
        What a call may cost at most, and what it costs.
    """

    name: str
    latency_s: float
    in_flight: int
    workers: int
    cpu_s: float
    group_s: float
    pair_s: float
    per_minute: float = 0.0
    spread: float = 0.6
    mean_life_s: float = 0.0
    restart_s: float = 20.0
    bound_usd: float = 0.004
    cost_usd: float = 0.001


@dataclass
class Outcome:
    seconds: float
    unknown: float
    charged_usd: float
    limit: str = ""


def expected(setup, n):
    """Return what the formulas say of `n` rows."""
    up = setup.workers
    if setup.mean_life_s:
        up *= setup.mean_life_s / (setup.mean_life_s + setup.restart_s)
    rates = {
        "calls in flight": setup.in_flight / (setup.latency_s + setup.cpu_s + 2 * setup.group_s + setup.pair_s),
        "cores": up / setup.cpu_s,
        "ledger": 1.0 / (setup.pair_s + 2.0 * setup.group_s / GROUP),
    }
    if setup.per_minute:
        rates["providers"] = setup.per_minute / 60.0
    limit = min(rates, key=rates.__getitem__)
    # At the end the slowest of those in flight is waited for: about this quantile of a lognormal.
    last = min(n, setup.in_flight)
    slowest = setup.latency_s * math.exp(setup.spread * math.sqrt(2.0 * math.log(last)) - setup.spread**2 / 2.0)
    seconds = max(n - last, 0) / rates[limit] + max(
        slowest, last / min(rates.values()) if limit != "calls in flight" else 0.0
    )
    unknown = n * setup.latency_s / setup.mean_life_s if setup.mean_life_s else 0.0
    charged = (n - unknown) * setup.cost_usd + unknown * setup.bound_usd
    return Outcome(seconds, unknown, charged, limit)


def simulated(setup, n, seed=0):
    """Return what comes of `n` rows, call by call."""
    return _Run(setup, n, seed).go()


DECIDED, RESERVED, LEAVES, ANSWERED, READ, SETTLED, WRITTEN, DIES = range(8)


class _Run:
    """A closed network: a row takes a place, is decided by a worker, reserved, sent, read by its worker, settled."""

    def __init__(self, setup, n, seed):
        self.setup, self.left, self.rng = setup, n, random.Random(seed)
        self.now = 0.0
        self.events = []
        self.free_at = [0.0] * setup.workers
        self.lives = [0] * setup.workers
        self.next_worker = 0
        self.next_slot = 0.0
        self.wanting = deque()  # (what comes next, row) for the ledger
        self.group = []
        self.unknown = self.done = 0
        self.mean = setup.latency_s / 2.718281828459045 ** (setup.spread**2 / 2)

    def at(self, when, kind, row=None):
        heapq.heappush(self.events, (when, id(row), kind, row))

    def go(self):
        setup, n = self.setup, self.left
        for worker in range(setup.workers if setup.mean_life_s else 0):
            self.at(self.rng.expovariate(1.0 / setup.mean_life_s), DIES, worker)
        for _ in range(min(n, setup.in_flight)):
            self.begin()
        last = 0.0
        while self.done < n:
            self.now, _, kind, row = heapq.heappop(self.events)
            self.step(kind, row)
            if kind != DIES:
                last = self.now
        charged = (n - self.unknown) * setup.cost_usd + self.unknown * setup.bound_usd
        return Outcome(last, self.unknown, charged)

    def begin(self):
        if self.left:
            self.left -= 1
            self.decide()

    def decide(self):
        worker = self.next_worker = (self.next_worker + 1) % self.setup.workers
        self.at(self.work(worker), DECIDED, (worker, self.lives[worker]))

    def work(self, worker):
        self.free_at[worker] = max(self.free_at[worker], self.now) + self.setup.cpu_s / 2.0
        return self.free_at[worker]

    def step(self, kind, row):
        setup = self.setup
        if kind == DIES:
            self.lives[row] += 1
            self.free_at[row] = self.now + setup.restart_s
            self.at(self.now + setup.restart_s + self.rng.expovariate(1.0 / setup.mean_life_s), DIES, row)
            return
        if kind == WRITTEN:
            for after, each in self.group:
                self.step(after, each)
            self.group = []
            self.write()
            return
        if kind == SETTLED:
            self.over()
            return
        worker, life = row
        if life != self.lives[worker]:  # its worker has died: what may have left is unknown, the rest goes to another
            if kind in (ANSWERED, READ):
                self.unknown += 1
                self.over()
            else:
                self.decide()
        elif kind == DECIDED:
            self.want(RESERVED, row)
        elif kind == RESERVED and setup.per_minute:
            self.next_slot = max(self.next_slot, self.now) + 60.0 / setup.per_minute
            self.at(self.next_slot, LEAVES, row)
        elif kind in (RESERVED, LEAVES):
            self.at(self.now + self.rng.lognormvariate(0.0, setup.spread) * self.mean, ANSWERED, row)
        elif kind == ANSWERED:
            self.at(self.work(worker), READ, row)
        else:
            self.want(SETTLED, row)

    def over(self):
        self.done += 1
        self.begin()

    def want(self, after, row):
        self.wanting.append((after, row))
        if not self.group:
            self.write()

    def write(self):
        if self.wanting:
            self.group = [self.wanting.popleft() for _ in range(min(len(self.wanting), GROUP))]
            self.at(self.now + self.setup.group_s + len(self.group) * self.setup.pair_s / 2.0, WRITTEN)


def lasting(seconds):
    for size, unit in ((86_400.0 * 365, "years"), (86_400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.0f} s"


def setups(args):
    ledger = {"group_s": args.group_ms / 1000.0, "pair_s": args.pair_ms / 1000.0}
    worker = {"cpu_s": args.cpu_ms / 1000.0, **ledger}
    day = 86_400.0
    alone = Setup("one process", 1.0, 64, 1, cpu_s=worker["cpu_s"] + ledger["pair_s"], **ledger)
    return [
        alone,
        replace(alone, name="the same, 256 in flight", in_flight=256),
        Setup("8 workers", 1.0, 2048, 8, **worker, mean_life_s=30 * day),
        Setup("8 workers, 500 calls a minute", 1.0, 2048, 8, **worker, per_minute=500.0, mean_life_s=30 * day),
        Setup("8 workers, 10,000 calls a minute", 1.0, 2048, 8, **worker, per_minute=10_000.0, mean_life_s=30 * day),
        Setup("8 workers, answers of 30 s", 30.0, 8192, 8, **worker, mean_life_s=30 * day),
        Setup("64 workers that live for an hour", 5.0, 16_384, 64, **worker, mean_life_s=3600.0),
    ]


def simulate(args):
    """Hold the formulas against the simulation, and print what they say of sizes that cannot be simulated."""
    print(
        f"a row: {args.cpu_ms} ms of a worker; the ledger: {args.pair_ms} ms a call, {args.group_ms} ms a transaction"
    )
    heads = "".join(f"{n:>15,}" for n in args.sizes)
    print(f"\n{'':34}{'limit':>16}{'rows/s':>8}{heads}")
    for setup in setups(args):
        found = [expected(setup, n) for n in args.sizes]
        rate = args.sizes[-1] / found[-1].seconds
        times = "".join(f"{lasting(each.seconds):>15}" for each in found)
        print(f"{setup.name:34}{found[0].limit:>16}{rate:8,.0f}{times}")
    print(f"\n{'unknown, and charged for nothing':58}{heads}")
    for setup in setups(args):
        if setup.mean_life_s:
            more = setup.bound_usd - setup.cost_usd
            unknown = [expected(setup, n).unknown for n in args.sizes]
            print(f"{setup.name:58}" + "".join(f"{f'{each:,.0f} ${each * more:,.2f}':>15}" for each in unknown))
    heads = "".join(f"{f'{n:,} rows':>16}{'unknown':>18}" for n in args.simulated)
    print(f"\n{'simulated over formula':34}{heads}")
    for setup in setups(args):
        line = f"{setup.name:34}"
        for n in args.simulated:
            formula = expected(setup, n)
            runs = [simulated(setup, n, seed) for seed in range(args.runs or min(10, max(1, 500_000 // n)))]
            seconds, unknown = (statistics.mean(getattr(run, what) for run in runs) for what in ("seconds", "unknown"))
            line += f"{seconds / formula.seconds:16.2f}{f'{unknown:.1f} / {formula.unknown:.1f}':>18}"
        print(line, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(required=True)
    one = parts.add_parser("pairs")
    one.add_argument("--long", type=Path, help="a ledger of many requests; it is copied")
    one.add_argument("--calls", type=int, default=8000)
    one.add_argument("--folder", type=Path, help="on the disk that is meant (default: the system's temporary folder)")
    one.set_defaults(do=pairs)
    one = parts.add_parser("scan")
    one.add_argument("--sizes", type=int, nargs="+", default=[500_000, 2_000_000])
    one.add_argument("--folder", type=Path)
    one.set_defaults(do=scans)
    one = parts.add_parser("simulate")
    one.add_argument("--cpu-ms", type=float, default=0.95)
    one.add_argument("--pair-ms", type=float, default=0.27)
    one.add_argument("--group-ms", type=float, default=0.9)
    one.add_argument("--sizes", type=int, nargs="+", default=[10**k for k in range(5, 10)])
    one.add_argument("--simulated", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    one.add_argument("--runs", type=int, help="of each simulation (default: ten of small ones, one of a million rows)")
    one.set_defaults(do=simulate)
    args = parser.parse_args()
    args.do(args)


if __name__ == "__main__":
    main()
