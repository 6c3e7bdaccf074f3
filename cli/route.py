"""`scrimp route`: which arm would take a prompt, and why. Nothing is sent."""

from __future__ import annotations

import json as jsonlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scrimp.profiles.errors import ArmUnavailableError, BudgetRefusedError, DataError, UsageError
from scrimp.profiles.paths import paths
from scrimp.profiles.reading import lines_of
from scrimp.profiles.rungs import READ_TOKENS

from . import session
from .complete import complete_checks
from .explain import decision_blocks, decision_line, split_line
from .front import front_blocks, front_data, taken_of
from .given import gather
from .options import (
    ArmOption,
    BriefOption,
    FastOption,
    FileOption,
    FrontOption,
    JsonOption,
    LocalOnly,
    MaxCost,
    MaxSeconds,
    MinQuality,
    Needs,
    Offline,
    PlanOption,
    PreferOption,
    PrivateOption,
    ProfileOption,
    Reading,
    ReadOption,
    ReadTokens,
    SeedOption,
    WtpOption,
)
from .parser import new_app
from .progress import on_embedded, one_thread
from .result import Note, Result, emit, say, write_out

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrimp.routing.asking.route import Guide
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.prompts.prompt import Prompt

__all__ = ["app", "route"]

app = new_app()

EPILOG = """\b
Examples:
  scrimp route "Prove that there are infinitely many primes"
  scrimp route --wtp 0.5 --json "Translate: good morning" | jq .arm
  scrimp route -f 10k.txt "Net loss in Q1?"   whole and passages of the file, with tokens and cost
  scrimp route --plan "@3 vote" "Is 91 prime?"     who is recruited, what it costs at most
  scrimp route --front --plot front.png "Summarise the French revolution"     quality, cost and time
  scrimp route --lines prompts.txt            one decision a line, at embedding speed
  scrimp route --jsonl - < rows.jsonl         rows with a "prompt" and perhaps an "id"
"""


@app.command(epilog=EPILOG)
def route(
    prompt: Annotated[
        list[str] | None, typer.Argument(metavar="PROMPT", help="The prompt; else standard input.")
    ] = None,
    arm: ArmOption = None,
    file: FileOption = None,
    read: ReadOption = Reading.AUTO,
    read_tokens: ReadTokens = READ_TOKENS,
    plan: PlanOption = None,
    check: Annotated[
        list[str] | None,
        typer.Option(
            "--check",
            metavar="NAME|KIND:ARG",
            help="A check that the plan may stop at. Repeats.",
            autocompletion=complete_checks,
        ),
    ] = None,
    profile: ProfileOption = None,
    lines: Annotated[str | None, typer.Option("--lines", metavar="FILE|-", help="Decide every line of a file.")] = None,
    jsonl: Annotated[
        str | None, typer.Option("--jsonl", metavar="FILE|-", help="Decide every row of a JSON Lines file.")
    ] = None,
    max_cost: MaxCost = None,
    max_seconds: MaxSeconds = None,
    fast: FastOption = False,
    wtp: WtpOption = None,
    prefer: PreferOption = None,
    min_quality: MinQuality = None,
    private: PrivateOption = None,
    local_only: LocalOnly = False,
    need: Needs = None,
    brief: BriefOption = False,
    offline: Offline = False,
    front: FrontOption = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw the front (.png or .svg); scrimp[plot].")
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact-tokens", help="Also count the prompt with the arms' own public tokenisers.")
    ] = False,
    explain: Annotated[
        bool,
        typer.Option(
            "-x", "--explain", help="Show all numbers of every arm, and say in full what each quality rests on."
        ),
    ] = False,
    json: JsonOption = False,
    seed: SeedOption = None,
) -> int:
    """Show which arm would take a prompt: each one's quality with its 80% interval, what that rests on, cost, and why.

    With -x also tokens, utility, chance, and where the choice would flip. Deciding happens on this machine: no network,
    no key, nothing logged.
    """
    one_thread(children=False)
    if (front or plot is not None) and (lines is not None or jsonl is not None):
        raise UsageError("--front and --plot are of one prompt, not of --lines or --jsonl")
    if plot is not None:
        from scrimp.routing.learn.measuring.plot import check_plot

        check_plot(plot)
    from scrimp.routing.asking.guarding import refused_by_guard
    from scrimp.routing.asking.refusal import missed_quality
    from scrimp.routing.asking.route import Guide
    from scrimp.routing.asking.ways import make_way, split_plan

    mode = None if private is None else private.value
    loaded = session.load(
        profile, prefer=prefer, wtp=wtp, min_quality=min_quality, max_seconds=max_seconds, private=mode
    )
    loaded, arm = session.with_model(loaded, arm)
    if (split := split_plan(read.value, arm=arm, plan=plan)) is not None:
        read, arm, plan = Reading.AUTO, None, split
    way = make_way(loaded.profile, schema=None, checks=check or (), plan=plan, arm=arm)
    if way.cascade:  # its plan hangs on the checks that are named where it is asked: `ask --dry-run -x` shows it
        way = replace(way, cascade=False, named=())
    guide = Guide(
        session.make_decider(loaded.profile),
        session.ledger_to_read(),
        arm=arm,
        max_cost_nano=session.parse_usd(max_cost, "--max-cost"),
        on_this_machine=local_only or offline,
        needs=frozenset(need or ()),
        rng=session.make_rng(seed),
        way=way,
        cache=paths().cache,
        brief=brief,
        on_embedded=on_embedded,
        fast=fast,
    )
    if lines is not None or jsonl is not None:
        if lines is not None and jsonl is not None:
            raise UsageError("--lines and --jsonl are two forms of input: give one of them")
        if prompt or file:
            raise UsageError("give prompts in a file or as an argument, not both")
        rows = _lines(lines) if lines is not None else _jsonl(jsonl or "-")
        n = n_missed = 0
        for chunk in guide.many(rows):
            n += len(chunk)
            n_missed += sum(missed_quality(each) is not None for _, each in chunk)
            if json:
                out = [jsonlib.dumps(each.to_dict() | {"row_id": name}, ensure_ascii=False) for name, each in chunk]
            else:
                out = [f"{name}\t{each.arm or '-'}\t{decision_line(each)}" for name, each in chunk]
            write_out("\n".join(out) + "\n")
        if n_missed:
            say(f"min_quality is out of reach of {n_missed:,} of {n:,} prompts: the best arm there is is taken")
        return 0
    asked, decision = guide.one(
        _prompt(prompt or [], file or [], here_only=local_only or offline), reading=read.value, read_tokens=read_tokens
    )
    if (front or plot is not None) and decision.arm is not None:
        return _show_front(guide, decision, plot, as_json=json)
    data = decision.to_dict() | {"min_quality_missed": missed_quality(decision) is not None}
    blocks = decision_blocks(decision, explain=explain)
    if (forecast := split_line(decision)) is not None:
        blocks = (*blocks, Note(forecast))
    if explain:
        reasons = guide.reasons(decision)
        data["quality_rests_on"] = reasons
        blocks = (*blocks, *(Note(f"{name} is {why}") for name, why in reasons.items()))
    if exact:
        counts = guide.exact_tokens(asked, decision)
        data["exact_input_tokens"] = counts
        blocks = (
            *blocks,
            Note("exact tokens of the prompt: " + ", ".join(f"{name} {n}" for name, n in counts.items())),
        )
    notes = (
        ("this profile answers by plans of several arms: `scrimp ask --dry-run -x` shows a prompt's plan",)
        if loaded.profile.policy.mode == "cascade" and arm is None and plan is None
        else ()
    )
    if (missed := missed_quality(decision)) is not None:
        notes = (*notes, missed)
    emit(Result(data=data, blocks=blocks, messages=notes), as_json=json)
    if (refused := refused_by_guard(decision)) is not None:
        raise refused
    if decision.arm is None:
        by_cap = any(weighed.option.by_cap for weighed in decision.choice.weighed)
        error = BudgetRefusedError if by_cap else ArmUnavailableError
        raise error(
            f"no arm of profile {loaded.profile.name} can take this prompt", hint="The reasons stand beside each arm."
        )
    return 0


