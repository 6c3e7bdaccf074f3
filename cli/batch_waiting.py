"""What runs of `batch` have with providers' Batch APIs: how it stands, fetching what is done, giving it up."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import ExitCode, UsageError
from scrimp.routing.text.moments import local_time, with_zone

from . import session
from .progress import one_thread
from .result import Column, Result, Table, emit, say

if TYPE_CHECKING:
    from scrimp.routing.batch.running.waiting import Account, Looked
    from scrimp.routing.ledger.batches import Run

__all__ = ["give_up_waiting", "settle_loose", "show_waiting", "waits"]


def waits(run: Run) -> int:
    """Return how many calls of a run are with providers."""
    from scrimp.routing.batch.running import waiting

    ledger = session.ledger_to_read()
    return 0 if ledger is None else waiting.n_waiting(ledger, run.id)


def _account(run: Run | None, profile: str | None = None) -> Account:
    """Return who asks for a run: its profile's arms, with their keys."""
    from scrimp.routing.batch.running.waiting import Account

    name = profile or (None if run is None else run.options.get("profile") or run.profile)
    return Account(session.load(name, quiet=True).profile.arms, session.find_key)


def show_waiting(which: str | None, *, profile: str | None, as_json: bool) -> int:
    """Print how batches stand at their providers: those of a run, or all that hold calls."""
    from scrimp.routing.batch.running import waiting

    one_thread(children=False)
    ledger = session.ledger()
    looked: list[Looked] = []
    for run, batches in waiting.by_run(ledger, which):
        if waiting.any_open(batches):
            looked += asyncio.run(waiting.look_at(ledger, batches, _account(run, profile), now=time.time()))
        else:
            looked += map(waiting.Looked, batches)
    if which is not None and not looked:
        raise UsageError(
            f"nothing of {which!r} is, or was, with a provider", hint="`scrimp batch list` shows the runs."
        )
    until = with_zone("until", (each.handed.expires_at for each in looked))
    table = Table(
        (
            Column("batch"), Column("arm"), Column("api"), Column("provider's id"), Column("status"),
            Column("done", "right"), Column("to settle", "right"), Column(until),
        ),
        [
            (
                each.handed.id.removeprefix("scrimp-"), each.handed.arm, each.handed.api,
                each.handed.provider_id or "-",
                each.handed.word or each.handed.status,
                f"{each.handed.n_done or 0:,} of {each.handed.n_calls:,}", f"{each.handed.n_held:,}",
                local_time(each.handed.expires_at),
            )
            for each in looked
        ],
    )  # fmt: skip
    data = {"schema_version": 1, "batches": [_dict(each) for each in looked]}
    blocks = (table,) if looked else ("nothing is with a provider",)
    messages = tuple(f"{each.handed.arm}: {each.problem}" for each in looked if each.problem is not None)
    return emit(Result(data=data, blocks=blocks, messages=messages), as_json=as_json)


def _dict(looked: Looked) -> dict[str, Any]:
    handed = looked.handed
    return {
        "id": handed.id,
        "run": handed.run_id,
        "arm": handed.arm,
        "api": handed.api,
        "provider_id": handed.provider_id,
        "status": handed.status,
        "word": handed.word,
        "calls": handed.n_calls,
        "done": handed.n_done,
        "to_settle": handed.n_held,
        "at": handed.at,
        "expires_at": handed.expires_at,
        "ended_at": handed.ended_at,
        "problem": looked.problem,
    }


def give_up_waiting(run: Run) -> str | None:
    """Cancel what a run has with providers, and settle what was done; return what is to be said of it."""
    from scrimp.routing.batch.running import waiting

    ledger = session.ledger()
    batches = [each for _, found in waiting.by_run(ledger, run.id) for each in found if each.n_held]
    if not batches:
        return None
    one_thread(children=False)
    n_left = asyncio.run(waiting.give_up(ledger, batches, _account(run), clock=time.time, say=say))
    if n_left:
        return (
            f"calls that its providers have not given up yet: {n_left:,}; to settle them: scrimp batch collect {run.id}"
        )
    return "what its providers had was cancelled there, and what they had done is charged"


def settle_loose(run: Run, profile: str | None) -> int:
    """Settle what providers have done for a run that is over; return the exit code."""
    from scrimp.routing.batch.running import waiting

    ledger = session.ledger()
    batches = [each for _, found in waiting.by_run(ledger, run.id) for each in found if each.n_held]
    one_thread(children=False)
    n_left = asyncio.run(waiting.settle_all(ledger, batches, _account(run, profile), clock=time.time)) if batches else 0
    say(f"run {run.id} is {run.status}; " + (f"calls still with providers: {n_left:,}" if n_left else "all is settled"))
    return int(ExitCode.TRY_AGAIN if n_left else ExitCode.OK)
