"""`batch --workers`: what comes of rows that others ask, with workers in this process (tests/fault has true ones)."""

import asyncio
import collections
import json
import os
import signal
import time

import pytest
from workers_here import HerePlace

from scrimp.routing.batch.workers import messages
from scrimp.routing.ledger.reservations import audit_balances
from scrimp.routing.ledger.store import open_ledger

N_ROWS = 40


class World:
    """A file of rows, a profile, and what came of a batch."""

    def __init__(self, folder, scrimp, profile, server, home, monkeypatch):
        self.rows = folder / "in.jsonl"
        self.out = folder / "out.jsonl"
        self.scrimp, self.profile, self.server, self.home = scrimp, profile, server, home
        self.monkeypatch = monkeypatch

    def write(self, rows):
        self.rows.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def go(self, *more, watch=None, model="ok@tokens=5", **arm):
        self.monkeypatch.setattr("scrimp.routing.batch.workers.local.LocalPlace", lambda: HerePlace(watch))
        path = self.profile(small=model, **arm)
        done = self.scrimp("batch", self.rows, "-o", self.out, "-p", path, "--workers", "2", *more)
        with open_ledger(self.home / "scrimp.db") as ledger:
            assert audit_balances(ledger) == {}
            self.calls = ledger.rows("SELECT status, charged_nano, reserved_nano FROM reservations")
        return done

    @property
    def charged(self):
        return sum(call["charged_nano"] for call in self.calls)

    def answers(self):
        rows = [json.loads(line) for line in self.out.read_text().splitlines()]
        assert len(rows) == len({row["id"] for row in rows})
        return {row["id"]: row for row in rows}

    def asked(self):
        return collections.Counter(chat.prompt for chat in self.server.chats)


@pytest.fixture
def world(home, scrimp, profile, server, monkeypatch):
    world = World(home.parent / "work", scrimp, profile, server, home, monkeypatch)
    world.write([{"id": f"r{i}", "prompt": f"prompt {i}"} for i in range(N_ROWS)])
    return world


def states(world):
    return collections.Counter(row["status"] for row in world.answers().values())


def test_every_row_once_and_the_ledger_is_the_bill(world):
    done = world.go()
    assert done.code == 0, done.err
    assert states(world) == {"ok": N_ROWS}
    assert world.asked() == {f"prompt {i}": 1 for i in range(N_ROWS)}
    assert {call["status"] for call in world.calls} == {"settled"}
    assert world.charged == world.server.cost_nano


def cut_after(n, which):
    """Return what loses workers once `n` of their calls are begun."""
    begun = collections.Counter()
    ends = set()

    def watch(end, frame):
        ends.add(end)
        begun[end.name] += sum(getattr(each, "what", "") == "begin" for each in messages.unframed(frame))
        if begun.total() >= n:
            for each in ends:
                if which in (each.name, "all") and not each.gone:
                    asyncio.get_running_loop().call_later(0.05, each.cut)  # by then its calls are on their way

    return watch


def test_one_of_two_is_lost(world):
    done = world.go(watch=cut_after(12, "worker 1"), model="ok@tokens=5,latency_ms=200")
    assert done.code == 6
    assert "worker 1 is lost: the others go on" in done.err
    unknown = states(world)["unknown"]
    assert states(world) == {"ok": N_ROWS - unknown, "unknown": unknown}
    assert 0 < unknown <= 8
    assert max(world.asked().values()) == 1
    left = [call for call in world.calls if call["status"] != "settled"]
    assert len([call for call in left if call["charged_nano"] == call["reserved_nano"]]) == unknown
    assert world.charged >= world.server.cost_nano
    again = world.scrimp("batch", "--resume", "-o", world.out, "--retry-unknown")
    assert again.code == 0, again.err
    assert states(world) == {"ok": N_ROWS}


def test_the_run_goes_on_by_itself(world):
    done = world.go(watch=cut_after(8, "all"), model="ok@tokens=5,latency_ms=200")
    assert done.code == 6
    assert "the run goes on by itself" in done.err
    assert states(world).total() == N_ROWS
    assert states(world)["unknown"] <= 16
    assert max(world.asked().values()) == 1


def test_a_cap_holds_over_workers(world):
    one = json.loads(
        world.scrimp("batch", world.rows, "--dry-run", "--json", "-p", world.profile(small="ok@tokens=5")).out
    )
    cap_usd = one["cost_usd"]["at_limits"] / 4
    done = world.go("--max-cost", f"{cap_usd:.9f}")
    assert done.code in (0, 6), done.err
    assert world.server.cost_nano <= world.charged <= cap_usd * 1e9
    assert set(world.asked().values()) == {1}


