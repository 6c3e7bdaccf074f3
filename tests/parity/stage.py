"""What the ways of the parity table stand on: an empty home for a world, and what is read back of it."""

import contextlib
import json
import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scrimp.routing.ledger.packing import unpack

from .worlds import SECRET

__all__ = ["ENDS", "Outcome", "Stage", "differences"]

ENDS = {0: "ok", 2: "usage", 3: "refused", 7: "unfit", 9: "refused"}
"""How a prompt ended, by the exit code of a command; any other is a failure."""


@dataclass(frozen=True)
class Outcome:
    """What came of a prompt.

    Attributes
    ----------
    ends
        ok, unfit, failed, refused, unknown, or usage (the command line was not understood).
    says, by
        The answer given, and the arm that gave it; None where there is none.
    calls
        How many calls reached the server.
    tables
        What the ledger holds of it, without ids and times.
    commands
        What the ledger calls the way, in requests and reservations.
    leaks
        Files that hold text of the prompt or its answer, where none may be kept.
    said
        Everything printed, for the reader of a failure.
    exits
        The exit codes of `ask` that the way's own sign of how it ended stands for; empty where it has none.
    """

    ends: str
    says: str | None
    by: str | None
    calls: int
    tables: dict
    commands: set
    leaks: tuple = ()
    said: str = ""
    exits: frozenset = frozenset()


@dataclass
class Stage:
    """Where a way plays a world: an empty folder, a fresh SCRIMP_HOME, the server told what to reply."""

    folder: Path
    server: object
    scrimp: Callable
    worker: Callable

    @property
    def home(self):
        return self.folder / "home"

    def profile(self, world, name="test", arms=None):
        """Write the world's profile and tell the server its replies; return the profile's path."""
        prices = {"small": (1, 4), "medium": (3, 12), "large": (10, 40), "before": (1, 4)}
        text = f'name = "{name}"\n[caps]\n{world.caps}\n'
        if "[policy]" not in world.extra:
            text += '[policy]\nprefer = "cheap"\nexplore = 0\n'
        for arm in arms or world.replies:
            price_in, price_out = prices[arm]
            text += f"""
[[arms]]
name = "{arm}"
model = "openai/{arm}"
api_base = "{self.server.base_url}"
tier = "{arm if arm in ("small", "medium", "large") else "small"}"
max_output_tokens = 200
tags = ["json"]
context_window = 100000
timeout_s = {world.timeout_s}
params = {{ temperature = 0 }}
price = {{ input_usd_per_mtok = {price_in}, output_usd_per_mtok = {price_out} }}
"""
        path = self.folder / f"{name}.toml"
        path.write_text(text + world.extra)
        return path

    def file(self, world):
        """Write the file that a world is about; return its path, or None where it is about none."""
        if world.file is None:
            return None
        path = self.folder / "minutes.txt"
        path.write_text(world.file)
        return path

    def outcome(self, world, ends, says, by, said=""):
        """Return what came of the world, with what the ledger and the server hold."""
        chats = [chat for chat in self.server.chats if chat.model != "before"]
        kept, commands = tables(self.home / "scrimp.db"), named(self.home / "scrimp.db")
        found = leaks(self.home) if world.private else leaks(self.home, (SECRET,)) if world.hidden else ()
        return Outcome(ends, says, by, len(chats), kept, commands, found, said)


def leaks(home, marks=(SECRET, "It is 4", "no idea")):
    """Return the files under a home that hold text of the prompt or of an answer."""
    marks = [mark.encode() for mark in marks]
    found = (path for path in sorted(home.rglob("*")) if path.is_file())
    return tuple(str(path.relative_to(home)) for path in found if any(mark in path.read_bytes() for mark in marks))


# -- what the ledger holds

_REQUESTS = (
    "profile", "system", "prompt", "answer", "attachments", "schema", "messages", "router_version", "embedder_id", "arm",
    "propensity", "status", "error", "tag", "readings",
)  # fmt: skip
_ATTEMPTS = (
    "seq", "kind", "arm", "requested_model", "served_model", "input_bound", "output_limit", "input_tokens",
    "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens", "usage_status", "usage", "cost_nano",
    "finish_reason", "error_kind", "error",
)  # fmt: skip
_RESERVATIONS = (
    "arm",
    "profile",
    "tag",
    "status",
    "reserved_nano",
    "charged_nano",
    "breach",
    "cap_override_nano",
    "note",
)
_STEPS = (
    "seq",
    "stage",
    "kind",
    "arm",
    "outcome",
    "verdicts",
    "answer",
    "charged_nano",
    "taken",
    "note",
    "asked",
    "asked_sha256",
)
_LABELS = ("arm", "reward", "source", "weight", "note")


