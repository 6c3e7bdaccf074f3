"""What `report --duels` says of duels of known truth."""

import json

import numpy as np
import pytest

from scrimp.routing.learn.maths.bradley_terry import outcome_chances
from scrimp.routing.learn.measuring.duels import duel_report
from scrimp.routing.ledger.duels import add_duel, give_verdict, take_back
from scrimp.routing.ledger.store import instant, open_ledger

VERDICTS = ("left", "tie", "right")


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path / "scrimp.db") as ledger:
        yield ledger


def duel(ledger, number, arms, verdict, *, at=0.0, models=("m", "m"), vector=None, profile="p", prompt=None):
    requests = f"{number}l", f"{number}r"
    if vector is not None:
        with ledger.transaction():
            for request in requests:
                ledger.insert(
                    "requests",
                    {"id": request, "created_at": instant(at), "command": "duel", "profile": profile, "status": "ok",
                     "embedding": np.asarray(vector, "<f4").tobytes(), "embedder_id": "e", "prompt": prompt},
                )  # fmt: skip
    add_duel(
        ledger, duel_id=f"{number}", at=instant(at), profile=profile, requests=requests, arms=arms, models=models,
        propensity=None, chances=None, prompt_key=None,
    )  # fmt: skip
    if verdict is not None:
        give_verdict(ledger, f"{number}", verdict, why=None, at="t")


def test_strengths_side_and_ties_are_found_again(ledger):
    truth = {"a": 1.0, "b": 0.0, "c": -1.0}
    rng = np.random.default_rng(2)
    for n in range(300):
        left, right = rng.choice(list(truth), 2, replace=False)
        (chances,) = outcome_chances(np.array([truth[left] - truth[right] + 0.8]), 0.5)
        duel(ledger, n, (str(left), str(right)), VERDICTS[rng.choice(3, p=chances)])
    found = duel_report(ledger)
    assert [each.arm for each in found.strengths] == ["a", "b", "c"]
    for each in found.strengths:
        assert each.low < each.strength < each.high
        assert abs(each.strength - truth[each.arm]) < each.high - each.low, "within four standard deviations"
        assert each.n == each.won + each.tied + each.lost
        assert each.usd_per_answer is None, "no call is on record: not known, and not free"
    assert found.side.low <= 0.8 <= found.side.high
    assert found.side.low > 0.0
    assert found.side.p_left == pytest.approx(1 / (1 + np.exp(-found.side.bias)))
    assert found.strengths[0].above_next > 0.99
    assert sum(each.n for each in found.strengths) == 2 * found.n == 600
    json.dumps(found.to_dict(), allow_nan=False)


def test_an_arm_with_another_model_is_somebody_else(ledger):
    for n in range(10):
        duel(ledger, n, ("a", "b"), "left", models=("old", "m"))
        duel(ledger, 100 + n, ("a", "b"), "right", models=("new", "m"))
    found = duel_report(ledger)
    assert [(each.arm, each.model) for each in found.strengths] == [("a", "old"), ("b", "m"), ("a", "new")]


def test_what_is_too_little_is_said(ledger):
    assert "no duel" in duel_report(None).notes[0]
    duel(ledger, 0, ("a", "b"), None)
    assert duel_report(ledger).n == 0, "not judged"
    duel(ledger, 1, ("a", "b"), "neither", at=10.0)
    found = duel_report(ledger)
    assert found.notes[0] == "too few duels to tell an order: 1 among 2 arms, and below 10 it is a guess"
    assert [(each.tied, each.strength) for each in found.strengths] == [(1, 0.0), (1, 0.0)]
    assert duel_report(ledger, since=11.0).n == 0
    assert duel_report(ledger, profile="q").n == 0
    take_back(ledger, "1")
    assert duel_report(ledger).n == 0


def test_kinds_of_prompts_are_told_apart(ledger):
    """Two directions: on one a wins, on the other b; a third kind has too few duels."""
    rng = np.random.default_rng(3)
    for n in range(80):
        kind = n % 2
        vector = np.eye(4)[kind] + 0.02 * rng.normal(size=4)
        winner = "left" if (kind == 0) == (n % 4 < 2) else "right"
        arms = ("a", "b") if n % 4 < 2 else ("b", "a")
        duel(ledger, n, arms, winner, vector=vector / np.linalg.norm(vector), prompt=f"kind {kind}")
    found = duel_report(ledger)
    assert {(kind.example, kind.n, kind.strengths[0].arm) for kind in found.kinds} == {
        ("kind 0", 40, "a"),
        ("kind 1", 40, "b"),
    }
    assert found.n_of_no_kind == 0
    assert abs(found.strengths[0].strength) < 0.3
    for n in range(5):
        duel(ledger, 1000 + n, ("a", "b"), "left")
    assert duel_report(ledger).n_of_no_kind == 5, "of these no features were kept"
