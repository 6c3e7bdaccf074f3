"""`scrimp learn`: where labels come from: imports, audits; and what is known so far."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scrimp.profiles.errors import UsageError
from scrimp.profiles.money import format_usd, nano_from_usd
from scrimp.profiles.paths import paths
from scrimp.routing.text.in_words import counted

from . import learn_export, session
from .certificate import certificate_blocks
from .complete import complete_checks
from .options import ArmOption, JsonOption, MaxSpend, ProfileOption, SeedOption
from .parser import new_app
from .result import Column, Result, Table, emit, say, show_progress
from .side_by_side import ask_verdict, show_pair

if TYPE_CHECKING:
    from scrimp.routing.learn.collecting.audit import Heard

    from .result import Block

__all__ = ["app"]

app = new_app(
    "Labels: what says how good answers were. `scrimp refit` learns from them.",
    epilog="""\b
Examples:
  scrimp learn status                     what is known, what is missing, what to label next
  scrimp learn import outcomes.jsonl      outcomes measured elsewhere
  scrimp learn import "$(llm logs path)"  the log of llm: prompts and tokens
  scrimp learn audit --max-cost 0.50       ask the best arm too, on a sample
  scrimp learn templates --max-cost 0.20   what the best answers of each kind did, as hints to edit (ask --hint)
  scrimp learn export --tag work > sft.jsonl  the best answers, to train a model on
