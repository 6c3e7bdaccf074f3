"""Pace: calls in flight, and what a refusal does to them."""

import asyncio

import pytest

from scrimp.routing.batch.rows.gates import ProviderGate


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        self.now += seconds
        await asyncio.sleep(0)


def test_refusals_halve_and_answers_raise():
    async def play():
        clock = Clock()
        gate = ProviderGate(16, clock=clock, sleep=clock.sleep)
        gate.refused(None)
        gate.refused(None)
        assert gate.limit == 8.0, "calls that were on their way do not cut again"
        clock.now += 2.0
        gate.refused(None)
        assert gate.limit == 4.0
        for _ in range(200):
            gate.answered()
        assert gate.limit == 16.0
        for _ in range(20):
            clock.now += 2.0
            gate.refused(None)
        assert gate.limit == 1.0

    asyncio.run(play())


def test_the_provider_says_how_long_to_wait():
    async def play():
        clock = Clock()
        gate = ProviderGate(4, clock=clock, sleep=clock.sleep)
        gate.refused(30.0)
        await gate.enter()
        assert clock.now == pytest.approx(130.0)

    asyncio.run(play())


def test_no_more_are_in_flight_than_the_limit():
    async def play():
        gate = ProviderGate(3)
        most = 0

        async def call():
            nonlocal most
            await gate.enter()
            most = max(most, gate.in_flight)
            await asyncio.sleep(0)
            gate.leave()

        await asyncio.gather(*(call() for _ in range(50)))
        assert (most, gate.in_flight) == (3, 0)

    asyncio.run(play())


def test_what_rows_waited_for_long_ago_is_forgotten():
    from scrimp.routing.batch.rows import desk

    one = desk.Desk.__new__(desk.Desk)
    one.openers = {}
    going = asyncio.Event()
    one.open_alone(b"going", going)
    for i in range(3 * desk._MOST_OPENERS):
        opens = asyncio.Event()
        one.open_alone(b"%d" % i, opens)
        opens.set()
    assert len(one.openers) <= desk._MOST_OPENERS
    assert one.openers[b"going"] is going
