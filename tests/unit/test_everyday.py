"""Judged prompts measured: every figure by hand, for a router that reads the level off the prompt."""

from decimal import Decimal

import numpy as np
import pytest

from scrimp.profiles.errors import DataError
from scrimp.profiles.schema import Arm, Caps, Policy, Price, Profile
from scrimp.routing.deciding.decide import Decider
from scrimp.routing.learn.data.judged import Judged
from scrimp.routing.learn.measuring.everyday import evaluate_judged
from scrimp.routing.prices.table import PriceTable
from scrimp.routing.router.arms import Predictions

CHEAP = (0.99, 0.9, 0.7, 0.4, 0.1)
DEAR = (1.0, 0.95, 0.9, 0.8, 0.7)


class Reader:
    """A router, and its embedder: the prompt's last word is its level, and each arm's quality there is given."""

    version, embedder_id, note, id = "reader", "reads", None, "reads"

    def __init__(self, *quality, levels=True):
        self.quality, self.levels = np.array(quality), levels

    def embed(self, texts):
        return np.array([[float(text.split()[-1])] for text in texts], dtype=np.float32)

    def predict(self, embeddings, surface, arms):
        level = embeddings[:, 0].astype(float)
        quality = np.array([np.interp(level, [1, 2, 3, 4, 5], each) for each in self.quality]).T
        return Predictions(
            quality=quality,
            quality_low=quality,
            quality_high=quality,
            basis=("calibrated",) * len(arms),
            rests_on=("outcomes",) * len(arms),
            output_tokens_p50=np.full_like(quality, 100.0),
            output_tokens_p90=np.full_like(quality, 300.0),
            ood=np.full(len(level), 0.5),
            level=level if self.levels else np.full(len(level), np.nan),
        )


def arm(name, per_mtok):
    price = (
        None if per_mtok is None else Price(input_usd_per_mtok=Decimal(per_mtok), output_usd_per_mtok=Decimal(per_mtok))
    )
    return Arm(name=name, model=f"acme/{name}", api_base="http://127.0.0.1:1/v1", price=price, max_output_tokens=1000)


def judged(levels=(1, 2, 3, 4, 5) * 10, kinds=None, said=None):
    """Prompts whose router sees `said`, and whose judges said `levels`."""
    n = len(levels)
    prompts = tuple(f"question {level}" for level in (said or levels))
    return Judged(tuple(map(str, range(n))), tuple(kinds or ["k"] * n), prompts, np.array(levels, dtype=float))


def report(rows, router, arms=None, wtp_usd=0.1):
    arms = arms or (arm("cheap", 1), arm("dear", 100))
    policy = Policy(wtp_usd=wtp_usd)
    profile = Profile(name="p", arms=arms, default_arm=arms[0].name, caps=Caps(), policy=policy)
    return evaluate_judged(rows, Decider(profile, PriceTable(b"{}", "test"), router, router), n_bootstrap=50)


def test_a_router_that_knows_is_given_full_marks():
    found = report(judged(), Reader(CHEAP, DEAR), wtp_usd=0.1)
    assert (found.n, found.n_easy, found.n_hard) == (50, 20, 20)
    assert (found.cheapest, found.best) == ("cheap", "dear")
    for each in (found.rank, found.level_rank, found.auc, found.easy_cheapest, found.hard_dearer):
        assert each.value == pytest.approx(1.0)
        assert each.low == pytest.approx(1.0)
    assert found.quality_1.value == pytest.approx(0.99)
    assert found.quality_5.value == pytest.approx(0.1)
    # A tenth of a dollar for a right answer: the dear one costs a cent, and is worth it from level 3 on.
    assert found.arms == {"cheap": [10, 10, 0, 0, 0], "dear": [0, 0, 10, 10, 10]}
    assert found.by_kind == {"k": 1.0}
    assert found.length_rank.value == 0.0  # all are of one length
    assert found.length_auc.value == 0.5
    assert found.to_dict()["within_kind"] == 1.0


