"""What rows that feed rows, and rows that matter more, gain: measured on the loopback server, by its own log.

python bench/graph.py path       wall time of 100 rows in 4 levels over their critical path; line by line over it
python bench/graph.py priority   95th percentile of how long priority rows wait, over that of first come, first served
python bench/graph.py forecast   what `-n` says against what the ledger is charged, on random graphs (--graphs 20), with
                                 one such graph in the log
python bench/graph.py prefix     input that a provider's prefix cache would have, where rows go together and where not

The server's log has when each request arrived; its latency is fixed. A prefix cache is taken to have how a prompt
begins (1,024 tokens or more) once a prompt that begins so has been answered.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

SERVER = Path(__file__).parent.parent / "tests" / "server.py"
KEPT_TOKENS = 1024


@contextmanager
def server(folder, *, latency_ms, median_tokens=12):
    """Start the server; yield its address and its log."""
    log = folder / "server.jsonl"
    log.unlink(missing_ok=True)
    process = subprocess.Popen(
        [
            sys.executable, str(SERVER), "--latency-ms", str(latency_ms), "--log", str(log),
            "--median-tokens", str(median_tokens),
        ],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        yield process.stdout.readline().strip(), log
    finally:
        process.terminate()
        process.wait(10)


def profile(folder, url, model="ok", *, cached=False, limit=4000):
    cached = ", cache_read_usd_per_mtok = 0.1" if cached else ""
    path = folder / "bench.toml"
    path.write_text(f"""
