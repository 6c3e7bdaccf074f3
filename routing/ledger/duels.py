"""Duels: two arms' answers to one prompt, which of them was preferred, and the labels that follow."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Literal

from scrimp.profiles.rungs import bare_of

from .clauses import all_of
from .labels import add_label

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .store import Ledger

__all__ = ["REWARDS", "Verdict", "add_duel", "chances_of", "duels_of", "give_verdict", "judged_prompts", "take_back"]

Verdict = Literal["left", "right", "tie", "neither"]

REWARDS: Final[Mapping[Verdict, tuple[float, float]]] = {
    "left": (1.0, 0.0),
    "right": (0.0, 1.0),
    "tie": (1.0, 1.0),
    "neither": (0.0, 0.0),
}
"""What a verdict says of the answer on the left and of that on the right, as labels in [0, 1].

As in an audit: a label says whether an answer was good, so a tie is two good ones and `neither` two bad ones."""


def add_duel(
    ledger: Ledger,
    *,
    duel_id: str,
    at: str,
    profile: str,
    requests: tuple[str, str],
    arms: tuple[str, str],
    models: tuple[str | None, str | None] = (None, None),
    instructions: tuple[str | None, str | None] = (None, None),
    propensity: float | None,
    chances: Mapping[str, float] | None,
    prompt_key: str | None,
) -> None:
    """Put two answers on record that are about to be judged.

    Parameters
    ----------
    requests, arms, models, instructions
        Of the left and the right: instructions by their digest, None where there are none.
    propensity
        The chance that these two arms were drawn for these sides; None where they were named.
    chances
        Each arm's chance to be one of the two; None likewise.
    prompt_key
        A digest of what was asked; None where nothing of it is to be kept.
    """
    values = {
        "id": duel_id, "at": at, "profile": profile, "left_request": requests[0], "right_request": requests[1],
        "left_arm": arms[0], "right_arm": arms[1], "propensity": propensity,
        "chances": None if chances is None else json.dumps(dict(chances)), "prompt_key": prompt_key,
        "left_model": models[0], "right_model": models[1], "left_instructions": instructions[0],
        "right_instructions": instructions[1],
    }  # fmt: skip
    with ledger.transaction():
        ledger.insert("duels", values)


def give_verdict(ledger: Ledger, duel_id: str, verdict: Verdict, *, why: str | None, at: str) -> None:
    """Write down which answer was preferred, and label both (source `audit`), by their arms with what each read.

    Parameters
    ----------
    why
        What was said of it; None where nothing was, or no text is kept.
    """
    with ledger.transaction():
        ledger.update("duels", ("id", duel_id), {"verdict": verdict, "why": why})
        (row,) = ledger.rows("SELECT * FROM duels WHERE id = ?", (duel_id,))
        for side, reward in zip(("left", "right"), REWARDS[verdict], strict=True):
            request_id, arm = row[f"{side}_request"], row[f"{side}_arm"]
            asked = ledger.rows("SELECT arm FROM requests WHERE id = ?", (request_id,))
            if asked and bare_of(asked[0]["arm"] or "") == arm:
                arm = asked[0]["arm"]
            add_label(ledger, request_id=request_id, arm=arm, reward=reward, source="audit", at=at, note=_note(duel_id))


def take_back(ledger: Ledger, duel_id: str) -> None:
    """Undo a verdict: its labels go, and the duel stands as one that was not judged."""
    with ledger.transaction() as conn:
        conn.execute("DELETE FROM labels WHERE source = 'audit' AND note = ?", (_note(duel_id),))
        ledger.update("duels", ("id", duel_id), {"verdict": None, "why": None})


def _note(duel_id: str) -> str:
    return f"duel {duel_id}"


def judged_prompts(ledger: Ledger, profile: str) -> dict[str, set[frozenset[str]]]:
    """Return which pairs of arms were judged on which prompts of a profile, by the prompt's digest."""
    found: dict[str, set[frozenset[str]]] = {}
    for row in ledger.rows(
        "SELECT prompt_key, left_arm, right_arm FROM duels "
        "WHERE profile = ? AND verdict IS NOT NULL AND prompt_key IS NOT NULL",
        (profile,),
    ):
        found.setdefault(row["prompt_key"], set()).add(frozenset((row["left_arm"], row["right_arm"])))
    return found


def chances_of(ledger: Ledger, profile: str) -> dict[str, dict[str, float]]:
    """Return of a profile's judged duels that were drawn each arm's chance to be seen, by the request of the left."""
    rows = ledger.rows(
        "SELECT left_request, chances FROM duels WHERE profile = ? AND verdict IS NOT NULL AND chances IS NOT NULL",
        (profile,),
    )
    return {row["left_request"]: json.loads(row["chances"]) for row in rows}


_OF_SIDE: Final = ", ".join(
    f"(SELECT {what} FROM attempts t WHERE t.request_id = d.{side}_request AND t.finish_reason IS NOT NULL "  # noqa: S608 - constants
    f"ORDER BY t.id DESC LIMIT 1) AS {side}_{name}"
    for side in ("left", "right")
    for what, name in (
        ("t.input_tokens", "input_tokens"),
        ("t.output_tokens", "output_tokens"),
    )
)
_PAID: Final = ", ".join(
    f"(SELECT sum(charged_nano) FROM reservations r WHERE r.request_id = d.{side}_request) AS {side}_nano, "  # noqa: S608 - constants
    "(SELECT p.json FROM reservations r JOIN prices p ON p.id = r.price_id "
    f"WHERE r.request_id = d.{side}_request ORDER BY r.id DESC LIMIT 1) AS {side}_price"
    for side in ("left", "right")
)


def duels_of(ledger: Ledger, *, profile: str | None = None, since: str | None = None) -> list[dict[str, Any]]:
    """Return judged duels, oldest first, with what each side's answer came from and took.

    Returns
    -------
    For each: id, at, profile, verdict, left_arm, right_arm, propensity, prompt and embedding of the left's request
    (None where not kept), embedder_id; and of each side its model, instructions, input_tokens, output_tokens, nano
    (what was charged) and price (as `ArmPrice.to_json`).
    """
    where, parameters = all_of(("d.profile = ?", profile), ("d.at >= ?", since))
    return ledger.rows(
        "SELECT d.id, d.at, d.profile, d.verdict, d.left_arm, d.right_arm, d.left_model, d.right_model, "  # noqa: S608 - constants
        "d.left_instructions, d.right_instructions, d.propensity, q.prompt, floats(q.embedding) AS embedding, "
        f"q.embedder_id, {_OF_SIDE}, {_PAID} FROM duels d LEFT JOIN requests q ON q.id = d.left_request "
        f"WHERE d.verdict IS NOT NULL AND {where} ORDER BY d.at, d.id",
        parameters,
    )
