"""`scrimp plans`: the profile's plans, what each is expected to bring, and what it cost and brought."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from scrimp.profiles.errors import UsageError
from scrimp.profiles.money import format_usd, nano_from_usd
from scrimp.profiles.schema import did_you_mean
from scrimp.routing.text.moments import local_time, with_zone

from . import session
from .complete import complete_plans
from .options import JsonOption, ProfileOption
from .parser import new_app
from .progress import one_thread
from .result import Column, Note, Result, Table, emit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrimp.routing.reports.plans import PlanRecord

__all__ = ["app", "plans"]

app = new_app()

EPILOG = """\b
Examples:
  scrimp plans                       all of the profile, and those of the log without a name
  scrimp plans careful               one of them, with its latest runs
  scrimp plans --json | jq '.plans[] | {name, cost_usd, success}'
  scrimp ask --plan careful "..."    follow one
  scrimp route --plan '@3 => large' "..."    what a plan would cost at most, and whom it takes

Plans stand in a profile under [plans], as in: careful = "small*3 ? most > large". docs/plans.md has the language.
"""


@app.command(epilog=EPILOG)
def plans(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="One plan, with its latest runs.", autocompletion=complete_plans),
    ] = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> int:
    """List plans: how each is spelled, what it should bring on your latest prompts, and what the log says it did."""
    one_thread(children=False)
    from scrimp.routing.asking.plan_outlook import outlook_of
    from scrimp.routing.reports.plans import plan_records

    loaded = session.load(profile, quiet=json)
    own = loaded.profile.plans
    if name is not None and name not in own:
        has = ", ".join(own) or "none (a profile has them under [plans])"
        raise UsageError(
            f"profile {loaded.profile.name} has no plan {name!r}{did_you_mean(name, own)}", hint=f"It has: {has}."
        )
    ledger = session.ledger_to_read()
    decider = session.make_decider(loaded.profile)
    records = plan_records(ledger, loaded.profile.name, own)
    if name is not None:
        records = [record for record in records if record.name == name]
    rows = []
    for record in records:
        row: dict[str, Any] = record.to_dict() | {"expected": None}
        if record.name in own:
            row["expected"] = outlook_of(decider, ledger, record.name or "").to_dict()
        rows.append(row)
    data: dict[str, Any] = {"schema_version": 1, "profile": loaded.profile.name, "plans": rows}
    blocks = [_table(rows)] if rows else []
    notes = () if rows else ("no plan has a name in this profile, and none is in its log: [plans] gives them names",)
    if name is not None:
        data["runs"] = [_run(run) for run in records[0].runs[-20:]]
        blocks.append(_runs(records[0]))
    why = [
        Note(f"{row['name']}: {row['expected']['why']}") for row in rows if row["expected"] and row["expected"]["why"]
    ]
    return emit(Result(data=data, blocks=(*blocks, *why), messages=notes), as_json=json)


def _usd(usd: float | None) -> str:
    return "-" if usd is None else format_usd(nano_from_usd(usd))


def _table(rows: list[dict[str, Any]]) -> Table:
    return Table(
        (
            Column("plan"), Column("expected", "right"), Column("at", "right"), Column("runs", "right"),
            Column("cost", "right"), Column("right", "right"), Column("labels", "right"), Column("stopped at"),
            Column("text", narrow="below"),
        ),
        [
            (
                row["name"] or "-",
                _share((row["expected"] or {}).get("quality")),
                _usd((row["expected"] or {}).get("cost_usd")),
                f"{row['n_runs']:,}",
                _usd(row["cost_usd"]),
                _share(row["success"])
                + (f" {100 * row['success_low']:.0f}-{100 * row['success_high']:.0f}" if row["n_labels"] else ""),
                f"{row['n_labels']:,}",
                _stages(row["stopped"]),
                row["text"],
            )
            for row in rows
        ],
    )  # fmt: skip


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _stages(stopped: Mapping[str, int]) -> str:
    """Return at which stage how many runs stopped."""
    total = sum(stopped.values())
    return ", ".join(f"{stage}: {n / total:.0%}" for stage, n in stopped.items()) or "-"


def _run(run: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": run["id"],
        "at": run["created_at"],
        "status": run["status"],
        "plan": run["text"],
        "asked_for": bool(run["asked_for"]),
        "n_steps": run["n_steps"],
        "stopped": run["stage"],
        "charged_usd": (run["charged_nano"] or 0) / 1e9,
        "reward": run["reward"],
    }


def _runs(record: PlanRecord) -> Table:
    runs = record.runs[:-21:-1]
    at = with_zone("at", (run["created_at"] for run in runs))
    return Table(
        (
            Column("id"), Column(at), Column("status", narrow="once"), Column("calls", "right"),
            Column("stopped at", "right"),
            Column("charged", "right"), Column("label", "right"), Column("plan", narrow="once"),
        ),
        [
            (
                run["id"], local_time(run["created_at"]), run["status"], str(run["n_steps"]), str(run["stage"] or "-"),
                format_usd(run["charged_nano"] or 0), "-" if run["reward"] is None else f"{run['reward']:g}",
                run["text"],
            )
            for run in runs
        ],
        title="latest runs",
    )  # fmt: skip
