"""Whose turn is next: deadlines that can be met, priority, the longest way to the end, the order of coming."""

import asyncio
import random

import pytest

from scrimp.routing.batch.files.graph import Node, graph_of, inherited
from scrimp.routing.batch.files.rows import Row
from scrimp.routing.batch.planning.lanes import BatchArm, Lanes
from scrimp.routing.batch.rows.flow import Flow
from scrimp.routing.batch.rows.turns import FIRST_COME, OLDEST_EVERY, Rank, Turns, Waiting
from scrimp.routing.prompts.prompt import Prompt


def order_of(ranks, *, now=100.0):
    """Return in which order those go who wait with some ranks."""

    async def play():
        waiting = Waiting(lambda: now)
        places = [waiting.join(rank) for rank in ranks]
        gone = []
        while waiting.let_go():
            gone += [i for i, place in enumerate(places) if place.done() and i not in gone]
        return gone

    return asyncio.run(play())


def test_without_ranks_the_first_to_come_goes_first():
    assert order_of([FIRST_COME] * 20) == list(range(20))


def test_deadline_priority_way_and_coming():
    ranks = [
        Rank(), Rank(height=2), Rank(priority=1), Rank(due=300.0), Rank(due=200.0), Rank(due=200.0, priority=1),
    ]  # fmt: skip
    assert order_of(ranks) == [5, 4, 3, 2, 1, 0]


def test_a_deadline_that_cannot_be_met_hurries_nobody():
    ranks = [Rank(due=105.0, seconds=10.0), Rank(due=120.0, seconds=10.0), Rank(priority=1)]
    assert order_of(ranks) == [1, 2, 0]


def test_nobody_starves():
    async def play():
        waiting = Waiting(lambda: 0.0)
        meek = [waiting.join(FIRST_COME) for _ in range(5)]
        n = 0
        while not all(place.done() for place in meek):
            waiting.join(Rank(priority=9))  # two more important ones for each that goes
            waiting.join(Rank(due=1e9, priority=9))
            assert waiting.let_go()
            n += 1
            assert n <= OLDEST_EVERY * 5
        return [place.done() for place in meek]

    assert all(asyncio.run(play()))


@pytest.mark.parametrize("seed", range(5))
def test_no_more_turns_than_there_are_and_none_is_lost(seed):
    rng = random.Random(seed)

    async def play():
        turns, most, now, done = Turns(3), 0, 0, 0

        async def call():
            nonlocal most, now, done
            await turns.acquire(Rank(priority=rng.randint(0, 3)))
            now += 1
            most = max(most, now)
            try:
                for _ in range(rng.randint(1, 3)):
                    await asyncio.sleep(0)
            finally:
                now -= 1
                turns.release()
            done += 1

        tasks = [asyncio.create_task(call()) for _ in range(60)]
        for _ in range(20):
            await asyncio.sleep(0)
            rng.choice(tasks).cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return most, turns.free, now

    assert asyncio.run(play()) == (3, 3, 0)


# -- the order of rows ----------------------------------------------------------------------------------------------


def row(n, *refs):
    return Row(n, n + 1, f"r{n}", Prompt(f"p {n}" + "".join(f"\0{ref}\0" for ref in refs)))


def places(flow, n, calls=None):
    def rows():
        if calls is not None:
            calls.append(1)
        return iter([row(i) for i in range(n)])

    return [each.n for each in flow.arranged(rows)]


def test_without_priorities_the_file_is_a_stream():
    read = []

    def rows():
        for i in range(50):
            read.append(i)
            yield row(i)

    stream = Flow(n_rows=50).arranged(rows)
    assert [next(stream).n for _ in range(3)] == [0, 1, 2]
    assert read == [0, 1, 2]


def test_rows_go_by_deadline_then_priority():
    hurry = {3: (1, None), 4: (0, 60.0), 5: (5, None), 6: (-1, None), 7: (2, 60.0)}
    assert places(Flow(None, hurry, n_rows=9), 9) == [7, 4, 5, 3, 0, 1, 2, 8, 6]


def test_of_a_large_file_only_those_with_a_priority_are_held(monkeypatch):
    from scrimp.routing.batch.rows import flow

    monkeypatch.setattr(flow, "_HELD_ROWS", 4)
    hurry = dict.fromkeys(range(10, 100), (1, None)) | {3: (9, None), 4: (-2, None)}
    calls = []
    found = places(Flow(None, hurry, n_rows=120), 120, calls)
    assert found[:2] == [3, 10]
    assert found[-1] == 4
    assert sorted(found) == list(range(120))
    assert found == [3, *range(10, 100), 0, 1, 2, *range(5, 10), *range(100, 120), 4]
    assert len(calls) <= 8 + 1 + 1


def chain():
    nodes = [Node(1, 2, "r1", ("r0",)), Node(2, 3, "r2", ("r1",))]
    return graph_of(nodes, {"r0": Node(0, 1, "r0"), "r1": nodes[0]})[0]


def test_a_row_is_as_urgent_as_what_waits_for_it():
    urgency = inherited({2: (7, 30.0), 5: (3, None)}, chain())
    assert urgency == {0: (7, 30.0), 1: (7, 30.0), 2: (7, 30.0), 5: (3, None)}
    flow = Flow(chain(), urgency, n_rows=6, began=1000.0, deadline_s=600.0)
    first = flow.rank_of(row(0), 2.0)
    assert (first.priority, first.due, first.height, first.seconds) == (7, 1030.0, 2, 2.0)
    assert flow.due_of(row(0)) == 1600.0, "but it is not left out for another's deadline"
    assert flow.rank_of(row(4), None) == Rank(1600.0, 0, 0, 0.0)


def test_a_low_priority_below_does_not_hold_back():
    assert inherited({2: (-5, None)}, chain()) == {2: (-5, None)}
    assert inherited({2: (-5, None), 0: (-9, 5.0)}, chain()) == {2: (-5, None), 0: (0, 5.0)}


def test_who_is_waited_for_does_not_take_the_long_way():
    lanes = Lanes("auto", 1000.0, None, {0: 60.0}, {"a": BatchArm(None, None, None, 3600.0)})
    assert not lanes.takes("a", row(0), 1000.0)
    assert lanes.takes("a", row(1), 1000.0)


def test_rows_wait_until_all_is_there():
    flow = Flow(chain(), n_rows=3)
    flow.park(row(1, "r0"))
    flow.park(row(2, "r1"))
    assert not flow.has_ready
    flow.ended(0, "ok")
    flow.ended(0, "ok")
    assert [each.n for each in flow.ready(9)] == [1]
    assert flow.in_the_way(row(1)) is None
    flow.ended(1, "cut")
    (last,) = flow.ready(9)
    assert flow.in_the_way(last) == ("r1", "cut")
    assert flow.n_waiting == 0


def test_what_ended_in_an_earlier_process_is_known():
    flow = Flow(chain(), n_rows=3, over={0: "ok", 1: "failed"})
    flow.park(row(1, "r0"))
    flow.park(row(2, "r1"))
    assert [each.n for each in flow.ready(9)] == [2]
