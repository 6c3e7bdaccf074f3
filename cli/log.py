"""`scrimp log`: what was asked, why an arm was chosen, and what came of it."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scrimp.profiles.errors import UsageError
from scrimp.profiles.money import NANO, format_usd
from scrimp.profiles.paths import paths
from scrimp.routing.text.moments import local_time, local_time_and_zone, with_zone

from . import session
from .browse import browse
from .complete import complete_requests
from .conversations import conversations, memory_line
from .log_filters import ArmFilter, CidFilter, Limit, ProfileFilter, TagFilter
from .options import A_REQUEST, DaysOption, ExtractOption, JsonOption, RequestArgument, SinceOption, days_back
from .outputs import agreed, new_output
from .parser import lists, new_app
from .progress import on_forgotten
from .readings import files_mark, logged_blocks
from .result import Column, Result, Table, emit, say, write_out

if TYPE_CHECKING:
    from scrimp.routing.reports.log import Shown

    from .result import Block

__all__ = ["app"]

app = new_app(
    epilog="""\b
Examples:
  scrimp log                        the last requests; takes the options of `log list`
  scrimp log -n 5 --days 1
  scrimp log search "unit tests"    full text of prompts and answers
  scrimp log show last              one request with its whole decision
  scrimp log show -r | pbcopy       the last answer alone
  scrimp log browse                 the last requests as a page, in your browser
  scrimp log conversations          what `ask --cid` can go on with
  scrimp log --cid move             the requests of one
  scrimp log export > log.jsonl
  scrimp log rm 01k9x               forget one; its money stays counted
  scrimp log purge --older-than 90  forget what is older than 90 days
  scrimp log path                   where the log is
