"""`scrimp demo`: what scrimp does, run in front of one, without a key and in a home of its own."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from scrimp.profiles.errors import ExitCode
from scrimp.profiles.paths import paths

from . import session
from .parser import new_app
from .result import say, write_out

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["app", "demo"]

app = new_app()

EPILOG = """\b
Examples:
  scrimp demo
"""

PROFILE: Final = """name = "demo"
default_arm = "long"
caps = { per_day_usd = 0.02 }
policy = { wtp_usd = 0.01 }

[[arms]]
name = "short"
model = "local/smollm2-135m-instruct"
tier = "small"
max_output_tokens = 16
price = { input_usd_per_mtok = 1, output_usd_per_mtok = 4 }

[[arms]]
name = "long"
model = "local/smollm2-135m-instruct"
tier = "large"
max_output_tokens = 64
price = { input_usd_per_mtok = 4, output_usd_per_mtok = 16 }
"""
"""One local model under two names: what is shown is how scrimp chooses and pays, at prices that are made up."""

OPENING: Final = """\
A tour without a key, in a home of its own that is deleted at the end. Two
arms, both the small local model: short may answer in 16 tokens, long in 64 at
four times the price. Prices are made up and nothing is paid; the answers are
real, and as good as those of a model of 135 million parameters.
"""

OUTCOMES: Final = "outcomes.jsonl"
N_OUTCOMES: Final = 200
"""The least that a refit is judged on: it keeps half of them for that, and wants a hundred."""

PROOF: Final = "Prove that the sum of the first 12 odd numbers is 144."
CAPITAL: Final = "What is the capital of France?"
TIDES: Final = "What causes tides? One sentence."


class Step(NamedTuple):
    """A command, what is said before it, and the exit code that it has to end with."""

    why: str
    argv: tuple[str, ...]
    code: ExitCode = ExitCode.OK


STEPS: Final = (
    Step("Route: which arm, and why. Nothing is sent.", ("route", PROOF)),
    Step("Ask: the answer on stdout; who gave it and what it cost on stderr.", ("ask", CAPITAL)),
    Step(
        "A cap: what could cost more is refused before it is sent.",
        ("ask", "--max-cost", "0.00001", CAPITAL),
        ExitCode.BUDGET,
    ),
    Step(
        "A cascade: the cheap arm first; where its answer fails the check (here: it was cut), the next.",
        ("ask", "--plan", "short ? complete > long", TIDES),
    ),
    Step(
        f"Learning: {N_OUTCOMES} made-up outcomes, in which short does for easy questions and fails at proofs.",
        ("learn", "import", OUTCOMES),
    ),
    Step("A refit, judged on later outcomes that it has not seen (made up as well).", ("refit",)),
    Step("The first question again: the router has learned.", ("route", PROOF)),
)


@app.command(epilog=EPILOG)
def demo() -> int:
    """Show a route, a cap, a cascade and a refit, each really run on the local model: a tour without a key.

    Nothing of yours is read or changed. Exit 78 where the local model is not installed.
    """
    with _home_of_its_own():
        loaded = session.load(None, quiet=True)
        session.find_key(loaded.profile.default)  # the engine and the weights, or what installs them
        write_out(OPENING)
        for step in STEPS:
            if code := _take(step):
                return code
    write_out("\nThat was all of it. `scrimp ask` is next; `scrimp --help` lists the commands.\n")
    return 0


def _take(step: Step) -> int:
    """Run a step as its command line would be; return 0 where it ended as it should."""
    from .app import run

    write_out(f"\n{step.why}\n$ scrimp {shlex.join(step.argv)}\n")
    code = run(step.argv)
    if code == step.code:
        return 0
    if code < ExitCode.HUNG_UP:
        say(f"the demo ends here: this was to end with {int(step.code)}, and ended with {code}")
    return code or ExitCode.UNEXPECTED


@contextlib.contextmanager
def _home_of_its_own() -> Iterator[None]:
    """Have everything of the user's out of sight: another home, an empty working folder, none of scrimp's variables."""
    before, folder = dict(os.environ), Path.cwd()
    with tempfile.TemporaryDirectory(prefix="scrimp-demo-", ignore_cleanup_errors=True) as made:
        try:
            for name in [name for name in os.environ if name.startswith("SCRIMP_")]:
                del os.environ[name]
            os.environ |= {"SCRIMP_HOME": str(Path(made) / "home"), "SCRIMP_PROFILE": "demo"}
            os.chdir(made)
            _forget()
            profiles = paths().profiles
            profiles.mkdir(parents=True)
            (profiles / "demo.toml").write_text(PROFILE, "utf-8")
            Path(OUTCOMES).write_text("".join(f"{json.dumps(row)}\n" for row in outcomes()), "utf-8")
            yield
        finally:
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(before)
            _forget()


def _forget() -> None:
    """Have files and keys be looked for anew."""
    session.close()
    session.keys.cache_clear()


def outcomes() -> Iterator[dict[str, object]]:
    """Yield made-up outcomes: short is right on 95% of easy questions and 10% of proofs, long on 95% of both."""
    draw = random.Random(0)  # noqa: S311 - made up, and the same each time
    for n in range(N_OUTCOMES):
        hard = draw.random() < 0.5
        proof, easy = f"Prove that the sum of the first {n} odd numbers is {n * n}.", f"What colour is fruit {n}?"
        right = {"short": 0.1 if hard else 0.95, "long": 0.95}
        models = {
            arm: {"score": int(draw.random() < chance), "cost_usd": {"short": 0.0001, "long": 0.001}[arm]}
            for arm, chance in right.items()
        }
        yield {"id": f"made-up-{n}", "source": "made-up", "prompt": proof if hard else easy, "models": models}
