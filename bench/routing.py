"""Measure routing against its embedder: python bench/routing.py [--prompts 10000] [--file FILE.jsonl].

A file of prompts goes through `scrimp route --jsonl FILE --json`, and through bare fastembed with the same model at its best
number of threads, in turn, part by part, in one process: the ratio of the two throughputs says what deciding costs. Then the
time that one warm decision adds to its embedding, in milliseconds. Wall time, and (less moved by a busy machine) processor time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a waiting second thread would be counted

from embedding import made_up, raw

from scrimp.routing.prompts import embedding as module

PROFILE = """
name = "bench"
[[arms]]
name = "a"
model = "openai/gpt-4o-mini"
[[arms]]
name = "b"
model = "openai/gpt-4o"
[[arms]]
name = "c"
model = "anthropic/claude-3-5-sonnet-20241022"
price = { input_usd_per_mtok = 3, output_usd_per_mtok = 15 }
"""


@contextlib.contextmanager
def stdout_to(path):
    """Send file descriptor 1 to a file for a while."""
    sys.stdout.flush()
    kept = os.dup(1)
    with path.open("wb") as file:
        os.dup2(file.fileno(), 1)
        try:
            yield
        finally:
            sys.stdout.flush()
            os.dup2(kept, 1)
            os.close(kept)


def timed(run):
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def throughput(prompts, parts, folder, profile, decider):
    from scrimp.cli import session
    from scrimp.cli.app import run

    # One decider for all parts: a file of 10,000 prompts loads the model once.
    session.make_decider = lambda _profile: decider
    limit = module.HEAD_TOKENS + module.TAIL_TOKENS
    models = {f"raw fastembed, {threads or 'all'} threads": raw(threads, limit) for threads in (1, None)}
    spent = {name: [0.0, 0.0] for name in ("scrimp route", *models)}
    size = len(prompts) // parts
    decider.contexts(["warm"])
    for part in range(parts):
        rows = prompts[part * size : (part + 1) * size]
        file, out = folder / "rows.jsonl", folder / "out.jsonl"
        file.write_text("".join(json.dumps({"prompt": row}) + "\n" for row in rows))

        def through_scrimp(file=file, out=out):
            with stdout_to(out):
                assert run(["route", "-p", str(profile), "--jsonl", str(file), "--json"]) == 0

        runs = {"scrimp route": through_scrimp}
        runs |= {name: (lambda m=m, rows=rows: list(m.embed(rows, batch_size=1))) for name, m in models.items()}
        for name, call in runs.items():
            wall, cpu = timed(call)
            spent[name][0] += wall
            spent[name][1] += cpu
        assert len(out.read_text().splitlines()) == len(rows)
    n = size * parts
    wall, cpu = spent["scrimp route"]
    for name, (w, c) in spent.items():
        print(
            f"{name:30} {n / w:7.0f}/s   scrimp is {w / wall:.2f}x by wall time, {c / cpu:.2f}x by processor time",
            flush=True,
        )


def decision(decider, prompts):
    """The time from a context to its decision, and of surface features, one prompt at a time."""
    from scrimp.routing.deciding.decide import Wishes
    from scrimp.routing.ledger.store import new_id
    from scrimp.routing.prompts.prompt import Prompt
    from scrimp.routing.prompts.surface import surface_matrix

    rng = random.Random(0)
    over, embedding = [], []
    for text in prompts:
        embedding.append(min(timed(lambda text=text: decider.embedder.embed([text])) for _ in range(3)))
        (context,) = decider.contexts([text])

        def rest(text=text, context=context):
            surface_matrix([text])
            decider.decide(Prompt(text), decider.predict([context]), Wishes(), decision_id=new_id(), rng=rng).to_dict()

        over.append(min(timed(rest) for _ in range(3)))
    for k, kind in enumerate(("wall", "processor")):
        ours, theirs = (1000 * median(each[k] for each in times) for times in (over, embedding))
        print(
            f"one warm decision: {ours:.2f} ms over the embedding's {theirs:.2f} ms ({kind} time, least of 3, medians of {len(over)} prompts)"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=10_000)
    parser.add_argument("--parts", type=int, default=10)
    parser.add_argument("--only", choices=["throughput", "decision"])
    parser.add_argument("--file", type=Path, help='JSON Lines with a "prompt" each, in place of made-up prompts')
    args = parser.parse_args()
    if args.file:
        prompts = [json.loads(line)["prompt"] for line in args.file.read_text().splitlines()][: args.prompts]
    else:
        prompts = made_up(args.prompts, 0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["SCRIMP_HOME"] = str(folder / "home")
        from scrimp.cli import session

        profile = folder / "bench.toml"
        profile.write_text(PROFILE)
        decider = session.make_decider(session.load(str(profile)).profile)
        if args.only != "decision":
            throughput(prompts, args.parts, folder, profile, decider)
        if args.only != "throughput":
            decision(decider, prompts[:200])


if __name__ == "__main__":
    main()
