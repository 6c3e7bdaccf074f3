"""`scrimp models prices`: which prices are in force, a table of one's own, and what a change of prices would do."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import UsageError
from scrimp.profiles.money import format_usd
from scrimp.profiles.paths import paths
from scrimp.routing.text.in_words import counted
from scrimp.routing.text.moments import local_time, with_zone

from . import session
from .result import Column, Result, Table, emit

if TYPE_CHECKING:
    from scrimp.routing.prices.price import ArmPrice
    from scrimp.routing.reports.repricing import Change, Flip

__all__ = ["run_prices"]

DAYS = 30
SHOWN = 20


def run_prices(profile: str | None, *, update: Path | None, forget: bool, diff: bool, as_json: bool) -> int:
    """Show the prices of a profile's arms; store or remove the user's own table first, when asked."""
    from scrimp.routing.reports.arms import price_row
    from scrimp.routing.reports.repricing import changes, flips, logged_prices, take_table

    if update is not None and forget:
        raise UsageError("--update stores a table and --forget removes it: give one of them")
    loaded = session.load(profile, quiet=as_json)
    own = paths().prices
    before: dict[str, ArmPrice | None] = {}
    ledger = session.ledger_to_read()
    messages = []
    if update is not None:
        before = _prices(loaded.profile)
        n_priced = take_table(update, own)
        messages.append(
            f"stored {n_priced} priced models from {update}; they win over the table that came with litellm"
        )
    elif forget:
        if not own.exists():
            raise UsageError("there is no table of your own")
        own.unlink()
        messages.append("your own price table is removed")
    elif ledger is not None:
        before = dict(logged_prices(ledger, loaded.profile.name))
    table = session.price_table()
    rows: list[dict[str, Any]] = [
        {"arm": arm.name, "model": arm.model, **price_row(arm, table)} for arm in loaded.profile.arms
    ]
    data_out: dict[str, Any] = {
        "schema_version": 1,
        "profile": loaded.profile.name,
        "table": table.source,
        "sha256": table.sha256,
        "prices": rows,
    }
    blocks: list[str | Table] = [
        f"{table.source}, sha256 {table.sha256[:12]}",
        Table(
            (Column("arm"), Column("model"), Column("$/M in", "right"), Column("$/M out", "right"), Column("from")),
            [
                (
                    row["arm"],
                    row["model"],
                    _rate(row["input_usd_per_mtok"]),
                    _rate(row["output_usd_per_mtok"]),
                    row["source"] or "no price: never sent",
                )
                for row in rows
            ],
        ),
    ]
    if diff:
        changed = changes(loaded.profile, before, table)
        since = time.time() - DAYS * 86_400
        flipped, n_decided = ([], 0) if ledger is None else flips(ledger, loaded.profile, table, since=since)
        data_out["changes"] = [change.to_dict() for change in changed]
        data_out["flips"] = [{"id": flip.id, "at": flip.at, "was": flip.was, "now": flip.now} for flip in flipped]
        data_out["n_decided"] = n_decided
        blocks += _diff_blocks(changed, flipped, n_decided, against="the table before" if update else "the log")
    return emit(Result(data=data_out, blocks=tuple(blocks), messages=tuple(messages)), as_json=as_json)


def _prices(profile: Any) -> dict[str, ArmPrice | None]:
    table = session.price_table()
    return {arm.name: table.price(arm) for arm in profile.arms}


def _rate(usd: float | None) -> str:
    return "unknown" if usd is None else f"{usd:g}"


def _both(price: ArmPrice | None) -> str:
    return "none" if price is None else f"{price.input_usd_per_mtok:g} / {price.output_usd_per_mtok:g}"


def _diff_blocks(changed: list[Change], flipped: list[Flip], n_decided: int, *, against: str) -> list[str | Table]:
    blocks: list[str | Table] = []
    moved = [change for change in changed if change.changed]
    if moved:
        blocks.append(
            Table(
                (Column("arm"), Column("before, $/M in / out"), Column("now")),
                [(change.arm, _both(change.before), _both(change.after)) for change in moved],
                title=f"changed against {against}",
            )
        )
    else:
        blocks.append(f"no arm's price differs from {against}")
    blocks.append(
        f"of {counted(n_decided, 'choice')} in the last {DAYS} days, {len(flipped)} would fall on another arm"
    )
    if flipped:
        blocks.append(
            Table(
                (
                    Column(with_zone("when", (flip.at for flip in flipped))),
                    Column("request"),
                    Column("was"),
                    Column("now"),
                    Column("predicted cost"),
                ),
                [
                    (
                        local_time(flip.at),
                        flip.id,
                        flip.was,
                        flip.now or "none",
                        f"{format_usd(flip.was_cost_nano)} -> {format_usd(flip.now_cost_nano)}",
                    )
                    for flip in flipped[:SHOWN]
                ],
            )
        )
    return blocks
