"""The engine with a stand-in for calls: retries, refusals, limits, equal rows, checks, caps, stops."""

import asyncio
import gc
import json
import random
import time
from collections import Counter
from decimal import Decimal

import pytest

from scrimp.profiles.building import build_profile
from scrimp.profiles.errors import AuthError, UsageError
from scrimp.profiles.paths import Paths
from scrimp.routing.asking.refusal import why_none
from scrimp.routing.asking.request import Way
from scrimp.routing.batch.files.cache import Cache, parse_age
from scrimp.routing.batch.files.output import Journal, result_of
from scrimp.routing.batch.files.scan import good_rows, scan
from scrimp.routing.batch.files.source import Source
from scrimp.routing.batch.planning import start
from scrimp.routing.batch.planning.choosing import Chooser, NoEmbedder
from scrimp.routing.batch.planning.plan import forecast, planned
from scrimp.routing.batch.rows.jobs import Settings, Stats
from scrimp.routing.batch.running.engine import Engine
from scrimp.routing.batch.state import parked
from scrimp.routing.calls.call import Reply
from scrimp.routing.calls.faults import CallError
from scrimp.routing.checks.base import Verdict
from scrimp.routing.checks.names import make_check
from scrimp.routing.deciding.decide import Decider, Wishes
from scrimp.routing.ledger import batches, reservations
from scrimp.routing.ledger.store import instant, open_ledger
from scrimp.routing.prices.table import PriceTable
from scrimp.routing.prices.usage import Usage
from scrimp.routing.router.tier_prior import TierPrior

TABLE = PriceTable(b"{}", "0")


def arm(name, price, **more):
    return {
        "model": f"openai/{name}",
        "api_base": "http://127.0.0.1:9/v1",
        "max_output_tokens": 100,
        "context_window": 10_000,
        "price": {"input_usd_per_mtok": price, "output_usd_per_mtok": 4 * price},
        **more,
    }


def make_profile(caps=None, **arms):
    caps = {name: Decimal(usd) for name, usd in (caps or {}).items()}
    arms = arms or {"small": arm("small", 1, tier="small"), "large": arm("large", 10, tier="large")}
    return build_profile({"name": "p", "caps": caps, "arms": arms}, lambda _path: "p.toml")


def answer(text="fine", tokens=5, finish="stop"):
    return Reply(text, "m", Usage(3, tokens, None, None, None), "reported", finish, 0.01, None, "r")