""",
)


def _list(
    query: str | None,
    limit: int,
    arm: str | None,
    profile: str | None,
    tag: str | None,
    days: float | None,
    cid: str | None,
    as_json: bool,
) -> int:
    from scrimp.routing.reports.conversations import id_of
    from scrimp.routing.reports.log import list_requests

    of = None if cid is None else id_of(session.ledger_to_read(), cid)
    filters = {"query": query, "limit": limit, "arm": arm, "profile": profile, "tag": tag, "conversation": of}
    rows = list_requests(session.ledger_to_read(), now=time.time(), days=days, **filters)
    if not rows and not as_json:
        chosen = days is not None or any(value is not None for name, value in filters.items() if name != "limit")
        say("nothing found" if chosen else "the log is empty")
    table = Table(
        (
            Column("id"),
            Column(with_zone("when", (row["created_at"] for row in rows))),
            Column("arm"),
            Column("cost", "right"),
            Column("status"),
            Column("prompt", narrow="below"),
        ),
        [
            (
                row["id"],
                local_time(row["created_at"]),
                row["arm"] or "-",
                _usd(row["charged_usd"]) + (" (unverified)" if row["n_open"] else ""),
                row["status"],
                _short(row["prompt"], 60, files_mark(row["sources"])),
            )
            for row in rows
        ],
    )
    listed = [{key: value for key, value in row.items() if key not in ("n_open", "sources")} for row in rows]
    for each, row in zip(listed, rows, strict=True):
        each["files"] = [file.get("name") for file in json.loads(row["sources"] or "[]")]
    data = {"schema_version": 1, "rows": listed}
    return emit(Result(data=data, blocks=(table,) if rows else ()), as_json=as_json)


def _usd(usd: float | None) -> str:
    return format_usd(round((usd or 0.0) * NANO))


def _short(text: str | None, width: int, mark: str = "") -> str:
    line = mark + ("(not kept)" if text is None else " ".join(text.split()))
    return line if len(line) <= width else line[: width - 1] + "…"


@app.callback(cls=lists("list"))
def log() -> None:
    """Show what was asked, why an arm was chosen, and what came of it."""


@app.command("list")
def list_(
    limit: Limit = 20,
    arm: ArmFilter = None,
    profile: ProfileFilter = None,
    tag: TagFilter = None,
    days: DaysOption = None,
    since: SinceOption = None,
    cid: CidFilter = None,
    json: JsonOption = False,
) -> int:
    """List requests, newest first."""
    return _list(None, limit, arm, profile, tag, days_back(days, since, now=time.time()), cid, json)


app.command("conversations")(conversations)
app.command("browse")(browse)


@app.command()
def search(
    query: Annotated[str, typer.Argument(metavar="WORDS", help="Words that prompt or answer must hold.")],
    limit: Limit = 20,
    arm: ArmFilter = None,
    profile: ProfileFilter = None,
    tag: TagFilter = None,
    days: DaysOption = None,
    since: SinceOption = None,
    cid: CidFilter = None,
    json: JsonOption = False,
) -> int:
    """Search prompts and answers in full text."""
    return _list(query, limit, arm, profile, tag, days_back(days, since, now=time.time()), cid, json)


@app.command()
def show(
    which: RequestArgument = "last",
    explain: Annotated[
        bool, typer.Option("-x", "--explain", help="Only the decision, and its neighbours in the log.")
    ] = False,
    passages: Annotated[
        bool, typer.Option("--passages", help="The passages of its files that were on offer, with their text.")
    ] = False,
    answer: Annotated[bool, typer.Option("-r", "--answer", help="Only the answer, as it was printed.")] = False,
    extract: ExtractOption = False,
    json: JsonOption = False,
) -> int:
    """Show one request: prompt, answer, every attempt, and the decision as it was made."""
    from scrimp.routing.reports.log import show_request

    from .explain import asked_as, decision_blocks, hint_line, neighbour_table, steps_table

    shown = show_request(session.ledger_to_read(), which, near=explain)
    if passages:
        return _passages(shown, as_json=json)
    if answer or extract:
        return _answer(shown, extract=extract)
    row, steps = shown.row, shown.steps
    data = shown.to_dict()
    if explain:
        data["neighbours"] = shown.near
    blocks: list[Block] = []
    if not explain:
        when = local_time_and_zone(row["created_at"], seconds=True)
        blocks.append(f"{row['id']}  {when}  profile {row['profile']}  {row['status']}")
        before, new = shown.conversation
        told = ("\n".join(new), "prompt" if before is None else f"after {before}") if new else (row["prompt"], "prompt")
        for title, text in (("system", row["system"]), told[::-1], ("answer", row["answer"])):
            if text is not None:
                blocks.append(f"\n{title}:\n{text}")
            if title == "prompt" and (other := asked_as(shown.decision, steps)) is not None:
                blocks.append(f"\nasked as:\n{other}")
        if shown.options:
            blocks.append(f"\nasked with: {_options(shown.options)}")
        if row["memory"] is not None:
            blocks.append(f"\n{memory_line(shown.memory)}")
        if shown.files:
            blocks += ["", *logged_blocks(shown.files, shown.readings, shown.texts, row["arm"])]
        if row["hint"] is not None:
            blocks.append(f"\n{hint_line(row)}")
        if row["error"]:
            blocks.append(f"\nerror: {row['error']}")
        if (verdict := shown.complete) is not None:
            said = f"failed: {verdict.evidence}" if verdict.failed else "passed"
            blocks.append(f"\ncomplete: {said}")
        blocks.append(_attempts(shown.attempts))
        blocks += [f"call {each['id']}: {each['note']}" for each in shown.attempts if each["note"]]
        if len(steps) > 1 or any(step["verdicts"] for step in steps):
            blocks.append(steps_table(steps))
        blocks += [
            f"answer of step {step['seq']}, {step['arm']}, not taken:\n{step['answer']}\n"
            for step in steps
            if not step["taken"] and step["answer"] is not None
        ]
        blocks += [
            f"label: {each['reward']:g} for {each['arm']} by {each['source']}{'' if each['weight'] == 1 else ', weak'}"
            + (f" ({each['note']})" if each["note"] else "")
            for each in shown.labels
        ]
    if shown.decision is not None:
        blocks += ["", *decision_blocks(shown.decision, explain=explain)]
    if shown.near:
        blocks += ["", neighbour_table(shown.near)]
    return emit(Result(data=data, blocks=tuple(blocks)), as_json=json)


def _options(options: dict[str, Any]) -> str:
    return ", ".join(
        f"{key} {value if isinstance(value, str) else json.dumps(value)}" for key, value in options.items()
    )


def _answer(shown: Shown, *, extract: bool) -> int:
    from scrimp.routing.text.code import extracted

    text = shown.row["answer"]
    if text is None:
        why = f"it ended with: {shown.row['error']}" if shown.row["error"] else "its text was not kept"
        raise UsageError(f"request {shown.row['id']} has no answer: {why}")
    text = extracted(text) if extract else text
    write_out(text if text.endswith("\n") else text + "\n")
    return 0


def _passages(shown: Shown, *, as_json: bool) -> int:
    if shown.readings is None:
        why = (
            "it was asked of no files" if not shown.files else "its files were read whole: there was nothing to choose"
        )
        raise UsageError(f"request {shown.row['id']} has no passages: {why}")
    if missing := [each for each in shown.files if each["sha256"] not in shown.texts]:
        say(f"the text of {len(missing)} of {len(shown.files)} files was not kept")
    data = {"schema_version": 1, "id": shown.row["id"], "passages": shown.passages}
    blocks = tuple(logged_blocks(shown.files, shown.readings, shown.texts, shown.row["arm"], whole=True))
    return emit(Result(data=data, blocks=blocks), as_json=as_json)


def _kind(attempt: dict[str, Any]) -> str:
    """Return what a call was for, and that it went through a provider's Batch API where it did."""
    return f"{attempt['kind']} (batch)" if attempt["lane"] == "batch" else str(attempt["kind"])


