"""How commands keep their speed when the log is long, and what a request takes on the disk.

    uv run python bench/ledger.py [--small 10000] [--large 1000000] [--repeats 5] [--only log report] [--folder F]

Some hundred requests are really made, by `batch` and `ask` against the loopback server of the tests; their rows are
then repeated under new ids, over 400 days and with new prompts, until there are as many as wanted: the same columns,
indices and packed traces as real ones. Whole processes are timed on both logs in turn, from start to exit; the ratio is
of their medians. What is printed as `first` is the first run on that log, which sums up what was written since.

A log of a million requests takes some 3 GB in the folder (removed at the end) and ten minutes to make.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from batch import server
from load import ASKS, KINDS, NOUNS

from scrimp.routing.ledger.caps import window_keys
from scrimp.routing.ledger.store import instant, new_id, open_ledger

DAYS = 400
PART = 5000
BASE = 100_000
"""Requests that are written row by row; of a longer log SQLite writes the rest."""
ROWS = ("requests", "reservations", "attempts", "steps", "labels")
ARM = """
[[arms]]
name = "{name}"
model = "openai/ok@tokens={tokens}"
api_base = "{url}"
max_output_tokens = 200
tier = "{name}"
price = {{ input_usd_per_mtok = {price}, output_usd_per_mtok = {output} }}
"""
ARMS = (("small", 50, 0.1, 0.4), ("medium", 60, 0.5, 2), ("large", 70, 2, 8))
CAPS = 'name = "bench"\ndefault_arm = "large"\n[caps]\nper_day_usd = 1000.0\nper_month_usd = 10000.0\n'
OF_REQUEST = ("reservations", "attempts", "steps", "labels", "batch_rows")
TARGETS = {"log": 1.5, "spend": 1.5, "spend --by arm": 1.5, "ask": 1.5, "log search": 3.0, "report": 3.0}


def scrimp(home, *args, check=True):
    env = {**os.environ, "SCRIMP_HOME": str(home), "NO_COLOR": "1"}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "scrimp.cli", *map(str, args)],
        env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if (check and done.returncode) or done.returncode == 78:
        raise SystemExit(f"scrimp {args[0]}: {done.returncode}\n{done.stderr[-2000:]}")
    return time.perf_counter() - started, done.stdout


def question(rng, i):
    return rng.choice(ASKS).format(*(rng.choice(words) for words in (KINDS, NOUNS, KINDS, NOUNS))) + f" ({i})"


def make_real(folder, url, n):
    """Make a log of `n` real requests in a batch, and a few more that are asked by a plan and rated."""
    home = folder / "real"
    home.mkdir()
    profile = folder / "bench.toml"
    profile.write_text(CAPS + "".join(ARM.format(name=a, tokens=b, price=c, output=d, url=url) for a, b, c, d in ARMS))
    rng = random.Random(0)
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps({"prompt": question(rng, i)}) + "\n" for i in range(n)))
    scrimp(home, "batch", rows, "-o", folder / "out.jsonl", "--overwrite", "-p", profile, "-j", 16, "--yes", "--json")
    plan = ("--plan", "small ? checks > large", "--check", "has:ok")
    for i in range(6):
        scrimp(home, "ask", "-p", profile, *(plan if i % 2 else ()), question(rng, n + i), check=False)
        scrimp(home, "rate", "last", "good" if i % 3 else "bad", check=False)
    return home, profile


def rows_of(conn, table):
    cursor = conn.execute(f"SELECT * FROM {table}")
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def fill(path, n, *, texts=True):
    """Repeat the rows of a log until it has `n` requests more, over `DAYS` days until now.

    Some are written row by row; SQLite then repeats these, each time some days later, under other ids.
    """
    copies = max(1, n // BASE)
    days = DAYS / copies
    with open_ledger(path) as ledger:
        conn = ledger.conn
        conn.execute("PRAGMA synchronous = OFF")
        before = {table: last(conn, table) for table in ROWS}
        runs = write_rows(ledger, n // copies, start=time.time() - DAYS * 86_400, days=days, texts=texts)
        base = {table: (before[table] + 1, last(conn, table)) for table in ROWS}
        conn.execute("CREATE TEMP TABLE base_runs (id TEXT PRIMARY KEY)")
        conn.executemany("INSERT INTO base_runs VALUES (?)", [(run,) for run in runs])
        for copy in range(1, copies):
            with ledger.transaction():
                for table in (*ROWS, "batch_runs", "batch_rows"):
                    repeat(ledger, table, base.get(table), copy, round(copy * days))
            print(f"  {(copy + 1) * (n // copies):,} of {n:,} requests are written", file=sys.stderr, flush=True)
        sums = {}
        for row in ledger.rows(
            "SELECT profile, arm, run_id, day, month, sum(charged_nano) AS nano FROM reservations GROUP BY 1, 2, 3, 4, 5"
        ):
            for key in window_keys(row["profile"], row["arm"], row["run_id"], row["day"], row["month"]):
                sums[key] = sums.get(key, 0) + row["nano"]
        with ledger.transaction():
            conn.execute("DELETE FROM balances")
            conn.executemany("INSERT INTO balances (key, live_nano, fixed_nano) VALUES (?, 0, ?)", sums.items())
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def last(conn, table):
    return conn.execute(f"SELECT coalesce(max(rowid), 0) FROM {table}").fetchone()[0]


def repeat(ledger, table, span, copy, days):
    """Write the base's rows of a table once more, `days` later."""
    later = "strftime('%Y-%m-%dT%H:%M:%f', {0}, '+" + str(days) + " days') || '000Z'"
    dates = ("created_at", "at", "settled_at", "started_at")
    values = {}
    for name in ledger.columns(table):
        if (
            name in ("id", "n")
            and table in ("requests", "steps", "labels")
            and not (table == "requests" and name == "id")
        ):
            continue  # a new number
        if name in ("request_id", "run_id", "conversation_id") or (
            name == "id" and table in ("requests", "batch_runs")
        ):
            values[name] = f"substr({name}, 1, 22) || '{copy:04d}'"
        elif name == "id":
            values[name] = f"id + {copy * (span[1] - span[0] + 1)}"
        elif name in dates:
            values[name] = later.format(name)
        elif name in ("day", "month"):
            values[name] = f"substr(date(day, '+{days} days'), 1, {10 if name == 'day' else 7})"
        elif name == "prompt":
            values[name] = f"prompt || ' {copy}'"
        else:
            values[name] = f'"{name}"'
    names = ", ".join(f'"{name}"' for name in values)
    where = {
        "batch_runs": "id IN (SELECT id FROM base_runs)",
        "batch_rows": "run_id IN (SELECT id FROM base_runs)",
    }.get(table, "rowid BETWEEN {} AND {} ORDER BY rowid".format(*(span or (0, 0))))
    ledger.conn.execute(f"INSERT INTO {table} ({names}) SELECT {', '.join(values.values())} FROM {table} WHERE {where}")


