"""The flags of `batch`, and the task that they describe."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import DataError, UsageError
from scrimp.profiles.paths import paths
from scrimp.profiles.reading import read_text
from scrimp.profiles.rungs import bare_of

from . import session
from .batch_elsewhere import STDOUT
from .progress import on_embedded
from .result import say, write_through

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from scrimp.profiles.schema import Profile
    from scrimp.routing.batch.files.delivery import Delivery
    from scrimp.routing.batch.files.scan import Scan
    from scrimp.routing.batch.files.shelf import Shelf
    from scrimp.routing.batch.files.source import Source
    from scrimp.routing.batch.planning.lanes import Lane
    from scrimp.routing.batch.running.work import Task
    from scrimp.routing.batch.workers.channel import Place
    from scrimp.routing.deciding.decide import Decider

__all__ = ["BatchFlags", "check_given_again", "check_used", "kept_options", "shelf_of", "source_of", "task_of"]


@dataclass(frozen=True, slots=True)
class BatchFlags:
    """The flags of a run, as given; `--resume` goes on with those it was started with, where no others are given."""

    input: str | None = None
    output: Path | None = None
    profile: str | None = None
    arm: str | None = None
    max_cost: str | None = None
    min_quality: float | None = None
    wtp: float | None = None
    prefer: str | None = None
    system: str | None = None
    format: str | None = None
    column: str | None = None
    template: str | None = None
    schema: str | None = None
    check: tuple[str, ...] = ()
    cascade: bool = False
    plan: str | None = None
    repair: bool = False
    hint: bool = False
    use_hint: str | None = None
    jobs: int | None = None
    workers: int | None = None
    max_errors: int | None = None
    cache: str | None = None
    skip_bad: bool = False
    unordered: bool = False
    on_this_machine: bool = False
    brief: bool = False
    temperature: float | None = None
    max_tokens: int | None = None
    need: tuple[str, ...] = ()
    tag: str | None = None
    no_log: bool = False
    seed: int | None = None
    file: tuple[str, ...] = ()
    file_column: str | None = None
    read: str | None = None
    read_tokens: int | None = None
    folder: str | None = None
    lane: str | None = None
    detach: bool = False
    private: str | None = None
    var: tuple[str, ...] = ()
    deadline: str | None = None
    on: str | None = None
    address: str | None = None
    target: str | None = None

    def to_saved(self) -> dict[str, Any]:
        """Return what the run remembers of them."""
        return {key: value for key, value in asdict(self).items() if key not in ("input", "output", "detach")}

    def over(self, saved: dict[str, Any]) -> BatchFlags:
        """Return the flags of a resumed run: these, where they were given, over what it remembers."""
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        names = {each.name for each in fields(self)}
        merged = {key: value for key, value in saved.items() if key in names}
        merged |= {key: value for key, value in given.items() if not (value is None or value is False or value == ())}
        for name in ("check", "need", "file", "var"):
            merged[name] = tuple(merged.get(name, ()))
        return BatchFlags(**merged)


_TEXTS: Final = ("system", "template", "schema", "check", "plan", "var")
"""Flags with text of the user's own."""


def kept_options(flags: BatchFlags, profile: Profile) -> dict[str, Any]:
    """Return what a run remembers of its flags: what is private in them, where that is replaced, it does not."""
    from scrimp.routing.asking.guarding import holds_private

    saved = flags.to_saved()
    if flags.arm is not None:
        from scrimp.routing.asking.named_arm import followed

        saved["arm"] = followed(flags.arm, profile, paths())
    withheld = [name for name in _TEXTS if saved[name] and holds_private(saved[name], profile)]
    return {name: value for name, value in saved.items() if name not in withheld} | {"withheld": withheld}


def check_given_again(flags: BatchFlags, options: Mapping[str, Any]) -> None:
    """Refuse to go on with a run without the flags that it could not remember.

    Raises
    ------
    UsageError
        If one is not given.
    """
    missing = [f"--{name}" for name in options.get("withheld", ()) if not getattr(flags, name)]
    if missing:
        raise UsageError(
            f"the run was begun with {' and '.join(missing)}, which was not kept: there is something private in it",
            hint="Give it again, as it was, with --resume.",
        )


def source_of(flags: BatchFlags, path: Path) -> Source:
    """Return the file that the flags describe.

    Raises
    ------
    UsageError
        If it cannot be read, or the flags do not go together.
    """
    from scrimp.routing.asking.compose import read_schema
    from scrimp.routing.batch.files.source import Source
    from scrimp.routing.batch.files.table import header

    formats = ("jsonl", "csv", "tsv", "lines")
    if flags.format is not None and flags.format not in formats:
        raise UsageError(f"--format {flags.format}: expected one of {', '.join(formats)}")
    if flags.column is not None and flags.template is not None:
        raise UsageError("--column and -t both say where the prompt is: give one of them")
    source = Source.of(
        path,
        name=_shown(flags, path),
        format=flags.format,  # type: ignore[arg-type]  # one of its words: looked at above
        column=flags.column,
        template=None if flags.template is None else _template(flags.template),
        system=flags.system,
        schema=None if flags.schema is None else read_schema(flags.schema),
        needs=frozenset(flags.need),
        files=flags.file_column,
        brief=flags.brief,
        params={} if flags.temperature is None else {"temperature": flags.temperature},
        limit=flags.max_tokens,
        given=_given(flags.var),
        look=_look(flags),
    )
    if source.format in ("csv", "tsv"):
        header(source)
    elif source.format == "lines" and flags.column is not None:
        raise UsageError("plain lines have no columns: --column goes with CSV, TSV and JSON Lines")
    elif source.format == "lines" and flags.file_column is not None:
        raise UsageError("plain lines have no columns", hint="One file for all of them goes with -f.")
    return source