class World:
    """A ledger, a file of rows, and runs over it."""

    def __init__(self, tmp_path):
        self.folder = tmp_path
        self.ledger = open_ledger(tmp_path / "scrimp.db")
        self.paths = Paths(tmp_path, tmp_path, tmp_path / "cache")
        self.calls = []
        self.said = []
        self.n = 0

    def rows(self, *rows):
        path = self.folder / "in.jsonl"
        path.write_text("".join(json.dumps(row if isinstance(row, dict) else {"prompt": row}) + "\n" for row in rows))
        self.source = Source.of(path)
        return self

    def in_step(self, rows):
        """Read no further row before those that were begun are settled: as where planning takes next to no time."""
        for row in rows:
            deadline = time.monotonic() + 60
            while self.engine.desk.pending:
                assert time.monotonic() < deadline
                time.sleep(0.001)
            yield row

    def go(
        self, attempt, *, profile=None, max_cost=None, target=None, cache=None, run=None, hook=None, arm=None, **more
    ):
        """Run all rows that have no result; return them as (status, arm, answer or error)."""
        profile = profile or make_profile()
        found = scan(self.source)
        wishes = Wishes(arm=arm)
        keyless = more.pop("keyless", {})
        in_step = more.pop("in_step", False)
        chooser = Chooser(Decider(profile, TABLE, TierPrior(), NoEmbedder()), wishes, keyless=keyless)
        goals = start.Goals(max_cost, target)
        self.n += run is None
        output = self.folder / f"out-{self.n}.jsonl"
        recovered = None
        if run is None:
            money = start.money_for(self.ledger, profile, goals, run_id=None, now=1e9)
            run = batches.Run(
                f"run{self.n}", instant(1e9), "running", profile.name, "in", found.sha256, str(output), found.n_good, {}
            )
            journal = start.open_new(self.ledger, run)
        else:
            journal, recovered, _ = start.open_old(
                self.ledger, run, found, self.folder, retry_unknown=more.pop("retry_unknown", False),
                retry_errors=more.pop("retry_errors", False), now=1e9,
            )  # fmt: skip
            money = start.money_for(self.ledger, profile, goals, run_id=run.id, now=1e9)
        done = frozenset(row["n"] for row in self.ledger.rows("SELECT n FROM batch_rows WHERE run_id = ?", (run.id,)))
        planner = start.plan(self.source, found, chooser, wishes, goals, money, done=done, now=1e9)
        self.stats = Stats(n_rows=found.n_good)

        async def call(call, on_send):
            self.calls.append(call)
            on_send()
            outcome = attempt(call)
            if asyncio.iscoroutine(outcome):
                outcome = await outcome
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        self.engine = Engine(
            run=run, journal=journal, ledger=self.ledger,
            rows=lambda: self.in_step(good_rows(self.source, found)) if in_step else good_rows(self.source, found),
            n_left=found.n_good, chooser=chooser, planner=planner,
            settings=Settings(wishes=wishes, max_cost_nano=max_cost, way=Way(tuple(more.pop("checks", ()))), **more),
            stats=self.stats, attempt=call,
            key=lambda _arm: None, recovered=recovered, repeated=found.repeated, cache=cache, say=self.said.append,
            rng=random.Random(0),
        )  # fmt: skip
        self.run = run

        async def drive():
            if hook is not None:
                hook(self.engine)
            await self.engine.go()

        try:
            asyncio.run(drive())
        finally:
            self.results = [result_of(journal.read(*span)) for span in batches.spans(self.ledger, run.id, ordered=True)]
            journal.close()
            assert reservations.audit_balances(self.ledger) == {}
        return [(each.status, each.arm, each.answer or each.error) for each in self.results]


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    world.ledger.close()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """Back-off waits no longer than a test can."""
    monkeypatch.setattr("scrimp.routing.calls.backoff.Backoff.next_delay", _soon)


def _soon(self, error):
    self.n_failed += 1
    return None if not error.retryable or self.n_failed >= self.max_attempts else 0.001


def error(kind="server", **more):
    more = {"retryable": kind in ("server", "rate_limited", "timeout")} | more
    return CallError(kind, f"{kind}!", **more)


# ---- answers


def test_every_row_gets_its_answer_in_order(world):
    results = world.rows(*(f"prompt {i}" for i in range(100))).go(
        lambda call: answer(call.messages[-1]["content"].upper())
    )
    assert [text for _, _, text in results] == [f"PROMPT {i}" for i in range(100)]
    assert world.stats.ok == len(world.calls) == 100
    assert Counter(row["command"] for row in world.ledger.rows("SELECT command FROM requests")) == {"batch": 100}
    settled = world.ledger.rows("SELECT run_id, status, sum(charged_nano) AS n FROM reservations GROUP BY 1, 2")
    assert settled == [{"run_id": "run1", "status": "settled", "n": sum(each.cost_nano for each in world.results)}]


def test_a_failed_attempt_is_tried_again_and_each_is_reserved(world):
    seen = Counter()

    def attempt(call):
        seen[call.messages[-1]["content"]] += 1
        return error(billable="no") if seen[call.messages[-1]["content"]] < 3 else answer()

    results = world.rows("a", "b").go(attempt)
    assert [status for status, _, _ in results] == ["ok", "ok"]
    assert seen == {"a": 3, "b": 3}
    statuses = Counter(row["status"] for row in world.ledger.rows("SELECT status FROM reservations"))
    assert statuses == {"released": 4, "settled": 2}
    kinds = [
        row["kind"] for row in world.ledger.rows("SELECT kind FROM attempts WHERE arm = 'small' OR 1 ORDER BY seq, id")
    ]
    assert kinds == ["first", "first", "retry", "retry", "retry", "retry"]


