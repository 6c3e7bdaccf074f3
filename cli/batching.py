"""`batch` from flags to exit code: what a run would cost is said, it is begun or gone on with, and summed up."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import stat
import sys
import time
import warnings
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from scrimp.profiles.collector import rarely
from scrimp.profiles.errors import ExitCode, ScrimpError, UsageError
from scrimp.profiles.files import new_file
from scrimp.profiles.paths import make_private_dir, paths
from scrimp.routing.text.in_words import counted

from . import session
from .batch_elsewhere import STDOUT, check_output, check_place, fetch, is_fetched, leave_cluster, staged_output
from .batch_flags import BatchFlags, check_given_again, check_used, kept_options, shelf_of, source_of, task_of
from .batch_progress import watch
from .batch_report import by_state, estimate_blocks, forecast, how_to_go_on, missed_target, sum_up
from .batch_waiting import settle_loose
from .interrupts import SIGNALS, exit_code
from .progress import one_thread
from .result import Result, confirm, emit, say

if TYPE_CHECKING:
    from scrimp.routing.batch.files.datasets import Fetched
    from scrimp.routing.batch.files.scan import Scan
    from scrimp.routing.batch.planning.estimate import Estimate
    from scrimp.routing.batch.running.work import Work
    from scrimp.routing.batch.state.recovery import Recovered
    from scrimp.routing.ledger.batches import Run
    from scrimp.routing.ledger.store import Ledger

__all__ = ["collect_runs", "run_batch"]


def run_batch(
    flags: BatchFlags,
    *,
    estimate_only: bool,
    overwrite: bool,
    resume: bool,
    retry_unknown: bool,
    retry_errors: bool,
    retry_cut: bool,
    confirmed: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Estimate, start or resume a run; return the exit code."""
    if (retry_unknown or retry_errors or retry_cut) and not resume:
        raise UsageError("--retry-unknown, --retry-errors and --retry-cut go with --resume")
    if resume and overwrite:
        raise UsageError("--resume goes on with a run, --overwrite starts anew: give one of them")
    if flags.on not in (None, "ray"):
        raise UsageError(f"--on {flags.on}: expected ray")
    if flags.address is not None and flags.on is None and not resume:
        raise UsageError("--address is a cluster's: it goes with --on ray")
    one_thread(children=False)
    flags = replace(flags, output=_output(flags))
    try:
        return _run(
            flags,
            estimate_only=estimate_only,
            overwrite=overwrite,
            resume=resume,
            retry_unknown=retry_unknown,
            retry_errors=retry_errors,
            retry_cut=retry_cut,
            confirmed=confirmed,
            quiet=quiet,
            as_json=as_json,
        )
    finally:
        leave_cluster()


