"""Caps under any order of events: what is settled, reserved and unknown stays within every cap, absent a breach."""

import os
import shutil
import tempfile
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from scrimp.profiles.errors import UsageError
from scrimp.profiles.schema import Arm, ArmCaps, Caps, Price, Profile
from scrimp.routing.ledger import caps as budget_caps
from scrimp.routing.ledger import corrections, reservations, suspensions
from scrimp.routing.ledger.caps import RefusedError
from scrimp.routing.ledger.reservations import Charge
from scrimp.routing.ledger.store import open_ledger
from scrimp.routing.ledger.suspensions import SuspendedError

PRICE = Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(4))
RUNS = (None, "run-1", "run-2")
RUNGS = ("low", "medium", "high")
ARMS = ("a", "b", *(f"l:{effort}" for effort in RUNGS))
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu")
HARD_TIMES = tuple(
    datetime(*when, tzinfo=UTC).timestamp()
    for when in (
        (2024, 2, 28, 22, 30), (2024, 2, 29, 23, 59, 59), (2024, 3, 1, 0, 0, 1),  # a leap day
        (2026, 3, 29, 0, 59, 59), (2026, 3, 29, 1, 0, 1), (2026, 10, 25, 0, 30), (2026, 10, 25, 1, 30),  # Berlin's clocks
        (2026, 3, 8, 6, 59), (2026, 11, 1, 5, 30), (2026, 11, 1, 6, 30),  # New York's
        (2011, 12, 30, 9, 59), (2011, 12, 30, 10, 1),  # Apia left out a day
        (2026, 12, 31, 23, 59, 59), (2027, 1, 1, 0, 0, 0),
    )
)  # fmt: skip
cents = st.integers(0, 12).map(lambda n: n * 10_000_000)
nanos = st.integers(0, 120_000_000)


def usd(nano):
    return None if nano is None else Decimal(nano) / 10**9


maybe = st.none() | st.integers(1, 30).map(lambda n: n * 10_000_000)


