"""Other programs that a bench runs: each in a folder of its own (a virtual environment, or npm's), made once and kept."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import platformdirs

CACHE = Path(platformdirs.user_cache_dir("scrimp-bench"))


class MissingError(Exception):
    """A program cannot be had here: why."""


def commands_of(requirement: str) -> Path:
    """Return the folder of commands of a package, as in `llm==0.28`, with what it needs; install it on first use.

    Raises
    ------
    MissingError
        If it cannot be had: no uv, no registry, or pins that do not fit this Python.
    """
    place = CACHE / requirement.replace("==", "-").replace("[", "-").replace("]", "")
    uv = shutil.which("uv")
    if (place / "whole").exists():
        return place / "bin"
    if uv is None:
        raise MissingError(f"{requirement}: uv is not here to install it")
    shutil.rmtree(place, ignore_errors=True)  # left by a run that was stopped in mid-install
    place.parent.mkdir(parents=True, exist_ok=True)
    print(f"(installing {requirement} into {place})", file=sys.stderr, flush=True)
    for command in (
        [uv, "venv", "-q", "--python", sys.executable, str(place)],
        [uv, "pip", "install", "-q", "--compile-bytecode", "--python", str(place / "bin" / "python"), requirement],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            shutil.rmtree(place, ignore_errors=True)
            raise MissingError(f"{requirement} cannot be installed: {done.stderr.strip()[-300:]}")
    (place / "whole").touch()
    return place / "bin"


def npm_commands_of(requirement: str) -> Path:
    """Return the folder of commands of an npm package, as in `@openai/codex@0.171.0`; install it on first use.

    Raises
    ------
    MissingError
        If it cannot be had: no npm, or no registry.
    """
    place = CACHE / "npm" / requirement.strip("@").replace("/", "-").replace("@", "-")
    npm = shutil.which("npm")
    if (place / "whole").exists():
        return place / "node_modules" / ".bin"
    if npm is None:
        raise MissingError(f"{requirement}: npm is not here to install it")
    shutil.rmtree(place, ignore_errors=True)  # left by a run that was stopped in mid-install
    place.mkdir(parents=True)
    print(f"(installing {requirement} into {place})", file=sys.stderr, flush=True)
    command = [npm, "install", "--prefix", str(place), "--no-audit", "--no-fund", requirement]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        shutil.rmtree(place, ignore_errors=True)
        raise MissingError(f"{requirement} cannot be installed: {done.stderr.strip()[-300:]}")
    (place / "whole").touch()
    return place / "node_modules" / ".bin"


def locked_version(package: str) -> str:
    """Return the version of a package that uv.lock has, so that a peer is not an older or a newer one than ours."""
    lock = tomllib.loads((Path(__file__).parents[1] / "uv.lock").read_text())
    return next(each["version"] for each in lock["package"] if each["name"] == package)