def _given(pairs: Iterable[str]) -> dict[str, str]:
    """Read --var."""
    from scrimp.routing.text.clean import clean_text

    given: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        name = name.strip()
        if not equals or not name or name.startswith("@") or set("{}") & set(name):
            raise UsageError(f"--var {pair}: expected NAME=VALUE, as in topic=tides, for {{{{topic}}}} in prompts")
        given[name] = clean_text(value, what=f"--var {name}")
    return given


def check_used(source: Source) -> None:
    """Refuse values that stand in no prompt: a name that is misspelt would be sent as it is.

    Raises
    ------
    UsageError
        If one does.
    """
    unused = next((name for name in source.given if name not in source.used), None)
    if unused is not None:
        raise UsageError(f"--var {unused}: no prompt of {source.name} has {{{{{unused}}}}} in it")


def _look(flags: BatchFlags) -> Callable[[str | None, tuple[str, ...]], None]:
    """Return what looks at the arm and the checks that a row brings; the profile is loaded for the first that does."""

    @cache
    def decider() -> Decider:
        return session.make_decider(_profile(flags, quiet=True)[0])

    @cache
    def problem(arm: str | None, checks: tuple[str, ...]) -> str | None:
        from scrimp.routing.batch.planning.row_plans import not_there

        return not_there(decider(), arm, checks)

    def look(arm: str | None, checks: tuple[str, ...]) -> None:
        if (found := problem(arm, checks)) is not None:
            raise DataError(found)

    return look


def shelf_of(flags: BatchFlags, path: Path, began: Mapping[str, str] | None = None) -> Shelf:
    """Return what reads the files that the rows of an input are asked about.

    Parameters
    ----------
    path
        The input: what its rows name stands beside it; beside where the run was begun, if it was read only once.
    began
        The digests of the files as the run began; None for one that begins.
    """
    from scrimp.routing.batch.files.shelf import Shelf

    if "-" in flags.file:
        raise UsageError("-f -: the file of all rows is read again where a run goes on", hint="Keep it in a file.")
    folder = path.parent if flags.folder is None else Path(flags.folder)
    return Shelf(folder, map(Path, flags.file), field=flags.file_column or "file", began=began, tell=say)


def _shown(flags: BatchFlags, path: Path) -> str | None:
    """Return what messages call the input, where that is not its path."""
    if flags.input == "-":
        return "standard input"
    return (flags.input or "the input that was kept") if path.parent == paths().batches else None


def _template(text: str) -> str:
    """Return a template: the text itself where it has a variable in it, else a file's."""
    if "{{" in text:
        return text
    try:
        template = read_text(Path(text))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"-t {text}: neither a template with {{{{column}}}} in it nor a file: "
            f"{getattr(error, 'strerror', None) or 'not UTF-8'}"
        ) from None
    if "{{" not in template:
        raise UsageError(f"template {text} has no {{{{column}}}} in it: every prompt would be the same")
    return template


def _lane(flags: BatchFlags) -> Lane:
    """Return the lane that is asked for; with a deadline and no word for it, the one that goes by the deadline."""
    from scrimp.routing.batch.planning.lanes import LANES

    lane = flags.lane or ("sync" if flags.deadline is None else "auto")
    by_name: dict[str, Lane] = {each: each for each in LANES}
    found = by_name.get(lane)
    if found is None:
        raise UsageError(f"--lane {lane}: expected one of {', '.join(LANES)}")
    if flags.detach and found == "sync":
        raise UsageError("--detach leaves calls with providers: it goes with --lane batch or auto")
    return found


def _profile(flags: BatchFlags, *, quiet: bool = False) -> tuple[Profile, str | None]:
    """Return the profile, and what the arm that -m names is called in it.

    Batch's --min-quality is about the whole file, so it is not laid over the policy's.
    """
    loaded = session.load(flags.profile, prefer=flags.prefer, wtp=flags.wtp, private=flags.private, quiet=quiet)
    loaded, arm = session.with_model(loaded, flags.arm)
    return loaded.profile, arm


def _check_arm(profile: Profile, arm: str | None) -> None:
    """Refuse an arm that neither the profile nor its pool has."""
    if arm is not None and bare_of(arm) not in (names := [each.name for each in profile.arms]):
        from scrimp.profiles.schema import did_you_mean

        raise UsageError(
            f"profile {profile.name} has no arm {arm!r}{did_you_mean(arm, names)}",
            hint=f"It has: {', '.join(names)}.",
        )