def _attempts(attempts: list[dict[str, Any]]) -> Table:
    def number(value: object) -> str:
        return "unknown" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.2f}"

    return Table(
        (
            Column("call", "right"), Column("kind"), Column("arm"), Column("requested", drop=1),
            Column("served", drop=3),
            Column("in", "right"), Column("out", "right"), Column("charged", "right"), Column("status"),
            Column("latency s", "right", drop=4), Column("ended", drop=2),
        ),
        [
            (
                str(each["id"]), _kind(each), each["arm"], each["requested_model"] or "-",
                each["served_model"] or "unknown",
                number(each["input_tokens"]), number(each["output_tokens"]), format_usd(each["charged_nano"]),
                each["status"] + (" BREACH" if each["breach"] else ""), number(each["latency_s"]),
                each["error_kind"] or each["finish_reason"] or "-",
            )
            for each in attempts
        ],
        title="attempts",
    )  # fmt: skip


@app.command()
def path() -> int:
    """Print where the log is."""
    return emit(Result(blocks=(str(paths().ledger),)))


@app.command()
def export(
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="File to write; it must not exist.")
    ] = None,
) -> int:
    """Write every request with its decision, attempts and labels as JSON Lines."""
    from scrimp.routing.reports.log import export_lines

    lines = export_lines(session.ledger_to_read())
    if output is None:
        for line in lines:
            write_out(line, as_json=True)
        return 0
    with new_output(output) as file:
        for line in lines:
            file.write(line.encode())
    return 0


@app.command()
def rm(
    which: Annotated[
        list[str],
        typer.Argument(
            metavar="ID|last...", help=f"Requests to forget, each by {A_REQUEST}", autocompletion=complete_requests
        ),
    ],
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
) -> int:
    """Forget requests: text, features, trace and labels. What they cost stays counted."""
    from scrimp.routing.batch.forgetting import forget_requests

    forget_requests(session.ledger_to_read(), paths(), which, confirm=partial(agreed, yes=yes), say=say)
    return 0


@app.command()
def purge(
    days: Annotated[
        float | None,
        typer.Option("--older-than", metavar="DAYS", min=0.0, help="Only what is older than this many days."),
    ] = None,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
) -> int:
    """Forget the whole log, so that nothing of it can be recovered from the file. What it cost stays counted.

    It is done in short steps: other commands go on meanwhile. Ended before its end, it does the rest the next time.

    What finished runs of `batch` kept goes too, runs that are not finished are given up, and cached answers and
    embeddings are dropped. Outputs are yours: they stay.
    """
    from scrimp.routing.batch.forgetting import forget_everything

    ledger = session.ledger_to_read()
    if ledger is None:
        say("the log is empty")
    else:
        confirm = partial(agreed, yes=yes)
        forget_everything(ledger, paths(), days=days, now=time.time(), confirm=confirm, say=say, tell=on_forgotten)
    return 0