class Caps_(RuleBasedStateMachine):
    held = Bundle("held")
    ended = Bundle("ended")

    @initialize(data=st.data(), zone=st.sampled_from(ZONES), start=st.sampled_from(HARD_TIMES))
    def open(self, data, zone, start):
        self.folder = Path(tempfile.mkdtemp())
        os.environ["TZ"] = zone
        self.ledger = open_ledger(self.folder / "scrimp.db")
        assert self.ledger.zone_name == zone
        self.now = start
        self.profiles = []
        for name in ("p", "q"):
            arms = tuple(
                Arm(
                    name=arm,
                    model=f"openai/{arm}",
                    price=PRICE,
                    cap=ArmCaps(per_call_usd=usd(data.draw(maybe)), per_day_usd=usd(data.draw(maybe))),
                )
                for arm in ("a", "b")
            )
            cap = ArmCaps(per_call_usd=usd(data.draw(maybe)), per_day_usd=usd(data.draw(maybe)))
            arms += tuple(
                Arm(name=f"l:{effort}", model="openai/l", price=PRICE, cap=cap, reasoning_effort=effort, efforts=RUNGS)
                for effort in RUNGS
            )
            caps = Caps(
                per_call_usd=usd(data.draw(maybe)),
                per_run_usd=usd(data.draw(maybe)),
                per_day_usd=usd(data.draw(maybe)),
                per_month_usd=usd(data.draw(maybe)),
            )
            self.profiles.append(Profile(name=name, arms=arms, caps=caps))
        self.limits = {}  # each cap ever checked, by key: what may not be exceeded
        self.excused = set()  # windows with a breach, a lowered cap, or paid past by name
        self.model = {}  # reservation -> [status, reserved, charged, keys, profile, arm]
        self.stopped = {}  # (profile, arm): the calls that it is stopped for

    def teardown(self):
        if hasattr(self, "ledger"):
            self.ledger.close()
            shutil.rmtree(self.folder)

    def keys(self, owner, arm, run):
        day, month = self.ledger.windows(self.now)
        return budget_caps.window_keys(owner.name, arm, run, day, month)

    # -- what can happen

    @rule(target=held, who=st.integers(0, 1), arm=st.sampled_from(ARMS), run=st.sampled_from(RUNS), bound=nanos,
          override=st.none() | st.none() | st.none() | cents)  # fmt: skip
    def reserve(self, who, arm, run, bound, override):
        owner = self.profiles[who]
        run = None if run is None else f"{run} of {owner.name}"
        caps = budget_caps.applicable_caps(self.ledger, owner, arm, now=self.now, run_id=run)
        keys = self.keys(owner, arm, run)
        sums = {key: sum(budget_caps.balance(self.ledger, key)) for key in keys}
        charge = Charge("r", owner.name, arm, bound, run_id=run, cap_override_nano=override)
        try:
            taken = reservations.reserve(self.ledger, charge, caps, now=self.now)
        except SuspendedError:
            assert (owner.name, arm) in self.stopped
            return None
        except RefusedError as refusal:
            if override is None:
                assert any(cap.limit_nano - sums.get(cap.key, 0) < bound for cap in caps)
                assert refusal.cap in caps  # noqa: PT017 - whether it refuses is what is tested
            assert {key: sum(budget_caps.balance(self.ledger, key)) for key in keys} == sums
            return None
        assert (owner.name, arm) not in self.stopped
        if override is None:
            for cap in caps:
                assert bound == 0 or cap.key is not None or bound <= cap.limit_nano
                if cap.key is not None and bound > 0:
                    self.limits[cap.key] = cap.limit_nano
                    assert cap.key in keys
        else:
            self.excused |= set(keys)
        self.model[taken.id] = ["reserved", bound, bound, keys, owner.name, arm]
        return taken

    @rule(target=ended, taken=consumes(held), share=st.floats(0, 1))
    def settle(self, taken, share):
        return self._settle(taken, None if taken is None else int(taken.bound_nano * share))

    @rule(target=ended, taken=consumes(held), above=st.integers(1, 50_000_000))
    def breach(self, taken, above):
        return self._settle(taken, None if taken is None else taken.bound_nano + above)

    @rule(target=ended, taken=consumes(held))
    def fail_unbilled(self, taken):
        return self._settle(taken, 0, released=True)

    @rule(target=ended, taken=consumes(held))
    def fail_unknown(self, taken):
        return self._settle(taken, None)

    @rule(taken=ended, cost=st.none() | nanos)
    def settle_again(self, taken, cost):
        """A second settlement, or one that comes after the process was thought dead."""
        self._settle(taken, cost)

    def _settle(self, taken, cost, *, released=False):
        if taken is None:
            return None
        was = self.model[taken.id]
        status, breach = reservations.settle(self.ledger, taken, cost_nano=cost, released=released, now=self.now)
        if was[0] in ("reserved", "unknown"):
            was[0] = "released" if released else "unverified" if cost is None else "settled"
            was[2] = 0 if released else was[1] if cost is None else cost
            assert breach == (was[2] > was[1])
            if breach:
                self._breached(taken.id)
            assert status == was[0]
        return taken

    def _breached(self, number):
        _, _, _, keys, owner, arm = self.model[number]
        self.excused |= set(keys)
        self.stopped.setdefault((owner, arm), set()).add(number)

    @rule(target=ended, taken=consumes(held), sent=st.booleans())
    def kill(self, taken, sent):
        """A process dies with a call reserved; what had not left costs nothing."""
        if taken is None:
            return None
        if sent:
            reservations.mark_sent(self.ledger, taken.id)
        with self.ledger.transaction() as conn:
            conn.execute("UPDATE reservations SET pid = 1, process_started = 'x' WHERE id = ?", (taken.id,))
        assert reservations.reap(self.ledger, now=self.now) == 1
        was = self.model[taken.id]
        was[0], was[2] = ("unknown", was[1]) if sent else ("released", 0)
        return taken

    @rule(taken=ended, cost=nanos)
    def reconcile(self, taken, cost):
        if taken is None:
            return
        was = self.model[taken.id]
        corrections.correct(self.ledger, {taken.id: cost}, now=self.now, sure=True)
        held = was[2] if was[0] in ("settled", "released") else was[1]
        was[0], was[2] = "settled", cost
        if cost > held or cost > was[1]:
            self._breached(taken.id)
        elif (calls := self.stopped.get(where := (was[4], was[5]))) is not None:
            calls.discard(taken.id)
            if not calls:
                del self.stopped[where]

    @rule(taken=ended, cost=nanos)
    def reconcile_and_take_it_back(self, taken, cost):
        """Nothing is left of it (`sums_agree` and the other invariants look)."""
        if taken is None:
            return
        corrections.correct(self.ledger, {taken.id: cost}, now=self.now, sure=True)
        corrections.undo(self.ledger, taken.id, now=self.now)

    @rule(taken=held)
    def reconcile_too_early(self, taken):
        if taken is not None:
            try:
                corrections.correct(self.ledger, {taken.id: 0}, now=self.now, sure=True)
            except UsageError:
                return
            raise AssertionError

    @precondition(lambda self: getattr(self, "stopped", None))
    @rule()
    def resume(self):
        owner, arm = min(self.stopped)
        assert suspensions.clear_suspension(self.ledger, owner, arm)
        del self.stopped[owner, arm]

    @rule(scope=st.sampled_from(budget_caps.SHARED_SCOPES), limit=maybe)
    def share(self, scope, limit):
        if limit is None:
            budget_caps.clear_shared_cap(self.ledger, scope)
            return
        budget_caps.set_shared_cap(self.ledger, scope, limit, now=self.now)
        for key in self.limits:
            if "|" not in key and key.startswith(scope.removeprefix("shared:")):
                self.excused.add(key)  # windows that had more room before; new ones are checked from their start

    @rule(seconds=st.integers(-3 * 86_400, 40 * 86_400))
    def clock(self, seconds):
        """Time passes, or the clock is set back."""
        self.now += seconds

    @rule(when=st.sampled_from(HARD_TIMES))
    def jump(self, when):
        self.now = when

    # -- what always holds

    @invariant()
    def within_every_cap(self):
        for key, limit in getattr(self, "limits", {}).items():
            if key not in self.excused:
                assert sum(budget_caps.balance(self.ledger, key)) <= limit, key

    @invariant()
    def a_ladder_spends_what_one_arm_may(self):
        if not hasattr(self, "ledger"):
            return
        for owner in self.profiles:
            cap = owner.arm("l:low").cap.per_day_usd
            day, _ = self.ledger.windows(self.now)
            key = f"day:{day}|p:{owner.name}|a:l"
            rows = self.ledger.rows(
                "SELECT sum(charged_nano) AS n FROM reservations WHERE profile = ? AND day = ? AND arm IN (?, ?, ?)",
                (owner.name, day, *ARMS[2:]),
            )
            assert (rows[0]["n"] or 0) == sum(budget_caps.balance(self.ledger, key))
            if cap is not None and key in self.limits and key not in self.excused:
                assert (rows[0]["n"] or 0) <= cap * 10**9

    @invariant()
    def sums_agree(self):
        if not hasattr(self, "ledger"):
            return
        assert reservations.audit_balances(self.ledger) == {}
        totals = {}
        for _, _, charged, keys, _, _ in self.model.values():
            for key in keys:
                totals[key] = totals.get(key, 0) + charged
        for key, total in totals.items():
            assert sum(budget_caps.balance(self.ledger, key)) == total
        statuses = {row["id"]: row["status"] for row in self.ledger.rows("SELECT id, status FROM reservations")}
        assert statuses == {number: was[0] for number, was in self.model.items()}

    @invariant()
    def breaches_are_flagged_and_stop_their_arm(self):
        if not hasattr(self, "ledger"):
            return
        for owner in ("p", "q"):
            assert set(suspensions.suspensions(self.ledger, owner)) == {
                arm for name, arm in self.stopped if name == owner
            }
        over = {
            row["id"]
            for row in self.ledger.rows("SELECT id FROM reservations WHERE charged_nano > reserved_nano AND breach = 0")
        }
        assert over == set()

    @invariant()
    def states_add_up(self):
        if not hasattr(self, "ledger"):
            return
        for owner in self.profiles:
            caps = budget_caps.applicable_caps(self.ledger, owner, None, now=self.now)
            for state in budget_caps.cap_states(self.ledger, caps, now=self.now):
                charged = state.settled_nano + state.reserved_nano + state.unknown_nano
                assert charged == sum(budget_caps.balance(self.ledger, state.cap.key))


TestCaps = Caps_.TestCase
TestCaps.settings = settings(
    max_examples=25, stateful_step_count=25, suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)  # fmt: skip