def _run(
    flags: BatchFlags,
    *,
    estimate_only: bool,
    overwrite: bool,
    resume: bool,
    retry_unknown: bool,
    retry_errors: bool,
    retry_cut: bool,
    confirmed: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    if resume:
        if (named := _named_run(flags)) is not None:
            if flags.output not in (None, Path(named.output)) or (flags.target and flags.target != named.target):
                raise UsageError(f"run {named.id} writes {named.target}, not {flags.target or flags.output}")
            flags = replace(flags, input=None, output=Path(named.output))
            return _resume(flags, named, retry_unknown, retry_errors, retry_cut, estimate_only, quiet, as_json)
        run = _find_run(flags, retrying=retry_unknown or retry_errors or retry_cut)
        if run is not None:
            return _resume(flags, run, retry_unknown, retry_errors, retry_cut, estimate_only, quiet, as_json)
    if flags.input is None:
        raise UsageError(
            "there is no run to go on with" if resume else "which file? scrimp batch INPUT -o OUTPUT",
            hint="`scrimp batch list` shows the runs." if resume else "`scrimp batch --help` shows examples.",
        )
    return _begin(flags, estimate_only, overwrite, confirmed, quiet, as_json)


def _output(flags: BatchFlags) -> Path | None:
    path = flags.output
    if path is None:
        return None
    if flags.target == STDOUT:
        return None
    if flags.target is not None:
        return staged_output(flags.target)
    return path.expanduser().absolute()


def _named_run(flags: BatchFlags) -> Run | None:
    """Return the run that --resume is given by its id, or as `last`; None where it is given none, or a file."""
    from scrimp.routing.ledger import batches

    word = flags.input
    if word is None or not re.fullmatch("[0-9a-zA-Z]{4,26}", word) or Path(word).exists():
        return None
    return batches.fetch(session.ledger_to_read(), word)


def _find_run(flags: BatchFlags, *, retrying: bool) -> Run | None:
    """Return the run that --resume means."""
    from scrimp.routing.ledger import batches

    ledger = session.ledger_to_read()
    if flags.target == STDOUT:
        return next((run for run in batches.listing(ledger, limit=None) if run.target == STDOUT), None)
    run = batches.latest(ledger, output=flags.output, retrying=retrying)
    last = next(iter(batches.listing(ledger, output=flags.output, limit=1)), None)
    return run or (last if last is not None and last.status == "finished" else None)


def _begin(flags: BatchFlags, estimate_only: bool, overwrite: bool, confirmed: bool, quiet: bool, as_json: bool) -> int:
    from scrimp.routing.batch.files.scan import scan
    from scrimp.routing.batch.files.source import format_named
    from scrimp.routing.batch.planning import start
    from scrimp.routing.batch.running.work import begin, prepare
    from scrimp.routing.ledger.store import new_id

    run_id = new_id()
    check_place(flags, joins=not estimate_only)
    if flags.target == STDOUT and not estimate_only:
        _check_stdout(flags, as_json=as_json)
        make_private_dir(paths().batches)
        flags = replace(flags, output=paths().batches / f"{run_id}.out")
    path, fetched = _input(flags, run_id)
    kept = path.parent == paths().batches
    flags = replace(flags, file=tuple(each if each == "-" else str(Path(each).absolute()) for each in flags.file))
    if kept:
        flags = replace(flags, folder=str(Path.cwd()))
    if fetched is not None:
        flags = replace(flags, format=fetched.format)
    elif kept and flags.format is None and flags.input != "-":
        flags = replace(flags, format=format_named(Path(flags.input or "")))
    try:
        source = replace(source_of(flags, path), parts=() if fetched is None else fetched.parts)
        if source.layout.note and not quiet:
            say(source.layout.note)
        if not estimate_only:
            check_output(flags, path, overwrite=overwrite)
        shelf = shelf_of(flags, path)
        found = scan(source, shelf)
        check_used(source)
        for line in start.check_rows(source, found, skip_bad=flags.skip_bad):
            say(line)
        task = task_of(flags, source, found, shelf or None)
        if estimate_only:
            guess = prepare(task, session.ledger_to_read(), run_id, calls=False).estimate()
            if kept:
                path.unlink(missing_ok=True)
            return _emit_estimate(guess, found, flags, as_json=as_json)
        ledger = session.ledger()
        prepared = prepare(task, ledger, run_id, calls=True)
        guess = prepared.estimate()
        if not quiet:
            say(forecast(guess))
        if (missed := missed_target(guess, flags)) is not None:
            say(missed)
        if not confirmed and flags.max_cost is None:
            _confirm(start.needs_yes(guess, task.profile))
        assert flags.output is not None  # noqa: S101 - checked above
        work = begin(prepared, ledger, flags.output, overwrite=overwrite, options=kept_options(flags, task.profile))
    except BaseException:
        if kept:
            path.unlink(missing_ok=True)
        raise
    return _go(work, quiet=quiet, as_json=as_json)


def _check_stdout(flags: BatchFlags, *, as_json: bool) -> None:
    """Refuse what does not go with answers on standard output.

    Raises
    ------
    UsageError
        If something does not.
    """
    if as_json:
        raise UsageError("-o - writes the answers where --json writes the summary: give -o a file, or leave --json out")
    if flags.detach or flags.lane not in (None, "sync") or (flags.lane is None and flags.deadline is not None):
        raise UsageError(
            "-o - writes answers as they come, and a provider's Batch API takes hours: give -o a file, or --lane sync"
        )


def _emit_estimate(guess: Estimate, found: Scan, flags: BatchFlags, *, as_json: bool) -> int:
    missed = missed_target(guess, flags)
    messages = () if missed is None else (missed,)
    return emit(Result(data=guess.to_dict(), blocks=estimate_blocks(guess, found), messages=messages), as_json=as_json)


def _input(flags: BatchFlags, run_id: str) -> tuple[Path, Fetched | None]:
    """Return the file to read; what can be read only once is kept in one first, so that the run can be resumed."""
    given = flags.input or ""
    path = Path(given).absolute()
    elsewhere = is_fetched(flags)
    if given != "-" and not elsewhere and not _passes_by(path, given):
        return path, None
    from scrimp.routing.batch.state.parked import spooled

    make_private_dir(paths().batches)
    path = spooled(paths().batches, run_id)
    fetched = None
    try:
        if elsewhere:
            fetched = fetch(flags, path)
            return path, fetched
        with new_file(path) as kept, nullcontext(sys.stdin.buffer) if given == "-" else Path(given).open("rb") as read:
            _check_ends(read.fileno(), given)
            shutil.copyfileobj(read, kept, 1 << 20)
            kept.flush()
            os.fsync(kept.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path, fetched


def _passes_by(path: Path, given: str) -> bool:
    """Tell whether a name stands for what can be read only once: a pipe, or a descriptor of this process.

    Raises
    ------
    UsageError
        If it is nothing that can be read.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        what = "it is not there" if isinstance(error, FileNotFoundError) else str(error.strerror)
        raise UsageError(f"cannot read {given}: {what}") from None
    if stat.S_ISDIR(mode) or stat.S_ISSOCK(mode):
        raise UsageError(f"cannot read {given}: it is a {'folder' if stat.S_ISDIR(mode) else 'socket'}")
    # /dev/stdin, /dev/fd/63 and the like mean another file in the next process.
    return not stat.S_ISREG(mode) or path.parts[1:2] in (("dev",), ("proc",))


def _check_ends(fd: int, given: str) -> None:
    """Refuse a device that never ends."""
    found = os.fstat(fd)
    if stat.S_ISCHR(found.st_mode) and not os.isatty(fd) and found.st_rdev != Path(os.devnull).stat().st_rdev:
        raise UsageError(f"{'standard input' if given == '-' else given} is a device, and no file of prompts")


def _confirm(why: str | None) -> None:
    if why is None:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            f"{why}: say --yes", hint="Or set a limit with --max-cost; --dry-run shows all of the estimate."
        )
    if not confirm(f"{why}. Go on?"):
        raise UsageError("nothing was sent")


def _resume(
    flags: BatchFlags,
    run: Run,
    retry_unknown: bool,
    retry_errors: bool,
    retry_cut: bool,
    estimate_only: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    from scrimp.routing.batch.files.scan import scan
    from scrimp.routing.batch.planning import start
    from scrimp.routing.batch.running.work import go_on, prepare, with_result
    from scrimp.routing.batch.state import parked
    from scrimp.routing.ledger import batches

    ledger = session.ledger()
    if Path(run.input).parent == paths().batches:
        if flags.input is not None:
            say(f"the run goes on with the input that was kept of it: {flags.input} is not read")
    elif flags.input not in (None, "-", run.input) and Path(flags.input or "").absolute() != Path(run.input):
        raise UsageError(f"the run of {run.target} reads {run.input}, not {flags.input}")
    folder = paths().batches
    run = parked.ended(ledger, run, folder, now=time.time())
    if run.status == "finished" and not (retry_unknown or retry_errors or retry_cut):
        counts = batches.counts(ledger, run.id)
        say(f"run {run.id} is finished: {by_state(counts)}; its output is {run.target}")
        bad = any(counts.get(state) for state in batches.CAN_BE_RETRIED)
        return int(ExitCode.BATCH_FAILURES if bad else ExitCode.OK)
    parked.can_go_on(run, folder)
    check_given_again(flags, run.options)
    merged = flags.over(run.options | {"profile": flags.profile or run.options.get("profile")})
    check_place(merged, joins=not estimate_only)
    if run.target == STDOUT and not estimate_only:
        _check_stdout(merged, as_json=as_json)
    path = Path(run.input)
    if not path.is_file():
        raise UsageError(f"the run's input {run.input} is gone", hint="Put it back, or start anew with --overwrite.")
    source = source_of(merged, path)
    if source.layout.note and not quiet:
        say(source.layout.note)
    shelf = shelf_of(merged, path, run.options.get("digests"))
    found = scan(source, shelf)
    task = task_of(merged, source, found, shelf or None, asked=[row["arm"] for row in batches.by_arm(ledger, run.id)])
    if estimate_only:
        start.check_same_input(run, found)
        done = with_result(ledger, run, retry_unknown=retry_unknown, retry_errors=retry_errors, retry_cut=retry_cut)
        guess = prepare(task, ledger, run.id, done=done, calls=False).estimate()
        return _emit_estimate(guess, found, merged, as_json=as_json)
    journal, recovered, n_again = start.open_old(
        ledger,
        run,
        found,
        folder,
        retry_unknown=retry_unknown,
        retry_errors=retry_errors,
        retry_cut=retry_cut,
        now=time.time(),
    )
    _tell_recovered(ledger, run, recovered, n_again, found, retry_unknown=retry_unknown)
    # Rows that are asked anew have all of their time again.
    began = time.time() if retry_unknown or retry_errors or retry_cut else None
    return _go(go_on(task, ledger, run, journal, recovered, began=began), quiet=quiet, as_json=as_json)


def collect_runs(which: str | None, *, profile: str | None, quiet: bool, as_json: bool) -> int:
    """Fetch what providers have done for a run, or for all that wait; finish those that have all; return the exit code.

    A run goes on as `--resume --detach` has it: what its rows want next is handed over, and nothing is waited for.
    """
    from scrimp.routing.batch.running import waiting
    from scrimp.routing.ledger import batches

    ledger = session.ledger()
    if which is None:
        runs = [run for run, found in waiting.by_run(ledger, None) if run is not None and found]
    else:
        runs = [batches.fetch(ledger, which)]
    if not runs:
        say("nothing is with a provider")
    codes = []
    for run in runs:
        if run.status in ("running", "stopped"):
            flags = BatchFlags(output=Path(run.output), profile=profile, detach=True)
            code = _resume(flags, run, False, False, False, False, quiet, as_json)
        else:
            code = settle_loose(run, profile)
        codes.append(code)
    return next((code for code in codes if code not in (0, ExitCode.TRY_AGAIN)), max(codes, default=0))


def _tell_recovered(
    ledger: Ledger, run: Run, recovered: Recovered, n_again: int, found: Scan, *, retry_unknown: bool
) -> None:
    from scrimp.routing.batch.running import waiting
    from scrimp.routing.ledger import batches

    counts = batches.counts(ledger, run.id)
    n_done = sum(n for state, n in counts.items() if state != "sent")
    say(f"going on with run {run.id}: {n_done:,} of {counted(found.n_good, 'row')} have a result")
    if recovered.n_late:
        say(f"{counted(recovered.n_late, 'answer was', 'answers were')} on disk and had not been booked yet")
    if n_waiting := waiting.n_waiting(ledger, run.id):
        say(f"{counted(n_waiting, 'call is', 'calls are')} with providers: what is done of them is fetched")
    if recovered.unknown:
        what = "they are asked again" if retry_unknown else "--retry-unknown asks them again"
        say(
            f"{counted(len(recovered.unknown), 'row was', 'rows were')} in flight and may have been answered "
            f"and billed ({what})"
        )
    elif n_again:
        say(f"{counted(n_again, 'row is', 'rows are')} asked again")


def _go(work: Work, *, quiet: bool, as_json: bool) -> int:
    """Carry a run out, and say what came of it."""
    received: list[int] = []
    try:
        status = work.carry_out(lambda: asyncio.run(_drive(work, received, quiet=quiet)))
    except (ScrimpError, BrokenPipeError) as error:
        if isinstance(error, ScrimpError) or not quiet:
            say(f"{'stopped' if isinstance(error, ScrimpError) else 'nobody reads any more'}, {how_to_go_on(work)}")
        session.tell_at_end(work.ledger, work.task.profile, on_this_machine=work.task.settings.wishes.on_this_machine)
        raise
    code = sum_up(work, status, quiet=quiet, as_json=as_json)
    return exit_code(received) if code == ExitCode.INTERRUPTED else code


async def _drive(work: Work, received: list[int], *, quiet: bool) -> None:
    rarely()
    stats, loop = work.stats, asyncio.get_running_loop()

    def interrupt(number: int) -> None:
        received.append(number)
        if len(received) > 1:
            # litellm makes a call's coroutine in a thread of its own: of a call that is given up meanwhile, nobody
            # awaits it, and Python would say so.
            warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        first = stats.stopping is None
        work.engine.stop("interrupted")
        if first:
            left = "; what is with providers stays there" if work.waits else ""
            say(f"stopping: waiting for the calls in flight (Ctrl-C again gives them up){left}")

    before = {number: signal.getsignal(number) for number in SIGNALS}
    before = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}
    for number in before:
        loop.add_signal_handler(number, interrupt, number)
    watcher = None
    if not quiet:
        drawn = work.run.target != STDOUT or not sys.stdout.isatty()  # else answers come where it is drawn
        watcher = asyncio.create_task(watch(stats, work.cap_nano, drawn=drawn))
    try:
        await work.answer()
    finally:
        if watcher is not None:
            watcher.cancel()
            with suppress(asyncio.CancelledError):
                await watcher
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
