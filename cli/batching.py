"""From the flags of `batch` to a run: planned, confirmed, run, written out and summed up."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import ExitCode, ScrimpError, UsageError
from scrimp.profiles.files import new_file
from scrimp.profiles.paths import make_private_dir, paths

from . import session
from .batch_progress import watch
from .batch_report import counted, estimate_blocks, forecast, missed_target, sum_up
from .batch_work import BatchFlags, Work
from .result import Result, emit, say
from .ways import make_way

if TYPE_CHECKING:
    from scrimp.profiles.schema import Profile
    from scrimp.routing.asking.request import Way
    from scrimp.routing.batch.files.output import Journal
    from scrimp.routing.batch.files.scan import Scan
    from scrimp.routing.batch.files.source import Source
    from scrimp.routing.batch.planning.choosing import Chooser
    from scrimp.routing.batch.running.engine import Engine
    from scrimp.routing.batch.running.jobs import Stats
    from scrimp.routing.deciding.decide import Wishes
    from scrimp.routing.ledger.batches import Run
    from scrimp.routing.ledger.store import Ledger

__all__ = ["run_batch"]


def run_batch(
    flags: BatchFlags,
    *,
    estimate_only: bool,
    overwrite: bool,
    resume: bool,
    retry_unknown: bool,
    retry_errors: bool,
    confirmed: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Estimate, start or resume a run; return the exit code."""
    if (retry_unknown or retry_errors) and not resume:
        raise UsageError("--retry-unknown and --retry-errors go with --resume")
    if resume and overwrite:
        raise UsageError("--resume goes on with a run, --overwrite starts anew: give one of them")
    flags = replace(flags, output=None if flags.output is None else _output(flags.output))
    if resume:
        run = _find_run(flags, retrying=retry_unknown or retry_errors)
        if run is not None:
            return _resume(flags, run, retry_unknown, retry_errors, estimate_only, quiet, as_json)
    if flags.input is None:
        raise UsageError(
            "there is no run to go on with" if resume else "which file? scrimp batch INPUT -o OUTPUT",
            hint="`scrimp batch list` shows the runs." if resume else "`scrimp batch --help` shows examples.",
        )
    return _begin(flags, estimate_only, overwrite, confirmed, quiet, as_json)


def _output(path: Path) -> Path:
    if str(path) == "-":
        raise UsageError(
            "-o - cannot be resumed, and is not supported", hint="Name a file: it is renamed into place when complete."
        )
    return path.expanduser().absolute()


def _find_run(flags: BatchFlags, *, retrying: bool) -> Run | None:
    """Return the run that --resume means."""
    from scrimp.routing.ledger import batches

    ledger = session.ledger_to_read()
    run = batches.latest(ledger, output=flags.output, retrying=retrying)
    if run is not None or ledger is None:
        return run
    last = next(
        (each for each in batches.listing(ledger) if flags.output is None or each.output == str(flags.output)), None
    )
    if last is not None and last.status == "finished":
        return last
    return None


# -- a new run ------------------------------------------------------------------------------------------------------


