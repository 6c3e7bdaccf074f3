"""What a refit makes of hinted and other answers: estimates, tests over many looks, the next chances, the threshold."""

import numpy as np
import pytest
from simulated_hints import weekly

from scrimp.routing.asking.hinting import FAIR, START
from scrimp.routing.learn.judging.hints import (
    LEAST,
    Label,
    as_line,
    judge_hints,
    labels_in,
    share_of_error,
    threshold,
)
from scrimp.routing.ledger.labels import add_label
from scrimp.routing.ledger.store import new_id, open_ledger


def test_a_hand_worked_difference():
    labels = [
        Label("a@1", hinted, 0.5, 0.5, reward) for hinted, reward in [(True, 1), (True, 1), (False, 1), (False, 0)]
    ]
    found = judge_hints(labels, [])
    assert found["overall"]["effect"] == pytest.approx(0.5)  # 1 with it, 1/2 without
    assert found["overall"]["n_hinted"] == 2
    assert found["overall"]["verdict"] == "open"
    assert not found["overall"]["tested"]
    assert found["kinds"]["a@1"]["chance"] == FAIR
    assert found["threshold"] == {"value": START, "basis": "start"}
    assert judge_hints([], []) is None


def test_kinds_of_unequal_ease_are_not_taken_for_an_effect():
    """One kind is easy and mostly hinted, the other hard and mostly not: the hints change nothing."""
    rng = np.random.default_rng(0)
    labels = [
        Label(name, bool(rng.random() < p), p, 0.5, float(rng.random() < ease))
        for name, p, ease in (("easy@1", 0.75, 0.95), ("hard@1", 0.25, 0.2))
        for _ in range(2000)
    ]
    found = judge_hints(labels, [])
    naive = np.mean([each.reward for each in labels if each.hinted]) - np.mean(
        [each.reward for each in labels if not each.hinted]
    )
    assert naive > 0.3
    assert abs(found["overall"]["effect"]) < 0.03
    assert found["overall"]["verdict"] == "open"


def test_the_coin_goes_the_right_way_where_hints_help_and_harm():
    rng = np.random.default_rng(1)
    shown = 0
    for _ in range(5):
        kinds = weekly(rng, {"good@1": 0.1, "bad@1": -0.1}, n_weeks=24, each_week=250)[-1]["kinds"]
        good, bad = kinds["good@1"], kinds["bad@1"]
        assert good["verdict"] in ("helps", "open")
        assert bad["verdict"] in ("harms", "open")
        assert good["chance"] > FAIR > bad["chance"]
        assert good["chance"] == 0.9 or (good["verdict"] == "open" and good["chance"] <= 0.7)
        assert good["low"] < 0.1 < good["high"]
        shown += (good["verdict"] == "helps") + (bad["verdict"] == "harms")
    assert shown >= 8


def test_the_error_of_all_tests_and_all_looks_together():
    """Of 60 users with three hints that change nothing, and a refit after every 60 labels, few are ever told they do."""
    rng = np.random.default_rng(2)
    n, told = 60, 0
    for _ in range(n):
        said = weekly(rng, {"a@1": 0.0, "b@1": 0.0, "c@1": 0.0}, n_weeks=8, each_week=60)
        told += any(
            each["verdict"] != "open" for found in said for each in (found["overall"], *found["kinds"].values())
        )
    assert told / n <= 0.05


def test_tests_spend_their_share_and_wait_for_labels():
    rng = np.random.default_rng(3)
    said = weekly(rng, {"a@1": 0.0, "b@1": 0.0}, n_weeks=6)
    assert [found["overall"]["tested"] for found in said] == [True, True, True, True, False, True]  # 200 to 250: few
    orders = {key: said[-1]["kinds"][key]["order"] for key in ("a@1", "b@1")}
    assert sorted(orders.values()) == [2, 3]
    assert said[-1]["overall"]["order"] == 1
    spent = [found["overall"]["spent"] for found in said]
    assert spent == sorted(spent)
    assert spent[-1] < share_of_error(1) / 2
    labels = [Label("a@1", n % 2 == 0, 0.5, 0.5, float(n % 3 == 0)) for n in range(LEAST)]
    first = judge_hints(labels, [])
    assert first["overall"]["tested"]
    again = judge_hints(labels, [first])
    assert not again["overall"]["tested"]  # nothing is new
    assert again["overall"]["spent"] == first["overall"]["spent"]
    assert not judge_hints(labels[:-1], [])["overall"]["tested"]
    assert not judge_hints(labels, [], tests=False)["overall"]["tested"]


