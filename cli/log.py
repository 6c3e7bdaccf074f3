"""`scrimp log`: what was asked, why an arm was chosen, and what came of it."""

from __future__ import annotations

import json as jsonlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scrimp.profiles.errors import UsageError
from scrimp.profiles.files import new_file
from scrimp.profiles.money import format_usd
from scrimp.profiles.paths import paths

from . import session
from .complete import complete_arms
from .options import JsonOption
from .parser import Group, new_app
from .result import Column, Result, Table, emit, say, write_out

if TYPE_CHECKING:
    from scrimp.routing.ledger.store import Ledger

__all__ = ["app"]

app = new_app(
    epilog="""\b
Examples:
  scrimp log                        the last requests; takes the options of `log list`
  scrimp log -n 5 --days 1
  scrimp log search "unit tests"    full text of prompts and answers
  scrimp log show last              one request with its whole decision
  scrimp log export > log.jsonl
  scrimp log rm 01k9x               forget one; its money stays counted
""",
)


def _since(days: float | None) -> str | None:
    if days is None:
        return None
    from scrimp.routing.ledger.store import instant

    return instant(time.time() - days * 86_400)


def _list(
    query: str | None,
    limit: int,
    arm: str | None,
    profile: str | None,
    tag: str | None,
    days: float | None,
    as_json: bool,
) -> int:
    from scrimp.routing.ledger.requests import listing

    ledger = session.ledger_to_read()
    rows = (
        []
        if ledger is None
        else listing(ledger, query=query, limit=limit, arm=arm, profile=profile, tag=tag, since=_since(days))
    )
    if not rows and not as_json:
        say("nothing found" if query else "the log is empty")
    table = Table(
        (Column("id"), Column("when"), Column("arm"), Column("cost", "right"), Column("status"), Column("prompt")),
        [
            (
                row["id"],
                row["created_at"][:16].replace("T", " "),
                row["arm"] or "-",
                format_usd(row["charged_nano"] or 0) + (" (unverified)" if row["n_open"] else ""),
                row["status"],
                _short(row["prompt"], 60),
            )
            for row in rows
        ],
    )
    data = {"schema_version": 1, "rows": [_row_data(row) for row in rows]}
    return emit(Result(data=data, blocks=(table,) if rows else ()), as_json=as_json)


def _row_data(row: dict[str, Any]) -> dict[str, Any]:
    nano = row.pop("charged_nano")
    row.pop("n_open")
    return row | {"charged_usd": None if nano is None else nano / 1e9}


def _short(text: str | None, width: int) -> str:
    if text is None:
        return "(not kept)"
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


Limit = Annotated[int, typer.Option("-n", "--limit", min=1, help="How many, newest first.")]
ArmFilter = Annotated[
    str | None, typer.Option("-m", "--arm", metavar="ARM", help="Only this arm.", autocompletion=complete_arms)
]
ProfileFilter = Annotated[str | None, typer.Option("-p", "--profile", metavar="NAME", help="Only this profile.")]
TagFilter = Annotated[str | None, typer.Option("--tag", metavar="TEXT", help="Only this tag.")]
Days = Annotated[float | None, typer.Option("--days", min=0.0, help="Only the last N days.")]


class _Listing(Group):
    """A group that lists when no subcommand is named: `log -n 5` is `log list -n 5`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `list` before options that come first."""
        bare = not args or (args[0].startswith("-") and args[0] not in ("-h", "--help"))
        completing = ctx.resilient_parsing
        return super().parse_args(ctx, ["list", *args] if bare and not completing else args)


@app.callback(cls=_Listing)
def log() -> None:
    """Show what was asked, why an arm was chosen, and what came of it."""


@app.command("list")
def list_(
    limit: Limit = 20,
    arm: ArmFilter = None,
    profile: ProfileFilter = None,
    tag: TagFilter = None,
    days: Days = None,
    json: JsonOption = False,
) -> int:
    """List requests, newest first."""
    return _list(None, limit, arm, profile, tag, days, json)


