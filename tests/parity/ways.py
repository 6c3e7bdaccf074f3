"""The ways of the parity table: how a prompt can be asked and paid for, and what is read back of it.

A new way is a function from a stage and a world to an `Outcome`, and an entry in `WAYS`.
"""

import contextlib
import json
import os
import re
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from .worlds import PROMPT, SECRET, SYSTEM, WORLDS, World

__all__ = ["ASK", "KILLED", "UNKILLED", "WAYS", "Outcome", "Stage", "Way", "ask_left", "batch_left", "differences"]

LAWFUL = {
    # A file of prompts for one arm has nothing to choose, and embeds nothing.
    ("batch", "by name"): ("requests.embedded", "requests.router_version", "requests.embedder_id"),
    # The answer was booked by another process than the one that got it: the ledger says so.
    ("killed", "settling"): ("calls.reservation_note",),
}
"""Where ways may differ, and why; all else must be equal. What a kill left of a call is taken out by `left_over`."""


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
    """

    ends: str
    says: str | None
    by: str | None
    calls: int
    tables: dict
    commands: set
    leaks: tuple = ()
    said: str = ""


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

    def outcome(self, world, ends, says, by, said=""):
        """Return what came of the world, with what the ledger and the server hold."""
        chats = [chat for chat in self.server.chats if chat.model != "before"]
        kept, commands = tables(self.home / "scrimp.db"), named(self.home / "scrimp.db")
        return Outcome(ends, says, by, len(chats), kept, commands, leaks(self.home) if world.private else (), said)


def leaks(home):
    """Return the files under a home that hold text of the prompt or of an answer."""
    marks = [mark.encode() for mark in (SECRET, "It is 4", "no idea")]
    found = (path for path in sorted(home.rglob("*")) if path.is_file())
    return tuple(str(path.relative_to(home)) for path in found if any(mark in path.read_bytes() for mark in marks))


# -- what the ledger holds

_REQUESTS = (
    "profile", "system", "prompt", "answer", "attachments", "schema", "messages", "router_version", "embedder_id", "arm",
    "propensity", "status", "error", "tag",
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
_STEPS = ("seq", "stage", "kind", "arm", "outcome", "verdicts", "answer", "charged_nano", "taken", "note")
_LABELS = ("arm", "reward", "source", "weight", "note")


def tables(path):
    """Return the rows of the profile `test` that must be equal in all ways: no ids, no times, no names of commands."""
    if not path.exists():
        return {"requests": [], "calls": [], "steps": [], "labels": [], "suspended": [], "balances": {}}
    db = sqlite3.connect(path)
    db.row_factory = sqlite3.Row
    with contextlib.closing(db):

        def rows(sql):
            return [dict(row) for row in db.execute(sql)]

        ours = "request_id IN (SELECT id FROM requests WHERE profile = 'test')"
        requests = []
        for row in rows("SELECT * FROM requests WHERE profile = 'test' ORDER BY n"):
            decision = json.loads(row["decision"])
            plan = decision.get("plan")
            more = {
                "embedded": row["embedding"] is not None,
                "decided": decision["arm"],
                "drawn_at": decision["propensity"],
                "plan": None if plan is None else plan["text"],
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


# -- ask and redo

_OWN = ("first", "retry", "fallback")
_ENDS = {0: "ok", 2: "usage", 3: "refused", 7: "unfit"}


def _ask_argv(stage, world, *more):
    return ("ask", *more, "-p", stage.profile(world), "-s", SYSTEM, *_named(world), *world.flags, PROMPT)


def _asked(stage, world, done):
    answer = json.loads(done.out) if done.out.strip() else {}
    return stage.outcome(world, _ENDS.get(done.code, "failed"), answer.get("answer"), answer.get("arm"), done.err)


def _named(world):
    return () if world.arm is None else ("-m", world.arm)


def ask(stage, world):
    """Ask for it, whole."""
    return _asked(stage, world, stage.scrimp(*_ask_argv(stage, world, "--json")))


def ask_streamed(stage, world):
    """Ask for it word by word, as a terminal does."""
    argv = _ask_argv(stage, world)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.stdout, "isatty", lambda: True)
        done = stage.scrimp(*argv)
    answered = done.code in (0, 7) or "the answer is empty" in done.err
    says = (
        done.out.rpartition("an answer that stops\n")[2].removesuffix("\n") if answered else None
    )  # and what it began with
    outcome = stage.outcome(world, _ENDS.get(done.code, "failed"), says, None, done.err)
    arms = [request["arm"] for request in outcome.tables["requests"]]
    arms = arms or [call["arm"] for call in outcome.tables["calls"] if call["kind"] in _OWN]
    return outcome if says is None else replace(outcome, by=arms[-1])


def redo(stage, world):
    """Ask it of an arm that is not of the profile, then again of the world's."""
    before = stage.profile(World("before", {}), name="before", arms=("before",))
    first = stage.scrimp("ask", "-p", before, "-s", SYSTEM, PROMPT)
    assert first.code == 0, first.err
    outcome = _asked(stage, world, stage.scrimp("redo", "--json", "-p", stage.profile(world), *_named(world)))
    with contextlib.closing(sqlite3.connect(stage.home / "scrimp.db")) as db:
        label = "SELECT arm, source FROM labels WHERE request_id IN (SELECT id FROM requests WHERE profile = 'before')"
        told = [("before", "redo")] if outcome.ends == "ok" else []
        assert db.execute(label).fetchall() == told  # the one mark that a redo adds is the first answer's
    return outcome


