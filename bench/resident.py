"""How fast commands are with a resident process, against a bare litellm script: wall and CPU, in turn, in one run.

    uv run python bench/resident.py [--runs N] [--only ask route]

CPU is that of the process that is started (the client) and its own children; that of the fork, which the resident has
as its child, is told apart from it. Whole processes, medians. Targets: a warm `ask` 0.10 by wall and 0.02 by CPU of the
bare script. In a checkout Python finds scrimp through an import hook, which costs the client some 20 ms that an
installed wheel does not have: `--scrimp PATH` takes another `scrimp`.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parent))

from startup import LITELLM, TYPER

PROFILE = """
name = "bench"
[[arms]]
name = "small"
model = "openai/ok"
api_base = "{url}"
max_output_tokens = 200
price = {{ input_usd_per_mtok = 1, output_usd_per_mtok = 4 }}
[[arms]]
name = "large"
model = "openai/ok"
api_base = "{url}"
price = {{ input_usd_per_mtok = 10, output_usd_per_mtok = 40 }}
"""
TICK = os.sysconf("SC_CLK_TCK")


def once(argv, env, resident=None):
    """Run a command; return its wall and CPU seconds, and those of the resident's forks meanwhile."""
    forks = cpu_of_forks(resident)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{argv} failed:\n{done.stderr.decode()}")
    time.sleep(0.05)  # the resident reaps its fork
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, cpu_of_forks(resident) - forks


def cpu_of_forks(pid):
    """Return the seconds of CPU of a process's children that have ended, and its own."""
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return sum(map(int, fields[11:15])) / TICK


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--scrimp", default=str(Path(sys.executable).with_name("scrimp")))
    args = parser.parse_args()
    from server import Server

    with tempfile.TemporaryDirectory(dir="/tmp") as folder, Server() as server:
        home = Path(folder)
        env = {**os.environ, "SCRIMP_HOME": str(home / "scrimp"), "XDG_RUNTIME_DIR": folder}
        profile = home / "bench.toml"
        profile.write_text(PROFILE.format(url=server.base_url))
        for name, text in (("litellm", LITELLM.format(url=server.base_url)), ("typer", TYPER)):
            (home / f"{name}_script.py").write_text(textwrap.dedent(text))
        litellm, typer = [sys.executable, home / "litellm_script.py"], [sys.executable, home / "typer_script.py", "one"]
        prompt = "Prove that 2 is prime"
        pairs = {
            "ask": (["ask", "-p", profile, "-q", prompt], litellm, 0.10, 0.02),
            "route": (["route", "-p", profile, "--json", prompt], litellm, None, None),
            "log": (["log"], typer, None, None),
            "spend": (["spend", "-p", profile], typer, None, None),
        }
        began = time.perf_counter()
        done = subprocess.run([args.scrimp, "resident", "start", "-p", profile, "--json"], env=env, capture_output=True)
        print(f"start      {time.perf_counter() - began:.2f} s", flush=True)
        try:
            import json

            pid = json.loads(done.stdout)["pid"]
            for name, (ours, bare, wall_target, cpu_target) in pairs.items():
                if args.only and name not in args.only:
                    continue
                report(name, [args.scrimp, *ours], bare, env, args.runs, pid, wall_target, cpu_target)
            found = json.loads(
                subprocess.run([args.scrimp, "resident", "status", "--json"], env=env, capture_output=True).stdout
            )
            print(
                f"memory     resident {found['rss_mb']:.0f} MB (its share {found['pss_mb']:.0f}), "
                f"a fork's own at its start {found['fork_mb']:.1f} MB; {found['n_served']} commands"
            )
        finally:
            subprocess.run([args.scrimp, "resident", "stop"], env=env, capture_output=True)


def report(name, ours, bare, env, runs, pid, wall_target, cpu_target):
    cold = once(ours, {**env, "SCRIMP_RESIDENT": "0"})
    for _ in range(2):
        once(ours, env, pid), once(bare, env)
    times = [(once(ours, env, pid), once(bare, env)) for _ in range(runs)]
    wall, cpu, fork = (statistics.median(row[0][k] for row in times) for k in range(3))
    bare_wall, bare_cpu = (statistics.median(row[1][k] for row in times) for k in range(2))
    line = f"{name:<10} wall {wall:.3f} s, client's CPU {cpu:.3f} s, fork's {fork:.3f} s; cold {cold[0]:.2f} s"
    print(f"{line}; bare {bare_wall:.3f} s, CPU {bare_cpu:.3f} s", flush=True)
    for what, ratio, target in (("wall", wall / bare_wall, wall_target), ("CPU", cpu / bare_cpu, cpu_target)):
        verdict = "" if target is None else f"   target {target:.2f}   {'ok' if ratio <= target else 'MISSED'}"
        print(f"  {what:<8} ratio {ratio:6.3f}{verdict}", flush=True)


if __name__ == "__main__":
    main()
