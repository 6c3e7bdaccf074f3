"""Limits that processes keep together, on a real ledger and a clock of the test's: no minute and no instant holds more."""

import itertools
from collections import deque
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scrimp.profiles.building import build_profile
from scrimp.routing.batch.rows.shared_limits import _short, _spent
from scrimp.routing.ledger import leases
from scrimp.routing.ledger.leases import Limited, Moment, enter, fair_shares, leave, settle_places, take_slice
from scrimp.routing.ledger.process import Process, this_process
from scrimp.routing.ledger.store import open_ledger

numbers = itertools.count()
SLOW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path / "scrimp.db") as ledger:
        yield ledger


def at(seconds, *, wall=0.0, boot="boot"):
    return Moment(1e9 + seconds + wall, 100.0 + seconds, boot)


class Batch:
    """A run's part in a rate, as `SharedLimits` takes it, on the test's clock."""

    def __init__(self, ledger, what):
        self.ledger, self.what = ledger, what
        self.requests, self.tokens = deque(), deque()

    def go(self, now, tokens):
        """Return when a call that wants to go now may, in the test's seconds."""
        steady = 100.0 + now
        n = [_short(self.requests, self.what.rpm, 1, steady), _short(self.tokens, self.what.tpm, tokens, steady)]
        if any(n):
            taken = take_slice(self.ledger, self.what, requests=n[0], tokens=n[1], now=at(now))
            for queue, released in zip((self.requests, self.tokens), taken, strict=True):
                if released is not None:
                    queue.append(released)
        return max(steady, _spent(self.requests, 1), _spent(self.tokens, tokens)) - 100.0


def most_in_a_minute(events):
    """The most that any 60 seconds hold, of (second, amount)."""
    return max(
        (sum(n for other, n in events if start <= other < start + 60.0 - 1e-6) for start, _ in events), default=0
    )


@SLOW
@given(
    rpm=st.integers(1, 90),
    n_batches=st.integers(1, 3),
    asks=st.lists(st.floats(0.0, 170.0), max_size=30),
    lateness=st.floats(0.0, 1.0),
    pause=st.sampled_from([0.0, 0.0, 0.3, 7.0]),
)
def test_no_minute_holds_more_calls_than_its_limit(ledger, rpm, n_batches, asks, lateness, pause):
    what = Limited(f"account {next(numbers)}", None, rpm, None)
    batches = [Batch(ledger, what) for _ in range(n_batches)]
    wishes = sorted(
        [*((second, None) for second in asks), *((0.0, batch) for batch in batches)], key=lambda each: each[0]
    )
    sent = []
    while wishes:
        now, batch = wishes.pop(0)
        if batch is None:
            found = enter(ledger, what, lease=None, tokens=1, until_s=60, poll_s=1, now=at(now))
            if not found.why:
                sent.append((now, 1))
        else:
            go = batch.go(now, 1)
            sent.append((go + lateness * (go > now), 1))
            if go < 180.0:
                wishes.append((go + pause, batch))
                wishes.sort(key=lambda each: each[0])
    assert most_in_a_minute(sent) <= rpm
    if not asks and pause == 0.0 and lateness == 0.0:
        assert len([1 for second, _ in sent if second < 180.0]) >= 0.8 * max(1, rpm - 1) * 180 / 61, "and it goes on"


