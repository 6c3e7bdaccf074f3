"""Caps: what is reserved, what it is settled to, and that no order of events lets more through."""

import os
import threading
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from scrimp.profiles.errors import BudgetRefusedError, ConfigError, ExitCode, LedgerError, UsageError
from scrimp.profiles.schema import Arm, ArmCaps, Caps, Policy, Price, Profile
from scrimp.routing.deciding.against_caps import month_pace
from scrimp.routing.ledger import caps as budget_caps
from scrimp.routing.ledger import corrections, events, reservations, suspensions
from scrimp.routing.ledger.caps import RefusedError
from scrimp.routing.ledger.reservations import Charge
from scrimp.routing.ledger.store import open_ledger
from scrimp.routing.ledger.suspensions import SuspendedError

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC).timestamp()
CENT = 10_000_000
DAY = 86_400


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    with open_ledger(tmp_path / "scrimp.db") as ledger:
        yield ledger
        assert reservations.audit_balances(ledger) == {}


def arm(name="small", cap=None):
    price = Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(4))
    return Arm(name=name, model=f"openai/{name}", price=price, cap=cap)


def profile(name="p", *arms, pace="off", **caps):
    values = {key: value if key == "timezone" else Decimal(str(value)) for key, value in caps.items()}
    return Profile(name=name, arms=arms or (arm(),), caps=Caps(**values), policy=Policy(pace=pace))


def reserve(ledger, owner, nano, *, name="small", run=None, now=NOON, override=None, extra=()):
    caps = (*budget_caps.applicable_caps(ledger, owner, name, now=now, run_id=run), *extra)
    charge = Charge("r1", owner.name, name, nano, run_id=run, cap_override_nano=override)
    held = reservations.reserve(ledger, charge, caps, now=now)
    reservations.mark_sent(ledger, held.id)
    return held


def state(ledger, owner, scope, now=NOON):
    caps = budget_caps.applicable_caps(ledger, owner, None, now=now)
    return next(each for each in budget_caps.cap_states(ledger, caps, now=now) if each.cap.scope == scope)


def kill(ledger, reservation):
    """Give a reservation to a process that is no more."""
    with ledger.transaction() as conn:
        conn.execute("UPDATE reservations SET pid = 1, process_started = 'never' WHERE id = ?", (reservation.id,))


# ---- reserve


@pytest.mark.parametrize("scope", ["call", "day", "month", "run", "arm:small:call", "arm:small:day", "arm:small:month"])
def test_each_kind_of_cap_refuses_what_it_cannot_pay(ledger, scope):
    key = f"per_{scope.rpartition(':')[2]}_usd"
    if scope.startswith("arm"):
        owner = profile("p", arm(cap=ArmCaps(**{key: Decimal("0.05")})))
    else:
        owner = profile(**{key: "0.05"})
    reserve(ledger, owner, 5 * CENT, run="run-1")
    with pytest.raises(RefusedError) as caught:
        reserve(ledger, owner, 5 * CENT + 1 if scope.endswith("call") else 1, run="run-1")
    assert caught.value.cap.scope == scope
    assert caught.value.exit_code == ExitCode.BUDGET
    if not scope.endswith("call"):
        assert caught.value.left_nano == 0
        assert caught.value.only_live


def test_a_refusal_says_what_it_would_cost_what_is_left_and_when_the_cap_rolls_over(ledger):
    owner = profile(per_day_usd="0.05")
    first = reserve(ledger, owner, 4 * CENT)
    reservations.settle(ledger, first, cost_nano=3 * CENT, now=NOON)
    with pytest.raises(RefusedError) as caught:
        reserve(ledger, owner, 3 * CENT)
    assert "could cost up to $0.030" in caught.value.message
    assert "$0.020 is left" in caught.value.message
    assert "rolls over at 2026-06-16 00:00 UTC" in caught.value.message
    assert not caught.value.only_live


def test_of_several_caps_that_refuse_the_one_that_rolls_over_last_is_named(ledger):
    owner = profile(per_day_usd="0.01", per_month_usd="0.02")
    with pytest.raises(RefusedError) as caught:
        reserve(ledger, owner, 3 * CENT)
    assert caught.value.cap.scope == "month"