def _show_front(guide: Guide, decision: Decision, plot: Path | None, *, as_json: bool) -> int:
    placed = guide.front(decision)
    if plot is not None:
        from scrimp.routing.learn.measuring.plot_front import plot_front

        plot_front(placed, plot, taken=taken_of(decision))
    result = Result(data=front_data(decision, placed), blocks=front_blocks(decision, placed))
    return emit(result, as_json=as_json)


def _prompt(words: list[str], files: list[str], *, here_only: bool) -> Prompt:
    from scrimp.routing.asking.compose import compose, question_of

    given = gather(words, files, here_only=here_only)
    text, sources = question_of(given.typed, given.sources)
    if not text.strip():
        raise UsageError(
            "the prompt is empty", hint='Give it as an argument (scrimp route "...") or on standard input.'
        )
    return compose(text, system=None, attachments=(), schema=None, needs=(), sources=sources)


def _open(name: str) -> Iterator[tuple[int, bytes]]:
    if name == "-":
        yield from lines_of(sys.stdin.buffer, "standard input")
        return
    import gzip

    try:
        with gzip.open(name) if name.endswith(".gz") else Path(name).open("rb") as file:
            yield from lines_of(file, name)
    except (OSError, EOFError) as error:
        raise UsageError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from None


def _lines(name: str) -> Iterator[tuple[str, str]]:
    from scrimp.routing.text.clean import clean_text

    for number, raw in _open(name):
        text = clean_text(raw, what=f"{name}, line {number},").strip("\r\n")
        if text.strip():
            yield str(number), text


def _jsonl(name: str) -> Iterator[tuple[str, str]]:
    from scrimp.routing.text.clean import clean_text

    for number, raw in _open(name):
        if not raw.strip():
            continue
        where = f"{name}, line {number}"
        try:
            row: Any = jsonlib.loads(raw)
        except ValueError as error:
            raise DataError(f"{where}: not JSON: {error}") from None
        if not isinstance(row, dict) or not isinstance(row.get("prompt"), str) or not row["prompt"].strip():
            raise DataError(f'{where}: expected an object with a "prompt" that is text')
        yield str(row.get("id", number)), clean_text(row["prompt"], what=f"{where}, prompt")