@app.command()
def search(
    query: Annotated[str, typer.Argument(metavar="WORDS", help="Words that prompt or answer must hold.")],
    limit: Limit = 20,
    arm: ArmFilter = None,
    profile: ProfileFilter = None,
    tag: TagFilter = None,
    days: Days = None,
    json: JsonOption = False,
) -> int:
    """Search prompts and answers in full text."""
    return _list(query, limit, arm, profile, tag, days, json)


Which = Annotated[
    str, typer.Argument(metavar="ID|last", help="An id, four or more characters of its beginning or end, or `last`.")
]


@app.command()
def show(
    which: Which = "last",
    explain: Annotated[
        bool, typer.Option("-x", "--explain", help="Only the decision, and its neighbours in the log.")
    ] = False,
    json: JsonOption = False,
) -> int:
    """Show one request: prompt, answer, every attempt, and the decision as it was made."""
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.ledger.attempts import attempts_of
    from scrimp.routing.ledger.labels import labels_of
    from scrimp.routing.ledger.requests import find
    from scrimp.routing.ledger.steps import steps_of
    from scrimp.routing.reports.neighbours import neighbours

    from .explain import decision_blocks, neighbour_table, steps_table

    ledger = session.ledger_to_read()
    row = find(ledger, which)
    assert ledger is not None  # noqa: S101 - find has raised
    attempts, labels = attempts_of(ledger, row["id"]), labels_of(ledger, row["id"])
    steps = steps_of(ledger, row["id"])
    decision = None if row["decision"] is None else Decision.from_dict(jsonlib.loads(row["decision"]))
    data = {
        "schema_version": 1,
        **row,
        **{
            name: None if row[name] is None else jsonlib.loads(row[name])
            for name in ("decision", "attachments", "schema", "messages")
        },
        "attempts": attempts,
        "labels": labels,
        "steps": steps,
    }
    near = neighbours(ledger, row["id"]) if explain else []
    if explain:
        data["neighbours"] = near
    blocks: list[str | Table] = []
    if not explain:
        blocks.append(f"{row['id']}  {row['created_at']}  profile {row['profile']}  {row['status']}")
        for title, text in (("system", row["system"]), ("prompt", row["prompt"]), ("answer", row["answer"])):
            if text is not None:
                blocks.append(f"\n{title}:\n{text}")
        if row["error"]:
            blocks.append(f"\nerror: {row['error']}")
        blocks.append(_attempts(attempts))
        if len(steps) > 1 or any(step["verdicts"] for step in steps):
            blocks.append(steps_table(steps))
        blocks += [
            f"answer of step {step['seq']}, {step['arm']}, not taken:\n{step['answer']}\n"
            for step in steps
            if not step["taken"] and step["answer"] is not None
        ]
        blocks += [
            f"label: {each['reward']:g} for {each['arm']} by {each['source']}"
            + (f" ({each['note']})" if each["note"] else "")
            for each in labels
        ]
    if decision is not None:
        blocks += ["", *decision_blocks(decision)]
    if near:
        blocks += ["", neighbour_table(near)]
    return emit(Result(data=data, blocks=tuple(blocks)), as_json=json)