def test_waiting_helps_only_where_live_calls_alone_stand_in_the_way(ledger):
    owner = profile(per_day_usd="0.05", per_month_usd="0.06")
    reserve(ledger, owner, 4 * CENT)
    with pytest.raises(RefusedError) as caught:
        reserve(ledger, owner, 4 * CENT)
    assert caught.value.only_live
    with pytest.raises(RefusedError) as caught:
        reserve(ledger, owner, 7 * CENT)
    assert not caught.value.only_live


def test_what_is_free_is_never_refused(ledger):
    owner = profile(per_day_usd="0.05")
    first = reserve(ledger, owner, 4 * CENT)
    reservations.settle(ledger, first, cost_nano=9 * CENT, now=NOON)
    suspensions.clear_suspension(ledger, "p", "small")
    assert state(ledger, owner, "day").left_nano < 0
    reserve(ledger, owner, 0)
    with pytest.raises(RefusedError):
        reserve(ledger, owner, 1)


def test_caps_drawn_up_yesterday_are_checked_today(ledger):
    owner = profile(per_day_usd="0.05")
    stale = budget_caps.applicable_caps(ledger, owner, "small", now=NOON)
    tomorrow = NOON + DAY
    reservations.reserve(ledger, Charge("r", "p", "small", 5 * CENT), stale, now=tomorrow)
    with pytest.raises(RefusedError):
        reservations.reserve(ledger, Charge("r", "p", "small", 1), stale, now=tomorrow)
    reservations.reserve(ledger, Charge("r", "p", "small", 5 * CENT), stale, now=NOON)


def test_a_shared_cap_holds_over_all_profiles_from_the_next_reservation_on(ledger):
    one, two = profile("one"), profile("two")
    caps = budget_caps.applicable_caps(ledger, one, "small", now=NOON)
    reserve(ledger, one, 4 * CENT)
    budget_caps.set_shared_cap(ledger, "shared:day", 5 * CENT, now=NOON)
    with pytest.raises(RefusedError) as caught:
        reservations.reserve(ledger, Charge("r", "one", "small", 2 * CENT), caps, now=NOON)
    assert caught.value.cap.scope == "shared:day"
    reserve(ledger, two, 1 * CENT)
    with pytest.raises(RefusedError):
        reserve(ledger, two, 1)
    assert state(ledger, one, "shared:day").left_nano == 0
    assert budget_caps.clear_shared_cap(ledger, "shared:day")
    assert not budget_caps.clear_shared_cap(ledger, "shared:day")
    reserve(ledger, two, 1)


def test_a_shared_cap_of_another_kind_is_refused(ledger):
    with pytest.raises(UsageError, match="no such cap"):
        budget_caps.set_shared_cap(ledger, "shared:year", 1, now=NOON)
    with pytest.raises(UsageError, match="no such cap"):
        budget_caps.clear_shared_cap(ledger, "day")
    with pytest.raises(UsageError, match="amount from"):
        budget_caps.set_shared_cap(ledger, "shared:day", -1, now=NOON)


def test_a_run_is_capped_over_its_arms_and_by_itself(ledger):
    owner = profile("p", arm("a"), arm("b"), per_run_usd="0.05")
    reserve(ledger, owner, 3 * CENT, name="a", run="x")
    with pytest.raises(RefusedError):
        reserve(ledger, owner, 3 * CENT, name="b", run="x")
    reserve(ledger, owner, 3 * CENT, name="b", run="y")


def test_an_arms_cap_leaves_other_arms_alone(ledger):
    owner = profile("p", arm("a", ArmCaps(per_day_usd=Decimal("0.01"))), arm("b"))
    reserve(ledger, owner, CENT, name="a")
    with pytest.raises(RefusedError):
        reserve(ledger, owner, CENT, name="a")
    reserve(ledger, owner, CENT, name="b")


def test_a_bound_that_is_no_amount_is_refused(ledger):
    for nano in (-1, reservations.MAX_CALL_NANO + 1):
        with pytest.raises(LedgerError):
            reserve(ledger, profile(), nano)


# ---- paying past the caps