# -- batch


def _batch_argv(stage, world, *, plan_in_row=False):
    row = {"id": "r0", "prompt": PROMPT}
    flags = list(world.flags)
    if plan_in_row:
        at = flags.index("--plan")
        row["plan"] = flags[at + 1]
        del flags[at : at + 2]
    (stage.folder / "in.jsonl").write_text(json.dumps(row) + "\n")
    path = stage.profile(world)
    return ("batch", stage.folder / "in.jsonl", "-o", _output(stage), "-p", path, "-s", SYSTEM, *_named(world), *flags)


def _output(stage):
    return stage.folder / "out.jsonl"


def _batched(stage, world, code, said):
    path = _output(stage)
    if not path.exists():
        ends = _ENDS.get(code, "failed")
        return stage.outcome(world, "failed" if ends == "ok" else ends, None, None, said)
    (row,) = (json.loads(line) for line in path.read_text().splitlines())
    ends = {"ok": "ok", "skipped": "refused", "failed": "failed" if row["answer"] is None else "unfit"}
    ends["cut"] = "ok" if row["answer"] else "failed"  # as `ask` has it, which says on stderr that it was cut
    assert code == (0 if row["status"] == "ok" else 6), said
    by = None if row["answer"] is None else row["arm"]
    return stage.outcome(world, ends.get(row["status"], row["status"]), row["answer"], by, said)


def batch(stage, world, **how):
    """Give it as a file of one row."""
    done = stage.scrimp(*_batch_argv(stage, world, **how))
    return _batched(stage, world, done.code, done.err)


def batch_row_plan(stage, world):
    """Give it as a file of one row that names its own plan."""
    return batch(stage, world, plan_in_row=True)


def start_and_kill(stage, argv, moment):
    """Run a command line in a child that is killed at a moment."""
    worker = stage.worker()
    if moment.startswith("sent:"):
        nth = int(moment.partition(":")[2])
        pid = []

        def kill(n_chats):
            while not pid:
                time.sleep(0.001)
            if n_chats == nth:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid[0], signal.SIGKILL)

        stage.server.on_chat = kill
        pid.append(worker.start(*argv, home=stage.home, at_once=True))
        code = worker.wait(pid[0])
        stage.server.on_chat = None
    else:
        code = worker.wait(worker.start(*argv, home=stage.home, at_once=True, kill=moment))
    said = worker.out.read_text()
    assert code == -signal.SIGKILL, f"it ended ({code}) before it was killed at {moment}: {said}"
    return said


def ask_left(stage, world, moment):
    """Ask for it, be killed at a moment, and let the next command find what is left."""
    said = start_and_kill(stage, _ask_argv(stage, world), moment)
    code, told = stage.worker().run(*_ask_argv(stage, world, "--dry-run"), home=stage.home)
    assert code == 0, told
    return stage.outcome(world, "unknown", None, None, said + told)


def batch_left(stage, world, moment):
    """Give it as a file, be killed at a moment, and go on without asking again for what may have been paid."""
    said = start_and_kill(stage, _batch_argv(stage, world), moment)
    code, told = stage.worker().run("batch", "--resume", "-o", _output(stage), home=stage.home, at_once=True)
    return _batched(stage, world, code, said + told)


