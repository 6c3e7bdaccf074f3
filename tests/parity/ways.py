"""The ways of the parity table: how a prompt can be asked and paid for, and what is read back of it.

A new way is a function from a stage and a world to an `Outcome`, and an entry in `WAYS`.
"""

import contextlib
import json
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from workers_here import HerePlace

from .served import aask, can_be_served, can_be_streamed, serve
from .stage import ENDS, Outcome, Stage, differences
from .worlds import PROMPT, SYSTEM, WORLDS, World

__all__ = ["ASK", "KILLED", "UNKILLED", "WAYS", "Outcome", "Stage", "Way", "ask_left", "batch_left", "differences"]

LAWFUL = {
    # A file of prompts for one arm has nothing to choose, and embeds nothing.
    ("batch", "by name"): ("requests.embedded", "requests.router_version", "requests.embedder_id"),
    # The answer was booked by another process than the one that got it: the ledger says so.
    ("killed", "settling"): ("calls.reservation_note",),
}
"""Where ways may differ, and why; all else must be equal. What a kill left of a call is taken out by `left_over`."""

# -- ask and redo

_OWN = ("first", "retry", "fallback")


def _ask_argv(stage, world, *more):
    about = _about(stage, world)
    return ("ask", *more, "-p", stage.profile(world), "-s", SYSTEM, *_named(world), *about, *world.flags, PROMPT)


def _about(stage, world):
    return () if world.file is None else ("-f", stage.file(world))


def _asked(stage, world, done):
    answer = json.loads(done.out) if done.out.strip() else {}
    ends = ENDS.get(done.code, "failed")
    return replace(stage.outcome(world, ends, answer.get("answer"), answer.get("arm"), done.err), exits={done.code})


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
    outcome = stage.outcome(world, ENDS.get(done.code, "failed"), says, None, done.err)
    arms = [request["arm"] for request in outcome.tables["requests"]]
    arms = arms or [call["arm"] for call in outcome.tables["calls"] if call["kind"] in _OWN]
    return outcome if says is None else replace(outcome, by=arms[-1])


def redo(stage, world):
    """Ask it of an arm that is not of the profile, then again of the world's."""
    before = stage.profile(World("before", {}), name="before", arms=("before",))
    first = stage.scrimp("ask", "-p", before, "-s", SYSTEM, *_about(stage, world), PROMPT)
    assert first.code == 0, first.err
    if world.file is not None:
        stage.file(world).unlink()  # its text is in the log
    outcome = _asked(stage, world, stage.scrimp("redo", "--json", "-p", stage.profile(world), *_named(world)))
    with contextlib.closing(sqlite3.connect(stage.home / "scrimp.db")) as db:
        label = "SELECT arm, source FROM labels WHERE request_id IN (SELECT id FROM requests WHERE profile = 'before')"
        told = [("before", "redo")] if outcome.ends == "ok" else []
        marks = [(arm.partition("/")[0], source) for arm, source in db.execute(label)]
        assert marks == told  # the one mark that a redo adds is the first answer's
    return outcome


# -- batch


def _batch_argv(stage, world, *, plan_in_row=False):
    row = {"id": "r0", "prompt": PROMPT}
    if world.file is not None:
        row["file"] = stage.file(world).name
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
        ends = ENDS.get(code, "failed")
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


def batch_by_workers(stage, world):
    """Give it as a file whose rows are asked by workers beside the run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scrimp.routing.batch.workers.local.LocalPlace", HerePlace)
        done = stage.scrimp(*_batch_argv(stage, world), "--workers", "2")
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
            return n_chats == nth  # nobody heard the reply: the call that is made anew gets it

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
        if "|a:" not in key or key.endswith(f"|a:{gone[0]['reservation_arm'] if gone else ''}"):
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


def _by_workers(world):
    """Tell whether workers play a world: those that are worth a kill have one of each kind in them."""
    return bool(world.kills) and world.file is None and not {"--hint", "--use-hint"} & set(world.flags)


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


def _is_heard(world):
    """Tell whether who hears pieces in Python gets there; by name, `aask` whole has shown enough."""
    return world.arm is None and _streams(world) and not world.breaks_off


UNKILLED = (
    ASK,
    Way("ask, streamed", "ask", ask_streamed, _streams),
    Way("redo", "redo", redo, lambda world: world.arm is not None and not world.flags),
    Way("aask", "ask", aask()),
    Way("aask, streamed", "ask", aask(streamed=True), _is_heard),
    Way("serve", "serve", serve("openai"), can_be_served),
    Way("serve, streamed", "serve", serve("openai", streamed=True), can_be_streamed),
    Way("serve, Anthropic", "serve", serve("anthropic"), lambda world: world.arm is None and can_be_served(world)),
    Way("batch", "batch", batch, lawful=_batch_lawful),
    Way("batch by workers", "batch", batch_by_workers, _by_workers, _batch_lawful),
    Way("batch, the row's plan", "batch", batch_row_plan, lambda world: "--plan" in world.flags, _batch_lawful),
)

KILLED = tuple(map(_killed, MOMENTS))

WAYS = (*UNKILLED, *KILLED)
