"""From a file to a run that can begin: plan a sample, estimate the cost, set up the state."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from scrimp.profiles.errors import DataError, UsageError
from scrimp.profiles.files import kind_of_file
from scrimp.profiles.money import NANO, format_usd, nano_from_usd
from scrimp.routing.asking.refusal import why_none
from scrimp.routing.batch.files.output import Journal
from scrimp.routing.batch.files.scan import good_rows
from scrimp.routing.batch.state import parked
from scrimp.routing.batch.state.recovery import recover
from scrimp.routing.ledger import batches
from scrimp.routing.ledger.store import new_id
from scrimp.routing.text.in_words import counted

from .money import Money, money_left
from .plan import SAMPLE_ROWS, Options, Planner, options_of
from .row_plans import PLANS, RowWays, plan_options, with_checks, with_plans
from .stand_ins import Lengths

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scrimp.profiles.schema import Arm, Profile
    from scrimp.routing.asking.plan_choice import PlanChooser
    from scrimp.routing.batch.files.rows import BadRow
    from scrimp.routing.batch.files.scan import Scan
    from scrimp.routing.batch.files.source import Source
    from scrimp.routing.batch.state.recovery import Recovered
    from scrimp.routing.deciding.decide import Decider, Wishes
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.ledger.batches import Run
    from scrimp.routing.ledger.store import Ledger

    from .choosing import Chooser
    from .estimate import Estimate

__all__ = [
    "Goals",
    "check_output",
    "check_rows",
    "check_same_input",
    "in_flight",
    "money_for",
    "needs_yes",
    "open_new",
    "open_old",
    "plan",
    "seconds_of",
]

CONFIRM_NANO: Final = NANO
"""A run that would likely cost more than this is confirmed first."""

_CHUNK: Final = 64
_SHOWN_BAD: Final = 10
_IN_FLIGHT: Final = 8


def in_flight(arm: Arm, wanted: int | None) -> int:
    """Return how many calls of an arm are made at a time: a model in this process answers one after another.

    Of two places or more one is left to whoever asks one question at a time (`ledger.leases`).
    """
    if arm.model.startswith("local/"):
        return 1
    if arm.limits.concurrency is None:
        return wanted or _IN_FLIGHT
    own = max(1, arm.limits.concurrency - 1)
    return min(own, wanted or own)


@dataclass(frozen=True, slots=True)
class Goals:
    """What a run is to achieve.

    Attributes
    ----------
    max_cost_nano
        Spend no more than this, and get the most quality for it.
    target
        Mean quality to reach at the least cost.
    wtp_usd
        What a right answer is worth, where the user said so for this run: no row is paid more than it is worth.
    """

    max_cost_nano: int | None = None
    target: float | None = None
    wtp_usd: float | None = None


def check_rows(source: Source, found: Scan, *, skip_bad: bool) -> list[str]:
    """Return the lines for the user about a file's bad rows.

    Raises
    ------
    DataError
        If there are any, and they are not to be skipped; or if no good one is left.
    """
    unread = _shown(source, found.unread, found.n_unread)
    if found.n_unread:
        unread.append(f"{found.n_unread:,} of {counted(found.n_rows, 'row')} will fail: files cannot be read")
    if found.n_unread and found.n_unread == found.n_good:
        raise DataError(f"{source.name}: no row can be asked\n  " + "\n  ".join(unread))
    if not found.n_bad:
        return unread
    lines = _shown(source, found.bad, found.n_bad)
    rows = f"{found.n_bad:,} of {counted(found.n_rows, 'row')} cannot be read"
    if not skip_bad:
        fix = next((bad.hint for bad in found.bad if bad.hint), None)
        raise DataError(
            f"{source.name}: {rows}; nothing was sent\n  " + "\n  ".join(lines),
            hint=f"{fix or 'Mend them.'}\n  Or leave them out with --skip-bad.",
        )
    if not found.n_good:
        raise DataError(f"{source.name}: {rows}: none is left\n  " + "\n  ".join(lines))
    return [*lines, f"{rows} and are left out (--skip-bad)", *unread]


def _shown(source: Source, rows: Sequence[BadRow], n: int) -> list[str]:
    lines = [f"{source.where(each.line)}: {each.reason}" for each in rows[:_SHOWN_BAD]]
    return lines if n <= len(lines) else [*lines, f"... and {n - len(lines):,} more"]


def check_output(output: Path | None, source: Path, *, overwrite: bool) -> None:
    """Refuse an output that is missing, or would overwrite something.

    Raises
    ------
    UsageError
        If there is none, it is the input, is there already, cannot be made, or is no regular file: a device, a pipe,
        a link.
    """
    if output is None:
        raise UsageError(
            "where should the answers go? -o OUTPUT, or -o - to print them", hint="--dry-run says what it would cost."
        )
    if output.is_dir():
        raise UsageError(f"{output} is a folder", hint="-o names a file.")
    if output.exists() and source.exists() and output.samefile(source):
        raise UsageError(f"the output {output} is the input", hint="Give another name with -o.")
    if output.is_symlink():
        raise UsageError(f"{output} is a symbolic link", hint=f"Name the file itself: -o {output.resolve()}")
    if output.exists() and not output.is_file():
        raise UsageError(
            f"{output} is no file but {kind_of_file(output)}",
            hint="-o names a file: it is renamed into place when complete.",
        )
    if not output.parent.is_dir():
        raise UsageError(f"there is no folder {output.parent}")
    if output.exists() and not overwrite:
        raise UsageError(
            f"{output} is there already", hint="Replace it with --overwrite, or go on with its run: --resume."
        )


def plan(
    source: Source,
    found: Scan,
    chooser: Chooser,
    wishes: Wishes,
    goals: Goals,
    money: Money,
    *,
    plans: PlanChooser | None = None,
    done: frozenset[int] = frozenset(),
    now: float,
    seed: int = 0,
) -> Planner:
    """Decide a sample of the rows that are left (all, if there are no more than 2,000), and return what plans by it.

    Parameters
    ----------
    plans
        Chooses the rows' plans, where several calls may be made for one.
    done
        Places of rows that have a result.

    Raises
    ------
    ScrimpError
        If no arm can take any of them: money (exit 3), a key (4) or anything else (2).
    """
    import numpy as np

    picker = random.Random(seed)  # noqa: S311 - a sample, not a secret
    n = found.n_rows
    sampled = frozenset(range(n) if n <= SAMPLE_ROWS else picker.sample(range(n), SAMPLE_ROWS))
    arms = tuple(arm.name for arm in chooser.decider.profile.arms)
    reads = chooser.reader is not None and chooser.reader.is_free
    if chooser.reader is not None:
        arms = chooser.reader.columns(arms)
    parts: list[Options] = []
    whole: list[Options] = []
    own: list[bool] = []
    several = plans is not None and plans.way.several
    ways = None if plans is None else RowWays(plans, chooser.decider.profile)
    places: list[int] = []
    refused: Decision | None = None
    lengths = Lengths(found.graph)
    n_can_wait = 0
    picked = (row for row in good_rows(source, found) if row.n in sampled and row.n not in done)
    keep = n <= SAMPLE_ROWS and not chooser.blind
    for window in lengths.windows(picked, lambda rows: chooser.read(rows, _CHUNK)):
        chunk = [row for row in window if row.unread is None]
        decided = chooser.decide(chunk, wishes, money, rng=picker, now=now)
        options = options_of([each.decision for each in decided], arms)
        if ways is not None:
            own += [row.plan is not None for row in chunk]
            whole.append(plan_options(ways, chunk, decided, money, wishes))
            options = with_checks(ways, decided, options)
        parts.append(options)
        places += [row.n for row in chunk]
        n_can_wait += sum(bool(chooser.lanes.prices(row, now)) for row in chunk)
        for row, each in zip(chunk, decided, strict=True):
            lengths.learn(row.n, each.decision)
            if keep and each.context is not None and not row.refs:  # their true prompts are other ones
                chooser.kept[row.n] = each.context
        if refused is None:
            refused = next((each.decision for each in decided if each.decision.arm is None), None)
    policy = chooser.decider.profile.policy
    wtp = goals.wtp_usd if goals.wtp_usd is not None else None if goals.max_cost_nano is not None else policy.wtp
    sample = _joined(parts, len(arms))
    in_order = np.argsort(np.array(places, dtype=np.int64), kind="stable")
    sample = sample.take(in_order)
    if len(sample) and not sample.feasible.any():
        assert refused is not None  # noqa: S101 - no row has an arm
        raise why_none(
            refused,
            wishes.arm,
            chooser.keyless,
            profile=chooser.decider.profile.name,
            what="these rows",
            lead="no row can be sent: ",
            rooms=money.rooms,
        )
    if several:
        arms, sample = (PLANS,), _joined(whole, 1).take(in_order)
    elif any(own):
        arms = (*arms, PLANS)
        sample = with_plans(sample, _joined(whole, 1).take(in_order), np.array(own)[in_order])
    return Planner(
        arms,
        np.array(places, dtype=np.int64)[in_order],
        sample,
        floor=0.0 if wtp is None or wtp <= 0.0 else 1.0 / wtp,
        always=goals.max_cost_nano is not None and (wishes.arm is None or reads),
        target=goals.target,
        forced=several or (wishes.arm is not None and not reads),
        can_wait=n_can_wait / max(1, len(places)),
    )


def _joined(parts: list[Options], n_arms: int) -> Options:
    import numpy as np

    if not parts:
        empty = np.zeros((0, n_arms))
        natural = np.zeros(0, dtype=np.int64)
        return Options(empty, empty, empty, empty, empty, empty, empty, empty, empty.astype(bool), natural)
    names = Options.__slots__
    return Options(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def seconds_of(decider: Decider, planner: Planner) -> dict[str, float]:
    """Return how long an answer of each arm takes on average, seconds; arms of which nothing is known are left out."""
    known: dict[str, float] = {}
    for j, arm in enumerate(planner.arms):
        could, tempo = planner.sample.feasible[:, j], decider.tempo(arm)
        if tempo is not None and could.any():
            read, written = (float(each[could, j].mean()) for each in (planner.sample.read, planner.sample.tokens))
            known[arm] = tempo.seconds(read, written)
    return known


def needs_yes(guess: Estimate, profile: Profile) -> str | None:
    """Return why a run should be confirmed, or None."""
    likely, high = nano_from_usd(guess.likely_usd), nano_from_usd(guess.high_usd)
    if likely > CONFIRM_NANO:
        return f"this would likely cost {format_usd(likely)} (up to {format_usd(high)})"
    cap = profile.caps.per_run_usd
    if cap is not None and high > nano_from_usd(cap):
        return f"this could cost {format_usd(high)}, and a run may cost {format_usd(nano_from_usd(cap))}"
    return None


def open_new(ledger: Ledger, run: Run) -> Journal:
    """Set up a new run's state, and return its journal: from here on it can be killed and resumed."""
    journal = Journal.open(run.partial, new=True)
    try:
        batches.add(ledger, run)
    except BaseException:
        journal.close()
        run.partial.unlink(missing_ok=True)
        raise
    return journal


