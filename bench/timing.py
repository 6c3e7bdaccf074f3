"""How well the time of an answer is foretold: a local model by its size, any arm by its calls, and `max_seconds` kept.

    uv run python bench/timing.py [--calls 50] [--asks 100]

Prints what was measured, the target, and what was got. The local model is timed by the clock and by the processor time
of its own process: on a machine that others use too, the second is what a quiet one would have shown. The load average
stands beside it.
"""

import argparse
import contextlib
import importlib.util
import math
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from server import Server

from scrimp.profiles.schema import Arm
from scrimp.routing.calls.local_engine import Finished, engine
from scrimp.routing.calls.machine import Machine, measure
from scrimp.routing.router.timing import Tempo, Timed, TimedArm, learn_tempos

Row = tuple[str, str, str]

MODEL = "local/smollm2-135m-instruct"
SENTENCE = "The river rose again in spring and the town watched the old bridge from the hill. "
REPEATS = (0, 26, 148)
"""How often the sentence stands in a prompt: about 40, 500 and 2,700 tokens with all around it."""

WORTH = 1.6
NEAR = 0.2


def _load() -> str:
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def _call(prompt: str, limit: int) -> tuple[Timed, float]:
    """Ask the local model; return the call by the clock, and the processor time that it took."""
    began, spent = time.perf_counter(), time.process_time()
    first: float | None = None
    end: Finished | None = None
    messages = [{"role": "user", "content": prompt}]
    with contextlib.closing(engine(MODEL).generate(messages, max_tokens=limit)) as pieces:
        for piece in pieces:
            if isinstance(piece, Finished):
                end = piece
            else:
                first = first or time.perf_counter() - began
    took, cpu = time.perf_counter() - began, time.process_time() - spent
    assert end is not None
    return Timed(end.prompt_tokens or 0, end.completion_tokens or 0, 0, took, first), cpu


def _supposed() -> tuple[Tempo, TimedArm]:
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(Path(folder) / "machine.json")
        machine.rates()
        found = machine.supposed(Arm(name="local", model=MODEL))
    assert found is not None
    arm = TimedArm("local", MODEL, "local", (), (found.start_s, found.read_s, found.write_s), found.bend)
    return learn_tempos([arm])["local"], arm


def roofline() -> Iterator[Row]:
    """Yield how far the roofline is from the local model at three lengths of prompts."""
    tempo, _ = _supposed()
    engine(MODEL).load()
    for n in REPEATS:
        call, cpu = _call(SENTENCE * n + "What is told of the river? Tell it in your own words.", 64)
        predicted = tempo.seconds(call.read, call.written)
        factors = [max(predicted / seen, seen / predicted) for seen in (cpu, call.seconds)]
        yield (
            f"local model, {call.read:,} tokens read, {call.written} written: predicted {predicted:.1f} s",
            f"within x{WORTH}",
            (
                f"x{factors[0]:.2f} of {cpu:.1f} s of processor time; x{factors[1]:.2f} of {call.seconds:.1f} s by the clock "
                f"({_load()})"
            ),
        )


def after_calls(n: int) -> Iterator[Row]:
    """Yield how near the median is after calls of the local model, timed by the processor time of each."""
    _, arm = _supposed()
    rng = random.Random(0)
    calls = []
    for _ in range(n + 20):
        prompt = SENTENCE * rng.choice((0, 1, 2, 4, 6)) + f"Name {rng.randrange(2, 9)} rivers."
        call, cpu = _call(prompt, rng.choice((8, 16, 24)))
        first = None if call.first_s is None else call.first_s * cpu / call.seconds
        calls.append(Timed(call.read, call.written, 0, cpu, first))
    told = TimedArm(arm.name, arm.model, arm.place, calls[:n][::-1], arm.supposed, arm.bend)
    tempo = learn_tempos([told])["local"]
    errors = [tempo.seconds(call.read, call.written) / call.seconds for call in calls[n:]]
    within = sum(call.seconds <= tempo.seconds_p90(call.read, call.written, call.written) for call in calls[n:])
    yield (
        f"local model after {n} calls: predicted over seen, the median of 20 more",
        f"within {NEAR:.0%}",
        f"{statistics.median(errors) - 1:+.0%}; {within} of 20 within the 90th percentile ({_load()})",
    )