def test_what_was_shown_stands_until_the_opposite_is():
    labels = [Label("a@1", n % 2 == 0, 0.5, 0.5, float(n % 2 == 0)) for n in range(200)]
    first = judge_hints(labels, [])
    assert first["kinds"]["a@1"]["verdict"] == "helps"
    assert first["kinds"]["a@1"]["chance"] == 0.9
    more = [*labels, *(Label("a@1", n % 10 > 0, 0.9, 0.5, float(n % 3 == 0)) for n in range(100))]
    assert judge_hints(more, [first])["kinds"]["a@1"]["verdict"] == "helps"
    against = [*labels, *(Label("a@1", n % 2 == 0, 0.5, 0.5, float(n % 2)) for n in range(800))]
    assert judge_hints(against, [first])["kinds"]["a@1"]["verdict"] == "harms"


def test_labels_that_are_all_alike_say_nothing():
    found = judge_hints([Label("a@1", n % 2 == 0, 0.5, 0.5, 1.0) for n in range(100)], [])
    assert found["kinds"]["a@1"]["verdict"] == "open"
    assert found["kinds"]["a@1"]["chance"] == FAIR
    assert found["threshold"]["value"] == pytest.approx(START)


# -- from what similarity on -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("turn", "low", "high"), [(0.6, 0.45, 0.65), (0.3, START - 0.1, START - 0.02)])
def test_the_threshold_is_where_hints_begin_to_help(turn, low, high):
    rng = np.random.default_rng(4)

    def effect(cosine):
        return float(np.clip(0.8 * (cosine - turn), -0.3, 0.3))

    said = weekly(rng, {"a@1": effect}, n_weeks=30, each_week=150, similarity=(0.2, 0.9))
    assert low - 1e-9 <= said[-1]["threshold"]["value"] <= high + 1e-9
    assert said[-1]["threshold"]["basis"] == "labels"


def test_a_threshold_never_leaves_its_range():
    always = [Label("a@1", n % 2 == 0, 0.5, 0.45, float(n % 2 == 0)) for n in range(3000)]
    never = [Label("a@1", n % 2 == 0, 0.5, 0.45, float(n % 2)) for n in range(3000)]
    assert threshold(always) == (pytest.approx(START - 0.1), "labels")
    assert threshold(never)[0] > 0.45
    assert threshold(never)[0] <= 0.91
    assert threshold(never[: LEAST - 1]) == (START, "start")


def test_a_doubt_moves_no_threshold():
    rng = np.random.default_rng(5)
    for _ in range(20):
        said = weekly(rng, {"a@1": 0.0}, n_weeks=1, each_week=60, similarity=(START, 0.6))
        assert START - 0.1 <= said[-1]["threshold"]["value"] <= START + 0.1


# -- in words, and from the log --------------------------------------------------------------------------------------


def test_in_words():
    each = {"effect": 0.031, "low": -0.01, "high": 0.072, "n": 84, "verdict": "open"}
    assert as_line(each) == "+3.1 points [-1.0, +7.2], n = 84: not shown to help"
    assert as_line(each | {"verdict": "harms"}).endswith(": shown to harm")
    assert as_line(each | {"low": None, "n": 1}) == "n = 1: too few to tell"


@pytest.fixture
def ledger(tmp_path):
    ledger = open_ledger(tmp_path / "scrimp.db")
    yield ledger
    ledger.close()


def logged(ledger, *, profile="work", **columns):
    key = new_id()
    row = {"hint": "a@1", "hinted": 1, "hint_propensity": 0.9, "hint_similarity": 0.5, "arm": "small", **columns}
    fixed = {"created_at": "2026-11-29T00:00:00Z", "command": "ask", "profile": profile, "status": "ok"}
    with ledger.transaction():
        ledger.insert("requests", {"id": key, **fixed, **row})
    return key


def test_labels_of_draws_alone_count_once_for_each_answer(ledger):
    def label(key, reward, source, arm="small"):
        add_label(ledger, request_id=key, arm=arm, reward=reward, source=source, at="2026-11-29T00:00:00Z")

    hinted = logged(ledger)
    label(hinted, 0.0, "rating")
    label(hinted, 1.0, "rating")  # the newer one counts
    label(hinted, 0.0, "rating", arm="large")  # of another arm's answer
    label(hinted, 0.0, "redo")
    label(hinted, 0.0, "agreement")
    kept_back = logged(ledger, hinted=0, hint_propensity=0.1)
    label(kept_back, 1.0, "check")
    label(kept_back, 0.4, "rating")  # counts for half as much as a check
    for other in (
        logged(ledger, hint_propensity=None),  # asked for by name
        logged(ledger, hinted=None, hint_propensity=None),  # too far
        logged(ledger, profile="other"),
    ):
        label(other, 1.0, "rating")
    logged(ledger)  # without a label
    first, second = labels_in(ledger, "work")
    assert first == Label("a@1", hinted=True, p=0.9, similarity=0.5, reward=1.0)
    assert second.reward == pytest.approx(0.8)
    assert (second.hinted, second.p) == (False, pytest.approx(0.9))
    assert len(labels_in(ledger, None)) == 3
    assert labels_in(None, "work") == []
