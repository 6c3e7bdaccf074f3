"""What `scrimp batch` costs beside what it saves.

python bench/batch.py throughput   (--workers 2) rows a second and CPU a row against bare asyncio + litellm.acompletion loops (two processes) that log nothing
python bench/batch.py shares       (--workers 2) CPU a row of the run's own process, and of its workers
python bench/batch.py llm          the same against `llm` under xargs -P 8 (LLM=path/to/llm, else it is installed for the time of the run)
python bench/batch.py memory       peak memory of 10,000 and of 200,000 rows (calls are stood in for: --real makes them)
python bench/batch.py replay       the optimiser against each row at a preset price, on public outcomes (SCRIMP_OUTCOMES)
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
SERVER = HERE.parent / "tests" / "server.py"
QUICK = HERE / "quick_server.py"
IN_FLIGHT = 256
FEW = 64
"""Rows of a run whose CPU is all start-up, near enough."""
PROFILE = """
name = "bench"
[[arms]]
name = "only"
model = "openai/ok@tokens=5"
api_base = "{url}"
max_output_tokens = 20
tier = "small"
price = {{ input_usd_per_mtok = 0.01, output_usd_per_mtok = 0.04 }}
"""
BARE = """
import asyncio, json, os, sys, time
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LITELLM_MODE"] = "PRODUCTION"
import litellm
litellm.suppress_debug_info = True
async def main():
    gate = asyncio.Semaphore(int(sys.argv[4]))
    async def one(text):
        async with gate:
            reply = await litellm.acompletion(model="openai/ok@tokens=5", messages=[{"role": "user", "content": text}],
                api_base=sys.argv[1], api_key="none", max_tokens=20, num_retries=0, max_retries=0)
            return reply.choices[0].message.content
    rows = [json.loads(line)["prompt"] for line in open(sys.argv[2])]
    answers = await asyncio.gather(*map(one, rows))
    with open(sys.argv[3], "w") as out:
        out.writelines(json.dumps(answer) + "\\n" for answer in answers)
asyncio.run(main())
"""

STAND_IN = """
import asyncio, sys
from scrimp.cli.main import main
from scrimp.routing.batch.running import work
from scrimp.routing.calls.call import Reply
from scrimp.routing.calls.dispatch import prepare
from scrimp.routing.prices.usage import Usage
prepare()
async def answer(call, on_send=None, on_delta=None):
    await asyncio.sleep(0)
    if on_send is not None:
        on_send()
    return Reply("the answer is a short one", "ok", Usage(3, 5, None, None, None), "reported", "stop", 0.001, None, "r")
assert callable(work.aattempt)
work.aattempt = answer
sys.exit(main())
"""


@contextmanager
def server(folder, latency_ms):
    """The server of the tests: it knows streams."""
    log = folder / "server.jsonl"
    log.unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, str(SERVER), "--latency-ms", str(latency_ms), "--log", str(log)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process.stdout.readline().strip(), log
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def quick(latency_ms):
    """A server that costs next to nothing; yields its URL and a dictionary that it fills when it ends."""
    process = subprocess.Popen(
        [sys.executable, str(QUICK), "--latency-ms", str(latency_ms)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    seen = {}
    try:
        yield process.stdout.readline().strip(), seen
    finally:
        process.stdin.close()
        seen.update(json.loads(process.stdout.read() or "{}"))
        process.wait(10)


def rows_file(folder, n):
    path = folder / f"rows-{n}.jsonl"
    with path.open("w") as file:
        for i in range(n):
            file.write(json.dumps({"id": i, "prompt": f"name colour {i}"}) + "\n")
    return path


def run(command, **more):
    """Run a command; return its standard output, seconds, CPU seconds and peak memory in MB, with its children's."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, **more)
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, process.returncode
    return out, time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def batch(folder, url, rows, *more, stand_in=False, in_flight=64):
    (folder / "bench.toml").write_text(PROFILE.format(url=url))
    env = {**os.environ, "SCRIMP_HOME": str(folder / f"home-{time.monotonic_ns()}")}
    command = [
        sys.executable,
        *(["-c", STAND_IN] if stand_in else ["-m", "scrimp.cli"]),
        "batch",
        str(rows),
        "-o",
        str(folder / "out.jsonl"),
        "--overwrite",
    ]
    command += ["-p", str(folder / "bench.toml"), "-j", str(in_flight), "--yes", "--json", *more]
    out, *figures = run(command, env=env)
    shutil.rmtree(env["SCRIMP_HOME"], ignore_errors=True)
    return json.loads(out), *figures