def test_an_arm_that_fails_is_fallen_back_from_and_the_draw_is_no_draw(world):
    def attempt(call):
        return error("bad_request", billable="no") if "large" in call.model else answer()

    results = world.rows("a").go(attempt)
    assert results == [("ok", "small", "fine")]
    assert world.ledger.rows("SELECT arm, propensity FROM requests") == [{"arm": "small", "propensity": None}]


def test_what_may_have_been_billed_stays_charged(world):
    results = world.rows("a").go(lambda _call: error("timeout", retryable=False), arm="small")
    assert results == [("failed", "small", "timeout!")]
    (row,) = world.ledger.rows("SELECT status, charged_nano, reserved_nano FROM reservations")
    assert row["status"] == "unverified"
    assert row["charged_nano"] == row["reserved_nano"]
    assert world.results[0].cost_nano is None, "what it cost is not known"


def test_an_answer_without_usage_is_charged_in_full_and_its_cost_is_unknown(world):
    world.rows("a").go(lambda _call: Reply("x", "m", None, "missing", "stop", 0.1, None, None), arm="small")
    assert world.results[0].cost_nano is None
    assert world.results[0].input_tokens is None
    (row,) = world.ledger.rows("SELECT status FROM reservations")
    assert row["status"] == "unverified"


def test_refusals_for_rate_slow_all_calls_to_the_provider(world):
    tries = Counter()

    def attempt(call):
        tries["all"] += 1
        return error("rate_limited", billable="no") if tries["all"] <= 6 else answer()

    results = world.rows(*map(str, range(20))).go(attempt, arm="small", concurrency=8)
    assert [status for status, _, _ in results] == ["ok"] * 20
    gate = world.engine.desk.lanes["small"].gate
    assert gate.limit < gate.most == 16, "both arms are at one address"
    assert gate.in_flight == 0


@pytest.mark.parametrize(
    ("limits", "wanted", "got"), [({}, 5, 5), ({}, None, 8), ({"concurrency": 3}, 5, 2), ({"concurrency": 1}, 5, 1)]
)
def test_as_many_calls_are_in_flight_as_asked_for_and_no_more(world, limits, wanted, got):
    now = most = 0

    async def attempt(_call):
        nonlocal now, most
        now += 1
        most = max(most, now)
        for _ in range(1000):  # the first ones wait for the others
            if most >= got:
                break
            await asyncio.sleep(0.001)
        now -= 1
        return answer()

    profile = make_profile(a=arm("a", 1, limits=limits))
    world.rows(*map(str, range(40))).go(attempt, profile=profile, concurrency=wanted)
    assert most == got


def test_a_local_arm_is_asked_one_at_a_time(world):
    now = most = 0

    async def attempt(_call):
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1
        return answer()

    local = {
        "model": "local/smollm2-135m-instruct", "max_output_tokens": 50, "context_window": 4096,
        "price": {"input_usd_per_mtok": 0, "output_usd_per_mtok": 0},
    }  # fmt: skip
    world.rows(*map(str, range(20))).go(attempt, profile=make_profile(here=local), concurrency=8)
    assert most == 1


def test_rows_that_begin_alike_are_sent_one_after_another(world):
    rows = [{"prompt": f"{'ab'[i % 2]} {i}", "system": "s" * (1 + i % 2)} for i in range(20)]
    world.rows(*rows).go(lambda _call: answer(), arm="small", concurrency=1)
    firsts = [call.messages[-1]["content"][0] for call in world.calls]
    assert firsts == sorted(firsts)


# ---- stops


def test_a_refused_key_stops_the_run_when_no_arm_is_left(world):
    world.rows(*map(str, range(50)))
    with pytest.raises(AuthError):
        world.go(lambda _call: error("auth", billable="no"), concurrency=2)
    assert len(world.calls) <= 8
    assert world.stats.stopping == "failed"


def test_one_refused_key_leaves_the_other_arm(world):
    def attempt(call):
        return error("auth", billable="no") if "large" in call.model else answer()

    results = world.rows(*map(str, range(50))).go(attempt, concurrency=2)
    assert {(status, arm) for status, arm, _ in results} == {("ok", "small")}
    assert sum("large" in call.model for call in world.calls) <= 4
    assert any("no more rows are sent to large" in line for line in world.said)


