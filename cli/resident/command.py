"""`scrimp resident`: the process that makes the next command instant."""

from __future__ import annotations

import os

from scrimp.cli import session
from scrimp.cli.options import JsonOption, ProfileOption
from scrimp.cli.parser import new_app
from scrimp.cli.result import Note, Result, emit
from scrimp.profiles.errors import ConfigError, ExitCode, ScrimpError
from scrimp.profiles.system import needs_posix
from scrimp.routing.text.in_words import counted

from . import starting
from .where import socket_path

__all__ = ["app"]

app = new_app(
    "The resident process: everything loaded once, so that the next command is instant.",
    epilog="""\b
Examples:
  scrimp resident start        now, and not after the first question
  scrimp resident status       is there one, how long, how much memory
  scrimp resident stop
  scrimp resident restart      after an upgrade
  SCRIMP_RESIDENT=0 scrimp ask "..."    without it, this once

It starts by itself after a question at a terminal, and leaves after 15 idle minutes (docs/resident.md).
""",
    group=True,
)


@app.command()
def start(profile: ProfileOption = None, json: JsonOption = False) -> int:
    """Start one, and wait until it is ready; where there is one already, say so."""
    path = _path()
    session.keys()  # what is a key here is not handed on, whatever it is called
    found = starting.status()
    if found is not None and not found.current:
        starting.stop(found)
        found = None
    if found is not None:
        return _say(found, "is there already", as_json=json)
    loaded = session.load(profile, quiet=True)
    found = starting.wait_until_ready(starting.spawn(loaded.profile.embedding.model, os.environ))
    if found is None:
        why = starting.why_not(path)
        raise ScrimpError(
            "the resident process did not start" + ("" if why is None else f": {why}"),
            hint="Every command runs without it, as it would have.",
        )
    return _say(found, "is ready", as_json=json)


@app.command()
def status(json: JsonOption = False) -> int:
    """Show whether there is one, for how long, and its memory. Exits 1 where there is none."""
    found = starting.status()
    if found is not None:
        return _say(
            found, "is there" if found.current else "is out of date, and leaves with the next command", as_json=json
        )
    path = socket_path()
    why = None if path is None else starting.why_not(path)
    note = "no resident process" + ("" if why is None else f": the last one could not start: {why}")
    data = {"schema_version": 1, "running": False, "problem": why}
    return emit(Result(data=data, blocks=(Note(note),), exit_code=ExitCode.UNEXPECTED), as_json=json)


@app.command()
def stop(json: JsonOption = False) -> int:
    """Have it leave. Commands under way are done first; with none there, there is nothing to do."""
    found = starting.status()
    if found is not None and not starting.stop(found):
        raise ScrimpError(
            f"the resident process {found.pid} does not leave",
            hint=f"End it with `kill -9 {found.pid}`: what it runs goes on.",
        )
    what = "no resident process" if found is None else f"the resident process {found.pid} has left"
    data = {"schema_version": 1, "running": False, "stopped": None if found is None else found.pid}
    return emit(Result(data=data, blocks=(Note(what),)), as_json=json)


@app.command()
def restart(profile: ProfileOption = None, json: JsonOption = False) -> int:
    """Stop the one there is, and start another."""
    found = starting.status()
    if found is not None:
        starting.stop(found)
    return start(profile, json)


def _path() -> str:
    path = socket_path()
    if path is not None:
        return path
    from scrimp.profiles.paths import make_private_dir, paths

    needs_posix("the resident process")
    state = paths().state
    make_private_dir(state)
    path = socket_path()
    if path is None:
        raise ConfigError(
            f"{state} belongs to another user than {os.geteuid()}: there is no resident process for it",
            hint="Commands run without one.",
        )
    return path


def _say(found: starting.Status, what: str, *, as_json: bool) -> int:
    data = {
        "schema_version": 1,
        "running": True,
        "pid": found.pid,
        "age_s": found.age_s,
        "n_served": found.n_served,
        "rss_mb": found.rss_mb,
        "pss_mb": found.pss_mb,
        "fork_mb": found.fork_mb,
        "current": found.current,
    }
    memory = f", {found.rss_mb:.0f} MB" if found.rss_mb else ""
    note = f"the resident process {found.pid} {what}: {found.age_s:,} s, {counted(found.n_served, 'command')}{memory}"
    return emit(Result(data=data, blocks=(Note(note),)), as_json=as_json)