def write_rows(ledger, n, *, start, days, texts):
    """Write `n` requests like those that are there, over some days from an instant on; return their runs."""
    rng = random.Random(1)
    conn = ledger.conn
    made = rows_of(conn, "requests")
    of = {row["id"]: {table: [] for table in OF_REQUEST} for row in made}
    for table in OF_REQUEST:
        for row in rows_of(conn, table):
            if row["request_id"] in of:
                of[row["request_id"]][table].append(row)
    (run,) = rows_of(conn, "batch_runs")
    call = last(conn, "reservations")
    runs = []
    for first in range(0, n, PART):
        with ledger.transaction():
            for i in range(first, min(first + PART, n)):
                like = made[i % len(made)]
                at = start + days * 86_400 * i / n
                day, month = ledger.windows(at)
                key = new_id(at)
                if i % 1000 == 0:
                    runs.append(new_id(at))
                    ledger.insert(
                        "batch_runs", {**run, "id": runs[-1], "created_at": instant(at), "status": "finished"}
                    )
                own = {
                    **like, "id": key, "created_at": instant(at), "conversation_id": key,
                    "prompt": question(rng, i) if texts else None, "answer": like["answer"] if texts else None,
                }  # fmt: skip
                del own["n"]
                ledger.insert("requests", own)
                mine = of[like["id"]]
                for money, sent in zip(mine["reservations"], mine["attempts"], strict=True):
                    call += 1
                    when = {"request_id": key, "id": call}
                    ledger.insert(
                        "reservations",
                        {**money, **when, "run_id": runs[-1] if mine["batch_rows"] else key, "at": instant(at), "day": day,
                         "month": month, "settled_at": instant(at + 1)},
                    )  # fmt: skip
                    ledger.insert("attempts", {**sent, **when, "started_at": instant(at)})
                for step in mine["steps"]:
                    ledger.insert("steps", {**step, "id": None, "request_id": key, "at": instant(at)})
                if i % 20 == 0:
                    label = {"request_id": key, "arm": like["arm"], "reward": rng.random(), "source": "rating"}
                    ledger.insert("labels", {**label, "at": instant(at)})
                for row in mine["batch_rows"]:
                    ledger.insert("batch_rows", {**row, "run_id": runs[-1], "n": i, "request_id": key})
    return runs