def tables(path):
    """Return the rows of the profile `test` that must be equal in all ways: no ids, no times, no names of commands."""
    if not path.exists():
        return {
            "requests": [],
            "calls": [],
            "steps": [],
            "labels": [],
            "suspended": [],
            "documents": [],
            "balances": {},
        }
    db = sqlite3.connect(path)
    db.row_factory = sqlite3.Row
    with contextlib.closing(db):

        def rows(sql):
            return [dict(row) for row in db.execute(sql)]

        ours = "request_id IN (SELECT id FROM requests WHERE profile = 'test')"
        requests = []
        for row in rows("SELECT * FROM requests WHERE profile = 'test' ORDER BY n"):
            decision = json.loads(unpack(row["decision"]) or "")
            plan = decision.get("plan")
            more = {
                "embedded": row["embedding"] is not None,
                "decided": decision["arm"],
                "drawn_at": decision["propensity"],
                "plan": None if plan is None else plan["text"],
                "guards": json.loads(re.sub(r"/[^\s:\"]*/", "", json.dumps(decision["guards"]))),  # no folders
                "sources": [{**each, "path": None} for each in json.loads(row["sources"] or "[]")],
            }
            requests.append({name: row[name] for name in _REQUESTS} | more)
        calls = []
        for held in rows("SELECT * FROM reservations WHERE profile = 'test' ORDER BY id"):
            (attempt,) = rows(f"SELECT * FROM attempts WHERE id = {held['id']}") or ({},)
            (price,) = rows(f"SELECT json FROM prices WHERE id = {held['price_id']}")
            call = {name: attempt.get(name) for name in _ATTEMPTS}
            call |= {f"reservation_{name}": held[name] for name in _RESERVATIONS}
            calls.append(call | {"price": price["json"], "in_order": attempt.get("request_id") == held["request_id"]})
        steps = rows(f"SELECT {', '.join(_STEPS)} FROM steps WHERE {ours} ORDER BY request_id, seq")
        for step in steps:
            step["verdicts"] = json.loads(step["verdicts"] or "[]")
        labels = rows(f"SELECT {', '.join(_LABELS)} FROM labels WHERE {ours} ORDER BY id")
        suspended = rows("SELECT profile, arm FROM suspensions ORDER BY 1, 2")
        documents = rows("SELECT sha256, n_chars FROM documents ORDER BY sha256")
        run = "SELECT DISTINCT 'run:' || run_id FROM reservations WHERE profile = 'test'"
        balances: dict[str, list[int]] = {}
        for row in rows(f"SELECT * FROM balances WHERE key LIKE '%|p:test%' OR key IN ({run})"):
            key = re.sub(r"^run:.*", "run", re.sub(r"^(day|month):[\d-]+", r"\1", row["key"]))
            total = balances.setdefault(key, [0, 0])
            total[0] += row["live_nano"]
            total[1] += row["fixed_nano"]
        return {
            "requests": requests,
            "calls": calls,
            "steps": steps,
            "labels": labels,
            "suspended": suspended,
            "documents": documents,
            "balances": balances,
        }


def named(path):
    """Return what the rows of the profile `test` say they were made by."""
    if not path.exists():
        return set()
    with contextlib.closing(sqlite3.connect(path)) as db:
        made_by = "SELECT command FROM requests WHERE profile = 'test' UNION SELECT source FROM reservations WHERE profile = 'test'"
        return {name for (name,) in db.execute(made_by)}


def differences(mine, theirs, lawful=()):
    """Return where two ledgers' tables differ, a line for each value; `lawful` names columns that may."""
    found = []
    for name in theirs:
        if name == "balances":
            found += _unequal(name, mine[name], theirs[name], lawful)
            continue
        if len(mine[name]) != len(theirs[name]):
            found.append(f"{name}: {len(mine[name])} rows, not {len(theirs[name])}")
        for i, (one, other) in enumerate(zip(mine[name], theirs[name], strict=False)):
            found += _unequal(f"{name}[{i}]", one, other, lawful)
    return found


def _unequal(where, one, other, lawful):
    table = where.partition("[")[0]
    return [
        f"{where}.{key}: {one.get(key)!r}, not {other.get(key)!r}"
        for key in sorted(one.keys() | other.keys())
        if one.get(key) != other.get(key) and f"{table}.{key}" not in lawful
    ]