name = "bench"
[caps]
per_day_usd = 100
[[arms]]
name = "only"
model = "openai/{model}"
api_base = "{url}"
max_output_tokens = {limit}
context_window = 200000
tier = "small"
price = {{ input_usd_per_mtok = 1, output_usd_per_mtok = 4{cached} }}
""")
    return path


def scrimp(folder, *argv, home="home"):
    """Run scrimp; return what it prints as JSON."""
    env = {**os.environ, "SCRIMP_HOME": str(folder / home)}
    command = [sys.executable, "-m", "scrimp.cli", "batch", *map(str, argv), "--json", "--yes"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def write(folder, rows, name="in.jsonl"):
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def seen(log):
    """Return the requests that the server saw, as they came."""
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    return sorted(
        ((row["time"], row["body"]["messages"][-1]["content"], row) for row in rows), key=lambda each: each[0]
    )


# -- path -----------------------------------------------------------------------------------------------------------


def measure_path(folder, args):
    rng, latency_s = random.Random(args.seed), args.latency_ms / 1000
    widths = (1, 9, 30, 60)
    rows = []
    for level, width in enumerate(widths):
        for i in range(width):
            above = rng.sample(range(widths[level - 1]), min(2, widths[level - 1])) if level else []
            refs = " ".join(f"{{{{@r{level - 1}.{j}}}}}" for j in above)
            rows.append({"id": f"r{level}.{i}", "prompt": f"r{level}.{i} says {refs}"})
    rng.shuffle(rows)
    with server(folder, latency_ms=args.latency_ms) as (url, log):
        path = profile(folder, url)
        scrimp(folder, write(folder, rows), "-o", folder / "out.jsonl", "--overwrite", "-p", path, "-j", "64")
        found = seen(log)
    assert len(found) == len(rows)
    wall = found[-1][0] + latency_s - found[0][0]
    critical = len(widths) * latency_s
    print(f"{len(rows)} rows in {len(widths)} levels, {args.latency_ms} ms an answer: wall {wall:.2f} s")
    print(f"wall / critical path: {wall / critical:.2f} (line by line: {len(rows) / len(widths):.1f})")


# -- priority -------------------------------------------------------------------------------------------------------


def measure_priority(folder, args):
    rng, n = random.Random(args.seed), args.rows
    urgent = set(rng.sample(range(n), n // 10))
    p95 = {}
    for name in ("first come", "priority"):
        rows = [
            {"id": f"r{i}", "prompt": f"row {i}", **({"priority": 5} if name == "priority" and i in urgent else {})}
            for i in range(n)
        ]
        with server(folder, latency_ms=args.latency_ms) as (url, log):
            path = profile(folder, url)
            scrimp(folder, write(folder, rows), "-o", folder / "out.jsonl", "--overwrite", "-p", path, "-j", "8")
            found = seen(log)
        start = found[0][0]
        waits = sorted(at - start for at, text, _ in found if int(text.split()[1]) in urgent)
        rate = (len(found) - 1) / (found[-1][0] - start)
        p95[name] = waits[int(0.95 * (len(waits) - 1))]
        print(f"{name}: p95 wait of {len(waits)} priority rows of {n}: {p95[name]:.2f} s at {rate:.1f} rows/s")
    print(f"ratio {p95['priority'] / p95['first come']:.2f}")


# -- forecast -------------------------------------------------------------------------------------------------------


def random_graph(rng, n):
    """Return n rows: each takes the answers of up to three of the 20 before it, and they stand in any order."""
    rows = []
    for i in range(n):
        parents = rng.sample(range(max(0, i - 20), i), min(i, rng.choice((0, 1, 1, 2, 3)))) if i else []
        words = " ".join(rng.choices(("tide", "moon", "water", "report", "coast", "wind", "harbour"), k=12))
        refs = "".join(f"\n\n{{{{@r{parent}}}}}" for parent in parents)
        rows.append({"id": f"r{i}", "prompt": f"Write on {words} (number {i}).{refs}"})
    rng.shuffle(rows)
    return rows


def measure_forecast(folder, args):
    errors = []
    with server(folder, latency_ms=5, median_tokens=120) as (url, _):
        path = profile(folder, url)
        # What rows with answers in them are answered is learnt from such rows.
        warm = write(folder, random_graph(random.Random(f"{args.seed} warm"), args.rows))
        scrimp(folder, warm, "-o", folder / "warm.jsonl", "-p", path, "-j", "32")
        for seed in range(args.graphs):
            rows = write(folder, random_graph(random.Random(f"{args.seed} {seed}"), args.rows), f"g{seed}.jsonl")
            guess = scrimp(folder, rows, "--dry-run", "-p", path)
            done = scrimp(folder, rows, "-o", folder / f"g{seed}.out", "-p", path, "-j", "32")
            said, paid = guess["cost_usd"]["likely"], done["charged_usd"]
            errors.append(said / paid - 1)
            print(
                f"graph {seed}: {guess['flow']['levels']} levels, forecast ${said:.4f}, paid ${paid:.4f}, "
                f"{errors[-1]:+.1%}",
                flush=True,
            )
    off = sorted(map(abs, errors))
    print(f"off by {statistics.median(off):.1%} (median), {off[-1]:.1%} (worst of {len(off)})")


# -- prefix ---------------------------------------------------------------------------------------------------------


def hits(found, latency_s):
    """Return (input tokens that the cache would have, input tokens) of prompts that begin with an answer."""
    answered, cached, total = {}, 0, 0
    for at, text, _ in found:
        head, _, rest = text.partition("\n\nAsk ")
        if not rest:
            continue
        n_head = len(head.split())
        total += len(text.split())
        if n_head >= KEPT_TOKENS and answered.get(head, at + 1) <= at:
            cached += n_head
        answered.setdefault(head, at + latency_s)
    return cached, total


def measure_prefix(folder, args):
    rows = [{"id": f"p{i}", "prompt": f"Long text {i}"} for i in range(12)]
    rows += [{"id": f"q{i}.{k}", "prompt": f"{{{{@p{i}}}}}\n\nAsk {k} of {i}"} for i in range(12) for k in range(6)]
    for name in ("at once", "one first"):
        with server(folder, latency_ms=args.latency_ms) as (url, log):
            # Where the price says nothing of cached input, nothing waits for it.
            path = profile(folder, url, "ok@tokens=1500", cached=name == "one first")
            scrimp(
                folder, write(folder, rows), "-o", folder / "out.jsonl", "--overwrite", "-p", path, "-j", "16",
                home=f"home-{name.replace(' ', '-')}",
            )  # fmt: skip
            found = seen(log)
        cached, total = hits(found, args.latency_ms / 1000)
        span = found[-1][0] - found[0][0]
        print(
            f"{name}: {cached:,} of {total:,} input tokens ({cached / total:.0%}) would be read from the cache; {span:.1f} s"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("path", "priority", "forecast", "prefix"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--latency-ms", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--graphs", type=int, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as there:
        globals()[f"measure_{given.what}"](Path(there), given)
