"""Forgetting what was asked, wherever it was kept: the log, runs of batch, cached answers, and embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrimp.routing.asking.typed import forget_typed
from scrimp.routing.ledger.forget import purge, remove
from scrimp.routing.ledger.requests import find
from scrimp.routing.ledger.store import instant
from scrimp.routing.reports.page import opened
from scrimp.routing.retrieval import passages_kept

from .files.cache import Cache
from .state import parked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scrimp.profiles.paths import Paths
    from scrimp.routing.ledger.store import Ledger

__all__ = ["forget_everything", "forget_requests"]


def forget_requests(
    ledger: Ledger | None,
    paths: Paths,
    which: Sequence[str],
    *,
    confirm: Callable[[str], None],
    say: Callable[[str], None],
) -> None:
    """Forget requests: text, features, trace, labels, and what runs and the cache kept of them. Money stays counted.

    Parameters
    ----------
    which
        Each `last`, an id, or an end of one.
    confirm
        Takes what is about to be done, and raises where the user does not want it.

    Raises
    ------
    UsageError
        If one is not in the log: then none is forgotten.
    """
    rows = [find(ledger, each) for each in which]
    ids = [row["id"] for row in rows]
    assert ledger is not None  # noqa: S101 - find has raised
    confirm(f"forget {_many(len(ids), 'request')}")
    remove(ledger, ids)
    for each in ids:
        say(f"forgot {each}")
    parked.forget_runs_of(ledger, paths.batches, ids, say=say)
    _forget_cached(paths, say, requests=ids)
    opened.forget(paths.pages)
    forget_typed(paths.typed, texts={row["prompt"].strip() for row in rows if row["prompt"] is not None})
    if any(row["sources"] is not None for row in rows):
        passages_kept.forget(paths.cache)


def forget_everything(
    ledger: Ledger,
    paths: Paths,
    *,
    days: float | None,
    now: float,
    confirm: Callable[[str], None],
    say: Callable[[str], None],
    tell: Callable[[int, bool], None] | None = None,
) -> None:
    """Forget the whole log (or what is older than so many days), and give up unfinished runs. Money stays counted.

    Parameters
    ----------
    confirm
        Takes what is about to be done, and raises where the user does not want it.
    tell
        Takes how many requests are forgotten so far, and whether that is all.
    """
    before = None if days is None else now - days * 86_400
    at = None if before is None else instant(before)
    what = "forget every request" + ("" if days is None else f" older than {days:g} days")
    if to_end := parked.unfinished_runs(ledger, before=at):
        what += f", and give up {_many(len(to_end), 'unfinished run')} with the answers so far"
    confirm(what)
    gone = parked.purge(ledger, paths.batches, before=at, now=now)
    for run in gone.going:
        say(f"run {run.id} is going on: {run.partial} stays; purge again when it has ended")
    if gone.n_kept:
        say(f"forgot what {_many(gone.n_kept, 'finished run')} kept: no row of theirs can be asked again")
    for run_id in gone.given_up:
        say(f"gave up run {run_id}, which was not finished")
    _forget_cached(paths, say, before=before)
    opened.forget(paths.pages)
    forget_typed(paths.typed, before=before)
    for path in paths.vectors.glob("*.vectors"):
        path.unlink(missing_ok=True)
    passages_kept.forget(paths.cache)
    say(f"forgot {_many(purge(ledger, before=at, tell=tell), 'request')}")


def _forget_cached(
    paths: Paths, say: Callable[[str], None], *, before: float | None = None, requests: list[str] | None = None
) -> None:
    if paths.responses.exists():
        cache = Cache(paths.responses)
        n = cache.forget(before=before, requests=requests)
        cache.close()
        if n:
            say(f"forgot {_many(n, 'cached answer')}")


def _many(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"