def bare(folder, url, rows, n_processes=2):
    """The bare loop, in as many processes, each with its share of the rows and of the calls in flight; CPU seconds."""
    lines = rows.read_text().splitlines(keepends=True)
    commands = []
    for i in range(n_processes):
        part = folder / f"part-{i}.jsonl"
        part.write_text("".join(lines[i::n_processes]))
        places = [str(part), str(folder / f"bare-{i}.jsonl"), str(IN_FLIGHT // n_processes)]
        commands.append([sys.executable, "-c", BARE, url, *places])
    with ThreadPoolExecutor(n_processes) as pool:
        return sum(cpu for _, _, cpu, _ in pool.map(run, commands))


def throughput(args):
    """Both sides in turn; CPU a row is that of the run less that of a run of few rows."""
    workers = ("--workers", str(args.workers)) if args.workers else ()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sides = {
            "bare": lambda url, rows: bare(folder, url, rows),
            "scrimp": lambda url, rows: batch(folder, url, rows, *workers, in_flight=IN_FLIGHT)[2],
        }
        found = {who: {"rate": [], "cpu": []} for who in sides}
        few, rows = rows_file(folder, FEW), rows_file(folder, args.rows)
        for turn in range(args.repeats):
            for who in list(sides) if turn % 2 == 0 else list(sides)[::-1]:
                with quick(50) as (url, _):
                    idle = sides[who](url, few)
                with quick(50) as (url, seen):
                    cpu = sides[who](url, rows)
                assert seen["requests"] == args.rows, seen
                found[who]["rate"].append((args.rows - 1) / seen["seconds"])
                found[who]["cpu"].append((cpu - idle) / (args.rows - FEW) * 1000.0)
                rate, each = (found[who][what][-1] for what in ("rate", "cpu"))
                print(
                    f"{who:7} {rate:7.0f} rows/s, {each:6.2f} ms CPU a row (start-up {idle:.1f} s); "
                    f"the server's {seen['cpu_s'] / args.rows * 1000.0:.2f} ms a row",
                    flush=True,
                )
    middle = {who: {what: median(values) for what, values in each.items()} for who, each in found.items()}
    print(
        f"{args.rows:,} rows, 50 ms, {IN_FLIGHT} in flight, bare loop in two processes, scrimp in "
        f"{args.workers + 1 if args.workers else 'one'}; medians of {args.repeats}:"
    )
    print(f"rows/s, scrimp to bare: {middle['scrimp']['rate'] / middle['bare']['rate']:.2f}")
    print(f"CPU a row, scrimp to bare: {middle['scrimp']['cpu'] / middle['bare']['cpu']:.2f}")


def cpu_of(pid):
    """CPU seconds of one process so far."""
    words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def shares(args):
    """CPU a row of the run's own process and of its workers, while the middle of the rows goes through (Linux)."""
    with tempfile.TemporaryDirectory() as name, quick(50) as (url, _):
        folder = Path(name)
        rows, journal = rows_file(folder, args.rows), folder / "out.jsonl.partial"
        (folder / "bench.toml").write_text(PROFILE.format(url=url))
        command = [
            sys.executable,
            "-m",
            "scrimp.cli",
            "batch",
            str(rows),
            "-o",
            str(folder / "out.jsonl"),
            "-q",
            "--yes",
        ]
        command += ["-p", str(folder / "bench.toml"), "-j", str(IN_FLIGHT), "--workers", str(args.workers or 2)]
        process = subprocess.Popen(command, env={**os.environ, "SCRIMP_HOME": str(folder / "home")})

        def wait_for(share):
            while not journal.exists() or (n := journal.read_bytes().count(b'"result":{')) < share * args.rows:
                assert process.poll() is None, "it was over before it could be looked at: give it more --rows"
                time.sleep(0.02)
            return n, {pid: cpu_of(pid) for pid in pids()}

        def pids():
            found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
            return [process.pid, *map(int, found)]

        (n, before), (m, after) = wait_for(0.1), wait_for(0.9)
        each = [(after[pid] - before[pid]) / (m - n) * 1000.0 for pid in before]
        process.wait()
        print(
            f"CPU a row: {each[0]:.2f} ms of the run's process, {sum(each[1:]):.2f} ms of its workers ({len(each) - 1})"
        )


def find_llm(folder):
    """`llm` as the user names or has it, else installed from PyPI into a throw-away environment; None without either."""
    tool = os.environ.get("LLM") or shutil.which("llm")
    if tool:
        return tool
    print("installing llm into a throw-away environment ...", flush=True)
    place = folder / "env"
    for command in ([sys.executable, "-m", "venv", place], [place / "bin/pip", "install", "-q", "llm"]):
        if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
            return None
    return str(place / "bin/llm")


def llm(args):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tool = find_llm(folder)
        if tool is None:
            print("skipped: llm is not here and cannot be installed (name one: LLM=path/to/llm)")
            return
        home = folder / "llm"
        home.mkdir()
        with server(folder, 50) as (url, _):
            (home / "extra-openai-models.yaml").write_text(
                f"- model_id: loop\n  model_name: ok@tokens=5\n  api_base: {url}\n  api_key_name: loop\n"
            )
            (home / "keys.json").write_text('{"loop": "none"}')
            env = {**os.environ, "LLM_USER_PATH": str(home)}
            subprocess.run([tool, "-m", "loop", "warm"], env=env, check=True, stdout=subprocess.DEVNULL)
            texts = "".join(f"name colour {i}\n" for i in range(args.rows))
            started = time.monotonic()
            done = subprocess.run(
                ["xargs", "-P", "8", "-d", "\n", "-n", "1", tool, "-m", "loop"],
                input=texts, text=True, env=env, capture_output=True,
            )  # fmt: skip
            theirs = args.rows / (time.monotonic() - started)
            n_answered = len(done.stdout.splitlines())
        with server(folder, 50) as (url, _):
            _, wall, *_ = batch(folder, url, rows_file(folder, args.rows))
            ours = args.rows / wall
    print(f"llm under xargs -P 8: {theirs:.2f} rows/s; scrimp batch: {ours:.2f}, start-up and all")
    print(
        f"answered by llm: {n_answered} of {args.rows}; its exit {done.returncode}, {(done.stderr.splitlines() or ['-'])[-1]}"
    )
    print(f"ratio over {args.rows} rows: {ours / theirs:.1f}")


def memory(args):
    peaks = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for n in args.sizes:
            rows = rows_file(folder, n)
            more = ("--no-log",) if args.no_log else ()
            if args.real:
                with quick(0) as (url, _):
                    data, wall, _, peak = batch(folder, url, rows, *more)
            else:
                data, wall, _, peak = batch(folder, "http://127.0.0.1:9/v1", rows, *more, stand_in=True)
            peaks[n] = peak
            print(f"{n:,} rows: peak {peak:.0f} MB, {wall:.0f} s, {data['ok'] / wall:.0f} rows/s", flush=True)
    first, last = min(peaks), max(peaks)
    print(f"ratio of peaks, {last:,} to {first:,} rows: {peaks[last] / peaks[first]:.2f}")


# ---- replay


def load(path):
    import gzip

    with gzip.open(path, "rt") as file:
        return [json.loads(line) for line in file]


def table(rows):
    """Prompts and (n, k) scores, costs and sizes of the priced models that answered every prompt kept."""
    import numpy as np

    names = sorted({name for row in rows for name, cell in row["models"].items() if cell.get("cost_usd") is not None})
    share = {name: sum((row["models"].get(name) or {}).get("cost_usd") is not None for row in rows) for name in names}
    names = [name for name in names if share[name] >= 0.98 * len(rows)]
    rows = [row for row in rows if all((row["models"].get(name) or {}).get("cost_usd") is not None for name in names)]
    score = np.array([[row["models"][name]["score"] for name in names] for row in rows], dtype=float)
    cost = np.array([[row["models"][name]["cost_usd"] for name in names] for row in rows])
    return names, [row["prompt"] for row in rows], score, cost


def predictions(prompts, score, cost, seed):
    """Out-of-fold predictions of quality (logistic) and cost (ridge on the logarithm): five folds."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.model_selection import KFold

    from scrimp.routing.prompts.context import contexts, stack
    from scrimp.routing.prompts.embedding import Embedder

    embeddings, surface = stack(contexts(prompts, Embedder("builtin", cache_dir=Path(tempfile.gettempdir()))))
    surface = (surface - surface.mean(0)) / (surface.std(0) + 1e-9)
    features = np.hstack([embeddings, 0.1 * surface])
    quality, expected = np.zeros_like(score), np.zeros_like(cost)
    for train, test in KFold(5, shuffle=True, random_state=seed).split(features):
        for j in range(score.shape[1]):
            labels = (score[train, j] > 0.5).astype(int)
            if labels.min() == labels.max():
                quality[test, j] = labels[0]
            else:
                head = LogisticRegression(C=0.1, max_iter=300).fit(features[train], labels)
                quality[test, j] = head.predict_proba(features[test])[:, 1]
            logs = np.log(np.maximum(cost[train, j], 1e-9))
            ridge = Ridge(10.0).fit(features[train], logs)
            spread = np.var(logs - ridge.predict(features[train]))
            expected[test, j] = np.exp(ridge.predict(features[test]) + spread / 2)
    return quality, expected


def greedy(quality, expected, cost, bound, budget, wtp):
    """Each row at a preset price, in order, until the money runs out; then the best arm that still fits, if any."""
    import numpy as np

    left, chosen = budget, np.full(len(quality), -1)
    for i in range(len(quality)):
        order = np.argsort(-(wtp * quality[i] - expected[i]))
        for j in order:
            if bound[i, j] <= left:
                chosen[i] = j
                left -= cost[i, j]
                break
    return chosen


def optimised(quality, expected, cost, bound, budget, window=64):
    """As the engine plans: window by window, by a rule solved anew as true costs come in; left-out rows go last."""
    import numpy as np

    from scrimp.routing.batch.planning.plan import Options, Planner

    n, k = quality.shape
    yes = np.ones((n, k), dtype=bool)
    options = Options(quality, expected, expected, expected * 2.0, bound, expected, yes, np.zeros(n, dtype=np.int64))
    planner = Planner(tuple(map(str, range(k))), np.arange(n), options, always=True)
    left, chosen = budget, np.full(n, -1)
    waiting, among, sent = np.arange(n), None, 1
    for turn in range(6):
        last = turn == 5 or sent == 0
        sent, later = 0, []
        for start in range(0, len(waiting), window):
            part = waiting[start : start + window]
            rule = planner.solve(after=int(part[0]), n_left=len(waiting) - start, budget_usd=left, among=among)
            picks = planner.choose(rule, options.take(part))
            for i, j in zip(part, picks, strict=True):
                if j < 0 or bound[i, j] > left:
                    fits = np.flatnonzero(bound[i] <= left) if j >= 0 or last else []
                    if not len(fits):
                        later.append(i)
                        continue
                    j = fits[np.argmax(quality[i, fits])]  # noqa: PLW2901 - the arm that is left
                sent += 1
                chosen[i] = j
                left -= cost[i, j]
                planner.learn(str(j), predicted_usd=expected[i, j], true_usd=cost[i, j])
        if not later or last:
            break
        waiting, among = np.array(later), frozenset(int(i) for i in later)
    return chosen


PRESETS = {"cheap": 0.01, "balanced": 0.1, "best": 1.0}


def interval(gap, rng):
    """95% interval of a mean, by bootstrap over prompts."""
    import numpy as np

    draws = gap[rng.integers(0, len(gap), (2000, len(gap)))].mean(1)
    return np.quantile(draws, [0.025, 0.975])


def replay(args):
    import numpy as np

    from scrimp.routing.batch.planning.optimise import most_quality, most_quality_within_bounds

    folder = Path(args.outcomes)
    rng = np.random.default_rng(0)
    for path in sorted(
        [
            folder / "train/mmlu_pro.jsonl.gz",
            folder / "eval/zeroeval_overlap.jsonl.gz",
            folder / "train/zeroeval.jsonl.gz",
        ]
    ):
        rows = load(path)
        rng.shuffle(rows)
        _, prompts, score, cost = table(rows[: args.most])
        quality, expected = predictions(prompts, score, cost, 0)
        n, k = quality.shape
        bound = np.maximum(expected, cost) * 3.0
        dearest = expected[np.arange(n), quality.argmax(1)].sum()
        print(f"\n{path.name}: {n:,} prompts, {k} priced models; best single {score.mean(0).max():.1%}")
        print("budget     optimised  greedy at preset wtp      gain (95% interval)         plan/dual  spent")
        gains = {name: [] for name in PRESETS}
        for share in (0.02, 0.05, 0.1, 0.2, 0.4):
            budget = share * dearest
            plan = most_quality(quality, expected, np.ones((n, k), bool), budget)
            held = most_quality_within_bounds(quality, expected, bound, np.ones((n, k), bool), budget)
            ours = optimised(quality, expected, cost, bound, budget)
            got = np.where(ours >= 0, score[np.arange(n), ours], 0.0)
            spent = cost[np.arange(n), ours][ours >= 0].sum()
            for name, wtp in PRESETS.items():
                theirs = greedy(quality, expected, cost, bound, budget, wtp)
                had = np.where(theirs >= 0, score[np.arange(n), theirs], 0.0)
                gap = got - had
                gains[name].append(gap)
                low, high = interval(gap, rng)
                print(
                    f"${budget:<8.3f} {got.mean():9.1%}  {had.mean():9.1%} {name:12} {gap.mean():+8.1%} [{low:+.1%}, {high:+.1%}]"
                    f"   {plan.value / plan.dual:9.4f} {held.value / held.dual:.4f} {spent / budget:6.0%}"
                )
        for name, gaps in gains.items():
            gap = np.mean(gaps, axis=0)
            low, high = interval(gap, rng)
            print(f"mean over the budgets, against {name:8}  {gap.mean():+.1%} [{low:+.1%}, {high:+.1%}]", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["throughput", "shares", "llm", "memory", "replay"])
    parser.add_argument("--rows", type=int, default=None)
    parser.add_argument("--workers", type=int, default=0, help="throughput: processes beside the run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 200_000])
    parser.add_argument("--real", action="store_true", help="memory: call the loopback server, not a stand-in")
    parser.add_argument("--no-log", action="store_true")
    parser.add_argument("--most", type=int, default=2000, help="prompts a file in the replay")
    parser.add_argument("--outcomes", default=os.environ.get("SCRIMP_OUTCOMES", ""))
    args = parser.parse_args()
    args.rows = args.rows or (48 if args.what == "llm" else 10_000)
    {"throughput": throughput, "shares": shares, "llm": llm, "memory": memory, "replay": replay}[args.what](args)


if __name__ == "__main__":
    main()
