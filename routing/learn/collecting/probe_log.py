"""Prompts of the user's own log whose answers were checked, made ready to be asked of another arm and checked alike."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import ScrimpError, UsageError
from scrimp.profiles.rungs import bare_of
from scrimp.routing.asking.again import kept_here, prompt_of
from scrimp.routing.asking.kept_files import with_files
from scrimp.routing.checks.names import make_check
from scrimp.routing.checks.text import SchemaCheck
from scrimp.routing.deciding.options import runs_here
from scrimp.routing.deciding.policy import Barrier
from scrimp.routing.ledger.requests import batch_options, checked
from scrimp.routing.ledger.steps import steps_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scrimp.profiles.schema import Profile
    from scrimp.routing.checks.base import Check
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.prompts.prompt import Prompt

__all__ = ["LogItem", "LogItems", "read_checked"]

_CANNOT: Final = (Barrier.CAPABILITY, Barrier.WINDOW, Barrier.UNBOUNDED)
"""What stands between an arm and a prompt for good; a key that was missing, or a cap, says nothing of the prompt."""


@dataclass(frozen=True, slots=True)
class LogItem:
    """One logged prompt.

    Attributes
    ----------
    id
        Of the request.
    checks
        Those its answer was put to, made anew.
    arm, reward, weight
        Who answered then, what the checks said of it, and how much that says.
    """

    id: str
    prompt: Prompt
    checks: tuple[Check, ...]
    arm: str
    reward: float
    weight: float


@dataclass(frozen=True, slots=True)
class LogItems:
    """What the log holds: prompts to ask, outcomes of the arm itself, and why others were left out (reason: count)."""

    to_ask: tuple[LogItem, ...]
    known: tuple[LogItem, ...]
    left_out: dict[str, int]


def read_checked(
    ledger: Ledger,
    profile: Profile,
    arm: str,
    *,
    named: Sequence[str] = (),
    n: int = 40,
    among: int = 1_000,
) -> LogItems:
    """Return the latest checked prompts of a profile's log.

    Checks that run a command run it only where they are named: what was safe to run on one arm's answer need not be on
    another's. Checks that ask models are left out: they would cost more calls than the answer. A prompt that was kept
    on this machine (`--local-only`) is not sent elsewhere.

    Parameters
    ----------
    arm
        The arm to be placed; what it answered itself is returned as known, and not paid for again.
    named
        Only prompts that carried one of these checks, and only these checks of theirs; any when empty.
    n
        At most so many prompts to ask, the latest first.
    among
        Only the latest so many checked requests are looked at.
    """
    here = any(each.name == arm and runs_here(each) for each in profile.arms)
    to_ask: dict[tuple[str | None, ...], tuple[LogItem, dict[str, Any]]] = {}
    known: dict[tuple[str | None, ...], LogItem] = {}
    left_out: Counter[str] = Counter()
    for row in checked(ledger, profile.name, last=among):
        item = _item(ledger, profile, row, arm, named, here)
        if isinstance(item, str):
            left_out[item] += 1
            continue
        same = (row["prompt"], row["system"], row["messages"], row["schema"], row["sources"])
        if bare_of(item.arm) == arm:
            known.setdefault(same, item)
        else:
            to_ask.setdefault(same, (item, row))
    asked: list[LogItem] = []
    for item, row in (found for same, found in to_ask.items() if same not in known):
        if len(asked) == n:
            left_out[f"more than the latest {n}"] += 1
            continue
        try:
            asked.append(replace(item, prompt=with_files(ledger, row, item.prompt)))
        except UsageError:
            left_out["its files were not kept, and have changed or gone since"] += 1
    return LogItems(tuple(asked), tuple(known.values()), dict(left_out))


def _item(
    ledger: Ledger, profile: Profile, row: dict[str, Any], arm: str, named: Sequence[str], here: bool
) -> LogItem | str:
    """Return a row as an item, or why it is left out."""
    if row["prompt"] is None:
        return "text not kept"
    if row["attachments"] is not None:
        return "has attachments, which the log does not keep"
    names = _checks_of(ledger, row)
    if named and not set(names) & set(named):
        return f"not checked by {' or '.join(named)}"
    schema = None if row["schema"] is None else json.loads(row["schema"])
    checks: list[Check] = []
    for name in names:
        if named and name not in named:
            continue
        check = _make(name, profile, schema)
        if check is None:
            return f"its check {name!r} asks models, or is not in this profile any more"
        if check.slow and name not in named:
            return f"its check {name!r} runs a command (--check {name} allows it)"
        checks.append(check)
    if not checks:
        return "which checks it had is not on record"
    trace = json.loads(row["decision"] or "{}")
    if bare_of(row["arm"]) != arm:
        if not here and (why := kept_here(row)) is not None:
            return why
        own = [Barrier.read(each.get("barrier")) for each in trace.get("arms", ()) if bare_of(each["name"]) == arm]
        if own and all(barrier in _CANNOT for barrier in own):  # at none of its readings
            return f"the arm cannot take it ({own[0]})"
    prompt = prompt_of(row, needs=set(trace.get("required", ())) - {"json"})
    return LogItem(row["id"], prompt, tuple(checks), row["arm"], float(row["reward"]), float(row["weight"] or 1.0))


def _checks_of(ledger: Ledger, row: dict[str, Any]) -> list[str]:
    """Return the names of the checks that a request carried, as its flags or its batch's gave them."""
    names: list[str] = []
    if row["command"] == "batch":
        names += (batch_options(ledger, row["id"]) or {}).get("check") or []
    else:
        for step in steps_of(ledger, row["id"]):
            if step["kind"] == "ask" and step["arm"] == row["arm"]:
                names += [verdict["check"] for verdict in step["verdicts"]]
    if row["schema"] is not None:
        names.append(SchemaCheck.name)
    return list(dict.fromkeys(names))


def _make(name: str, profile: Profile, schema: dict[str, Any] | None) -> Check | None:
    """Return a check by the name it had; None where it cannot be made, or would ask models."""
    if name == "schema" and schema is not None and name not in profile.checks:
        return SchemaCheck(schema)
    try:
        return make_check(name, profile.checks)
    except ScrimpError:
        return None
