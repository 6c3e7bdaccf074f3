"""Labels: what is known of how good an answer was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .clauses import all_of, marks

if TYPE_CHECKING:
    from collections.abc import Collection

    from .store import Ledger

__all__ = [
    "TRUTH",
    "add_label",
    "count_by_source",
    "labels_of",
    "labels_of_answered",
    "labels_of_profile",
    "labels_of_prompts",
    "newest",
    "truths_of_checked",
    "truths_of_made",
    "truths_of_readings",
    "truths_of_several",
]


TRUTH: Final = ("rating", "import", "probe", "audit")
"""Sources of labels that say how good an answer was without being a check themselves."""

_LOOKED: Final = 2000
"""Labels of each source of `TRUTH` that are looked at where the latest are wanted."""


def add_label(
    ledger: Ledger,
    *,
    request_id: str,
    arm: str,
    reward: float,
    source: str,
    at: str,
    weight: float = 1.0,
    note: str | None = None,
    check_kind: str | None = None,
) -> None:
    """Record an observed quality in [0, 1]; a newer label of the same source replaces the older one when read.

    Parameters
    ----------
    check_kind
        Of a label of the source `check`: the kind of the check.
    """
    with ledger.transaction():
        ledger.insert(
            "labels",
            {
                "request_id": request_id,
                "arm": arm,
                "reward": reward,
                "source": source,
                "weight": weight,
                "note": note,
                "at": at,
                "check_kind": check_kind,
            },
        )


def labels_of(ledger: Ledger, request_id: str) -> list[dict[str, Any]]:
    """Return a request's labels, oldest first."""
    return ledger.rows(
        "SELECT arm, reward, source, weight, note, at, check_kind FROM labels WHERE request_id = ? ORDER BY id",
        (request_id,),
    )


def labels_of_profile(ledger: Ledger, profile: str) -> list[dict[str, Any]]:
    """Return the labels of a profile's requests, oldest first: id, request_id, arm, reward, source and weight.

    One on an answer that its arm made of others', or led others to, says nothing of what it does alone: it is left out.
    """
    return ledger.rows(
        "SELECT l.id, l.request_id, l.arm, l.reward, l.source, l.weight FROM labels l JOIN requests q "
        "ON q.id = l.request_id WHERE q.profile = ? AND NOT EXISTS (SELECT 1 FROM steps t "
        "WHERE t.request_id = l.request_id AND t.arm = l.arm AND t.kind IN ('merge', 'lead', 'work') AND "
        "(t.taken = 1 OR NOT EXISTS (SELECT 1 FROM steps u WHERE u.request_id = t.request_id AND u.arm = t.arm "
        "AND u.kind = 'ask'))) ORDER BY l.id",
        (profile,),
    )


def count_by_source(ledger: Ledger, profile: str) -> dict[str, int]:
    """Return how many labels of each source a profile's requests have, most first."""
    rows = ledger.rows(
        "SELECT l.source, count(*) AS n FROM labels l JOIN requests q ON q.id = l.request_id WHERE q.profile = ? "
        "GROUP BY l.source ORDER BY n DESC",
        (profile,),
    )
    return {row["source"]: row["n"] for row in rows}


def labels_of_answered(
    ledger: Ledger, *, span: tuple[int, int] | None = None, since: str | None = None, profile: str | None = None
) -> list[dict[str, Any]]:
    """Return the labels of answered requests, oldest first: request_id, arm, reward, source and check_kind.

    Parameters
    ----------
    span
        The first and the last number of the requests; None takes all.
    """
    where, parameters = all_of(("q.created_at >= ?", since), ("q.profile = ?", profile))
    # Of a span the requests are looked up first: a CROSS JOIN keeps the order.
    tables = "labels l JOIN requests q" if span is None else "requests q CROSS JOIN labels l"
    within = "" if span is None else "q.n BETWEEN ? AND ? AND "
    return ledger.rows(
        f"SELECT l.request_id, l.arm, l.reward, l.source, l.check_kind FROM {tables} ON q.id = l.request_id "  # noqa: S608 - constants
        f"WHERE {within}q.status = 'ok' AND {where} ORDER BY l.id",
        (*(span or ()), *parameters),
    )