def _attempts(attempts: list[dict[str, Any]]) -> Table:
    def number(value: object) -> str:
        return "unknown" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.2f}"

    return Table(
        (
            Column("call", "right"), Column("kind"), Column("arm"), Column("requested"), Column("served"),
            Column("in", "right"), Column("out", "right"), Column("charged", "right"), Column("status"),
            Column("latency s", "right"), Column("ended"),
        ),
        [
            (
                str(each["id"]), each["kind"], each["arm"], each["requested_model"] or "-",
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
def export(
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="File to write; it must not exist.")
    ] = None,
) -> int:
    """Write every request with its decision, attempts and labels as JSON Lines."""
    from scrimp.routing.ledger.requests import export as rows

    ledger = session.ledger_to_read()
    if output is None:
        for row in [] if ledger is None else rows(ledger):
            write_out(jsonlib.dumps(row, ensure_ascii=False) + "\n")
        return 0
    _write_new(output, ledger)
    return 0


def _write_new(output: Path, ledger: Ledger | None) -> None:
    from scrimp.routing.ledger.requests import export as rows

    try:
        file = new_file(output)
    except FileExistsError:
        raise UsageError(f"{output} exists", hint="Choose another name, or remove it first.") from None
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}") from None
    with file:
        for row in [] if ledger is None else rows(ledger):
            file.write(f"{jsonlib.dumps(row, ensure_ascii=False)}\n".encode())


@app.command()
def rm(
    which: Annotated[list[str], typer.Argument(metavar="ID...", help="Requests to forget.")],
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
) -> int:
    """Forget requests: text, features, trace and labels. What they cost stays counted."""
    from scrimp.routing.batch.state.parked import forget_runs_of
    from scrimp.routing.ledger.forget import remove
    from scrimp.routing.ledger.requests import find

    ledger = session.ledger_to_read()
    found = [find(ledger, each) for each in which]
    assert ledger is not None  # noqa: S101 - find has raised
    _confirm(f"forget {len(found)} request{'s' * (len(found) > 1)}", yes)
    ids = [row["id"] for row in found]
    remove(ledger, ids)
    for each in ids:
        say(f"forgot {each}")
    forget_runs_of(ledger, paths().batches, ids, say=say)
    _forget_cached(requests=ids)
    return 0


def _forget_cached(*, before: float | None = None, requests: list[str] | None = None) -> None:
    from scrimp.routing.batch.files.cache import Cache

    if paths().responses.exists():
        cache = Cache(paths().responses)
        n = cache.forget(before=before, requests=requests)
        cache.close()
        if n:
            say(f"forgot {_many(n, 'cached answer')}")


@app.command()
def purge(
    days: Annotated[
        float | None,
        typer.Option("--older-than", metavar="DAYS", min=0.0, help="Only what is older than this many days."),
    ] = None,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
) -> int:
    """Forget the whole log, and rewrite the file so that nothing of it can be recovered. What it cost stays counted.

    What finished runs of `batch` kept goes too, runs that are not finished are given up, and cached answers and
    embeddings are dropped. Outputs are yours: they stay.
    """
    from scrimp.routing.batch.state import parked
    from scrimp.routing.ledger.forget import purge as forget

    ledger = session.ledger_to_read()
    if ledger is None:
        say("the log is empty")
        return 0
    now, before = time.time(), _since(days)
    what = "forget every request" + ("" if days is None else f" older than {days:g} days")
    if to_end := parked.unfinished_runs(ledger, before=before):
        what += f", and give up {_many(len(to_end), 'unfinished run')} with the answers so far"
    _confirm(what, yes)
    gone = parked.purge(ledger, paths().batches, before=before, now=now)
    for run in gone.going:
        say(f"run {run.id} is going on: {run.partial} stays; purge again when it has ended")
    if gone.n_kept:
        say(f"forgot what {_many(gone.n_kept, 'finished run')} kept: no row of theirs can be asked again")
    for run_id in gone.given_up:
        say(f"gave up run {run_id}, which was not finished")
    _forget_cached(before=None if days is None else now - days * 86_400)
    for path in paths().vectors.glob("*.vectors"):
        path.unlink(missing_ok=True)
    say(f"forgot {_many(forget(ledger, before=before), 'request')}")
    return 0


def _many(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def _confirm(what: str, yes: bool) -> None:
    """Ask on a terminal; elsewhere `--yes` is needed."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"this would {what}", hint="Add --yes to do it.")
    if not typer.confirm(f"{what[0].upper()}{what[1:]}?", err=True):
        raise typer.Abort
