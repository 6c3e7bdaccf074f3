"""The one way for money, driven by hand: how often a call is tried, and by which clock."""

import random
from types import SimpleNamespace

import pytest

from scrimp.routing.asking.paid_call import Bill, Failed, Pause, Reserve, Send, Terms, paid_call
from scrimp.routing.asking.request import Ask
from scrimp.routing.calls.faults import CallError
from scrimp.routing.deciding.decide import Wishes
from scrimp.routing.prompts.prompt import Prompt

BUSY = CallError("server", "busy", retryable=True, billable="no")


class World:
    """A call that is answered with errors; a clock that is set while it goes on, and a timer that is not."""

    def __init__(self, *, jump_s=0.0, queue_s=0.0):
        self.clock_s, self.timer_s = 1e9, 50.0
        self.jump_s, self.queue_s = jump_s, queue_s
        self.sent, self.paused = [], []

    def clock(self):
        self.clock_s += self.jump_s
        return self.clock_s

    def buy(self, error):
        option = SimpleNamespace(
            arm="a", bound_nano=5, input_bound=10, output_limit=20, output_tokens_p50=3, output_tokens_p90=9,
            prompt_output=None, seconds=None, seconds_p90=None,
        )  # fmt: skip
        terms = Terms(
            ask=Ask(Prompt("hello"), Wishes()), request_id="r", profile="p", arm=SimpleNamespace(model="openai/m"),
            option=option, price=None, price_id=lambda: 1, call=self.sent.append, kind="first",
            request_row=lambda _now: {}, answers=True, window=None, streams=False, started=self.timer_s,
        )  # fmt: skip
        run = paid_call(
            terms, Bill(), rng=random.Random(1), clock=self.clock, timer=lambda: self.timer_s, say=lambda _line: None
        )
        back = None
        while True:
            try:
                wanted = run.send(back)
            except StopIteration as stop:
                return stop.value
            back = None
            if isinstance(wanted, Reserve):
                self.timer_s += self.queue_s
                back = SimpleNamespace(bound_nano=5, id=1)
            elif isinstance(wanted, Send):
                back = error
            elif isinstance(wanted, Pause):
                self.paused.append(wanted.seconds)
                self.timer_s += wanted.seconds


@pytest.mark.parametrize("jump_s", [7200.0, -7200.0, 0.0])
def test_a_clock_that_is_set_does_not_end_the_tries(jump_s):
    world = World(jump_s=jump_s)
    assert isinstance(world.buy(BUSY), Failed)
    assert (len(world.sent), len(world.paused)) == (5, 4)


def test_a_wait_longer_than_what_is_left_gives_up_at_once():
    world = World()
    world.buy(CallError("rate_limited", "", retryable=True, billable="no", retry_after_s=601.0))
    assert (len(world.sent), world.paused) == (1, [])
    world = World()
    world.buy(CallError("rate_limited", "", retryable=True, billable="no", retry_after_s=250.0))
    assert world.paused == [250.0, 250.0]


def test_waiting_for_a_turn_is_no_part_of_the_time_allowed():
    world = World(queue_s=500.0)
    world.buy(CallError("rate_limited", "", retryable=True, billable="no", retry_after_s=250.0))
    assert world.paused == [250.0, 250.0]