def labels_of_prompts(ledger: Ledger, ids: Collection[str]) -> dict[str, dict[str, float]]:
    """Return the newest reward by arm of each request, those of asking it again included."""
    found: dict[str, dict[str, float]] = {}
    for row in ledger.rows(
        "SELECT coalesce(q.redo_of, q.id) AS id, l.arm, l.reward FROM labels l JOIN requests q ON q.id = l.request_id "  # noqa: S608 - marks
        f"WHERE q.id IN ({marks(ids)}) OR q.redo_of IN ({marks(ids)}) ORDER BY l.id",
        (*ids, *ids),
    ):
        found.setdefault(row["id"], {})[row["arm"]] = row["reward"]
    return found


def newest(ledger: Ledger, ids: Collection[str], source: str) -> dict[tuple[str, str], float]:
    """Return the newest reward of one source for some requests, by request and arm."""
    rows = ledger.rows(
        f"SELECT request_id, arm, reward FROM labels WHERE source = ? AND request_id IN ({marks(ids)}) ORDER BY id",  # noqa: S608 - marks
        (source, *ids),
    )
    return {(row["request_id"], row["arm"]): row["reward"] for row in rows}


def truths_of_checked(ledger: Ledger, *, last: int) -> list[dict[str, Any]]:
    """Return the latest labels of `TRUTH` on answers that were checked, newest first, with their verdicts (JSON).

    Of several answers of one arm, the label is about the one that was given.
    """
    return _truths(
        ledger,
        ", s.verdicts",
        "JOIN steps s ON s.request_id = l.request_id AND s.arm = l.arm AND s.kind = 'ask'",
        "s.verdicts <> '[]' AND (s.taken = 1 OR NOT EXISTS (SELECT 1 FROM steps t WHERE t.request_id = s.request_id "
        "AND t.arm = s.arm AND t.kind = 'ask' AND t.id <> s.id AND (t.taken = 1 OR t.id > s.id)))",
        last,
    )


def truths_of_made(ledger: Ledger, *, last: int) -> list[dict[str, Any]]:
    """Return the latest labels of `TRUTH` on answers that were made of others or chosen by an arm, newest first.

    With the stage and the kind of the step whose answer was given.
    """
    return _truths(
        ledger,
        ", s.stage, s.kind",
        "JOIN steps s ON s.request_id = l.request_id AND s.arm = l.arm AND s.taken = 1",
        "EXISTS (SELECT 1 FROM steps t WHERE t.request_id = l.request_id "
        "AND t.kind IN ('merge', 'lead', 'bid', 'drop', 'piece'))",
        last,
    )


def truths_of_readings(ledger: Ledger, *, last: int) -> list[dict[str, Any]]:
    """Return the latest labels of `TRUTH` on answers from files of which an arm read so much, newest first."""
    return _truths(ledger, "", "", "l.arm LIKE '%/%'", last)


def truths_of_several(ledger: Ledger, *, last: int) -> list[dict[str, Any]]:
    """Return the latest labels of `TRUTH` on prompts of which several arms' answers have one, newest first."""
    sources = ", ".join(f"'{source}'" for source in TRUTH)
    several = (
        "EXISTS (SELECT 1 FROM labels m WHERE m.request_id = l.request_id AND m.arm <> l.arm "  # noqa: S608 - constants
        f"AND m.source IN ({sources}))"
    )
    return _truths(ledger, "", "", several, last)


def _truths(ledger: Ledger, columns: str, joins: str, where: str, last: int) -> list[dict[str, Any]]:
    """Return labels of `TRUTH`, of each answer the newest: request_id, arm, reward, weight and decision (JSON)."""
    sources = ", ".join(f"'{source}'" for source in TRUTH)
    # Of each source the newest, by the index that names them all: labels of checks may be as many as requests.
    newest_of = " UNION ALL ".join(
        "SELECT * FROM (SELECT id, request_id, arm, reward, weight FROM labels "  # noqa: S608 - constants
        f"WHERE source IN ({sources}) AND source = '{source}' ORDER BY id DESC LIMIT {_LOOKED})"
        for source in TRUTH
    )
    return ledger.rows(
        f"SELECT l.request_id, l.arm, l.reward, l.weight, unpacked(q.decision) AS decision{columns} "  # noqa: S608 - constants
        f"FROM ({newest_of}) l CROSS JOIN requests q ON q.id = l.request_id {joins} WHERE {where} "
        "AND l.id = (SELECT max(o.id) FROM labels o WHERE o.request_id = l.request_id AND o.arm = l.arm "
        f"AND o.source IN ({sources})) ORDER BY l.id DESC LIMIT ?",
        (last,),
    )