def test_max_errors_stops_early_and_the_run_can_go_on(world):
    world.rows(*map(str, range(50)))
    results = world.go(lambda _call: error("bad_request", billable="no"), arm="small", max_errors=3, concurrency=1)
    assert Counter(status for status, _, _ in results) == {"failed": 3}
    assert world.stats.stopping == "errors"
    results = world.go(lambda _call: answer(), arm="small", run=world.run)
    assert Counter(status for status, _, _ in results) == {"failed": 3, "ok": 47}
    results = world.go(lambda _call: answer(), arm="small", run=world.run, retry_errors=True)
    assert Counter(status for status, _, _ in results) == {"ok": 50}


def test_a_stop_waits_for_what_is_in_flight(world):
    async def attempt(_call):
        if world.stats.stopping is None:
            world.engine.stop("interrupted")
        await asyncio.sleep(0.01)
        return answer()

    results = world.rows(*map(str, range(20))).go(attempt, arm="small", concurrency=4)
    assert 1 <= len(results) <= 4
    assert {status for status, _, _ in results} == {"ok"}
    assert {row["status"] for row in world.ledger.rows("SELECT status FROM reservations")} == {"settled"}


def test_a_second_stop_leaves_what_is_in_flight_unknown_and_charged(world):
    started = asyncio.Event()

    async def attempt(_call):
        started.set()
        await asyncio.sleep(60)

    def hook(engine):
        async def twice():
            await started.wait()
            engine.stop("interrupted")
            engine.stop("interrupted")

        world.task = asyncio.get_running_loop().create_task(twice())

    results = world.rows(*map(str, range(20))).go(attempt, arm="small", concurrency=3, hook=hook)
    assert {status for status, _, _ in results} == {"unknown"}
    statuses = {row["status"] for row in world.ledger.rows("SELECT status FROM reservations")}
    assert "unverified" in statuses
    assert statuses <= {"unverified", "released"}, "what was reserved and not yet sent is given back"
    n = len(results)
    results = world.go(lambda _call: answer(), arm="small", run=world.run)
    assert Counter(status for status, _, _ in results) == {"unknown": n, "ok": 20 - n}
    results = world.go(lambda _call: answer(), arm="small", run=world.run, retry_unknown=True)
    assert Counter(status for status, _, _ in results) == {"ok": 20}


def test_a_bug_is_not_swallowed(world):
    with pytest.raises(ZeroDivisionError):
        world.rows("a", "b").go(lambda _call: 1 / 0, arm="small")


def test_a_changed_input_is_noticed(world):
    world.rows("a", "b").go(lambda _call: answer(), arm="small")
    world.rows("a", "c")
    with pytest.raises(UsageError, match="has changed"):
        world.go(lambda _call: answer(), arm="small", run=world.run)


# ---- money


def test_a_cap_on_the_run_holds_and_rows_beyond_it_are_skipped(world):
    profile = make_profile({"per_run_usd": "0.003"}, a=arm("a", 1))
    results = world.rows(*map(str, range(50))).go(lambda _call: answer(tokens=90), profile=profile, concurrency=8)
    states = Counter(status for status, _, _ in results)
    assert states["ok"] >= 5
    assert states["skipped"] == 50 - states["ok"]
    _, charged = batches.charges(world.ledger, "run1")
    assert charged <= 3_000_000
    assert charged > 2_000_000, "and what there is is used"


@pytest.mark.parametrize("other", [arm("b", 1, context_window=1), arm("b", 1000)], ids=["too small", "too dear"])
def test_a_row_beyond_the_budget_is_not_failed_whatever_keeps_another_arm_from_it(world, other):
    profile = make_profile({"per_call_usd": "0.01"}, a=arm("a", 1), b=other)
    chooser = Chooser(Decider(profile, TABLE, TierPrior(), NoEmbedder()), Wishes(), keyless={})
    money = start.money_for(None, profile, start.Goals(), run_id=None, now=1e9)
    rows = [*good_rows(world.rows("a").source, scan(world.source))]
    (decided,) = chooser.decide(rows, Wishes(), money, rng=random.Random(0), now=1e9)
    assert [each.option.infeasible is None for each in decided.decision.choice.weighed] == [True, False]
    error = why_none(planned(decided.decision, None), None, {}, profile="p", what="this row", lead="not sent: ")
    assert (error.exit_code, error.message) == (3, "not sent: the budget does not reach")