def test_a_router_for_which_all_is_one_is_given_none():
    found = report(judged(), Reader((0.7,) * 5, (0.8,) * 5), wtp_usd=1.0)
    assert found.rank.value == 0.0
    assert found.auc.value == 0.5
    assert (found.easy_cheapest.value, found.hard_dearer.value) == (0.0, 1.0)
    assert found.quality_1.value == found.quality_5.value == pytest.approx(0.7)


def test_the_gap_is_measured_and_not_the_quality():
    """Hard prompts are hard for both: the dear arm is worth most on the easy ones."""
    found = report(judged(), Reader((0.5, 0.45, 0.3, 0.2, 0.1), (1.0, 0.9, 0.5, 0.25, 0.1)), wtp_usd=0.1)
    assert found.rank.value == pytest.approx(1.0)
    assert found.auc.value == 0.0


def test_what_is_the_wrong_way_round_is_said_so():
    found = report(judged(said=(5, 4, 3, 2, 1) * 10), Reader(CHEAP, DEAR), wtp_usd=0.1)
    assert found.rank.value == found.level_rank.value == pytest.approx(-1.0)
    assert found.auc.value == 0.0
    assert (found.easy_cheapest.value, found.hard_dearer.value) == (0.0, 0.0)
    assert found.by_kind == {"k": -1.0}


@pytest.mark.parametrize(("wtp", "easy", "hard"), [(1e-6, 1.0, 0.0), (1000.0, 0.0, 1.0)])
def test_what_a_right_answer_is_worth_moves_the_shares(wtp, easy, hard):
    found = report(judged(), Reader(CHEAP, DEAR), wtp_usd=wtp)
    assert (found.easy_cheapest.value, found.hard_dearer.value) == (easy, hard)


def test_the_cheapest_is_found_wherever_it_stands_and_arms_of_one_price_are_as_cheap():
    arms = (arm("dear", 100), arm("twin", 1), arm("cheap", 1))
    found = report(judged(), Reader(DEAR, CHEAP, np.array(CHEAP) + 0.001), arms, wtp_usd=0.1)
    assert (found.cheapest, found.best) == ("twin", "dear")
    assert found.arms["cheap"][0] == 10  # better by a thousandth, at the same price
    assert found.easy_cheapest.value == 1.0


def test_levels_between_are_counted_where_they_belong():
    rows = judged((1.5, 2.0, 2.5, 3.5, 4.0, 5.0, 1.25, 4.75) * 5)
    found = report(rows, Reader(CHEAP, DEAR), wtp_usd=0.1)
    assert (found.n_easy, found.n_hard) == (15, 15)
    assert found.quality_1.value == pytest.approx(0.99 - 0.25 * 0.09)  # only 1.25 is as good as 1
    assert found.quality_5.value == pytest.approx((0.1 + 0.4 - 0.75 * 0.3) / 2)


def test_a_router_without_levels_is_ranked_by_its_quality():
    found = report(judged(), Reader(CHEAP, DEAR, levels=False), wtp_usd=0.1)
    assert found.level_rank is None
    assert found.to_dict()["level_rank"] is None
    assert found.by_kind == {"k": 1.0}


def test_small_kinds_are_not_shown():
    found = report(judged(kinds=["a"] * 30 + ["b"] * 19 + ["c"]), Reader(CHEAP, DEAR), wtp_usd=0.1)
    assert list(found.by_kind) == ["a"]
    none = report(judged(kinds=[f"{i % 5}" for i in range(50)]), Reader(CHEAP, DEAR), wtp_usd=0.1)
    assert none.by_kind == {}
    assert none.to_dict()["within_kind"] is None


def test_without_a_price_the_cheapest_cannot_be_said():
    with pytest.raises(DataError, match="no price is known of unpriced"):
        report(judged(), Reader(CHEAP, DEAR), (arm("cheap", 1), arm("unpriced", None)))


@pytest.mark.parametrize("levels", [(1, 5) * 9, (1, 2, 3) * 10, (3, 4, 5) * 10])
def test_too_few(levels):
    with pytest.raises(DataError, match="too few"):
        report(judged(levels), Reader(CHEAP, DEAR))
