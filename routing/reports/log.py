"""What the log holds of each request: lists, one request whole, and everything as JSON Lines."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scrimp.profiles.money import usd_from_nano
from scrimp.profiles.rungs import reading_of
from scrimp.routing.ledger import requests
from scrimp.routing.ledger.attempts import attempts_of
from scrimp.routing.ledger.documents import kept
from scrimp.routing.ledger.labels import labels_of
from scrimp.routing.ledger.steps import steps_of
from scrimp.routing.ledger.store import instant
from scrimp.routing.prompts.chat_log import after_of, lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrimp.routing.checks.base import Verdict
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.ledger.store import Ledger

__all__ = ["Shown", "export_lines", "list_requests", "show_request"]


def list_requests(
    ledger: Ledger | None, *, now: float, days: float | None = None, **filters: Any
) -> list[dict[str, Any]]:
    """Return requests, newest first, each with what it was charged in USD and its open calls (`n_open`).

    Parameters
    ----------
    ledger
        None where there is none yet.
    now, days
        POSIX time; only requests of the last so many days.
    filters
        As for `ledger.requests.listing`.
    """
    if ledger is None:
        return []
    since = None if days is None else instant(now - days * 86_400)
    rows = requests.listing(ledger, since=since, **filters)
    for row in rows:
        nano = row.pop("charged_nano")
        row["charged_usd"] = None if nano is None else usd_from_nano(nano)
    return rows


@dataclass(frozen=True, slots=True)
class Shown:
    """One request with all that is on record of it.

    Attributes
    ----------
    row
        Of the request, as the ledger holds it: decision, attachments, schema and messages are JSON.
    attempts, labels, steps
        Its calls, what was said of its answers, and what happened at each step of its plan.
    texts
        Of the files that went with it, by SHA-256, where they are kept.
    decision
        As it was made; None where its trace was not kept.
    near
        The prompts of the log that are most like it; empty where they were not asked for.
    """

    row: dict[str, Any]
    attempts: list[dict[str, Any]]
    labels: list[dict[str, Any]]
    steps: list[dict[str, Any]]
    texts: dict[str, str]
    decision: Decision | None
    near: list[dict[str, Any]]

    @property
    def conversation(self) -> tuple[str | None, list[str]]:
        """Of a program's conversation: the request that it goes on from (None: it begins here), and what is new."""
        return after_of(self.row), lines(self.row)

    @property
    def complete(self) -> Verdict | None:
        """Whether the answer is whole (the check `complete`); None where there is none, or nothing to tell by."""
        from scrimp.routing.checks.form import completeness

        if self.row["status"] != "ok":
            return None
        ends = [each for each in self.attempts if each["arm"] == self.row["arm"] and each["error_kind"] is None]
        return completeness(self.row["answer"], ends[-1]["finish_reason"] if ends else None)

    @property
    def memory(self) -> dict[str, Any]:
        """What of its conversation went along (`asking.memory.Recalled`); empty where that is not on record."""
        found: dict[str, Any] = json.loads(self.row["memory"] or "{}")
        return found

    @property
    def options(self) -> dict[str, Any]:
        """The options that its calls were asked with (`-o`), by name; empty where there were none, or are not kept."""
        return dict(json.loads(self.row["decision"] or "{}").get("options") or {})

    @property
    def files(self) -> list[dict[str, Any]]:
        """The files that went with it, as `prompts.sources.Source.to_dict`; without names where no text is kept."""
        return json.loads(self.row["sources"] or "[]")  # type: ignore[no-any-return]

    @property
    def readings(self) -> dict[str, Any] | None:
        """How much of them was on offer, as `prompts.sources.Readings.to_dict`; None where there was no choice."""
        return None if self.row["readings"] is None else json.loads(self.row["readings"])

    @property
    def passages(self) -> list[dict[str, Any]]:
        """The passages of its files: file, start, end, score, and text where that is kept."""
        return [
            {
                "file": self.files[number].get("name"),
                "start": start,
                "end": end,
                "score": score,
                "text": None if (text := self.texts.get(self.files[number]["sha256"])) is None else text[start:end],
            }
            for number, start, end, score in (self.readings or {}).get("passages") or ()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        read = {
            name: None if self.row[name] is None else json.loads(self.row[name])
            for name in ("decision", "attachments", "schema", "messages", "memory", "sources", "readings")
        }
        read["reading"] = reading_of(self.row["arm"] or "") or ("whole" if self.files else None)
        read["complete"] = None if self.complete is None else not self.complete.failed
        found = {"attempts": self.attempts, "labels": self.labels, "steps": self.steps}
        return {"schema_version": 1, **self.row, **read, **found}


def show_request(ledger: Ledger | None, which: str, *, near: bool = False) -> Shown:
    """Return a request (`last`, an id, or an end of one) with all that is on record of it.

    Raises
    ------
    UsageError
        If there is none, or more than one.
    """
    from scrimp.routing.deciding.trace import Decision

    from .neighbours import neighbours

    row = requests.find(ledger, which)
    assert ledger is not None  # noqa: S101 - find has raised
    of = row["id"]
    return Shown(
        row,
        attempts_of(ledger, of),
        labels_of(ledger, of),
        steps_of(ledger, of),
        kept(ledger, {each["sha256"] for each in json.loads(row["sources"] or "[]")}),
        None if row["decision"] is None else Decision.from_dict(json.loads(row["decision"])),
        neighbours(ledger, of) if near else [],
    )


def export_lines(ledger: Ledger | None) -> Iterator[str]:
    """Yield every request with its decision, attempts and labels as a line of JSON, oldest first."""
    for row in () if ledger is None else requests.export(ledger):
        yield json.dumps(row, ensure_ascii=False) + "\n"
