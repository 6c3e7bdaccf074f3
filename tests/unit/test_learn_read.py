"""The log as the learner sees it: what was drawn, what was checked, what was asked again."""

import json

import numpy as np
import pytest

from scrimp.routing.learn.data.read import read_log
from scrimp.routing.ledger.duels import add_duel, give_verdict, take_back
from scrimp.routing.ledger.store import instant, open_ledger
from scrimp.routing.prompts.surface import FEATURE_NAMES
from scrimp.routing.router.arms import ArmInfo

ARMS = (ArmInfo(name="small", model="x/small"), ArmInfo(name="large", model="x/large"))
DIM = 4


@pytest.fixture
def log(tmp_path):
    with open_ledger(tmp_path / "scrimp.db") as ledger:

        class Log:
            @staticmethod
            def ask(
                key, arm, *, propensity=None, models=("x/small", "x/large"), redo_of=None, command="ask", embedder="e"
            ):
                chances = {"small": 0.9, "large": 0.1}
                trace = {
                    "input_tokens": 12,
                    "arms": [
                        {"name": name, "model": model, "feasible": True, "by_cap": False,
                         "propensity": chances[name] if propensity is not None else None}
                        for name, model in zip(("small", "large"), models, strict=True)
                    ],
                }  # fmt: skip
                with ledger.transaction():
                    ledger.insert(
                        "requests",
                        {"id": key, "created_at": instant(1.7e9), "command": command, "profile": "p", "status": "ok",
                         "arm": arm, "propensity": propensity, "decision": json.dumps(trace), "redo_of": redo_of,
                         "embedding": np.full(DIM, 0.5, "<f4").tobytes(), "embedder_id": embedder,
                         "surface": json.dumps([0.0] * len(FEATURE_NAMES))},
                    )  # fmt: skip

            @staticmethod
            def label(key, arm, reward, source, weight=1.0):
                with ledger.transaction():
                    ledger.insert(
                        "labels",
                        {
                            "request_id": key,
                            "arm": arm,
                            "reward": reward,
                            "source": source,
                            "weight": weight,
                            "at": "t",
                        },
                    )

            @staticmethod
            def audited(n_pool, n_sampled):
                with ledger.transaction():
                    ledger.insert(
                        "audits",
                        {"at": "t", "profile": "p", "arm": "large", "first_n": 1, "last_n": 10**9, "n_pool": n_pool,
                         "n_sampled": n_sampled},
                    )  # fmt: skip

            @staticmethod
            def read(**options):
                return read_log(ledger, "p", ARMS, embedder_id="e", dim=DIM, **options)

        Log.ledger = ledger
        yield Log


def test_a_checked_draw_has_the_logged_chances(log):
    log.ask("a", "small", propensity=0.9)
    log.label("a", "small", 1.0, "check")
    read = log.read()
    assert read.judged[0].tolist() == pytest.approx([1.0, np.nan], nan_ok=True)
    assert read.chance[0].tolist() == [0.9, 0.1]
    assert (read.propensity[0], read.chosen[0], read.input_tokens[0]) == (0.9, 0, 12)


def test_what_was_not_drawn_may_not_judge(log):
    log.ask("a", "small")
    log.label("a", "small", 1.0, "check")
    read = log.read()
    assert read.reward[0, 0] == 1.0
    assert np.isnan(read.judged).all()


def test_ratings_and_redos_are_fitted_on_with_less_weight_and_do_not_judge(log):
    log.ask("a", "small", propensity=0.9)
    log.label("a", "small", 0.0, "rating")
    log.label("a", "small", 1.0, "rating")
    log.ask("b", "large", redo_of="a", command="redo")
    log.label("b", "large", 1.0, "rating")
    read = log.read()
    assert len(read) == 1, "what was asked again is the same prompt"
    assert read.reward[0].tolist() == [1.0, 1.0]
    assert read.weight[0].tolist() == [0.5, 0.5]
    assert np.isnan(read.judged).all()
    assert "contradict" in " ".join(read.notes)


def test_an_audit_shows_both_arms(log):
    log.ask("a", "small", propensity=0.9)
    log.ask("b", "large", redo_of="a", command="audit")
    log.label("a", "small", 0.0, "audit")
    log.label("b", "large", 1.0, "audit")
    read = log.read()
    assert read.judged[0].tolist() == [0.0, 1.0]
    assert read.chance[0].tolist() == [1.0, 1.0]


def test_an_audit_of_what_was_checked_anyway_counts_by_its_rate(log):
    log.ask("a", "small", propensity=0.9)
    log.label("a", "small", 0.0, "check")
    log.ask("b", "large", redo_of="a", command="audit")
    log.label("b", "large", 1.0, "audit")
    log.audited(10, 5)
    read = log.read()
    assert read.chance[0].tolist() == pytest.approx([0.9, 0.1 + 0.9 * 0.5])


def duel(ledger, left, right, arms, chances):
    add_duel(
        ledger, duel_id="d", at="t", profile="p", requests=(left, right), arms=arms,
        propensity=None if chances is None else 0.3, chances=chances, prompt_key=None,
    )  # fmt: skip


def test_a_duel_counts_by_the_chance_that_each_arm_had_to_be_seen(log):
    log.ask("a", "small", command="duel")
    log.ask("b", "large", redo_of="a", command="duel")
    duel(log.ledger, "a", "b", ("small", "large"), {"small": 0.7, "large": 0.9, "gone": 0.4})
    assert np.isnan(log.read().judged).all(), "no verdict, no label"
    give_verdict(log.ledger, "d", "right", why=None, at="t")
    read = log.read()
    assert read.judged.tolist() == [[0.0, 1.0]], "one prompt, asked twice"
    assert read.chance[0].tolist() == [0.7, 0.9]
    take_back(log.ledger, "d")
    assert np.isnan(log.read().judged).all()


def test_a_duel_of_named_arms_was_there_for_the_asking(log):
    log.ask("a", "small", command="duel")
    log.ask("b", "large", redo_of="a", command="duel")
    duel(log.ledger, "a", "b", ("small", "large"), None)
    give_verdict(log.ledger, "d", "tie", why=None, at="t")
    read = log.read()
    assert (read.judged[0].tolist(), read.chance[0].tolist()) == ([1.0, 1.0], [1.0, 1.0])


def test_another_model_under_the_same_name_is_left_out(log):
    log.ask("a", "small", propensity=0.9, models=("x/older", "x/large"))
    log.label("a", "small", 1.0, "check")
    read = log.read()
    assert np.isnan(read.reward).all()
    assert "another model" in " ".join(read.notes)


def test_another_embedder_without_text_is_left_out(log):
    log.ask("a", "small", embedder="other")
    log.label("a", "small", 1.0, "check")
    read = log.read(embed=lambda texts: np.zeros((len(texts), DIM), np.float32))
    assert len(read) == 0
    assert "another embedder" in " ".join(read.notes)


def test_an_empty_log_and_no_log(log):
    assert len(log.read()) == 0
    assert len(read_log(None, "p", ARMS, embedder_id="e", dim=DIM)) == 0