def test_the_plan_spends_a_budget_on_the_rows_where_it_helps_most(world):
    world.rows(*(f"question {i}" for i in range(600)))
    results = world.go(lambda call: answer(tokens=57), max_cost=400_000_000, in_step=True)
    arms = Counter(arm for _, arm, _ in results)
    assert {status for status, _, _ in results} == {"ok"}
    assert set(arms) == {"small", "large"}
    _, charged = batches.charges(world.ledger, "run1")
    assert 0.9 * 400_000_000 < charged <= 400_000_000
    notes = {row["p"] for row in world.ledger.rows("SELECT propensity AS p FROM requests")}
    assert notes == {None}, "a plan's choice is no draw"


def test_costs_far_below_the_prediction_buy_better_arms_later(world):
    world.rows(*(f"question {i}" for i in range(300)))
    world.go(lambda _call: answer(tokens=1), max_cost=30_000_000, in_step=True)
    late = Counter(each.arm for each in world.results[200:])
    early = Counter(each.arm for each in world.results[:32])
    assert late["large"] / 100 > early["large"] / 32


def test_rows_out_of_reach_at_first_get_their_turn_when_true_costs_are_known(world):
    world.rows(*(f"question {i}" for i in range(200)))
    results = world.go(lambda _call: answer(tokens=1), max_cost=5_000_000, in_step=True)
    assert Counter(status for status, _, _ in results)["ok"] >= 195


def test_the_least_cost_for_a_mean_quality(world):
    world.rows(*(f"question {i}" for i in range(100)))
    world.go(lambda _call: answer(), target=0.2)
    assert {each.arm for each in world.results} == {"small"}
    world.go(lambda _call: answer(), target=0.99)
    assert {each.arm for each in world.results} == {"large"}


def test_without_a_budget_the_policy_decides_and_draws(world):
    world.rows(*(f"question {i}" for i in range(50))).go(lambda _call: answer())
    notes = [row["p"] for row in world.ledger.rows("SELECT propensity AS p FROM requests")]
    assert all(p is not None and 0.0 < p <= 1.0 for p in notes)


def test_a_run_hides_nothing_of_a_program_from_its_collector(world):
    """Of a process that is scrimp's alone it may; this one is not."""
    before = gc.get_freeze_count()
    world.rows("a").go(lambda _call: answer())
    assert gc.get_freeze_count() <= before


def test_an_arm_asked_for_by_name_embeds_nothing(world):
    world.rows("a").go(lambda _call: answer(), arm="small")
    (row,) = world.ledger.rows("SELECT embedding, embedder_id, router_version, propensity FROM requests")
    assert row == {"embedding": None, "embedder_id": None, "router_version": "tier-prior", "propensity": None}


@pytest.mark.parametrize("keep", ["money", "features"])
def test_the_log_keeps_no_more_than_it_may(world, keep):
    world.rows("secret words").go(lambda _call: answer("secret reply"), keep=keep)
    n = world.ledger.rows("SELECT count(*) AS n FROM requests")[0]["n"]
    assert n == (0 if keep == "money" else 1)
    assert world.ledger.rows("SELECT 1 FROM requests WHERE prompt IS NOT NULL OR answer IS NOT NULL") == []
    assert world.ledger.rows("SELECT count(*) AS n FROM reservations")[0]["n"] == 1


def test_an_openai_row_lowers_its_limit_and_brings_its_parameters(world):
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 7, "temperature": 0.5}
    world.rows({"custom_id": "c", "body": body}).go(lambda _call: answer(), arm="small")
    (call,) = world.calls
    assert (call.max_output_tokens, call.params) == (7, {"temperature": 0.5})
    (row,) = world.ledger.rows("SELECT output_limit FROM attempts")
    assert row["output_limit"] == 7


def test_a_breach_suspends_the_arm_and_the_rest_goes_elsewhere(world):
    def attempt(call):
        return answer(tokens=5000 if "large" in call.model else 5)

    results = world.rows(*map(str, range(40))).go(attempt, concurrency=1)
    arms = Counter(arm for _, arm, _ in results)
    assert arms["large"] == 1
    assert arms["small"] == 39