def _place(flags: BatchFlags) -> Place | None:
    """Return where workers run; None: there are none."""
    if not flags.workers:
        return None
    if flags.on is None:
        from scrimp.routing.batch.workers.local import LocalPlace

        return LocalPlace()
    from scrimp.routing.batch.workers.on_ray import RayPlace

    return RayPlace(flags.address)


def _delivery(flags: BatchFlags) -> Delivery | None:
    if flags.target in (None, STDOUT):
        return None
    from scrimp.routing.batch.files.delivery import Delivery

    return Delivery.to(flags.target)


def _check_workers(flags: BatchFlags, shelf: Shelf | None) -> None:
    """Refuse workers where rows need what only this process has.

    Raises
    ------
    UsageError
        If they do.
    """
    alone = {
        "--cache": flags.cache is not None,
        "--hint": flags.hint,
        "--use-hint": flags.use_hint is not None,
        f"--lane {flags.lane}": flags.lane not in (None, "sync"),
        "--deadline without --lane sync": flags.lane is None and flags.deadline is not None,
        "rows with files": bool(shelf),
    }
    in_the_way = next((what for what, is_so in alone.items() if is_so), None)
    if in_the_way is not None:
        raise UsageError(f"{in_the_way}: these rows are asked by one process", hint="Leave --workers out.")


def task_of(
    flags: BatchFlags, source: Source, found: Scan, shelf: Shelf | None = None, *, asked: Iterable[str] = ()
) -> Task:
    """Return what is wanted of a file, from the flags and the profile.

    Parameters
    ----------
    shelf
        Reads the files of its rows; None: they have none.
    asked
        The arms that a run which goes on has asked.

    Raises
    ------
    ScrimpError
        If the profile cannot be loaded, or the flags do not go with it.
    """
    from scrimp.profiles.rungs import READ_TOKENS
    from scrimp.profiles.schema import PRESETS_USD
    from scrimp.routing.asking.ways import make_way, split_plan
    from scrimp.routing.batch.files.cache import parse_age
    from scrimp.routing.batch.planning.pooling import for_rows
    from scrimp.routing.batch.planning.start import Goals
    from scrimp.routing.batch.rows.jobs import Settings
    from scrimp.routing.batch.running.work import Task
    from scrimp.routing.deciding.decide import Wishes

    if flags.workers is not None:
        _check_workers(flags, shelf)
    profile, arm = _profile(flags)
    flags = replace(flags, arm=arm)
    plan = split_plan(flags.read or "auto", arm=flags.arm, plan=flags.plan, cascade=flags.cascade)
    if plan is not None:
        flags = replace(flags, read=None, arm=None, plan=plan)
    keep = "money" if flags.no_log else profile.log.keep
    age_s = None if flags.cache is None else parse_age(flags.cache)
    if age_s is not None and keep != "all":
        raise UsageError("--cache keeps answers, and this profile (or --no-log) keeps no text")
    max_cost_nano = session.parse_usd(flags.max_cost, "--max-cost")
    wtp_usd = flags.wtp if flags.prefer is None else float(PRESETS_USD[flags.prefer])
    settings = Settings(
        wishes=Wishes(arm=flags.arm, on_this_machine=flags.on_this_machine, waits=False),
        concurrency=flags.jobs,
        max_errors=flags.max_errors,
        max_cost_nano=max_cost_nano,
        keep=keep,
        tag=flags.tag,
        way=make_way(
            profile,
            schema=source.schema,
            checks=flags.check,
            cascade=flags.cascade,
            plan=flags.plan,
            repair=flags.repair,
            arm=flags.arm,
            rows_have_plans=True,
            weighs_plans=flags.max_cost is None and flags.min_quality is None,  # else the file as a whole is planned
        ),
        hint=flags.hint,
        use_hint=flags.use_hint,
        reading=flags.read or "auto",
        read_tokens=flags.read_tokens or READ_TOKENS,
        deadline_s=None if flags.deadline is None else parse_age(flags.deadline, "--deadline"),
        lane=_lane(flags),
        detach=flags.detach,
    )
    decider = for_rows(
        session.make_decider(profile), source, found, settings.way, flags.arm, seed=flags.seed or 0, also=asked
    )
    _check_arm(decider.profile, flags.arm)
    return Task(
        source,
        found,
        decider,
        Goals(max_cost_nano, flags.min_quality, wtp_usd),
        settings,
        paths(),
        session.find_key,
        say,
        cache_age_s=age_s,
        unordered=flags.unordered,
        seed=flags.seed,
        shelf=shelf,
        n_workers=flags.workers or 0,
        place=_place(flags),
        delivery=_delivery(flags),
        write=partial(write_through, as_json=source.format in ("jsonl", "lines")) if flags.target == STDOUT else None,
        on_embedded=on_embedded,
    )
