"""What is made of answers: worked by hand, learned from labels, offered where labels speak for it."""

import json

import numpy as np
import pytest

from scrimp.routing.ledger.labels import add_label
from scrimp.routing.ledger.store import open_ledger
from scrimp.routing.plans.grammar import read_plan
from scrimp.routing.plans.plan import Plan, Stage
from scrimp.routing.plans.record import learned_skills
from scrimp.routing.plans.skills import ENOUGH, PRIORS, Tried, learn_skill, prior_skill
from scrimp.routing.plans.tariff import Flat
from scrimp.routing.plans.value import Planner

ARMS = ["a", "b", "c", "d"]
QUALITY = [0.5, 0.6, 0.7, 0.9]


def right(text, skills=None, spread=0.0):
    plan = read_plan(text, ARMS, [])
    planner = Planner(spread=spread, skills=skills or {})
    return float(planner.values((plan,), ARMS, QUALITY, Flat(dict.fromkeys(ARMS, 1), dict.fromkeys(ARMS, 1)))[0][0])


@pytest.mark.parametrize(
    ("text", "some", "role"),
    [
        ("a + b => d", 1 - 0.5 * 0.4, "merge"),
        ("a => d", 0.5, "merge"),
        ("a*3 => d", 1 - 0.5 * (1 - 0.2 * 0.5) ** 2, "merge"),  # an arm that was wrong mostly is so again
        ("a leads b + c", 1 - 0.5 * 0.4 * 0.3, "lead"),
        ("a + b + c bid", 1 - 0.5 * 0.4 * 0.3, "bid"),
        ("a + b + c knockout d", 1 - 0.5 * 0.4 * 0.3, "knockout"),
    ],
)
def test_what_is_made_of_answers_worked_by_hand(text, some, role):
    skill = prior_skill(role)
    assert right(text) == pytest.approx(some * skill.pick + (1 - some) * skill.repair)
    learned = {(role, arm): learn_skill(role, [Tried(1.0, 1.0)] * 90) for arm in (*ARMS, "")}
    assert right(text, learned) > right(text)


def test_merges_in_turn_and_after_a_check():
    pick, repair = 0.85, 0.1
    first = 0.5 * pick + 0.5 * repair
    assert right("a => b => c") == pytest.approx(first * pick + (1 - first) * repair)
    both = 0.97 * 0.3 + 0.2 * 0.5 * 0.4
    some = 1 - 0.3 * 0.1
    merged = some * pick + (1 - some) * repair
    assert right("a + b ? agree > c + d => d") == pytest.approx(0.97 * 0.3 + (1 - both) * merged)


def test_the_priors_are_those_that_are_stated():
    merge = prior_skill("merge")
    assert (merge.pick, merge.repair, merge.n) == (0.85, 0.1, 0)
    assert all(sum(counts[:2]) == sum(counts[2:]) == 10 for counts in PRIORS.values())
    assert merge.pick_low < merge.pick


def test_skills_are_found_again_from_labels_of_what_came_of_it():
    rng = np.random.default_rng(0)
    tried = []
    for _ in range(4_000):
        some = float(rng.uniform(0.05, 0.99))
        chance = 0.95 if rng.random() < some else 0.3
        tried.append(Tried(some, float(rng.random() < chance)))
    skill = learn_skill("merge", tried)
    assert skill.pick == pytest.approx(0.95, abs=0.03)
    assert skill.repair == pytest.approx(0.3, abs=0.04)
    assert skill.pick - skill.pick_low < 0.02


def chosen(texts, skills, wtp_usd=1.0, asked_for=False):
    plans = tuple(read_plan(text, ARMS, []) for text in texts)
    planner = Planner(spread=0.0, skills=skills)
    flat = Flat(dict.fromkeys(ARMS, 1), dict.fromkeys(ARMS, 1))
    return planner.choose(plans, ARMS, QUALITY, flat, wtp_usd=wtp_usd, asked_for=asked_for)