# ---- rows that need no call


STEADY = {"params": {"temperature": 0}}


def test_equal_rows_are_asked_once_at_temperature_0(world):
    profile = make_profile(a=arm("a", 1, **STEADY))
    rows = [{"id": i, "prompt": f"p{i % 3}"} for i in range(30)]
    results = world.rows(*rows).go(lambda call: answer(call.messages[-1]["content"]), profile=profile)
    assert len(world.calls) == 3
    assert [text for _, _, text in results] == [f"p{i % 3}" for i in range(30)]
    assert Counter(each.source for each in world.results) == {"asked": 3, "same": 27}
    assert all(each.cost_nano == 0 for each in world.results if each.source == "same")
    assert [each.id for each in world.results] == list(range(30))


def test_equal_rows_are_each_asked_where_answers_vary(world):
    world.rows("x", "x", "x").go(lambda _call: answer(), arm="small")
    assert len(world.calls) == 3


def test_the_equals_of_a_row_that_failed_are_asked_themselves(world):
    profile = make_profile(a=arm("a", 1, **STEADY))

    def attempt(_call):
        return error("bad_request", billable="no") if len(world.calls) == 1 else answer()

    results = world.rows("x", "x", "x").go(attempt, profile=profile)
    assert Counter(status for status, _, _ in results) == {"failed": 1, "ok": 2}


def test_an_equal_row_is_shared_across_a_stop(world):
    profile = make_profile(a=arm("a", 1, **STEADY))
    rows = ["x", *(f"y{i}" for i in range(60)), "x"]

    def attempt(_call):
        if len(world.calls) == 40:
            world.engine.stop("interrupted")
        return answer()

    world.rows(*rows).go(attempt, profile=profile, concurrency=1)
    world.go(lambda _call: answer(), profile=profile, run=world.run)
    asked = Counter(call.messages[-1]["content"] for call in world.calls)
    assert set(asked.values()) == {1}
    assert len(world.results) == 62


def test_the_cache_answers_a_second_run_until_it_is_too_old(world):
    def cache(age):
        return Cache(world.paths.cache / "c.db", max_age_s=age)

    first = cache(3600)
    world.rows("a", "b").go(lambda call: answer(call.messages[-1]["content"] * 2), arm="small", cache=first)
    first.close()
    again = cache(3600)
    results = world.rows("b", "a", "c").go(lambda _call: answer("new"), arm="small", cache=again)
    assert [text for _, _, text in results] == ["bb", "aa", "new"]
    assert Counter(each.source for each in world.results) == {"cache": 2, "asked": 1}
    assert batches.charges(world.ledger, "run2")[1] == world.results[2].cost_nano
    again.close()
    old = cache(1e-9)
    world.go(lambda _call: answer("new"), arm="small", cache=old)
    assert {each.source for each in world.results} == {"asked"}
    old.close()


def test_a_cut_answer_is_not_cached(world):
    cache = Cache(world.paths.cache / "c.db", max_age_s=3600)
    world.rows("a").go(lambda _call: answer(finish="length"), arm="small", cache=cache)
    world.go(lambda _call: answer(), arm="small", cache=cache)
    assert len(world.calls) == 2
    cache.close()


def test_ages():
    assert [parse_age(text) for text in ("90s", "2h", "7d", "1w")] == [90, 7200, 604_800, 604_800]
    for text in ("", "7", "d", "-1d", "0d", "1y"):
        with pytest.raises(UsageError):
            parse_age(text)


# ---- checks


def test_a_check_that_fails_fails_the_row_keeps_its_answer_and_teaches(world):
    checks = (make_check("re:^yes$", {}),)
    results = world.rows("a", "b").go(
        lambda call: answer("yes" if call.messages[-1]["content"] == "a" else "no"), arm="small", checks=checks
    )
    assert [status for status, _, _ in results] == ["ok", "failed"]
    assert world.results[1].answer == "no"
    assert world.results[1].error
    labels = world.ledger.rows("SELECT arm, reward, source FROM labels ORDER BY reward")
    assert labels == [
        {"arm": "small", "reward": 0.0, "source": "check"},
        {"arm": "small", "reward": 1.0, "source": "check"},
    ]