def check_same_input(run: Run, found: Scan) -> None:
    """Refuse to go on with another file than the run began with.

    Raises
    ------
    UsageError
        If the bytes are not the same.
    """
    if found.sha256 != run.input_sha256:
        raise UsageError(
            f"{run.input} has changed since the run began: its rows may not be those that were answered",
            hint="Put the old file back, or start anew with --overwrite.",
        )


def open_old(
    ledger: Ledger,
    run: Run,
    found: Scan,
    folder: Path,
    *,
    retry_unknown: bool,
    retry_errors: bool,
    retry_cut: bool = False,
    now: float,
) -> tuple[Journal, Recovered, int]:
    """Take a run up again; return its journal, what was found, and how many rows are opened to be asked again.

    Raises
    ------
    UsageError
        If its input is not what it was.
    TryAgainError
        If it is still going.
    """
    check_same_input(run, found)
    parked.unpark(run, folder)
    journal = Journal.open(run.partial, new=False)
    try:
        recovered = recover(ledger, run, journal, now=now, retry_unknown=retry_unknown)
        again = (*(("failed", "skipped") if retry_errors else ()), *(("cut",) if retry_cut else ()))
        n_again = batches.reopen(ledger, run.id, again=again)
        n_again += _reopen_those_below(ledger, run, found)
    except BaseException:
        journal.close()
        raise
    return journal, recovered, n_again


def _reopen_those_below(ledger: Ledger, run: Run, found: Scan) -> int:
    """Have rows asked anew that were skipped since they wait for one that is asked now; return how many."""
    if found.graph is None:
        return 0
    known = batches.states(ledger, run.id)
    open_rows = [n for n in found.graph.children if n not in known]
    return batches.reopen_skipped(ledger, run.id, sorted(found.graph.below(open_rows)))


def money_for(ledger: Ledger | None, profile: Profile, goals: Goals, *, run_id: str | None, now: float) -> Money:
    """Return what the caps leave a run that has not begun, or has been killed."""
    if ledger is None:
        from scrimp.routing.deciding.against_caps import caps_left

        left, blocked = caps_left(None, profile, now=now)
        own = (profile.caps.per_run_usd, profile.caps.per_day_usd, profile.caps.per_month_usd)
        windows = [nano_from_usd(usd) for usd in own if usd is not None]
        windows += [] if goals.max_cost_nano is None else [goals.max_cost_nano]
        return Money(left, blocked, min(windows) / NANO if windows else None)
    return money_left(
        ledger,
        profile,
        run_id=run_id or new_id(now),
        max_cost_nano=goals.max_cost_nano,
        committed_usd=0.0,
        now=now,
    )
