"""What a batch says about itself: the estimate before it, the summary after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import ExitCode
from scrimp.profiles.money import format_usd, nano_from_usd, usd_from_nano
from scrimp.routing.text.in_words import counted

from . import session
from .batch_elsewhere import STDOUT
from .result import Column, Result, Table, emit, say

if TYPE_CHECKING:
    from scrimp.routing.batch.files.scan import Scan
    from scrimp.routing.batch.planning.estimate import Estimate
    from scrimp.routing.batch.planning.flow_outlook import FlowOutlook
    from scrimp.routing.batch.running.work import Work
    from scrimp.routing.ledger.batches import Run

    from .batch_flags import BatchFlags

__all__ = ["by_state", "estimate_blocks", "forecast", "how_to_go_on", "missed_target", "sum_up"]

_AGAIN: Final = {
    "--retry-unknown": ("unknown",),
    "--retry-errors": ("failed", "skipped"),
    "--retry-cut": ("cut",),
}
"""The flags that ask rows again, and the states of those rows."""


_SHOWN_IDS: Final = 8


def by_state(counts: dict[str, int]) -> str:
    """Return counts of rows by state, in words."""
    states = ("ok", "cut", "failed", "skipped", "unknown")
    return ", ".join(f"{counts[state]:,} {state}" for state in states if counts.get(state)) or "no rows"


def sum_up(work: Work, status: str, *, quiet: bool, as_json: bool) -> int:
    """Say what came of a run and how to go on with it; return the exit code."""
    from scrimp.routing.asking.housekeeping import keep_sums
    from scrimp.routing.batch.running import waiting
    from scrimp.routing.ledger import batches

    stats, run = work.stats, work.run
    counts = batches.counts(work.ledger, run.id)
    _, charged = batches.charges(work.ledger, run.id)
    if not quiet and not (stats.stopping == "detached" and stats.done == 0):
        say(_summary_line(work, counts, charged))
    if not quiet:
        if stats.n_same or stats.n_cached:
            say(f"not asked: {stats.n_same:,} equal to another row, {stats.n_cached:,} from the cache")
        if stats.n_prompts_cut:
            say(
                f"not all of the prompt seems to have been read: {counted(stats.n_prompts_cut, 'row')} (see "
                "their `note`)"
            )
        if n_uncertain := batches.n_uncertain(work.ledger, run.id):
            say(
                f"cost not known for certain, and charged at its bound: {counted(n_uncertain, 'row')} (`scrimp "
                "spend --open`)"
            )
    alone = work.task.settings.wishes.on_this_machine
    session.look_back(work.ledger, work.task.profile, quiet=quiet, on_this_machine=alone)
    keep_sums(work.ledger)
    bad = any(counts.get(state) for state in batches.CAN_BE_RETRIED)
    if status == "finished":
        code = ExitCode.BATCH_FAILURES if bad else ExitCode.OK
        if bad and not quiet:
            say(
                f"to ask them again: scrimp batch --resume {_which(run)} {_flags(counts)}"
                + (" (first raise max_output_tokens of the arms that were cut)" if counts.get("cut") else "")
                if work.keeps_answers
                else "they cannot be asked again by this run: no answers are kept of it (--no-log, or log.keep)"
            )
    elif stats.stopping == "detached":
        n = waiting.n_waiting(work.ledger, run.id)
        say(f"{n:,} calls are with providers; to fetch what is done: scrimp batch collect {run.id}")
        code = ExitCode.TRY_AGAIN
    else:
        why = f"after {stats.failed:,} failed rows (--max-errors)" if stats.stopping == "errors" else "as asked"
        say(f"stopped {why}, {how_to_go_on(work)}")
        code = ExitCode.BATCH_FAILURES if stats.stopping == "errors" else ExitCode.INTERRUPTED
    if as_json:
        where = f"the answers are in {run.target} as far as they came"
        return emit(Result(data=_summary(work, counts, charged, status), exit_code=code), as_json=True, otherwise=where)
    return int(code)


def how_to_go_on(work: Work) -> str:
    """Return how many rows of a run that was stopped are left, and how they are asked."""
    from scrimp.routing.ledger import batches

    counts = batches.counts(work.ledger, work.run.id)
    n_left = work.stats.n_rows - sum(n for state, n in counts.items() if state != "sent")
    more = f" (with {_flags(counts)} also those without a good answer)" if _flags(counts) else ""
    return f"{counted(n_left, 'row')} left; to go on: scrimp batch --resume {_which(work.run)}{more}"


def _which(run: Run) -> str:
    """Return what names a run to --resume."""
    return run.id if run.target == STDOUT else f"-o {run.target}"


def _flags(counts: dict[str, int]) -> str:
    """Return the flags that ask the rows again that have no good answer."""
    return " ".join(flag for flag, states in _AGAIN.items() if any(counts.get(state) for state in states))


def _answered(work: Work) -> list[tuple[str, int]]:
    """Return how many good answers each arm gave, most first; those of earlier processes too."""
    from scrimp.routing.ledger import batches

    rows = [(row["arm"], row["n"]) for row in batches.by_arm(work.ledger, work.run.id) if row["status"] == "ok"]
    return sorted(rows, key=lambda pair: -pair[1])


def _summary_line(work: Work, counts: dict[str, int], charged: int) -> str:
    stats = work.stats
    cap = work.cap_nano
    parts = [
        f"{counted(sum(counts.values()), 'row')}: {by_state(counts)}",
        format_usd(charged) + ("" if cap is None else f" of {format_usd(cap)}"),
    ]
    arms = ", ".join(f"{arm} {n:,}" for arm, n in _answered(work))
    if arms:
        parts.append(arms)
    rate = stats.done / stats.seconds if stats.seconds > 0 else 0.0
    parts.append(f"{stats.seconds:.1f} s ({rate:.1f} rows/s)")
    return " · ".join(parts)


def _summary(work: Work, counts: dict[str, int], charged: int, status: str) -> dict[str, Any]:
    from scrimp.routing.batch.running import waiting
    from scrimp.routing.ledger import batches

    cost = sum(row["cost_nano"] or 0 for row in batches.by_arm(work.ledger, work.run.id))
    n_uncertain = batches.n_uncertain(work.ledger, work.run.id)
    return {
        "schema_version": 1,
        "run": work.run.id,
        "status": "waiting" if work.stats.stopping == "detached" else status,
        "waiting": waiting.n_waiting(work.ledger, work.run.id),
        "output": work.run.target,
        "rows": sum(counts.values()),
        **{state: counts.get(state, 0) for state in ("ok", "cut", "failed", "skipped", "unknown")},
        "same": work.stats.n_same,
        "cached": work.stats.n_cached,
        "prompts_cut": work.stats.n_prompts_cut,
        "cost_usd": None if n_uncertain else usd_from_nano(cost),
        "cost_unknown": n_uncertain,
        "charged_usd": usd_from_nano(charged),
        "seconds": round(work.stats.seconds, 3),
        "arms": dict(_answered(work)),
    }


def forecast(guess: Estimate) -> str:
    """Return the line that a run begins with."""
    cost = (
        "free"
        if guess.most_usd <= 0.0 and guess.arms
        else f"likely {_usd(guess.likely_usd)} ({_usd(guess.low_usd)} to {_usd(guess.high_usd)})"
    )
    arms = ", ".join(f"{name} {rows:,}" for name, rows, _ in guess.arms)
    saved = sum(each[3] for each in guess.lanes)
    lane = f"; {_usd(saved)} saved by Batch APIs" if saved > 0.0 else ""
    return f"{counted(guess.n_rows, 'row')}: {cost}, predicted quality {guess.quality:.0%}; {arms or 'no arm'}{lane}"


def missed_target(guess: Estimate, flags: BatchFlags) -> str | None:
    """Return the warning that --min-quality is out of reach, or has no say; None where it is reached."""
    from scrimp.routing.asking.refusal import no_say, out_of_reach

    if guess.missed_target is None:
        return None
    if flags.arm is not None:
        return no_say(guess.missed_target, f"an arm that is asked for by name: {flags.arm}", guess.quality)
    if flags.plan is not None:
        return no_say(guess.missed_target, f"a plan that is asked for: {flags.plan}", guess.quality)
    return out_of_reach(guess.missed_target, "the best plan for these rows", guess.quality)


def _usd(usd: float) -> str:
    return format_usd(nano_from_usd(f"{max(usd, 0.0):.9f}"))


def estimate_blocks(guess: Estimate, found: Scan) -> tuple[str | Table, ...]:
    """Return what `batch --dry-run` prints."""
    lanes = []
    for lane, rows, usd, saved in guess.lanes:
        how = "through Batch APIs" if lane == "batch" else "at once"
        lanes.append(f"{how}: {counted(rows, 'row')}, {_usd(usd)}" + (f" (saves {_usd(saved)})" if saved > 0 else ""))
    unknown = "time: as long as the providers take" if lanes else "time: unknown"
    lines = [
        counted(guess.n_rows, "row")
        + (f", planned on a sample of {guess.n_sampled:,}" if guess.n_sampled < guess.n_rows else ""),
        (
            f"cost: likely {_usd(guess.likely_usd)}, low {_usd(guess.low_usd)}, high {_usd(guess.high_usd)}; "
            f"{_usd(guess.most_usd)} if every answer ran to its limit"
        ),
        f"predicted quality: {guess.quality:.1%}"
        + ("" if guess.dual_quality is None else f" (no plan within the budget can beat {guess.dual_quality:.1%})"),
        unknown if guess.time_s is None else f"time: about {_duration(guess.time_s)}",
        *lanes,
    ]
    if guess.flow is not None:
        lines += _flow_lines(guess.flow)
    if guess.n_skipped:
        lines.append(f"the budget does not reach for {counted(guess.n_skipped, 'row')}")
    if found.n_unread:
        lines.append(f"left out, since their files cannot be read: {counted(found.n_unread, 'row')}")
    if found.n_bad:
        lines.append(f"left out, since they cannot be read: {counted(found.n_bad, 'row')}")
    arms = Table(
        (Column("arm"), Column("rows", "right"), Column("likely cost", "right")),
        tuple((name, f"{rows:,}", _usd(usd)) for name, rows, usd in guess.arms),
    )
    names = ("what is read", "rows", "tokens in", "likely cost", "quality")
    readings = Table(
        tuple(Column(name, "right" if at else "left") for at, name in enumerate(names)),
        tuple(
            (arm, f"{n:,}", f"{read:,}", _usd(usd), f"{quality:.1%}") for arm, n, read, usd, quality in guess.readings
        ),
    )
    curve = "what money buys: " + ", ".join(f"{_usd(usd)}: {quality:.1%}" for usd, quality in guess.frontier)
    more = (readings,) if guess.readings else ()
    return (*lines, arms, *more, *((curve,) if len(guess.frontier) > 1 else ()))


def _flow_lines(flow: FlowOutlook) -> list[str]:
    """Return what is foreseen of rows that take other rows' answers."""
    path = list(flow.path)
    if len(path) > _SHOWN_IDS:
        path[4:-3] = [f"... {len(path) - 7:,} more"]
    takes = "" if flow.path_s is None else f", about {_duration(flow.path_s)}"
    lines = [
        f"levels: {flow.n_levels:,}; rows that take other rows' answers: {flow.n_waiting:,}",
        f"critical path: {' > '.join(path)}{takes}",
        f"all rows right: {flow.all_right:.1%} (independent), {flow.all_right_shared:.1%} (a flow's rows hard alike)",
    ]
    if flow.late:
        more = "" if len(flow.late) <= _SHOWN_IDS else f" and {len(flow.late) - _SHOWN_IDS:,} more"
        lines.append(f"late by their deadlines at best: {', '.join(flow.late[:_SHOWN_IDS])}{more}")
    return lines


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
