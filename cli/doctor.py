"""`scrimp doctor`: what works here, and what to do about what does not."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from scrimp.profiles.errors import ExitCode, ScrimpError
from scrimp.profiles.money import format_usd
from scrimp.profiles.paths import paths

from . import session
from .options import JsonOption, ProfileOption
from .parser import new_app
from .result import Column, Result, Table, emit, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["app", "doctor"]

app = new_app()

COMPROMISED: Final = frozenset({"1.82.7", "1.82.8"})
"""Releases of litellm that were tampered with."""

EPILOG = """\b
Examples:
  scrimp doctor
  scrimp doctor --fetch BAAI/bge-small-en-v1.5    download another embedder (needs the network)
  scrimp doctor --backup ledger.db                a consistent copy of the ledger, while it is in use
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: Literal["ok", "note", "problem"]
    detail: str
    fix: str | None = None


@app.command(epilog=EPILOG)
def doctor(
    profile: ProfileOption = None,
    fetch: Annotated[
        str | None, typer.Option("--fetch", metavar="MODEL", help="Download an embedding model by fastembed's name.")
    ] = None,
    backup: Annotated[
        str | None, typer.Option("--backup", metavar="FILE", help="Copy the ledger to a new file.")
    ] = None,
    json: JsonOption = False,
) -> int:
    """Check everything that scrimp stands on, and say what to do about what does not work. Nothing is sent."""
    if fetch is not None:
        from scrimp.routing.prompts.embedding import fetch as download

        say(f"{fetch} is in {download(fetch, paths().cache)}")
        return 0
    if backup is not None:
        return _backup(backup)
    findings: list[Finding] = []
    for check in (_versions, _folders, _profile_findings(profile), _embedder, _local_model, _router, _ledger):
        try:
            findings += list(check())
        except ScrimpError as error:
            findings.append(Finding(_name(check), "problem", error.message, error.hint))
    bad = any(finding.state == "problem" for finding in findings)
    data = {
        "schema_version": 1,
        "ok": not bad,
        "findings": [
            {"what": each.what, "state": each.state, "detail": each.detail, "fix": each.fix} for each in findings
        ],
    }
    table = Table(
        (Column("what"), Column("state"), Column("detail"), Column("what to do")),
        [(each.what, each.state, each.detail, each.fix or "-") for each in findings],
    )
    return emit(Result(data=data, blocks=(table,), exit_code=ExitCode.CONFIG if bad else ExitCode.OK), as_json=json)


def _name(check: Any) -> str:
    return str(getattr(check, "__name__", "profile")).strip("_").replace("_findings", "").replace("_", " ")


def _versions() -> Iterator[Finding]:
    yield Finding("python", "ok", sys.version.split()[0])
    for package in ("scrimp", "litellm", "fastembed", "sqlite-utils", "typer"):
        try:
            found = version(package)
        except PackageNotFoundError:
            yield Finding(package, "problem", "not installed", "Install scrimp again.")
            continue
        if package == "litellm" and found in COMPROMISED:
            yield Finding(
                package, "problem", f"{found} is a compromised release", "pip install -U litellm, and change your keys."
            )
        else:
            yield Finding(package, "ok", found)


def _folders() -> Iterator[Finding]:
    for what, folder in (("config", paths().config), ("state", paths().state), ("cache", paths().cache)):
        nearest = folder
        while not nearest.exists() and nearest != nearest.parent:
            nearest = nearest.parent
        if os.access(nearest, os.W_OK):
            yield Finding(f"{what} folder", "ok", str(folder))
        else:
            yield Finding(
                f"{what} folder", "problem", f"{folder} cannot be written", "Set SCRIMP_HOME to a folder of yours."
            )


def _profile_findings(name: str | None) -> Callable[[], Iterator[Finding]]:
    def profile() -> Iterator[Finding]:
        from scrimp.routing.reports.profile_check import check_profile

        loaded = session.load(name, quiet=True)
        yield Finding("profile", "ok", f"{loaded.profile.name}, chosen by {loaded.chosen_by}")
        for note in loaded.notes:
            yield Finding("profile", "note", note)
        table = session.price_table()
        yield Finding("price table", "ok", f"{table.source}, sha256 {table.sha256[:12]}")
        for each in check_profile(loaded, table, session.keys(), today=datetime.now(UTC).date()):
            yield Finding(each.where, "problem" if each.level == "error" else "note", each.message, each.fix)

    return profile


def _embedder() -> Iterator[Finding]:
    loaded = session.load(None, quiet=True)
    from scrimp.routing.prompts.embedding import Embedder

    began = time.perf_counter()
    embedder = Embedder(loaded.profile.embedding.model, cache_dir=paths().cache)
    embedder.embed(["a prompt"])
    yield Finding("embedder", "ok", f"{embedder.id}, loaded and run in {time.perf_counter() - began:.1f} s")


def _local_model() -> Iterator[Finding]:
    from scrimp.routing.calls.local_engine import check_available

    try:
        yield Finding("local model", "ok", str(check_available("local/smollm2-135m-instruct")))
    except ScrimpError as error:
        yield Finding("local model", "note", error.message, error.hint)


def _router() -> Iterator[Finding]:
    from scrimp.routing.router.in_force import load_router

    router = load_router(None, paths().routers)
    yield Finding("router", "note" if router.note else "ok", router.note or router.version)


def _ledger() -> Iterator[Finding]:
    from scrimp.routing.ledger.reservations import audit_balances, reap
    from scrimp.routing.ledger.spending import open_calls
    from scrimp.routing.ledger.upkeep import damage

    path = paths().ledger
    ledger = session.ledger_to_read()
    if ledger is None:
        yield Finding("ledger", "ok", f"{path} (made on first use)")
        return
    reap(ledger, now=time.time())
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        yield Finding("ledger", "problem", f"{path} can be read by others ({mode:o})", f"chmod 600 {path}")
    if (found := damage(ledger)) is not None:
        yield Finding("ledger", "problem", f"{path} is damaged: {found}", "Put a backup in its place.")
        return
    wrong = audit_balances(ledger)
    if wrong:
        yield Finding(
            "ledger",
            "problem",
            f"{len(wrong)} running sums disagree with the calls",
            "Please report this; the sums were left as they are.",
        )
    yield Finding("ledger", "ok", f"{path}, zone {ledger.zone_name}")
    for row in open_calls(ledger):
        if row["status"] == "unknown":
            yield Finding(
                f"call {row['id']}",
                "note",
                f"{row['profile']}/{row['arm']}: {row['note']}; counts as {format_usd(row['charged_nano'])}",
                f"scrimp spend reconcile {row['id']} USD",
            )


def _backup(name: str) -> int:
    from pathlib import Path

    from scrimp.profiles.errors import UsageError
    from scrimp.routing.ledger.upkeep import back_up

    ledger = session.ledger_to_read()
    if ledger is None:
        raise UsageError("there is no ledger yet")
    path = Path(name)
    try:
        back_up(ledger, path)
    except FileExistsError:
        raise UsageError(f"{path} exists", hint="Choose another name, or remove it first.") from None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    say(f"copied the ledger to {path}")
    return 0
