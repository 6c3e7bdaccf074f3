"""Pace: requests and tokens a minute, calls in flight, and what a refusal does to both."""

import asyncio

import pytest

from scrimp.routing.batch.running.gates import Bucket, ProviderGate


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        self.now += seconds
        await asyncio.sleep(0)


@pytest.mark.parametrize("per_minute", [1, 6, 60, 600])
def test_no_minute_holds_more_than_its_allowance(per_minute):
    clock = Clock()
    bucket = Bucket(per_minute, clock)
    sent = []
    for _ in range(per_minute * 3 + 5):
        clock.now += bucket.take(1.0)
        sent.append(clock.now)
    for at in sent:
        assert sum(at <= other < at + 60.0 - 1e-6 for other in sent) <= per_minute
    assert sent[-1] - sent[0] < 60.0 * 8 + 1, "and it does not take forever"


def test_an_amount_above_the_burst_is_let_through_and_paid_for():
    clock = Clock()
    bucket = Bucket(1000, clock)
    assert bucket.take(500) == 0.0
    assert bucket.take(1) > 20.0


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
    from scrimp.routing.batch.running import desk

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