def test_too_many_errors_stop_all(world):
    done = world.go("--max-errors", "3", model="400")
    assert done.code == 6
    assert "stopped after" in done.err
    assert len(world.asked()) < N_ROWS
    assert not world.out.exists()


def test_an_interrupt_while_they_start(world):
    class Place(HerePlace):
        async def open(self, n):
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(0.05)
            return await super().open(n)

    world.monkeypatch.setattr("scrimp.routing.batch.workers.local.LocalPlace", Place)
    path = world.profile(small="ok@tokens=5")
    done = world.scrimp("batch", world.rows, "-o", world.out, "-p", path, "--workers", "2")
    assert done.code == 130, done.err
    assert world.server.chats == []
    world.monkeypatch.setattr("scrimp.routing.batch.workers.local.LocalPlace", HerePlace)
    again = world.scrimp("batch", "--resume", "-o", world.out)
    assert again.code == 0, again.err
    assert states(world) == {"ok": N_ROWS}


def test_equal_rows_are_asked_once_whoever_has_them(world):
    row = {"params": {"temperature": 0}}
    world.write([{"id": f"r{i}", "prompt": f"prompt {i % 7}", **row} for i in range(N_ROWS)])
    path = world.profile(small="ok@tokens=5")
    path.write_text(path.read_text().replace("[[arms]]", "[[arms]]\nparams = { temperature = 0 }", 1))
    world.profile = lambda **_arms: path
    done = world.go()
    assert done.code == 0, done.err
    assert states(world) == {"ok": N_ROWS}
    assert world.asked() == {f"prompt {i}": 1 for i in range(7)}


def test_rows_that_feed_rows(world):
    rows = [{"id": f"a{i}", "prompt": f"ask {i}"} for i in range(4)]
    rows += [{"id": f"b{i}", "prompt": f"then {i} {{{{@a{i % 4}}}}}"} for i in range(12)]
    world.write(rows)
    done = world.go()
    assert done.code == 0, done.err
    assert states(world) == {"ok": 16}
    assert len(world.server.chats) == len(world.asked()) == 16


def test_what_is_private_stays_here(world):
    world.write([{"id": "r0", "prompt": "write to jane.roe@example.org"}])
    path = world.profile(small="echo")
    path.write_text(path.read_text() + '\n[guard]\nprivate = "redact"\n')
    world.profile = lambda **_arms: path
    seen = []
    done = world.go(watch=lambda _end, frame: seen.append(frame))
    assert done.code == 0, done.err
    assert "jane.roe@example.org" in world.answers()["r0"]["answer"]
    assert "jane.roe" not in str(world.asked())


def test_a_worker_of_another_version_is_refused(world, monkeypatch):
    monkeypatch.setattr("scrimp.routing.batch.workers.crew.own_version", lambda: "scrimp 0.0.1, Python 3.1")
    world.monkeypatch.setattr("scrimp.routing.batch.workers.local.LocalPlace", HerePlace)
    done = world.scrimp("batch", world.rows, "-o", world.out, "-p", world.profile(), "--workers", "2")
    assert done.code == 1
    assert "cannot work for this run: it runs scrimp" in done.err
    assert world.server.chats == []


@pytest.mark.parametrize("flags", [("--cache", "1h"), ("--lane", "batch"), ("--deadline", "1h"), ("--hint",)])
def test_what_needs_the_run_itself_is_said(world, flags):
    done = world.scrimp("batch", world.rows, "-o", world.out, "-p", world.profile(), "--workers", "2", *flags)
    assert done.code == 2
    assert "Leave --workers out." in done.err


def test_the_last_is_lost_before_it_is_given_a_row(world):
    from scrimp.routing.batch.running import producer

    ends = []

    class Place(HerePlace):
        async def open(self, n):
            ends.extend(await super().open(n))
            return ends

    money = producer.money_left

    def cut_first(*args, **named):  # in the scribe's thread, while the window waits for it
        for end in ends:
            if not end.gone:
                end.loop.call_soon_threadsafe(end.cut)
        time.sleep(0.05)
        return money(*args, **named)

    world.monkeypatch.setattr(producer, "money_left", cut_first)
    world.monkeypatch.setattr("scrimp.routing.batch.workers.local.LocalPlace", Place)
    done = world.scrimp(
        "batch", world.rows, "-o", world.out, "-p", world.profile(small="ok@tokens=5"), "--workers", "2"
    )
    assert done.code == 0, done.err
    assert "the run goes on by itself" in done.err
    assert states(world) == {"ok": N_ROWS}