def _begin(flags: BatchFlags, estimate_only: bool, overwrite: bool, confirmed: bool, quiet: bool, as_json: bool) -> int:
    from scrimp.routing.batch.files.scan import scan
    from scrimp.routing.batch.planning import start
    from scrimp.routing.ledger.store import new_id

    run_id = new_id()
    path = _input(flags, run_id)
    try:
        source = _source(flags, path)
        if not estimate_only:
            start.check_output(flags.output, path, overwrite=overwrite)
        found = scan(source)
        for line in start.check_rows(source, found, skip_bad=flags.skip_bad):
            say(line)
        profile = _profile(flags)
        tools = _tools(flags, profile)
        if not estimate_only:
            _warm()
        ledger = session.ledger_to_read() if estimate_only else session.ledger()
        if ledger is not None and not estimate_only:
            _look_after(ledger, profile)
        chooser, wishes = _chooser(flags, profile, with_keys=not estimate_only)
        goals = _goals(flags)
        now = time.time()
        money = start.money_for(ledger, profile, goals, run_id=run_id, now=now)
        planner = start.plan(source, found, chooser, wishes, goals, money, now=now, seed=flags.seed or 0)
        guess = start.estimate(planner, profile, ledger, n_left=found.n_good, money=money, concurrency=flags.jobs)
        if estimate_only:
            if flags.input == "-":
                path.unlink(missing_ok=True)
            return emit(Result(data=guess.to_dict(), blocks=estimate_blocks(guess, found)), as_json=as_json)
        if not quiet:
            say(forecast(guess))
            if guess.missed_target is not None:
                say(missed_target(guess.missed_target))
        if not confirmed and flags.max_cost is None:
            _confirm(start.needs_yes(guess, profile))
        assert flags.output is not None  # noqa: S101 - checked above
        assert ledger is not None  # noqa: S101 - opened above
        if overwrite:
            _give_up_old(ledger, flags.output)
        else:
            _refuse_unfinished(ledger, flags.output)
        run, journal = start.open_new(
            ledger,
            run_id=run_id,
            profile=profile,
            input_name=str(path),
            found=found,
            output=flags.output,
            options=flags.to_saved(),
            now=now,
        )
    except BaseException:
        if flags.input == "-":
            path.unlink(missing_ok=True)
        raise
    engine, stats = _engine(flags, tools, ledger, run, journal, source, found, chooser, wishes, planner, None)
    return _go(Work(flags, profile, ledger, run, journal, engine, stats), found, quiet=quiet, as_json=as_json)


def _input(flags: BatchFlags, run_id: str) -> Path:
    """Return the file to read; standard input is kept in one first, so that the run can be resumed."""
    if flags.input != "-":
        path = Path(flags.input or "").expanduser().absolute()
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "is not there"
            raise UsageError(f"cannot read {flags.input}: it {what}")
        return path
    import os
    import shutil

    from scrimp.routing.batch.state.parked import spooled

    make_private_dir(paths().batches)
    path = spooled(paths().batches, run_id)
    try:
        with new_file(path) as kept:
            shutil.copyfileobj(sys.stdin.buffer, kept, 1 << 20)
            kept.flush()
            os.fsync(kept.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def _source(flags: BatchFlags, path: Path) -> Source:
    from scrimp.routing.batch.files.source import Source
    from scrimp.routing.batch.files.table import header

    formats = ("jsonl", "csv", "tsv", "lines")
    if flags.format is not None and flags.format not in formats:
        raise UsageError(f"--format {flags.format}: expected one of {', '.join(formats)}")
    if flags.column is not None and flags.template is not None:
        raise UsageError("--column and -t both say where the prompt is: give one of them")
    source = Source.of(
        path,
        name="standard input" if flags.input == "-" or path.suffix == ".input" else None,
        format=flags.format,  # type: ignore[arg-type]  # one of its words: looked at above
        column=flags.column,
        template=None if flags.template is None else _template(flags.template),
        system=flags.system,
        schema=None if flags.schema is None else _schema(flags.schema),
        needs=frozenset(flags.need),
    )
    if source.format in ("csv", "tsv"):
        header(source)
    elif source.format == "lines" and flags.column is not None:
        raise UsageError("plain lines have no columns: --column goes with CSV, TSV and JSON Lines")
    return source


def _template(text: str) -> str:
    """Return a template: the text itself where it has a variable in it, else a file's."""
    if "{{" in text:
        return text
    try:
        template = Path(text).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"-t {text}: neither a template with {{{{column}}}} in it nor a file: "
            f"{getattr(error, 'strerror', None) or 'not UTF-8'}"
        ) from None
    if "{{" not in template:
        raise UsageError(f"template {text} has no {{{{column}}}} in it: every prompt would be the same")
    return template


def _profile(flags: BatchFlags) -> Profile:
    """Return the profile; batch's --min-quality is about the whole file, so it is not laid over the policy's."""
    profile = session.load(flags.profile, prefer=flags.prefer, wtp=flags.wtp).profile
    if flags.arm is not None and flags.arm not in (names := [arm.name for arm in profile.arms]):
        from scrimp.profiles.schema import did_you_mean

        raise UsageError(
            f"profile {profile.name} has no arm {flags.arm!r}{did_you_mean(flags.arm, names)}",
            hint=f"It has: {', '.join(names)}.",
        )
    return profile