def simulated(n: int) -> Iterator[Row]:
    """Yield how near the median is to the truth after calls of arms that are made up, with outliers."""
    errors, within, tries = [], 0, 0
    for seed in range(100):
        rng = random.Random(seed)
        truth = [math.exp(rng.gauss(at, 0.6)) for at in (-0.5, -8.5, -4.2)]

        def call(rng: random.Random = rng, truth: list[float] = truth, *, streamed: bool = seed % 2 == 0) -> Timed:
            read, written = round(rng.lognormvariate(5.5, 1.2)), max(1, round(rng.lognormvariate(5.0, 0.8)))
            noise = math.exp(rng.gauss(0.0, 0.25)) * (rng.uniform(4.0, 20.0) if rng.random() < 0.05 else 1.0)
            start = (truth[0] + truth[1] * read) * noise
            return Timed(read, written, 0, start + truth[2] * written * noise, start if streamed else None)

        tempo = learn_tempos([TimedArm("a", "m", "p", [call() for _ in range(n)])])["a"]
        fresh = [call() for _ in range(200)]
        errors.append(
            abs(statistics.median(tempo.seconds(each.read, each.written) / each.seconds for each in fresh) - 1)
        )
        within += sum(each.seconds <= tempo.seconds_p90(each.read, each.written, each.written) for each in fresh)
        tries += len(fresh)
    yield (
        f"100 made-up arms after {n} calls, 5% of them in a queue: |predicted / seen - 1| at the median",
        f"within {NEAR:.0%}",
        (
            f"{statistics.median(errors):.1%} at the median arm, {sorted(errors)[94]:.1%} at the 95th; "
            f"{within / tries:.0%} within the 90th percentile"
        ),
    )


PROFILE = """
name = "timed"
default_arm = "slow"
[caps]
per_day_usd = 5.0
[policy]
explore = 0.0
"""

ARM = """
[[arms]]
name = "{name}"
model = "openai/ok@latency_ms={latency_ms},tokens=20"
api_base = "{url}"
tier = "{tier}"
max_output_tokens = 64
price = {{ input_usd_per_mtok = {price}, output_usd_per_mtok = {price} }}
"""


def kept(n: int) -> Iterator[Row]:
    """Yield how often `max_seconds = 1` is kept by arms over loopback that take 0.2 s and 2 s; the slow one is better."""
    with tempfile.TemporaryDirectory() as folder, Server(price_in="1", price_out="1") as server:
        home = Path(folder)
        (home / "profiles").mkdir()
        arms = (("quick", 200, "small", 0.05), ("slow", 2_000, "large", 0.05))
        text = PROFILE + "".join(
            ARM.format(name=name, latency_ms=ms, url=server.base_url, tier=tier, price=price)
            for name, ms, tier, price in arms
        )
        (home / "profiles" / "timed.toml").write_text(text)
        from scrimp.cli.python import Scrimp, ScrimpError

        with Scrimp("timed", home=home, seed=0) as scrimp:
            unhurried = scrimp.ask("What is the capital of France?")
            for arm in ("quick", "slow") * 3:
                scrimp.ask("What is the capital of France?", arm=arm)
        answered = in_time = 0
        arms_taken = set()
        with Scrimp("timed", home=home, seed=0) as scrimp:
            for i in range(n):
                began = time.perf_counter()
                with contextlib.suppress(ScrimpError):
                    arms_taken.add(scrimp.ask(f"What is {i} + {i}?", max_seconds=1.0).arm)
                    answered += 1
                    in_time += time.perf_counter() - began <= 1.0
    yield (
        f"max_seconds = 1, arms of 0.2 s and 2 s ({unhurried.arm} is taken unhurried): kept in {n} asks",
        ">= 95%",
        f"{in_time / n:.0%} answered in time, {answered / n:.0%} answered, by {', '.join(sorted(arms_taken))} ({_load()})",
    )


def parts(calls: int, asks: int) -> Iterator[Row]:
    """Yield every row as it is measured; those of the local model where it is installed."""
    yield from simulated(calls)
    yield from kept(asks)
    if importlib.util.find_spec("xllamacpp") and measure() is not None:
        yield from roofline()
        yield from after_calls(calls)


def rows(data: Path | None) -> list[Row]:
    """Return what was measured, the target, and what was got; `data` is not needed."""
    del data
    return [*parts(50, 100)]


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--calls", type=int, default=50)
    options.add_argument("--asks", type=int, default=100)
    given = options.parse_args()
    for measured, target, got in parts(given.calls, given.asks):
        print(f"{measured}\n    target {target}; {got}", flush=True)