def sizes(path):
    """Return the bytes that each table takes with its indices, a request."""
    with contextlib.closing(sqlite3.connect(path)) as conn:
        (n,) = conn.execute("SELECT count(*) FROM requests").fetchone()
        found = {}
        for table, size in conn.execute(
            "SELECT coalesce(m.tbl_name, d.name), sum(d.pgsize) FROM dbstat d LEFT JOIN sqlite_master m ON m.name = d.name "
            "GROUP BY 1"
        ):
            name = "requests_fts" if table.startswith("requests_fts") else table
            found[name] = found.get(name, 0) + size / n
        return n, found


def commands(profile):
    return {
        "log": ("log",),
        "log search": ("log", "search", "volcanoes"),
        "log search rare": ("log", "search", "volcanoes 7777"),
        "spend": ("spend", "-p", profile),
        "spend --by arm": ("spend", "--by", "arm", "-p", profile),
        "spend --short": ("spend", "--short", "-p", profile),
        "report": ("report",),
        "report --days 7": ("report", "--days", 7),
        "route": ("route", "-p", profile, "How are old rivers like tiny comets?"),
        "ask": ("ask", "-p", profile, "-m", "small", "How are old rivers like tiny comets?"),
        "ask, routed": ("ask", "-p", profile, "How are old rivers like tiny comets?"),
        "doctor": ("doctor", "-p", profile),
        "replay": ("replay", "-p", profile),
        "refit": ("refit", "-p", profile, "--dry-run"),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="commands to time, by their names in the table")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    parser.add_argument("--keep", action="store_true", help="leave the logs there, and use those that are there")
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp(prefix="scrimp-ledger-"))
    folder.mkdir(exist_ok=True)
    try:
        with server(folder, 0) as (url, _):
            measure(folder, url, args)
    finally:
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)


def homes_of(folder, url, args):
    profile = folder / "bench.toml"
    real = folder / "real"
    if real.exists():  # kept from an earlier run: only the server is another one
        profile.write_text(
            CAPS + "".join(ARM.format(name=a, tokens=b, price=c, output=d, url=url) for a, b, c, d in ARMS)
        )
    else:
        make_real(folder, url, 200)
    homes = {}
    for name, n, texts in (("small", args.small, True), ("large", args.large, True), ("no texts", args.small, False)):
        home = folder / f"{n}{'' if texts else '-without'}"
        if not home.exists():
            began = time.perf_counter()
            shutil.copytree(real, home)
            fill(home / "scrimp.db", n, texts=texts)
            print(f"{n:,} requests made in {time.perf_counter() - began:.0f} s", flush=True)
        homes[name] = home
    return homes, profile


def measure(folder, url, args):
    homes, profile = homes_of(folder, url, args)
    for name, home in homes.items():
        n, found = sizes(home / "scrimp.db")
        print(f"\n{name}: {n:,} requests, {sum(found.values()):,.0f} bytes each:")
        print("  " + ", ".join(f"{t} {b:,.0f}" for t, b in sorted(found.items(), key=lambda kv: -kv[1]) if b >= 5))
    print(f"\n{'':18} {'small':>8} {'large':>8} {'ratio':>7} {'target':>7} {'first':>8}")
    for name, command in commands(profile).items():
        if args.only and name not in args.only:
            continue
        first = scrimp(homes["large"], *command, check=False)[0]
        scrimp(homes["small"], *command, check=False)
        times = {"small": [], "large": []}
        for _ in range(args.repeats):
            for which, found in times.items():
                found.append(scrimp(homes[which], *command, check=False)[0])
        small, large = (statistics.median(times[which]) for which in ("small", "large"))
        target = f"{TARGETS[name]:.1f}" if name in TARGETS else ""
        print(f"{name:18} {small:8.2f} {large:8.2f} {large / small:7.2f} {target:>7} {first:8.2f}", flush=True)
    if not args.only or "log purge" in args.only:
        before = DAYS * 3 / 4
        took = {
            which: scrimp(homes[which], "log", "purge", "--older-than", before, "--yes")[0]
            for which in ("small", "large")
        }
        print(f"log purge of the oldest quarter: {took['small']:.1f} s and {took['large']:.1f} s")


if __name__ == "__main__":
    main()
