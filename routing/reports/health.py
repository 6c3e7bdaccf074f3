"""What works here, and what to do about what does not: versions, folders, profile, embedder, router, ledger."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final, Literal

from scrimp.profiles.addresses import ignored_variables
from scrimp.profiles.errors import ScrimpError, UsageError
from scrimp.profiles.installer import how_to_add
from scrimp.profiles.money import format_usd
from scrimp.routing.text.in_words import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from scrimp.profiles.keys import Keys
    from scrimp.profiles.load import Loaded
    from scrimp.profiles.paths import Paths
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.prices.table import PriceTable

__all__ = ["Examination", "Finding", "back_up_ledger"]

COMPROMISED: Final = frozenset({"1.82.7", "1.82.8"})
"""Releases of litellm that were tampered with."""

_NEEDED: Final = ("folders", "profile", "ledger")
"""The parts without which nothing is asked; without an embedder or a router the default arm answers."""

_AUDIT_S: Final = 0.3
"""Seconds that the calls of a large ledger are summed up for, unless all of it is to be looked at."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    stops
        Whether the profile in force cannot answer while it is so.
    """

    what: str
    state: Literal["ok", "note", "problem"]
    detail: str
    fix: str | None = None
    stops: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def _checks() -> Iterator[Finding]:
    """Yield whether code that `tests:` runs is kept to its folder here; tried out, in a process of its own."""
    from scrimp.routing.checks.sandbox import confinement

    held = confinement()
    kept = {
        "files outside its folder (no Landlock)": held.files,
        "network, processes, signals (no seccomp)": held.calls,
    }
    missing = [what for what, holds in kept.items() if not holds]
    if missing:
        fix = "Run code that you do not trust in a container, with cmd:."
        yield Finding("checks", "note", f"code under tests: is not kept from {' and '.join(missing)}", fix)
    else:
        yield Finding("checks", "ok", "code under tests: reaches its own folder, no network, no other process")


@dataclass(frozen=True, slots=True)
class Examination:
    """Looks at everything that scrimp stands on; nothing is sent.

    Attributes
    ----------
    load
        Returns the profile to use.
    prices
        Returns the price table in force.
    ledger
        Opens the ledger to read; None where there is none yet.
    whole
        Look at all of a large ledger, not at a part of it.
    """

    paths: Paths
    keys: Keys
    load: Callable[[], Loaded]
    prices: Callable[[], PriceTable]
    ledger: Callable[[], Ledger | None]
    whole: bool = False

    def findings(self) -> Iterator[Finding]:
        """Yield what was found, part after part; a part that fails is a finding too."""
        parts = {
            "versions": _versions, "environment": _environment, "folders": self._folders, "profile": self._profile,
            "embedder": self._embedder, "local model": _local_model, "machine": self._machine, "checks": _checks,
            "router": self._router, "ledger": self._ledger, "alerts": self._alerts, "otel": self._otel,
        }  # fmt: skip
        for name, look in parts.items():
            try:
                yield from look()
            except ScrimpError as error:
                yield Finding(name, "problem", error.message, error.hint, stops=name in _NEEDED)

    def _folders(self) -> Iterator[Finding]:
        for what, folder in (("config", self.paths.config), ("state", self.paths.state), ("cache", self.paths.cache)):
            nearest = folder
            while not nearest.exists() and nearest != nearest.parent:
                nearest = nearest.parent
            if os.access(nearest, os.W_OK):
                yield Finding(f"{what} folder", "ok", str(folder))
            else:
                fix = "Set SCRIMP_HOME to a folder of yours."
                yield Finding(f"{what} folder", "problem", f"{folder} cannot be written", fix, stops=what == "state")

    def _profile(self) -> Iterator[Finding]:
        from .profile_check import check_profile

        loaded = self.load()
        yield Finding("profile", "ok", f"{loaded.profile.name}, chosen by {loaded.chosen_by}")
        for note in loaded.notes:
            yield Finding("profile", "note", note)
        table = self.prices()
        yield Finding("price table", "ok", f"{table.source}, sha256 {table.sha256[:12]}")
        found = check_profile(loaded, table, self.keys, today=datetime.now(UTC).date())
        for each in found:
            yield Finding(each.where, "problem" if each.level == "error" else "note", each.message, each.fix)
        broken = {each.where for each in found if each.level == "error"}
        if all(f'arm "{arm.name}"' in broken for arm in loaded.profile.arms):
            fix = next((each.fix for each in found if each.level == "error"), None)
            yield Finding(
                "profile", "problem", f"{loaded.profile.name} cannot answer: no arm of it can", fix, stops=True
            )

    def _embedder(self) -> Iterator[Finding]:
        loaded = self.load()
        from scrimp.routing.prompts.embedding import Embedder

        began = time.perf_counter()
        embedder = Embedder(loaded.profile.embedding.model, cache_dir=self.paths.cache)
        embedder.embed(["a prompt"])
        yield Finding("embedder", "ok", f"{embedder.id}, loaded and run in {time.perf_counter() - began:.1f} s")

    def _machine(self) -> Iterator[Finding]:
        """Measure how fast this machine is, where that is not known, and say it."""
        from scrimp.routing.calls.machine import Machine

        rates = Machine(self.paths.machine).rates()
        if rates is None:
            yield Finding(
                "machine", "note", "its speed cannot be measured: local models are timed by their calls alone"
            )
            return
        day = datetime.fromtimestamp(rates.measured_at, UTC).date()
        power = "power unknown (no energy counter can be read)" if rates.watts is None else f"{rates.watts:.0f} W"
        yield Finding(
            "machine",
            "ok",
            f"one core: {rates.flops / 1e9:.0f} GFLOP/s, {rates.bytes_per_s / 1e9:.1f} GB/s, {power}; measured {day}",
        )

    def _router(self) -> Iterator[Finding]:
        from scrimp.routing.router.in_force import load_router

        router = load_router(None, self.paths.routers)
        yield Finding("router", "note" if router.note else "ok", router.note or router.version)

    def _alerts(self) -> Iterator[Finding]:
        from scrimp.routing.ledger.events import undelivered
        from scrimp.routing.signals.alerts import why_broken

        alerts = self.load().profile.alerts
        if not alerts.wanted:
            return
        if (broken := why_broken(alerts)) is not None:
            yield Finding("alerts", "problem", broken, "Install it, or name another command under [alerts].")
            return
        n, why = undelivered(self.ledger(), self.load().profile.name)
        if n:
            yield Finding("alerts", "note", f"{n} not delivered: {why or 'they are to be'}", "scrimp alerts test")
        else:
            yield Finding("alerts", "ok", "by a command" if alerts.cmd is not None else "to an address")

    def _otel(self) -> Iterator[Finding]:
        from scrimp.routing.ledger.exports import n_waiting
        from scrimp.routing.signals.telemetry import is_installed

        profile = self.load().profile
        if profile.otel is None:
            return
        if not is_installed():
            yield Finding("otel", "problem", "OpenTelemetry is not installed", how_to_add("otel"))
            return
        n = n_waiting(self.ledger(), profile.name)
        yield Finding(
            "otel", "ok", f"{counted(n, 'call is', 'calls are')} to be exported" if n else "all calls are exported"
        )

    def _ledger(self) -> Iterator[Finding]:
        from scrimp.routing.ledger.audit import audit_balances, audit_some
        from scrimp.routing.ledger.documents import size
        from scrimp.routing.ledger.place import damaged, network_file_system
        from scrimp.routing.ledger.reservations import reap
        from scrimp.routing.ledger.spending import open_calls
        from scrimp.routing.ledger.upkeep import look_over

        path = self.paths.ledger
        ledger = self.ledger()
        if ledger is None:
            yield Finding("ledger", "ok", f"{path} (made on first use)")
            return
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            yield Finding("ledger", "problem", f"{path} can be read by others ({mode:o})", f"chmod 600 {path}")
        if (kind := network_file_system(path)) is not None:
            yield Finding(
                "ledger",
                "note",
                f"{path} is on a network file system ({kind}): caps hold there only while one machine uses it",
                "Set SCRIMP_HOME to a folder on a disk of this machine; give each machine caps of its own.",
            )
        found, part = look_over(ledger, whole=self.whole)
        if found is not None:
            error = damaged(path, found)
            yield Finding("ledger", "problem", error.message, error.hint, stops=True)
            return
        reap(ledger, now=time.time())
        if part is None:
            wrong = audit_balances(ledger)
        else:
            wrong, until = audit_some(ledger, seconds=_AUDIT_S)
            part += f"; sums of calls held against them until {until}"
        if wrong:
            yield Finding(
                "ledger",
                "problem",
                f"{len(wrong)} running sums disagree with the calls",
                "Please report this; the sums were left as they are.",
            )
        n_files, n_bytes = size(ledger)
        files = f", with the texts of {counted(n_files, 'file')} ({n_bytes / 1e6:,.1f} MB)" if n_files else ""
        yield Finding("ledger", "ok", f"{path}, zone {ledger.zone_name}{files}")
        if part is not None:
            yield Finding("ledger", "note", part, "scrimp doctor --full looks at all of it, in some 10 s for each GB")
        calls = open_calls(ledger)
        unknown = [row for row in calls if row["status"] == "unknown"]
        if unknown:
            yield Finding(
                "calls of unknown cost",
                "note",
                f"{len(unknown)}, which count as {format_usd(sum(row['charged_nano'] for row in unknown))}",
                "scrimp spend reconcile --all-unknown-as bound|0|FILE.csv",
            )
        for row in calls:
            if row["status"] == "unknown" or row["held_by"] is not None:
                away = row["held_by"] is not None
                why = f"held by a process on {row['held_by']} since {row['at'][:16]}Z" if away else row["note"]
                yield Finding(
                    f"call {row['id']}",
                    "note",
                    f"{row['profile']}/{row['arm']}: {why}; counts as {format_usd(row['charged_nano'])}",
                    f"scrimp spend reconcile {row['id']} USD" + (" --yes, when you know it is dead" if away else ""),
                )


def _versions() -> Iterator[Finding]:
    yield Finding("python", "ok", sys.version.split()[0])
    for package in ("scrimp", "litellm", "fastembed", "sqlite-utils", "typer"):
        try:
            found = version(package)
        except PackageNotFoundError:
            yield Finding(package, "problem", "not installed", "Install scrimp again.", stops=True)
            continue
        if package == "litellm" and found in COMPROMISED:
            yield Finding(
                package, "problem", f"{found} is a compromised release", "pip install -U litellm, and change your keys."
            )
        else:
            yield Finding(package, "ok", found)


def _environment() -> Iterator[Finding]:
    names = ignored_variables(os.environ)
    for name in names:
        yield Finding(
            "environment", "note", f"{name} is set, and ignored", "Where calls go is an arm's api_base to say."
        )
    if not names:
        yield Finding("environment", "ok", "no variable that is set would send calls elsewhere")


def _local_model() -> Iterator[Finding]:
    from scrimp.routing.calls.local_weights import check_available

    try:
        yield Finding("local model", "ok", str(check_available("local/smollm2-135m-instruct")))
    except ScrimpError as error:
        what = f"{error.message} (the extra `local`; other profiles answer without it)"
        yield Finding("local model", "note", what, error.hint)


def back_up_ledger(ledger: Ledger | None, path: Path) -> None:
    """Copy the ledger, as it is at one instant, to a new file of the user's alone.

    Raises
    ------
    UsageError
        If there is no ledger yet, or the file exists or cannot be made.
    """
    from scrimp.routing.ledger.upkeep import back_up

    if ledger is None:
        raise UsageError("there is no ledger yet")
    try:
        back_up(ledger, path)
    except FileExistsError:
        raise UsageError(f"{path} exists", hint="Choose another name, or remove it first.") from None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