def test_an_override_pays_past_the_caps_once_and_is_charged_all_the_same(ledger):
    owner = profile(per_day_usd="0.01")
    reserve(ledger, owner, CENT)
    over = reserve(ledger, owner, 3 * CENT, run="r1", override=4 * CENT)
    reservations.settle(ledger, over, cost_nano=2 * CENT, now=NOON)
    assert state(ledger, owner, "day").settled_nano == 2 * CENT
    assert state(ledger, owner, "day").left_nano == -2 * CENT
    (row,) = ledger.rows("SELECT cap_override_nano FROM reservations WHERE id = ?", (over.id,))
    assert row["cap_override_nano"] == 4 * CENT
    with pytest.raises(RefusedError):
        reserve(ledger, owner, 1)


def test_an_override_holds_for_all_attempts_together(ledger):
    owner = profile(per_day_usd="0.01")
    first = reserve(ledger, owner, 3 * CENT, run="r1", override=4 * CENT)
    reservations.settle(ledger, first, cost_nano=None, now=NOON)
    with pytest.raises(RefusedError) as caught:
        reserve(ledger, owner, 3 * CENT, run="r1", override=4 * CENT)
    assert caught.value.left_nano == CENT


def test_an_override_lifts_neither_the_requests_own_limit_nor_a_suspension(ledger):
    owner = profile(per_day_usd="0.01")
    own = budget_caps.Cap("--max-cost:call", CENT, None)
    with pytest.raises(RefusedError):
        reserve(ledger, owner, 2 * CENT, run="r1", override=4 * CENT, extra=(own,))
    first = reserve(ledger, owner, CENT)
    reservations.settle(ledger, first, cost_nano=2 * CENT, now=NOON)
    with pytest.raises(SuspendedError):
        reserve(ledger, owner, CENT, run="r1", override=4 * CENT)


# ---- settle


def test_settling_gives_back_what_was_reserved_too_much(ledger):
    owner = profile(per_day_usd="0.05")
    first = reserve(ledger, owner, 5 * CENT)
    assert reservations.settle(ledger, first, cost_nano=CENT, now=NOON) == ("settled", False)
    reserve(ledger, owner, 4 * CENT)


def test_an_unknown_cost_stays_charged_in_full(ledger):
    owner = profile(per_day_usd="0.05")
    first = reserve(ledger, owner, 5 * CENT)
    assert reservations.settle(ledger, first, cost_nano=None, now=NOON) == ("unverified", False)
    with pytest.raises(RefusedError):
        reserve(ledger, owner, 1)


def test_a_failed_call_that_cost_nothing_gives_everything_back(ledger):
    owner = profile(per_day_usd="0.05")
    first = reserve(ledger, owner, 5 * CENT)
    assert reservations.settle(ledger, first, cost_nano=0, released=True, now=NOON) == ("released", False)
    reserve(ledger, owner, 5 * CENT)


def test_settling_twice_changes_nothing(ledger):
    owner = profile(per_day_usd="0.05")
    first = reserve(ledger, owner, 5 * CENT)
    reservations.settle(ledger, first, cost_nano=2 * CENT, now=NOON)
    assert reservations.settle(ledger, first, cost_nano=9 * CENT, now=NOON) == ("settled", False)
    assert reservations.settle(ledger, first, cost_nano=0, released=True, now=NOON) == ("settled", False)
    assert state(ledger, owner, "day").settled_nano == 2 * CENT
    assert suspensions.suspensions(ledger, "p") == {}


def test_a_settlement_is_charged_to_the_day_of_its_reservation(ledger):
    owner = profile(per_day_usd="0.05")
    late = reserve(ledger, owner, 5 * CENT, now=NOON)
    tomorrow = NOON + DAY
    reserve(ledger, owner, 5 * CENT, now=tomorrow)
    reservations.settle(ledger, late, cost_nano=CENT, now=tomorrow)
    assert state(ledger, owner, "day", NOON).settled_nano == CENT
    assert state(ledger, owner, "day", tomorrow).settled_nano == 0