def _goals(flags: BatchFlags) -> Any:
    from scrimp.profiles.schema import PRESETS_USD
    from scrimp.routing.batch.planning.start import Goals

    wtp = flags.wtp
    if flags.prefer is not None:
        wtp = float(PRESETS_USD[flags.prefer])
    return Goals(session.parse_usd(flags.max_cost, "--max-cost"), flags.min_quality, wtp)


def _chooser(flags: BatchFlags, profile: Profile, *, with_keys: bool) -> tuple[Chooser, Wishes]:
    from scrimp.routing.batch.planning.choosing import Chooser
    from scrimp.routing.deciding.decide import Wishes
    from scrimp.routing.deciding.options import runs_here

    wishes = Wishes(arm=flags.arm, on_this_machine=flags.on_this_machine)
    keyless: dict[str, ScrimpError] = {}
    for arm in profile.arms if with_keys else ():
        if flags.arm in (None, arm.name) and not (flags.on_this_machine and not runs_here(arm)):
            try:
                session.find_key(arm)
            except ScrimpError as error:
                keyless[arm.name] = error
    return Chooser(session.make_decider(profile), wishes, keyless=keyless), wishes


def _look_after(ledger: Ledger, profile: Profile) -> None:
    from scrimp.routing.ledger.caps import check_zone
    from scrimp.routing.ledger.reservations import reap

    check_zone(ledger, profile)
    reap(ledger, now=time.time())


def _refuse_unfinished(ledger: Ledger, output: Path) -> None:
    """Refuse to begin where a run with the same output has begun: its answers would be paid for again."""
    from scrimp.routing.ledger import batches

    if batches.latest(ledger, output=output) is not None:
        raise UsageError(
            f"a run that writes {output} is not finished", hint="Go on with it (--resume), or start anew (--overwrite)."
        )


def _give_up_old(ledger: Ledger, output: Path) -> None:
    """Drop the unfinished run whose output is to be replaced."""
    from scrimp.routing.batch.files.output import Journal
    from scrimp.routing.batch.state import parked
    from scrimp.routing.ledger import batches

    old = batches.latest(ledger, output=output, retrying=True)
    if old is not None:
        parked.cancel(ledger, old, paths().batches, now=time.time(), status="replaced")
    partial = output.with_name(output.name + ".partial")
    if partial.exists():
        Journal.open(partial, new=False).close()
        partial.unlink()


def _confirm(why: str | None) -> None:
    if why is None:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{why}: say --yes", hint="Or set a limit with --max-cost; -n shows the estimate in full.")
    sys.stderr.write(f"{why}. Go on? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was sent")


def _warm() -> None:
    from scrimp.routing.calls.dispatch import warm

    warm()


# -- an old run -----------------------------------------------------------------------------------------------------