def test_a_slow_check_runs_when_the_answer_is_safe(world):
    class Slow:
        name, kind, slow = "slow", "cmd", True

        def __init__(self):
            self.seen = []

        def test(self, text, _given):
            (row,) = world.ledger.rows("SELECT status FROM reservations")
            self.seen.append((row["status"], b'"text":"b"' in world.run.partial.read_bytes()))
            return Verdict("slow", "fail" if text == "b" else "pass", "bad" if text == "b" else "")

    check = Slow()
    results = world.rows("b").go(lambda call: answer(call.messages[-1]["content"]), arm="small", checks=(check,))
    assert check.seen == [("settled", True)]
    assert results == [("failed", "small", "b")]
    assert world.results[0].error == "bad"


def test_a_kill_before_the_check_asks_nothing_again(world):
    class Slow:
        name, kind, slow = "slow", "cmd", True

        def __init__(self, verdict):
            self.verdict = verdict

        def test(self, _text, _given):
            if isinstance(self.verdict, Exception):
                raise self.verdict
            return Verdict("slow", "pass" if self.verdict is None else "fail", self.verdict or "")

    world.rows("a")
    with pytest.raises(RuntimeError):
        world.go(lambda _call: answer(), arm="small", checks=(Slow(RuntimeError("killed")),))
    assert world.ledger.rows("SELECT status FROM batch_rows") == [{"status": "sent"}]
    results = world.go(lambda _call: answer(), arm="small", checks=(Slow(None),), run=world.run)
    assert results == [("ok", "small", "fine")]
    assert len(world.calls) == 1
    assert world.results[0].cost_nano is not None


# ---- recovery


def test_an_answer_on_disk_that_was_not_booked_is_booked_on_resume(world, monkeypatch):
    world.rows("a", "b")
    real = reservations.end_of

    def dies(*_args, **_kwargs):
        raise RuntimeError("killed between journal and ledger")

    for settles in ("scrimp.routing.ledger.many.end_of", "scrimp.routing.ledger.reservations.end_of"):
        monkeypatch.setattr(settles, dies)
    with pytest.raises(RuntimeError):
        world.go(lambda _call: answer("paid for"), arm="small", concurrency=1)
    assert {row["status"] for row in world.ledger.rows("SELECT status FROM reservations")} == {"reserved"}
    for settles in ("scrimp.routing.ledger.many.end_of", "scrimp.routing.ledger.reservations.end_of"):
        monkeypatch.setattr(settles, real)
    results = world.go(lambda _call: answer("new"), arm="small", run=world.run)
    assert [text for _, _, text in results] == ["paid for", "new"]
    assert {row["status"] for row in world.ledger.rows("SELECT status FROM reservations")} == {"settled"}
    assert len(world.calls) == 2


def test_a_journal_that_lost_its_end_is_noticed(world):
    world.rows("a", "b").go(lambda _call: answer(), arm="small")
    world.run.partial.write_bytes(world.run.partial.read_bytes()[:-20])
    from scrimp.profiles.errors import DataError

    with pytest.raises(DataError, match="shorter than the ledger remembers"):
        world.go(lambda _call: answer(), arm="small", run=world.run)


def test_an_old_failure_in_the_journal_does_not_undo_a_new_try(world):
    world.rows("a").go(lambda _call: error("bad_request", billable="no"), arm="small")

    def killed(_call):
        raise RuntimeError("killed in flight")

    with pytest.raises(RuntimeError):
        world.go(killed, arm="small", run=world.run, retry_errors=True)
    found = scan(world.source)
    journal, recovered, _ = start.open_old(
        world.ledger, world.run, found, world.folder, retry_unknown=False, retry_errors=False, now=1e9
    )
    journal.close()
    assert recovered.n_late == 0
    assert recovered.taken_up == {}
    assert batches.states(world.ledger, "run1") == {0: "unknown"}