""",
    group=True,
)


@app.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="An outcome file (JSON Lines, also .gz), what `learn export` wrote, or llm's logs.db."
        ),
    ],
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> int:
    """Read outcomes measured elsewhere into the log.

    A name in the file stands for the arm of that name, else for the arm with that model. File order is time.
    """
    from scrimp.routing.learn.data.imports import import_file

    if not file.is_file():
        raise UsageError(f"cannot read {file}: no such file")
    loaded = session.load(profile)
    embedder = session.make_decider(loaded.profile).embedder
    done = import_file(file, session.ledger(), loaded.profile, embedder, now=time.time(), progress=_progress)
    matched = ", ".join(f"{name} as {arm}" if name != arm else name for name, arm in done.matched.items())
    counts = f"{counted(done.n_prompts, 'prompt')} ({done.n_new:,} new), {counted(done.n_labels, 'new label')}"
    lines = [f"{counts} for profile {loaded.profile.name}: {matched}"]
    if done.unmatched:
        shown = ", ".join(done.unmatched[:8]) + (", ..." if len(done.unmatched) > 8 else "")
        lines.append(f"left out, being no arm of the profile: {shown}")
    if done.kind == "llm log":
        lines.append(
            "llm keeps no ratings: label some with `scrimp rate ID good|bad`; `scrimp learn status` says which"
        )
    return emit(Result(data=done.to_dict(), messages=tuple(lines)), as_json=json)


def _progress(done: int, total: int) -> None:
    show_progress(f"{done:,} of {counted(total, 'prompt')}", ended=done == total)


app.command(epilog=learn_export.EPILOG)(learn_export.export)


@app.command()
def status(
    profile: ProfileOption = None,
    kinds: Annotated[int, typer.Option("--kinds", min=1, max=50, help="The most kinds of prompts to tell apart.")] = 8,
    json: JsonOption = False,
) -> int:
    """Show labels by arm and by kind of prompt, what is missing, and what would be most worth labelling next."""
    from scrimp.routing.learn.measuring.status import label_status

    loaded = session.load(profile)
    decider = session.make_decider(loaded.profile)
    data = label_status(session.ledger_to_read(), decider, paths().routers, kinds=kinds)
    return emit(Result(data=data, blocks=_status_blocks(data)), as_json=json)


def _short(text: str | None, width: int = 48) -> str:
    if text is None:
        return "(not kept)"
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _status_blocks(data: dict[str, Any]) -> tuple[Block, ...]:
    blocks: list[Block] = []
    sources = ", ".join(f"{n:,} {source}" for source, n in data["sources"].items()) or "none yet"
    blocks.append(f"{_count(data['n_prompts'], 'prompt')} of profile {data['profile']}; labels: {sources}")
    blocks.append(
        Table(
            (
                Column("arm"), Column("answers", "right"), Column("labels", "right"), Column("may judge", "right"),
                Column("mean", "right"), Column("wanting", "right"),
            ),
            [
                (
                    each["arm"], f"{each['n_answers']:,}", f"{each['n_labels']:,}", f"{each['n_judges']:,}",
                    "-" if each["mean_reward"] is None else f"{each['mean_reward']:.2f}",
                    f"{each['wanting']:,}" if each["wanting"] else "-",
                )
                for each in data["arms"]
            ],
        )
    )  # fmt: skip
    if data["clusters"]:
        names = list(data["clusters"][0]["n_labels"])
        blocks.append(
            Table(
                (
                    Column("prompts", "right"),
                    *(Column(name, "right") for name in names),
                    Column("such as", narrow="below"),
                ),
                [
                    (
                        f"{each['n']:,}", *(f"{each['n_labels'][name]:,}" for name in names),
                        _short(each["example"]["prompt"]),
                    )
                    for each in data["clusters"]
                ],
                title="labels by kind of prompt",
            )
        )  # fmt: skip
    if data["worth_labelling"]:
        blocks.append(
            Table(
                (
                    Column("rate"),
                    Column("answered by"),
                    Column("or else"),
                    Column("worth", "right"),
                    Column("prompt", narrow="below"),
                ),
                [
                    (
                        each["id"], each["arm"], each["rival"],
                        format_usd(nano_from_usd(round(each["worth_usd"], 9))), _short(each["prompt"]),
                    )
                    for each in data["worth_labelling"]
                ],
                title="most worth labelling next (scrimp rate ID good|bad)",
            )
        )  # fmt: skip
    if data["certificate"]["n_sent"]:
        blocks += certificate_blocks(data["certificate"])
    blocks.append(
        f"{_count(data['n_fresh'], 'fresh outcome')} may judge the next refit (100 are the least); "
        f"{_count(data['n_tests'], 'test')} so far against the router in force"
    )
    return (*blocks, *(f"note: {note}" for note in data["notes"]))


@app.command()
def audit(
    max_cost: MaxSpend,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="Prompts to ask again, at most.")] = 20,
    last: Annotated[int, typer.Option("--last", min=1, help="Draw from the last N prompts.")] = 500,
    check: Annotated[
        str | None,
        typer.Option(
            "--check",
            metavar="NAME|KIND:ARG",
            help="Compare by this check (as for `ask --check`).",
            autocompletion=complete_checks,
        ),
    ] = None,
    arm: ArmOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
    seed: SeedOption = None,
) -> int:
    """Ask the best arm too, on a random sample of prompts that went to a cheaper one.

    Only this way can downgrades be judged. Answers are compared by --check; else you rate them, side by side and
    unnamed; with neither a check nor a terminal only their agreement is noted, which is fitted on but judges nothing.
    """
    from scrimp.routing.learn.collecting.audit import candidates, run_audit

    loaded, arm = session.with_model(session.load(profile), arm)
    chosen = loaded.profile
    ledger = session.ledger()
    decider = session.make_decider(chosen)
    best, pool = candidates(ledger, decider, arm, last=last)
    if not pool:
        say(f"nothing to audit: no prompt of the log whose text is kept went to another arm than {best}")
    most = session.parse_usd(max_cost, "--max-cost") or 0
    asker = session.workspace(loaded, ledger, seed=seed, calls=bool(pool), decider=decider)
    asker.look_after()
    interactive = check is None and sys.stdin.isatty() and not json
    done = run_audit(
        asker, ledger, pool, best, max_nano=most, n=limit, check=check, ask_user=_ask_user if interactive else None,
        rng=session.make_rng(seed), keep=chosen.log.keep, clock=time.time, progress=say,
    )  # fmt: skip
    session.look_back(ledger, chosen)
    asked = f"{done.n_asked:,} of {counted(done.n_pool, 'prompt')} asked again of {best}"
    lines = [f"{asked}, {format_usd(done.charged_nano)}; {counted(done.n_labelled, 'label')}"]
    if check is not None or interactive:
        lines.append(f"{done.n_lost:,} were lost to the cheaper arm")
    elif done.n_asked:
        lines.append("without --check or a terminal only agreement was noted: it judges nothing")
    if done.stopped:
        lines.append(f"stopped: {done.stopped}")
    found = Result(data=done.to_dict(), messages=tuple(lines))
    return emit(found, as_json=json, otherwise="what was asked is in the log (scrimp log)")


def _ask_user(prompt: str, first: str, second: str) -> Heard:
    """Show two answers, unnamed, and ask which are good."""
    show_pair(prompt, (first, second))
    said = ask_verdict()
    return said.verdict or ("stop" if said.order == "stop" else None)


@app.command()
def templates(
    max_cost: MaxSpend = None,
    kinds: Annotated[int, typer.Option("--kinds", min=1, max=50, help="The most kinds of prompts to tell apart.")] = 8,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the kinds, and what they could cost; ask nobody.")
    ] = False,
    listed: Annotated[bool, typer.Option("--list", help="Show the hints there are, and whether they help.")] = False,
    arm: ArmOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
    seed: SeedOption = None,
) -> int:
    """Write down what the best-rated answers of each kind of prompt have in common, as hints for `ask --hint`.

    One call a kind, to --arm or the best arm that the money reaches. Hints are Markdown files to read and edit; one
    that you have edited is never written over.
    """
    from scrimp.routing.learn.collecting.templates import LEAST, make_templates

    loaded = session.load(profile)
    if listed:
        return _list_hints(loaded.profile.name, as_json=json)
    if max_cost is None and not dry_run:
        raise UsageError("--max-cost: what may it cost?", hint="--dry-run shows what it could cost, and needs none.")
    loaded, arm = session.with_model(loaded, arm)
    space = session.workspace(loaded, session.ledger(), seed=seed, calls=not dry_run)
    space.look_after()
    done = make_templates(
        space, paths().hints, arm=arm, most=kinds, max_nano=session.parse_usd(max_cost, "--max-cost"), dry_run=dry_run,
        progress=say,
    )  # fmt: skip
    table = Table(
        (Column("answers", "right"), Column("arm"), Column("at most", "right"), Column("cost", "right"),
         Column("hint", narrow="below"), Column("about", narrow="below")),
        [
            (f"{each.n:,}", each.arm or "-", "-" if each.bound_nano is None else format_usd(each.bound_nano),
             "-" if dry_run else format_usd(each.charged_nano), "-" if each.path is None else str(each.path),
             each.about or "-")
            for each in done.kinds
        ],
    )  # fmt: skip
    lines = [f"{_count(done.n_rated, 'answer')} rated well, {_count(len(done.kinds), 'kind')} of prompts"]
    if not done.kinds:
        lines.append(f"a kind takes {LEAST} answers rated well whose text is kept: `scrimp rate ID good` makes some")
    if dry_run:
        lines[0] += f", at most {format_usd(sum(each.bound_nano or 0 for each in done.kinds))}; nobody was asked"
    else:
        session.look_back(space.ledger, space.profile)
        lines[0] += f", {format_usd(done.charged_nano)}"
    lines += [f"note: {each.path or each.arm}: {each.note}" for each in done.kinds if each.note]
    if done.stopped:
        lines.append(f"stopped: {done.stopped}")
    blocks = (table,) if done.kinds else ()
    return emit(Result(data=done.to_dict(), blocks=blocks, messages=tuple(lines)), as_json=json)


def _list_hints(profile: str, *, as_json: bool) -> int:
    from scrimp.routing.learn.judging.hints import shelf_status

    data = shelf_status(paths().hints, session.ledger_to_read(), profile)
    table = Table(
        (Column("hint"), Column("chance", "right"), Column("labels", "right"), Column("helps", narrow="below"),
         Column("about", narrow="below")),
        [
            (each["name"], f"{each['chance']:g}", f"{each['n']:,}", each["text"], each["about"])
            for each in data["hints"]
        ],
    )  # fmt: skip
    lines = [f"left out: {problem}" for problem in data["problems"]]
    if not data["hints"]:
        lines.append(f"no hints in {data['folder']}")
    blocks = (table,) if data["hints"] else ()
    return emit(Result(data=data, blocks=blocks, messages=tuple(lines)), as_json=as_json)
