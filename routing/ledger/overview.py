"""What a page about the whole log reads: money by day and arm, requests one after another, what calls held to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .clauses import all_of, marks

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from .store import Ledger

__all__ = ["entries", "excerpts", "expectations", "profiles", "refits", "stage_charges", "told"]

_PART: Final = 500
"""Requests that are read at once: a trace takes a few kB, and a log may have a million."""

_ASKED: Final = "q.command NOT IN ('import', 'audit')"
"""What the user asked, not what was imported or asked again by an audit."""

_CHARGED: Final = "(SELECT sum(charged_nano) FROM reservations r WHERE r.request_id = q.id)"


def profiles(ledger: Ledger) -> list[str]:
    """Return the names of the profiles that something was paid or asked for, in order."""
    rows = ledger.rows("SELECT profile FROM requests UNION SELECT profile FROM spent ORDER BY 1")
    return [row["profile"] for row in rows]


def told(ledger: Ledger, *, since: str | None = None, profile: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield what was asked, oldest first, a part of the log at a time.

    Yields
    ------
    For each request: id, created_at, arm, status, n_files (of them, None without), memory and decision (JSON), n_steps,
    charged_nano, latency_s and tokens of all of its calls (None where none were reported).
    """
    last = 0
    while True:
        where, parameters = all_of(("q.n > ?", last), ("q.created_at >= ?", since), ("q.profile = ?", profile))
        rows = ledger.rows(
            "SELECT q.n, q.id, q.created_at, q.arm, q.status, q.memory, unpacked(q.decision) AS decision, "  # noqa: S608 - constants
            "CASE WHEN json_valid(q.sources) THEN json_array_length(q.sources) END AS n_files, "
            f"{_CHARGED} AS charged_nano, "
            "(SELECT sum(latency_s) FROM attempts a WHERE a.request_id = q.id) AS latency_s, "
            "(SELECT sum(input_tokens + output_tokens) FROM attempts a WHERE a.request_id = q.id) AS tokens "
            f"FROM requests q WHERE {_ASKED} AND {where} ORDER BY q.n LIMIT {_PART}",
            parameters,
        )
        yield from rows
        if len(rows) < _PART:
            return
        last = rows[-1]["n"]


def excerpts(ledger: Ledger, ids: Collection[str], *, n_chars: int) -> dict[str, dict[str, Any]]:
    """Return the beginnings of prompts and answers by request: prompt, n_prompt, answer, n_answer, error.

    None where the text was not kept; `n_prompt` and `n_answer` say how many characters there are in all.
    """
    rows = ledger.rows(
        "SELECT id, substr(prompt, 1, ?) AS prompt, length(prompt) AS n_prompt, substr(answer, 1, ?) AS answer, "  # noqa: S608 - marks
        f"length(answer) AS n_answer, substr(error, 1, ?) AS error FROM requests WHERE id IN ({marks(ids)})",
        (n_chars, n_chars, n_chars, *ids),
    )
    return {row["id"]: row for row in rows}


def entries(ledger: Ledger, ids: Collection[str], *, n_chars: int) -> dict[str, dict[str, Any]]:
    """Return requests with the beginnings of their texts, by id.

    Returns
    -------
    For each: command, profile, tag, error, decision and sources (JSON), and system, prompt and answer (None where not
    kept) with n_system, n_prompt and n_answer, their characters in all.
    """
    texts = ", ".join(
        f"substr({name}, 1, :n) AS {name}, length({name}) AS n_{name}" for name in ("system", "prompt", "answer")
    )
    found: dict[str, dict[str, Any]] = {}
    for of in ids:
        for row in ledger.rows(
            f"SELECT id, command, profile, tag, substr(error, 1, :n) AS error, "  # noqa: S608 - constants
            f"unpacked(decision) AS decision, sources, {texts} "
            "FROM requests WHERE id = :id",
            {"n": n_chars, "id": of},
        ):
            found[of] = row
    return found


def stage_charges(ledger: Ledger, profile: str, *, since: str | None = None) -> dict[str, dict[int, int]]:
    """Return what each stage of a plan was charged, nano-USD, by request and stage; judging its answers included."""
    where, parameters = all_of(("q.profile = ?", profile), ("q.created_at >= ?", since))
    found: dict[str, dict[int, int]] = {}
    for row in ledger.rows(
        "SELECT s.request_id, s.stage, sum(s.charged_nano) AS nano FROM steps s JOIN requests q ON q.id = s.request_id "  # noqa: S608 - constants
        f"WHERE {where} GROUP BY 1, 2",
        parameters,
    ):
        found.setdefault(row["request_id"], {})[row["stage"]] = row["nano"]
    return found


def expectations(ledger: Ledger, *, since: str | None = None, profile: str | None = None) -> list[dict[str, Any]]:
    """Return by arm how often the 90th percentile that was predicted held: of the output's length, and of the time.

    Returns
    -------
    For each arm with any: arm, n_lengths and n_within of calls whose output was not cut by its limit, n_times and
    n_in_time.
    """
    where, parameters = all_of(("a.started_at >= ?", since), ("r.profile = ?", profile))
    whole = (
        "(a.output_tokens IS NOT NULL AND a.expected_output_p90 IS NOT NULL "
        "AND coalesce(a.finish_reason, '') <> 'length')"
    )
    timed = "(a.latency_s IS NOT NULL AND a.expected_s_p90 IS NOT NULL)"
    return ledger.rows(
        f"SELECT a.arm, sum({whole}) AS n_lengths, "  # noqa: S608 - constants
        f"sum({whole} AND a.output_tokens <= a.expected_output_p90) AS n_within, "
        f"sum({timed}) AS n_times, sum({timed} AND a.latency_s <= a.expected_s_p90) AS n_in_time "
        f"FROM attempts a JOIN reservations r ON r.id = a.id WHERE a.error_kind IS NULL AND {where} "
        f"AND ({whole} OR {timed}) GROUP BY a.arm ORDER BY a.arm",
        parameters,
    )


def refits(ledger: Ledger, *, since: str | None = None, profile: str | None = None) -> list[dict[str, Any]]:
    """Return refits, oldest first: at, profile, verdict, version, forced and data (JSON, as `refit --json`)."""
    where, parameters = all_of(("f.at >= ?", since), ("f.profile = ?", profile))
    return ledger.rows(
        f"SELECT f.at, f.profile, f.verdict, f.version, f.forced, f.data FROM refits f WHERE {where} ORDER BY f.id",  # noqa: S608 - constants
        parameters,
    )