def test_a_breach_is_charged_in_full_flagged_and_stops_the_arm(ledger):
    owner = profile("p", arm("small"), arm("other"), per_day_usd="0.05")
    caps = budget_caps.applicable_caps(ledger, owner, "small", now=NOON)
    first = reserve(ledger, owner, CENT)
    assert reservations.settle(ledger, first, cost_nano=2 * CENT, now=NOON) == ("settled", True)
    assert state(ledger, owner, "day").settled_nano == 2 * CENT
    assert "cost $0.020, above its bound of $0.010" in suspensions.suspensions(ledger, "p")["small"]
    # Even for somebody who had decided before it happened.
    with pytest.raises(SuspendedError, match="is suspended"):
        reservations.reserve(ledger, Charge("r", "p", "small", 1), caps, now=NOON)
    reserve(ledger, owner, 1, name="other")
    reserve(ledger, profile("q"), 1)
    assert suspensions.clear_suspension(ledger, "p", "small")
    assert not suspensions.clear_suspension(ledger, "p", "small")
    reserve(ledger, owner, 1)


# ---- the dead


def test_a_dead_process_leaves_an_unknown_that_stays_charged(ledger):
    owner = profile(per_day_usd="0.05")
    first = reserve(ledger, owner, 5 * CENT)
    assert reservations.reap(ledger, now=NOON) == 0
    kill(ledger, first)
    assert reservations.reap(ledger, now=NOON) == 1
    assert reservations.reap(ledger, now=NOON) == 0
    assert state(ledger, owner, "day").unknown_nano == 5 * CENT
    with pytest.raises(RefusedError) as caught:
        reserve(ledger, owner, 1)
    assert not caught.value.only_live


def unsent(ledger, owner, nano):
    caps = budget_caps.applicable_caps(ledger, owner, "small", now=NOON)
    return reservations.reserve(ledger, Charge("r1", owner.name, "small", nano), caps, now=NOON)


def test_a_call_that_never_left_costs_nothing(ledger):
    owner = profile(per_day_usd="0.05")
    first = unsent(ledger, owner, 5 * CENT)
    kill(ledger, first)
    assert reservations.reap(ledger, now=NOON) == 1
    assert ledger.rows("SELECT status, charged_nano FROM reservations") == [{"status": "released", "charged_nano": 0}]
    reserve(ledger, owner, 5 * CENT)


def test_a_call_that_left_may_have_been_billed(ledger):
    owner = profile(per_day_usd="0.05")
    first = unsent(ledger, owner, 5 * CENT)
    reservations.mark_sent(ledger, first.id)
    kill(ledger, first)
    reservations.reap(ledger, now=NOON)
    assert state(ledger, owner, "day").unknown_nano == 5 * CENT


def test_a_mark_may_be_lost_with_the_machines_power(ledger):
    """Whether a call of an earlier boot left is not known: the mark was not flushed to the disk."""
    owner = profile(per_day_usd="0.05")
    first = unsent(ledger, owner, 5 * CENT)
    with ledger.transaction() as conn:
        conn.execute("UPDATE reservations SET boot_id = 'another' WHERE id = ?", (first.id,))
    reservations.reap(ledger, now=NOON)
    assert state(ledger, owner, "day").unknown_nano == 5 * CENT


def test_what_was_given_back_cannot_leave_any_more(ledger):
    owner = profile(per_day_usd="0.05")
    first = unsent(ledger, owner, 5 * CENT)
    kill(ledger, first)
    reservations.reap(ledger, now=NOON)
    with pytest.raises(LedgerError, match="not reserved any more"):
        reservations.mark_sent(ledger, first.id)


def test_a_late_settle_of_an_unknown_still_lands(ledger):
    owner = profile(per_day_usd="0.05")
    first = reserve(ledger, owner, 5 * CENT)
    kill(ledger, first)
    reservations.reap(ledger, now=NOON)
    assert reservations.settle(ledger, first, cost_nano=CENT, now=NOON) == ("settled", False)
    assert state(ledger, owner, "day").settled_nano == CENT
    assert state(ledger, owner, "day").unknown_nano == 0