def test_a_merge_is_offered_from_thirty_labels_of_its_arm_on():
    for n, taken in ((ENOUGH - 1, "d"), (ENOUGH, "a + b + c => d")):
        skills = {("merge", "d"): learn_skill("merge", [Tried(0.9, 1.0)] * n)}
        assert str(chosen(["d", "a + b + c => d"], skills).taken.plan) == taken
    other = {("merge", "c"): learn_skill("merge", [Tried(0.9, 1.0)] * 90)}
    assert str(chosen(["d", "a + b + c => d"], other).taken.plan) == "d"
    assert chosen(["a + b + c => d"], {}, asked_for=True).taken is not None


@pytest.mark.parametrize(("text", "role", "arm"), [
    ("d leads a + b + c", "lead", "d"),
    ("a + b + c + d bid", "bid", ""),
    ("a + b + c + d knockout d", "knockout", "d"),
])  # fmt: skip
def test_other_kinds_are_offered_where_the_lower_end_of_their_worth_is_above_all_else(text, role, arm):
    few = {(role, arm): learn_skill(role, [Tried(0.99, 1.0)] * (ENOUGH - 1))}
    mixed = {(role, arm): learn_skill(role, [Tried(0.99, 1.0), *[Tried(0.99, 1.0)] * 4, Tried(0.99, 0.0)] * 6)}
    shown = {(role, arm): learn_skill(role, [Tried(0.99, 1.0)] * 200)}
    assert str(chosen(["d", text], few).taken.plan) == "d"
    not_taken = chosen(["d", text], mixed)
    assert (str(not_taken.taken.plan), not_taken.others[0].infeasible) == ("d", "labels do not show that it pays")
    assert str(chosen(["d", text], shown).taken.plan) == text


@pytest.mark.parametrize(
    ("plan", "kind", "arm", "stage", "key"),
    [
        (Plan((Stage(("a", "b"), None, "merge", ("c",)),)), "merge", "c", 1, ("merge", "c")),
        (Plan((Stage(("a",), "*"), Stage(("b",), None, "merge", ("b", "c")))), "merge", "c", 2, ("merge", "c")),
        (Plan((Stage(("a", "b"), None, "merge", ("c",)),)), "ask", "a", 1, None),  # the merger gave no answer
        (Plan((Stage(("a", "b"), None, "lead", ("d",)),)), "lead", "d", 1, ("lead", "d")),
        (Plan((Stage(("a", "b"), None, "bid"),)), "ask", "b", 1, ("bid", "")),
        (Plan((Stage(("a", "b"), None, "knockout", ("d",)),)), "ask", "a", 1, ("knockout", "d")),
    ],
)
def test_labels_of_the_log_teach_whom_they_are_about(tmp_path, plan, kind, arm, stage, key):
    with open_ledger(tmp_path / "scrimp.db") as ledger:
        trace = {
            "plan": plan.to_dict(),
            "arms": [{"name": n, "quality": q} for n, q in zip(ARMS, QUALITY, strict=True)],
        }
        made = {"merge": "merge", "lead": "lead", "bid": "bid", "knockout": "drop"}[plan.stages[-1].how]
        at = "2026-01-01T00:00:00Z"
        with ledger.transaction():
            ledger.insert(
                "requests",
                {"id": "r", "created_at": at, "command": "ask", "profile": "p", "status": "ok", "arm": arm,
                 "decision": json.dumps(trace)},
            )  # fmt: skip
            for seq, (of, who, taken) in enumerate([(made, "d", 0), (kind, arm, 1)], start=1):
                ledger.insert(
                    "steps",
                    {"request_id": "r", "seq": seq, "stage": stage, "kind": of, "arm": who, "outcome": "answered",
                     "charged_nano": 1, "taken": taken, "at": at},
                )  # fmt: skip
        assert learned_skills(ledger) == {}
        add_label(ledger, request_id="r", arm=arm, reward=1.0, source="rating", at=at)
        skills = learned_skills(ledger)
        assert set(skills) == ({key} if key else set())
        if key:
            assert (skills[key].n, skills[key].pick > prior_skill(key[0]).pick) == (1, True)
