"""`scrimp models abilities`: how able models are, on one scale, and a table of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import UsageError
from scrimp.profiles.paths import paths
from scrimp.routing.text.in_words import counted

from . import session
from .result import Column, Result, Table, emit

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["run_abilities", "shown"]

NOTE = "In logits beside gpt-4o-mini (0), with an 80% interval: one more is about one logit of being right."


def run_abilities(
    models: Sequence[str],
    profile: str | None,
    *,
    every: bool,
    update: Path | None,
    forget: bool,
    as_json: bool,
) -> int:
    """List abilities; store or remove the user's own table first, when asked."""
    from scrimp.routing.reports.abilities import (
        arm_abilities,
        load_table,
        model_abilities,
        table_abilities,
        take_abilities,
    )

    if update is not None and forget:
        raise UsageError("--update stores a table and --forget removes it: give one of them")
    if every and models:
        raise UsageError("--all lists the whole table: leave the models' names out")
    own = paths().abilities
    messages = []
    if update is not None:
        n_models = take_abilities(update, own)
        messages.append(
            f"stored {counted(n_models, 'model')} from {update}; they win over the table that ships with scrimp"
        )
    elif forget:
        if not own.exists():
            raise UsageError("there is no table of your own")
        own.unlink()
        messages.append("your own table of abilities is removed")
    table = load_table(own)
    rows: list[dict[str, Any]]
    if every:
        rows = table_abilities(table)
    elif models:
        rows = model_abilities(models, session.price_table(), table)
    else:
        rows = arm_abilities(session.load(profile, quiet=as_json).profile, session.price_table(), table)
    first = (Column("arm"),) if rows and "arm" in rows[0] else ()
    block = Table(
        (*first, Column("model"), Column("ability", "right"), Column("rests on")),
        [(*([row["arm"]] if first else []), row["model"], shown(row), row["basis"]) for row in rows],
    )
    data = {"schema_version": 1, "table": table.name, "abilities": rows}
    return emit(Result(data=data, blocks=(block, NOTE), messages=tuple(messages)), as_json=as_json)


def shown(row: dict[str, Any], prefix: str = "") -> str:
    """Return an ability with half the width of its interval, such as `0.8 ±0.4`."""
    low, high = row[f"{prefix}low"], row[f"{prefix}high"]
    return f"{row['ability']:.1f} ±{(high - low) / 2:.1f}"