def test_reconciling_an_unknown_frees_what_it_did_not_cost(ledger):
    owner = profile(per_day_usd="0.05")
    first = reserve(ledger, owner, 5 * CENT)
    kill(ledger, first)
    reservations.reap(ledger, now=NOON)
    (done,) = corrections.correct(ledger, {first.id: CENT}, now=NOON)
    assert done.row["status"] == "unknown"
    assert state(ledger, owner, "day").settled_nano == CENT
    reserve(ledger, owner, 4 * CENT)


def test_a_settle_after_reconciling_does_not_undo_it(ledger):
    owner = profile(per_day_usd="0.05")
    first = reserve(ledger, owner, 5 * CENT)
    kill(ledger, first)
    reservations.reap(ledger, now=NOON)
    corrections.correct(ledger, {first.id: CENT}, now=NOON)
    assert reservations.settle(ledger, first, cost_nano=3 * CENT, now=NOON, attempt={"cost_nano": 3}) == (
        "settled",
        False,
    )
    assert state(ledger, owner, "day").settled_nano == CENT


def test_a_bill_above_what_was_held_is_a_breach(ledger):
    owner = profile(per_day_usd="0.10")
    unknown = reserve(ledger, owner, 2 * CENT)
    reservations.settle(ledger, unknown, cost_nano=None, now=NOON)
    corrections.correct(ledger, {unknown.id: 3 * CENT}, now=NOON)
    assert "small" in suspensions.suspensions(ledger, "p")
    # Put right: it was a slip of the pen.
    (done,) = corrections.correct(ledger, {unknown.id: CENT}, now=NOON, sure=True)
    (row,) = ledger.rows("SELECT breach, charged_nano FROM reservations")
    assert (row["breach"], row["charged_nano"]) == (0, CENT)
    assert done.resumed
    assert suspensions.suspensions(ledger, "p") == {}
    # A provider that reported less than it billed: the caps had been told the lesser sum.
    lied = reserve(ledger, owner, 5 * CENT)
    reservations.settle(ledger, lied, cost_nano=CENT, now=NOON)
    corrections.correct(ledger, {lied.id: 4 * CENT}, now=NOON, sure=True)
    assert "$0.010 was reported" in suspensions.suspensions(ledger, "p")["small"]


def test_what_cannot_be_reconciled(ledger):
    first = reserve(ledger, profile(), CENT)
    with pytest.raises(UsageError, match="still in flight"):
        corrections.correct(ledger, {first.id: 0}, now=NOON)
    with pytest.raises(UsageError, match="no call 99"):
        corrections.correct(ledger, {99: 0}, now=NOON)
    for nano in (-1, reservations.MAX_CALL_NANO + 1):
        with pytest.raises(UsageError, match="costs from"):
            corrections.correct(ledger, {first.id: nano}, now=NOON)


# ---- windows


def test_days_and_months_roll_over_at_midnight_of_the_ledgers_zone(ledger):
    owner = profile(per_day_usd="0.05", per_month_usd="0.08")
    last = datetime(2026, 6, 30, 23, 59, 59, tzinfo=UTC).timestamp()
    reserve(ledger, owner, 5 * CENT, now=last)
    reserve(ledger, owner, 5 * CENT, now=last + 1)
    with pytest.raises(RefusedError) as caught:
        reserve(ledger, owner, 5 * CENT, now=last + 1 + DAY)
    assert caught.value.cap.scope == "month"
    assert caught.value.resets_at == "2026-08-01T00:00:00+00:00"


def test_a_clock_set_back_finds_its_own_day_as_it_was(ledger):
    owner = profile(per_day_usd="0.05")
    reserve(ledger, owner, 5 * CENT, now=NOON)
    reserve(ledger, owner, 5 * CENT, now=NOON + DAY)
    for now in (NOON, NOON + DAY, NOON - 60):
        with pytest.raises(RefusedError):
            reserve(ledger, owner, 1, now=now)


def test_a_profile_with_days_of_another_zone_is_refused(ledger):
    with pytest.raises(ConfigError, match="ledger's is fixed as 'UTC'"):
        reserve(ledger, profile(timezone="Europe/Paris"), 1)
    reserve(ledger, profile(timezone="UTC"), 1)


# ---- alerts