def batch_killed(moment):
    """Return the way of a batch that is killed at a moment, then resumed until its row has an answer."""

    def way(stage, world):
        argv = _batch_argv(stage, world)
        said = [start_and_kill(stage, argv, moment)]
        worker = stage.worker()
        code = None
        # What was in flight may have been answered and billed: it is asked again on request. Where no text is kept
        # a finished run cannot be taken up again: there the request comes with the first resumption.
        retry = ("--retry-unknown",)
        for more in ((),) if not moment.startswith("sent:") else (retry,) if world.private else ((), retry):
            resume = ("batch", "--resume", "-o", _output(stage), *more)
            if not _output(stage).exists() and not _has_run(stage):
                resume = argv
            code, told = worker.run(*resume, home=stage.home, at_once=True)
            said.append(told)
            if moment.startswith("sent:") and not more:
                (row,) = (json.loads(line) for line in _output(stage).read_text().splitlines())
                assert (row["status"], code) == ("unknown", 6), said
        outcome = _batched(stage, world, code, "\n".join(said))
        return left_over(outcome, moment)

    return way


def _has_run(stage):
    if not (stage.home / "scrimp.db").exists():
        return False
    with contextlib.closing(sqlite3.connect(stage.home / "scrimp.db")) as db:
        return db.execute("SELECT count(*) FROM batch_runs").fetchone()[0] > 0


def left_over(outcome, moment):
    """Return the outcome without what the kill left of its call, which must be just what the moment says.

    A call that was on its way stays charged in full, as `unknown`, and is not among the server's calls that count; one
    that never left cost nothing. A call that was answered leaves nothing.
    """
    event, _, nth = moment.partition(":")
    kept = outcome.tables
    gone = [call for call in kept["calls"] if call["finish_reason"] is None and call["error_kind"] is None]
    if event in ("sent", "reserved"):
        assert len(gone) == 1, f"of the call that was killed the ledger holds {len(gone)} reservations"
        status, charged = ("unknown", gone[0]["reservation_reserved_nano"]) if event == "sent" else ("released", 0)
        assert (gone[0]["reservation_status"], gone[0]["reservation_charged_nano"]) == (status, charged)
        assert kept["calls"].index(gone[0]) == int(nth) - 1
    else:
        assert not gone, f"a call that was answered is left as {gone[0]['reservation_status']}"
        charged = 0
    calls = [call for call in kept["calls"] if call not in gone]
    if gone and calls[int(nth) - 1]["kind"] == "retry":
        calls[int(nth) - 1]["kind"] = gone[0]["kind"]  # it was asked again in the place of the one that was killed
    for seq, call in enumerate(calls, start=1):
        call["seq"] = seq if call["seq"] is not None else None
    for key, total in kept["balances"].items():
        if "|a:" not in key or key.endswith(f"|a:{gone[0]['arm'] if gone else ''}"):
            total[1] -= charged
    kept = kept | {
        "calls": calls,
        "requests": [row for row in kept["requests"] if row["status"] not in ("unknown", "interrupted")],
        "balances": {key: total for key, total in kept["balances"].items() if total != [0, 0]},
    }
    return replace(outcome, tables=kept, calls=outcome.calls - (event == "sent"))


# -- the table's columns


@dataclass(frozen=True)
class Way:
    """One column of the table.

    Attributes
    ----------
    command
        What the ledger calls it: `requests.command` and `reservations.source`.
    play
        Plays a world on a stage.
    fits
        Tells whether a world can be had in this way.
    lawful
        Returns the columns of the ledger that may differ from those of `ask`, for a world.
    """

    name: str
    command: str
    play: Callable
    fits: Callable = lambda _world: True
    lawful: Callable = lambda _world: ()


def _batch_lawful(world):
    return LAWFUL["batch", "by name"] if world.arm is not None or len(world.replies) == 1 else ()


def _streams(world):
    return "--plan" not in world.flags


def _killed(moment):
    more = LAWFUL["killed", "settling"] if moment.startswith("settling") else ()
    return Way(
        f"batch killed at {moment} and resumed",
        "batch",
        batch_killed(moment),
        lambda world: moment in world.kills,
        lambda world: (*_batch_lawful(world), *more),
    )


ASK = Way("ask", "ask", ask)
"""What all others are compared to."""

MOMENTS = sorted({moment for world in WORLDS for moment in world.kills})

UNKILLED = (
    ASK,
    Way("ask, streamed", "ask", ask_streamed, _streams),
    Way("redo", "redo", redo, lambda world: world.arm is not None and not world.flags),
    Way("batch", "batch", batch, lawful=_batch_lawful),
    Way("batch, the row's plan", "batch", batch_row_plan, lambda world: "--plan" in world.flags, _batch_lawful),
)

KILLED = tuple(map(_killed, MOMENTS))

WAYS = (*UNKILLED, *KILLED)