def _resume(
    flags: BatchFlags,
    run: Run,
    retry_unknown: bool,
    retry_errors: bool,
    estimate_only: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    from scrimp.routing.batch.files.scan import scan
    from scrimp.routing.batch.planning import start
    from scrimp.routing.batch.state import parked
    from scrimp.routing.ledger import batches

    ledger = session.ledger()
    if flags.input not in (None, "-", run.input) and Path(flags.input or "").expanduser().absolute() != Path(run.input):
        raise UsageError(f"the run of {run.output} reads {run.input}, not {flags.input}")
    if run.status == "finished" and not (retry_unknown or retry_errors):
        counts = batches.counts(ledger, run.id)
        bad = sum(counts.get(state, 0) for state in ("failed", "skipped", "unknown"))
        say(f"run {run.id} is finished: {counted(counts)}; its output is {run.output}")
        return int(ExitCode.BATCH_FAILURES if bad else ExitCode.OK)
    parked.can_go_on(run, paths().batches)
    merged = flags.over(run.options | {"profile": flags.profile or run.options.get("profile")})
    path = Path(run.input)
    if not path.is_file():
        raise UsageError(f"the run's input {run.input} is gone", hint="Put it back, or start anew with --overwrite.")
    source = _source(merged, path)
    found = scan(source)
    profile = _profile(merged)
    tools = _tools(merged, profile)
    if estimate_only:
        return _estimate_rest(merged, run, profile, ledger, source, found, retry_unknown, retry_errors, as_json)
    _warm()
    now = time.time()
    journal, recovered, n_again = start.open_old(
        ledger, run, found, paths().batches, retry_unknown=retry_unknown, retry_errors=retry_errors, now=now
    )
    try:
        _tell_recovered(ledger, run, recovered, n_again, found, retry_unknown=retry_unknown)
        _look_after(ledger, profile)
        chooser, wishes = _chooser(merged, profile, with_keys=True)
        goals = _goals(merged)
        money = start.money_for(ledger, profile, goals, run_id=run.id, now=now)
        done = frozenset(batches.states(ledger, run.id))
        planner = start.plan(source, found, chooser, wishes, goals, money, done=done, now=now, seed=merged.seed or 0)
        engine, stats = _engine(
            merged, tools, ledger, run, journal, source, found, chooser, wishes, planner, recovered, len(done)
        )
    except BaseException:
        journal.close()
        batches.finish(ledger, run.id, "stopped", now=now)
        raise
    return _go(Work(merged, profile, ledger, run, journal, engine, stats), found, quiet=quiet, as_json=as_json)


def _estimate_rest(
    flags: BatchFlags,
    run: Run,
    profile: Profile,
    ledger: Ledger,
    source: Source,
    found: Scan,
    retry_unknown: bool,
    retry_errors: bool,
    as_json: bool,
) -> int:
    """Say what the rest of a run would cost; change nothing."""
    from scrimp.routing.batch.planning import start
    from scrimp.routing.ledger import batches

    start.check_same_input(run, found)
    again = ({"unknown", "sent"} if retry_unknown else set()) | ({"failed", "skipped"} if retry_errors else set())
    done = frozenset(n for n, state in batches.states(ledger, run.id).items() if state not in again)
    chooser, wishes = _chooser(flags, profile, with_keys=False)
    goals, now = _goals(flags), time.time()
    money = start.money_for(ledger, profile, goals, run_id=run.id, now=now)
    planner = start.plan(source, found, chooser, wishes, goals, money, done=done, now=now, seed=flags.seed or 0)
    guess = start.estimate(
        planner, profile, ledger, n_left=found.n_good - len(done), money=money, concurrency=flags.jobs
    )
    return emit(Result(data=guess.to_dict(), blocks=estimate_blocks(guess, found)), as_json=as_json)


def _tell_recovered(
    ledger: Ledger, run: Run, recovered: Any, n_again: int, found: Scan, *, retry_unknown: bool
) -> None:
    from scrimp.routing.ledger import batches

    counts = batches.counts(ledger, run.id)
    n_done = sum(counts.values())
    say(f"going on with run {run.id}: {n_done:,} of {found.n_good:,} rows have a result")
    if recovered.n_late:
        say(f"{recovered.n_late:,} answers were on disk and had not been booked yet")
    if recovered.unknown:
        what = "they are asked again" if retry_unknown else "--retry-unknown asks them again"
        say(f"{len(recovered.unknown):,} rows were in flight: they may have been answered and billed ({what})")
    elif n_again:
        say(f"{n_again:,} rows are asked again")


# -- running --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Tools:
    """What a run needs beside its rows: what of it is kept, how old an answer may be, how answers are come to."""

    keep: str
    cache_age_s: float | None
    way: Way


def _tools(flags: BatchFlags, profile: Profile) -> _Tools:
    """Read the flags that can be wrong, before anything is set up or replaced."""
    from scrimp.routing.batch.files.cache import parse_age

    keep = "money" if flags.no_log else profile.log.keep
    age_s = None if flags.cache is None else parse_age(flags.cache)
    if age_s is not None and keep != "all":
        raise UsageError("--cache keeps answers, and this profile (or --no-log) keeps no text")
    way = make_way(
        profile,
        schema=None if flags.schema is None else _schema(flags.schema),
        checks=flags.check,
        cascade=flags.cascade,
        plan=flags.plan,
        repair=flags.repair,
        arm=flags.arm,
        rows_have_plans=True,
    )
    return _Tools(keep, age_s, way)


def _engine(
    flags: BatchFlags,
    tools: _Tools,
    ledger: Ledger,
    run: Run,
    journal: Journal,
    source: Source,
    found: Scan,
    chooser: Chooser,
    wishes: Wishes,
    planner: Any,
    recovered: Any,
    n_done: int = 0,
) -> tuple[Engine, Stats]:
    from scrimp.routing.batch.files.cache import Cache
    from scrimp.routing.batch.files.scan import good_rows
    from scrimp.routing.batch.running.engine import Engine
    from scrimp.routing.batch.running.jobs import Settings, Stats
    from scrimp.routing.ledger import batches

    cache = None
    if tools.cache_age_s is not None:
        cache = Cache(paths().responses, max_age_s=tools.cache_age_s)
        cache.prune(now=time.time())
    stats = Stats(n_rows=found.n_good, n_before=n_done, charged_nano=batches.charges(ledger, run.id)[1])
    engine = Engine(
        run=run,
        journal=journal,
        ledger=ledger,
        rows=lambda: good_rows(source, found),
        n_left=found.n_good - n_done,
        chooser=chooser,
        planner=planner,
        settings=Settings(
            wishes=wishes,
            concurrency=flags.jobs,
            max_errors=flags.max_errors,
            max_cost_nano=session.parse_usd(flags.max_cost, "--max-cost"),
            keep=tools.keep,
            tag=flags.tag,
            way=tools.way,
        ),
        stats=stats,
        attempt=_attempt,
        key=session.find_key,
        recovered=recovered,
        repeated=found.repeated,
        cache=cache,
        say=say,
        rng=session.make_rng(flags.seed),
    )
    return engine, stats


def _schema(text: str) -> dict[str, Any]:
    from scrimp.routing.prompts.prompt import load_schema

    if text.lstrip().startswith("{"):
        return load_schema(text, what="--schema")
    try:
        return load_schema(Path(text).read_text(encoding="utf-8"), what=f"schema {text}")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read schema {text}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None


async def _attempt(call: Any, on_send: Any) -> Any:
    from scrimp.routing.calls.dispatch import aattempt

    return await aattempt(call, on_send)


def _go(work: Work, found: Scan, *, quiet: bool, as_json: bool) -> int:
    """Run the engine to its end, write the output, and say what came of it."""
    from scrimp.routing.batch.state import parked
    from scrimp.routing.ledger import batches

    status = "stopped"
    try:
        asyncio.run(_drive(work.engine, work.stats, work, quiet=quiet))
        if work.stats.stopping is None:
            _write(work, found)
            status = "finished"
    finally:
        work.journal.close()
        if status == "finished":
            counts = batches.counts(work.ledger, work.run.id)
            keep = any(counts.get(state) for state in ("failed", "skipped", "unknown"))
            with suppress(ScrimpError):
                parked.park(work.ledger, work.run, paths().batches, keep=keep and work.keeps_answers)
        with suppress(ScrimpError):
            batches.finish(work.ledger, work.run.id, status, now=time.time())
    return sum_up(work, found, status, quiet=quiet, as_json=as_json)


async def _drive(engine: Engine, stats: Stats, work: Work, *, quiet: bool) -> None:
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        if stats.stopping is None:
            say("stopping: waiting for the calls in flight (Ctrl-C again gives them up)")
        engine.stop("interrupted")

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    watcher = None if quiet else asyncio.create_task(watch(stats, work.cap_nano))
    try:
        await engine.go()
    finally:
        if watcher is not None:
            watcher.cancel()
            with suppress(asyncio.CancelledError):
                await watcher
        from scrimp.routing.calls.dispatch import aclose

        await aclose()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _write(work: Work, found: Scan) -> None:
    from scrimp.routing.batch.files.output import table_columns, write_output
    from scrimp.routing.batch.files.table import header
    from scrimp.routing.ledger import batches

    source = _source(work.flags, Path(work.run.input))
    shape: Any = source.format if source.format in ("csv", "tsv") else "jsonl"
    if source.format == "jsonl" and found.openai:
        shape = "openai"
    head = table_columns(header(source), shape) if shape in ("csv", "tsv") else ""
    write_output(
        Path(work.run.output),
        work.journal,
        batches.spans(work.ledger, work.run.id, ordered=not work.flags.unordered),
        shape,
        head,
    )