def test_cancel_drops_the_journal_and_keeps_the_record(world):
    world.rows("a").go(lambda _call: answer(), arm="small")
    parked.cancel(world.ledger, world.run, world.folder, now=1e9)
    assert batches.counts(world.ledger, "run1") == {"ok": 1}
    assert batches.fetch(world.ledger, "run1").status == "cancelled"
    assert batches.charges(world.ledger, "run1")[1] > 0
    assert not world.run.partial.exists()
    assert Journal.open(world.run.partial, new=True).close() is None


# ---- the plan


def test_the_plan_knows_the_limit_that_a_row_brings(world):
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 3}
    world.rows({"custom_id": "a", "body": body})
    # 100 tokens of output could cost $0.0004; the cap holds the 3 that the row asks for.
    assert world.go(lambda _call: answer(tokens=3), profile=make_profile({"per_call_usd": "0.0003"}))[0][0] == "ok"
    assert world.calls[0].max_output_tokens == 3
    sample = world.engine.desk.planner.sample
    assert sample.tokens.max() <= 3
    assert sample.bound.max() < 0.0003 * 10


def test_true_costs_of_one_arm_move_what_is_expected_of_the_others(world):
    world.rows("a").go(lambda _call: answer(), arm="small")
    planner = world.engine.desk.planner
    planner.n_true.clear(), planner.true_usd.clear(), planner.predicted_usd.clear()
    assert planner.ratios().tolist() == [1.0, 1.0]
    for _ in range(10):
        planner.learn("small", predicted_usd=1.0, true_usd=0.2)
    common = (10 * 0.2 + 10) / 20
    assert planner.ratios() == pytest.approx([(10 * 0.2 + 10 * common) / 20, common])


def test_true_costs_are_held_against_what_the_plan_expects(world):
    """Not against the cost of the median answer, which is less: the plan would believe itself too cheap for ever."""

    world.rows(*[f"prompt {i}" for i in range(40)])
    world.go(lambda _call: answer(), profile=make_profile(only=arm("only", 1, tier="small")))
    (weighed,) = world.engine.desk.chooser.decide(
        [next(good_rows(world.source, scan(world.source)))], Wishes(), start.money_for(
            None, make_profile(), start.Goals(), run_id=None, now=1e9), rng=random.Random(0), now=1e9,
    )[0].decision.choice.weighed  # fmt: skip
    guess = forecast(weighed.option)
    assert guess.low < weighed.option.cost_nano / 1e9 < guess.mean < guess.high
    assert world.engine.desk.planner.predicted_usd["only"] == pytest.approx(
        float(world.engine.desk.planner.sample.cost.sum())
    )


def test_an_arm_asked_for_by_name_is_forecast_until_the_money_is_spent(world):
    world.rows(*[f"prompt {i}" for i in range(20)]).go(lambda _call: answer(), arm="large")
    planner = world.engine.desk.planner
    costs = planner.sample.cost[:, 1]
    guess = planner.estimate(n_rows=20, budget_usd=float(costs[:5].sum()) * 1.001, seconds={}, parallel={})
    assert (guess.n_skipped, guess.arms[0][:2], guess.planned) == (15, ("large", 5), False)
    assert guess.likely_usd == pytest.approx(float(costs[:5].sum()))


def test_a_budget_that_holds_one_reservation_sends_a_row(world):
    """What is held back for chance must not take the last row that the budget can hold."""
    profile = make_profile(large=arm("large", 10, tier="large"), dearer=arm("dearer", 11, tier="large"))
    world.rows("a", "b", "c")
    results = world.go(lambda _call: answer(tokens=100), profile=profile, max_cost=6_900_000)
    assert [status for status, *_ in results].count("ok") == 1


def test_nothing_left_to_plan_is_forecast_as_nothing(world):
    world.rows("a").go(lambda _call: answer(), arm="small")
    found = scan(world.source)
    money = start.money_for(world.ledger, make_profile(), start.Goals(), run_id="run1", now=1e9)
    planner = start.plan(
        world.source, found, world.engine.desk.chooser, Wishes(arm="small"), start.Goals(), money, done=frozenset({0}),
        now=1e9,
    )  # fmt: skip
    assert planner.estimate(n_rows=0, budget_usd=None, seconds={}, parallel={}).n_rows == 0