@SLOW
@given(tpm=st.integers(100, 5000), amounts=st.lists(st.integers(1, 400), min_size=1, max_size=60))
def test_no_minute_holds_more_tokens_than_its_limit(ledger, tpm, amounts):
    what = Limited(f"account {next(numbers)}", None, None, tpm)
    batches = [Batch(ledger, what), Batch(ledger, what)]
    now, sent = [0.0, 0.0], []
    for amount in amounts:
        which = now.index(min(now))
        now[which] = batches[which].go(now[which], min(amount, tpm // 10))
        sent.append((now[which], min(amount, tpm // 10)))
    assert most_in_a_minute(sent) <= tpm


def test_a_call_above_the_burst_is_let_through_and_paid_for(ledger):
    batch = Batch(ledger, Limited("a", None, None, 1000))
    assert batch.go(0.0, 500) == 0.0
    assert batch.go(0.0, 1) > 20.0


def test_a_question_goes_at_once_while_a_batch_keeps_to_its_rate(ledger):
    what = Limited("a", None, 60, None)
    batch, now = Batch(ledger, what), 0.0
    while now < 120.0:
        now = batch.go(now, 1)
    assert enter(ledger, what, lease=None, tokens=1, until_s=60, poll_s=1, now=at(now)).why == ""


def test_a_minute_that_is_full_says_how_long_and_why(ledger):
    what = Limited("a", None, 3, None)
    for second in (0.0, 1.0, 2.0):
        assert enter(ledger, what, lease=None, tokens=1, until_s=60, poll_s=1, now=at(second)).why == ""
    found = enter(ledger, what, lease=None, tokens=1, until_s=60, poll_s=1, now=at(10.0))
    assert (found.why, found.wait_s) == ("limits.rpm of 3", pytest.approx(51.0))
    assert enter(ledger, what, lease=None, tokens=1, until_s=60, poll_s=1, now=at(61.1)).why == ""


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_clock_that_is_set_changes_nothing(ledger, hours):
    what = Limited("a", None, 3, None)
    for second in (0.0, 1.0, 2.0):
        enter(ledger, what, lease=None, tokens=1, until_s=60, poll_s=1, now=at(second))
    found = enter(ledger, what, lease=None, tokens=1, until_s=60, poll_s=1, now=at(10.0, wall=hours * 3600))
    assert found.wait_s == pytest.approx(51.0)


@pytest.mark.parametrize(("hours", "waits"), [(0, True), (-5, False), (5, False)])
def test_another_machine_is_told_from_the_time_of_day(ledger, hours, waits):
    """Its steady clock means nothing here; where its time of day is off by hours, its calls are not waited for."""
    what = Limited("a", None, 3, None)
    for second in (0.0, 1.0, 2.0):
        enter(ledger, what, lease=None, tokens=1, until_s=60, poll_s=1, now=at(second, boot="other", wall=hours * 3600))
    batch = Batch(ledger, what)
    batch.go(10.0, 1)  # who writes forgets what cannot be
    found = enter(ledger, what, lease=None, tokens=1, until_s=60, poll_s=1, now=at(10.0))
    assert (found.wait_s > 0.0) is waits


# -- places -----------------------------------------------------------------------------------------------------------


@given(capacity=st.integers(0, 40), wants=st.lists(st.integers(0, 30), min_size=1, max_size=6))
def test_shares_are_fair(capacity, wants):
    given_ = fair_shares(capacity, wants)
    assert sum(given_) == min(capacity, sum(wants))
    for mine, want in zip(given_, wants, strict=True):
        assert 0 <= mine <= want
        if mine < want:
            assert all(other <= mine + 1 for other in given_), "nobody has more than one who wants more"


@SLOW
@given(
    limit=st.integers(1, 9),
    moves=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9), st.integers(0, 9)), max_size=60),
)
def test_places_are_never_more_than_there_are(ledger, limit, moves):
    account = f"account {next(numbers)}"
    held = {}
    for who, wanted, keep in moves:
        urgent = who > 2
        mine = held.get(who)
        kept = min(keep, mine.held) if mine else 0
        found = settle_places(
            ledger, account, limit, lease=mine.lease if mine else None, wanted=wanted, keep=kept, urgent=urgent,
            now=at(0.0),
        )  # fmt: skip
        assert found.held >= kept
        held[who] = found
        assert sum(each.held for each in held.values()) <= limit
        batches = sum(each.held for who, each in held.items() if who <= 2)
        assert batches <= max(1, limit - 1), "one is left to those that ask"


def settle(ledger, lease, wanted, keep=0, urgent=False, limit=8, now=0.0):
    return settle_places(ledger, "a", limit, lease=lease, wanted=wanted, keep=keep, urgent=urgent, now=at(now))


def test_a_second_batch_gets_its_share_as_calls_end(ledger):
    first = settle(ledger, None, 16)
    assert first.held == 7
    second = settle(ledger, None, 16)
    assert (second.held, second.fair) == (0, 3)
    first = settle(ledger, first.lease, 16, keep=7)
    assert (first.held, first.fair) == (7, 4), "what is in flight stays"
    first = settle(ledger, first.lease, 16, keep=4)
    second = settle(ledger, second.lease, 16)
    assert (first.held, second.held) == (4, 3)
    settle(ledger, first.lease, 0)
    assert settle(ledger, second.lease, 16, keep=3).held == 7


def test_a_batch_makes_room_for_those_that_ask(ledger):
    batch = settle(ledger, None, 16)
    asks = [settle(ledger, None, 1, urgent=True) for _ in range(3)]
    assert [ask.held for ask in asks] == [1, 0, 0]
    batch = settle(ledger, batch.lease, 16, keep=5)
    assert [settle(ledger, ask.lease, 1, urgent=True).held for ask in asks] == [1, 1, 1]
    assert batch.held == 5


def test_the_only_place_goes_to_whoever_asks_next(ledger):
    batch = settle(ledger, None, 4, limit=1)
    ask = settle(ledger, None, 1, urgent=True, limit=1)
    assert (batch.held, ask.held) == (1, 0)
    assert settle(ledger, batch.lease, 4, limit=1).held == 0
    assert settle(ledger, ask.lease, 1, urgent=True, limit=1).held == 1
    leave(ledger, ask.lease)
    assert settle(ledger, batch.lease, 4, limit=1).held == 1


def test_nothing_is_written_where_nothing_changes(ledger):
    batch = settle(ledger, None, 4)
    before = ledger.conn.total_changes
    for second in range(25):
        settle(ledger, batch.lease, 4, keep=4, now=float(second))
    assert ledger.conn.total_changes == before
    settle(ledger, batch.lease, 4, keep=4, now=40.0)
    assert ledger.conn.total_changes == before + 1, "but now and then, for those that cannot see this process"


def test_the_dead_hold_nothing_and_the_distant_only_for_a_time(ledger, monkeypatch):
    me = this_process()
    for other in (replace(me, started="1"), Process(7, "1", "other boot", "elsewhere/1", "pid:[1]")):
        monkeypatch.setattr(leases, "this_process", lambda other=other: other)
        settle(ledger, None, 3, urgent=True)
    monkeypatch.undo()
    assert settle(ledger, None, 8, urgent=True).held == 5, "three are held on another machine, none by the dead"
    assert [row["held"] for row in ledger.rows("SELECT held FROM places ORDER BY id")] == [3, 5]
    settle(ledger, None, 2, urgent=True, now=100.0)
    assert sum(row["held"] for row in ledger.rows("SELECT held FROM places")) == 7, "not for ever"


def test_arms_share_what_the_provider_limits():
    def account(**arm):
        made = build_profile({"name": "p", "arms": {"a": {"model": "openai/m", **arm}}}, lambda _path: "p.toml")
        return leases.account_of(made.arms[0])

    assert account() == account(system="Be brief.", limits={"rpm": 5}) == account(key_env="OPENAI_API_KEY")
    assert (
        len({account(), account(key_env="OTHER"), account(api_base="http://127.0.0.1:9/v1"), account(model="x/m")}) == 4
    )
    assert account(key_cmd=["pass", "show", "secret"]).startswith("openai/m ")
    assert "secret" not in account(key_cmd=["pass", "show", "secret"])