def filled(ledger, owner):
    caps = budget_caps.applicable_caps(ledger, owner, None, now=NOON)
    return events.passed_caps(ledger, caps, (50, 80, 100), profile=owner.name, wanted=False, now=NOON)


def test_alerts_come_once_each(ledger):
    owner = profile(per_day_usd="0.10")

    def alerts():
        return filled(ledger, owner)

    def spend(nano):
        reservations.settle(ledger, reserve(ledger, owner, nano), cost_nano=nano, now=NOON)

    assert alerts() == []
    spend(4 * CENT)
    assert alerts() == []
    spend(1 * CENT)
    (line,) = alerts()
    assert "$0.050 of the day cap of $0.10 is used (50% passed)" in line
    assert alerts() == []
    spend(3 * CENT)
    assert "80%" in alerts()[0]
    spend(2 * CENT)
    assert "100%" in alerts()[0]
    assert alerts() == []
    raised = replace_cap(owner, "0.20")
    lines = filled(ledger, raised)
    assert "50%" in lines[0]


def replace_cap(owner, usd):
    import msgspec

    return msgspec.structs.replace(owner, caps=Caps(per_day_usd=Decimal(usd)))


# ---- pacing, forks, threads


def test_the_pace_is_that_of_the_tightest_month(ledger):
    owner = profile(pace="month", per_month_usd="1.00")
    assert month_pace(ledger, profile(per_month_usd="1.00"), now=NOON) is None
    assert month_pace(ledger, profile(pace="month"), now=NOON) is None
    assert month_pace(ledger, owner, now=NOON).factor == 1.0
    done = reserve(ledger, owner, 90 * CENT)
    reservations.settle(ledger, done, cost_nano=90 * CENT, now=NOON)
    pace = month_pace(ledger, owner, now=NOON)
    assert (pace.scope, pace.used) == ("month", 0.9)
    assert pace.gone == pytest.approx(14.5 / 30)
    assert pace.factor == pytest.approx((0.1 / (15.5 / 30)) ** 4)
    budget_caps.set_shared_cap(ledger, "shared:month", 91 * CENT, now=NOON)
    assert month_pace(ledger, owner, now=NOON).scope == "shared:month"


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_ledger_is_not_used_across_a_fork(ledger):
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:  # pragma: no cover - in the child
        said = b"nothing"
        try:
            ledger.rows("SELECT 1")
        except LedgerError as error:
            said = error.message.encode()
        os.write(write, said)
        os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    with os.fdopen(read, "rb") as pipe:
        assert b"before this process was forked" in pipe.read()
    assert ledger.rows("SELECT 1 AS one") == [{"one": 1}]


def test_threads_that_share_a_ledger_take_turns(ledger):
    owner = profile(per_day_usd="0.50")
    outcomes = []

    def work():
        for _ in range(20):
            try:
                held = reserve(ledger, owner, 2 * CENT)
                reservations.settle(ledger, held, cost_nano=CENT, now=NOON)
                outcomes.append("paid")
            except BudgetRefusedError:
                outcomes.append("refused")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 80
    assert state(ledger, owner, "day").settled_nano == CENT * outcomes.count("paid")
    assert 40 <= outcomes.count("paid") <= 50


def test_a_cap_says_which_window_it_is(ledger):
    caps = budget_caps.applicable_caps(ledger, profile(per_day_usd=1), "small", now=NOON)
    assert [(cap.scope, cap.window, cap.key) for cap in caps] == [("day", "day", "day:2026-06-15|p:p")]
    assert replace(caps[0], scope="arm:x:call").window == "call"


@pytest.mark.parametrize(
    ("scope", "arm", "shared", "own", "window"),
    [
        ("day", None, False, False, "day"),
        ("arm:small:month", "small", False, False, "month"),
        ("arm:a:b:call", "a:b", False, False, "call"),
        ("shared:day", None, True, False, "day"),
        ("--max-cost:run", None, False, True, "run"),
    ],
)
def test_what_a_scope_says(scope, arm, shared, own, window):
    cap = budget_caps.Cap(scope, CENT, None)
    assert (cap.arm, cap.shared, cap.own, cap.window) == (arm, shared, own, window)
