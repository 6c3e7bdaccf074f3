"""No command reads all of a long log: what SQLite does for each statement that they run is looked at."""

import re
import sqlite3
from typing import ClassVar

import pytest
from made_log import fight, fill, learn

from scrimp.profiles.paths import paths
from scrimp.routing.ledger import store
from scrimp.routing.ledger.store import open_ledger

LONG = ("requests", "reservations", "attempts", "steps", "labels", "batch_rows", "outcomes")
"""Tables that grow with every request."""

COMMANDS = {
    "log": ("log",),
    "log --json": ("log", "--json"),
    "log search": ("log", "search", "question"),
    "log show": ("log", "show", "last"),
    "spend": ("spend", "-p", "{profile}"),
    "spend --by arm": ("spend", "--by", "arm", "-p", "{profile}"),
    "spend --by tag --days": ("spend", "--by", "tag", "--days", "9", "-p", "{profile}"),
    "spend --short": ("spend", "--short", "-p", "{profile}"),
    "spend --open": ("spend", "--open", "-p", "{profile}"),
    "report": ("report",),
    "report --days": ("report", "--days", "9", "-p", "work"),
    "route": ("route", "-p", "{profile}", "hello"),
    "ask": ("ask", "-p", "{profile}", "hello"),
    "ask by a plan": ("ask", "-p", "{profile}", "--plan", "small ? checks > large", "--check", "has:7", "hello 7"),
    "ask -c": ("ask", "-p", "{profile}", "-c", "and now?"),
    "batch": ("batch", "{rows}", "-o", "out.jsonl", "-p", "{profile}", "--yes"),
    "rate": ("rate", "last", "good"),
    "budget": ("budget", "show"),
}

FEW = re.compile(r"USING (COVERING )?INDEX idx_(requests_hinted|requests_planned|reservations_open|steps_made)")
"""Indices of few rows, which may be read from end to end."""

ALLOWED = {
    r"SELECT n, min\(n\) OVER": "an export reads everything",
}
"""Statements that read a long table from end to end, and why they may."""


class Listened(sqlite3.Connection):
    """A connection that keeps what it is asked."""

    heard: ClassVar[list[str]] = []

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.set_trace_callback(self.heard.append)


@pytest.fixture
def heard(monkeypatch):
    connect = sqlite3.connect
    Listened.heard = []
    monkeypatch.setattr(
        store.sqlite3, "connect", lambda *args, **kwargs: connect(*args, **{**kwargs, "factory": Listened})
    )
    return Listened.heard


def scans(statements):
    """Return the statements that read a long table from its first row to its last, with what SQLite says of each."""
    found = {}
    with open_ledger(paths().ledger) as ledger:
        for sql in dict.fromkeys(statements):
            if not re.match(r"\s*(SELECT|UPDATE|DELETE|INSERT|WITH)\b", sql, re.IGNORECASE) or sql.startswith("--"):
                continue
            try:
                plan = [row["detail"] for row in ledger.rows(f"EXPLAIN QUERY PLAN {sql}")]
            except Exception:
                raise AssertionError(sql) from None
            names = "|".join(sorted({*LONG, *aliases(sql)}))
            lines = [line for line in plan if re.match(rf"SCAN ({names})\b", line) and not FEW.search(line)]
            # In the order of an index and no further than its limit, or a look at one end of it.
            bounded = re.search(r"\bLIMIT\b", sql) and not any("TEMP B-TREE FOR ORDER BY" in line for line in plan)
            if lines and not bounded and not any(re.search(pattern, sql) for pattern in ALLOWED):
                found[sql[:300]] = lines
    return found


def aliases(sql):
    """Return the names that a statement gives to long tables."""
    return {alias for _, alias in re.findall(rf"\b({'|'.join(LONG)}) (?:AS )?([a-z])\b", sql)}


@pytest.fixture
def used(scrimp, profile, tmp_path):
    """A log in which there is something of every kind."""
    path = profile(small="say@text=7", large="say@text=7", extra="[log]\nretention_days = 3000\n")
    assert scrimp("ask", "-p", path, "hello").code == 0
    with open_ledger(paths().ledger) as ledger:
        truth = fill(ledger, n=2300)
        fight(ledger, truth)
        learn(ledger)
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "a"}\n{"prompt": "b"}\n')
    return {"profile": str(path), "rows": str(rows)}


def test_no_command_reads_all_of_a_long_log(scrimp, used, heard):
    found = {}
    for name, command in COMMANDS.items():
        heard.clear()
        done = scrimp(*(word.format(**used) for word in command))
        assert done.code in (0, 7), (name, done.err)
        assert len(heard) > 1, name
        if bad := scans(list(heard)):
            found[name] = bad
    assert found == {}, "\n".join(f"{name}: {sql}: {plan}" for name, bad in found.items() for sql, plan in bad.items())
