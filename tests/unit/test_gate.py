"""The gate keeps its word: what is better passes, what is not does not, and luck does not add up."""

import statistics
from dataclasses import replace

import numpy as np
import pytest
from simulated_log import labelled, pool, trial

from scrimp.routing.learn.judging.gate import bounds, certify, clopper_pearson_upper, judge_gain
from scrimp.routing.learn.judging.judge import Views, compare
from scrimp.routing.learn.maths.sequential import Look, level_of_test, spent_by


def words(runs, *, seed=0, **setting):
    rng = np.random.default_rng(seed)
    arms = pool()
    out = []
    for _ in range(runs):
        log, views = trial(rng, **setting)
        out.append(judge_gain(compare(log, views, arms, rng=rng, details=False)).word)
    return {word: out.count(word) / runs for word in ("promoted", "refused", "no-change")}


def looks(times):
    """Return tests at these amounts of information, each at the level it is given."""
    past = []
    for time in times:
        past.append(Look(time, level_of_test(time, past), spent_by(time)))
    return past


@pytest.mark.parametrize("times", [(100.0,), (25.0, 50.0, 100.0, 200.0), tuple(20.0 * 1.05**k for k in range(80))])
def test_tests_of_a_growing_log_spend_what_they_say(times):
    """Sums of independent scores, tested as they grow: the share ever above a bound is the error spent."""
    rng = np.random.default_rng(0)
    past = looks(times)
    steps = np.sqrt(np.diff((0.0, *times)))
    z = (rng.normal(size=(40_000, len(times))) * steps).cumsum(axis=1) / np.sqrt(times)
    bounds_ = np.array([-statistics.NormalDist().inv_cdf(look.level) for look in past])
    assert (z > bounds_).any(axis=1).mean() == pytest.approx(past[-1].spent, rel=0.1)
    assert past[-1].spent < 0.05


def test_tests_that_go_together_leave_more_for_the_next():
    (first,) = looks([100.0])
    apart = level_of_test(120.0, [replace(first, terms="another worth")], terms="this one")
    together = level_of_test(120.0, [first])
    assert apart == pytest.approx(spent_by(120.0) - spent_by(100.0)), "the union bound"
    assert together > 1.5 * apart
    assert level_of_test(50.0, [first]) == 0.0, "nothing is left to spend"
    unknown = Look(None, 0.03, 0.03)
    assert level_of_test(200.0, [unknown]) == pytest.approx(spent_by(200.0) - 0.03)


@pytest.mark.parametrize("changed", [0.1, 0.2, 0.3])
def test_five_points_with_every_outcome_known_pass(changed):
    """The judged quarter of n = 2,000."""
    assert words(200, n=500, gain=0.05, changed=changed)["promoted"] >= 0.9


@pytest.mark.parametrize("gain", [0.0, -0.02])
@pytest.mark.parametrize("changed", [0.1, 0.3])
def test_equal_or_worse_does_not_pass(gain, changed):
    assert words(300, n=500, gain=gain, changed=changed)["promoted"] <= 0.05


@pytest.mark.parametrize("epsilon", [0.02, 0.05, 0.2])
@pytest.mark.parametrize("near_tie", [True, False])
def test_equal_or_worse_does_not_pass_on_drawn_outcomes_either(epsilon, near_tie):
    """At 2% exploration among near ties a naive test promoted a router 2 points worse in 19% of runs."""
    for gain in (0.0, -0.02):
        share = words(100, n=2000, gain=gain, changed=0.3, epsilon=epsilon, near_tie=near_tie)
        assert share["promoted"] <= 0.05 + 0.03, "100 runs: three more may be chance"


@pytest.mark.parametrize("epsilon", [0.02, 0.05, 0.2])
def test_without_support_it_refuses_and_names_the_arm(epsilon):
    rng = np.random.default_rng(0)
    log, views = trial(rng, n=2000, gain=0.05, changed=0.3, epsilon=epsilon, near_tie=True)
    judgement = compare(log, views, pool(), rng=rng)
    verdict = judge_gain(judgement)
    assert verdict.word == "refused"
    assert not verdict.tested, "nothing was tested, so no error is spent"
    assert "arm1" in " ".join(verdict.reasons)
    assert "audit" in " ".join(verdict.reasons)


def test_values_by_weights_alone_stand_beside_the_doubly_robust_ones():
    rng = np.random.default_rng(0)
    log, views = trial(rng, n=600, gain=0.05, changed=0.3)
    values = compare(log, views, pool(), rng=rng).values
    for name in ("current", "new", "best single"):
        assert values[name]["quality_snips"].value == pytest.approx(values[name]["quality"].value), "all is known"
    log, views = trial(rng, n=4000, gain=0.05, changed=0.3, epsilon=0.4, near_tie=False)
    new = compare(log, views, pool(), rng=rng).values["new"]
    assert new["quality_snips"].low < 0.775 < new["quality_snips"].high
    assert new["quality_snips"].value == pytest.approx(new["quality"].value, abs=0.03)
    nothing = labelled(np.full((50, 2), np.nan))
    part = Views(
        *(each[:50] for each in (views.current, views.new, views.current_quality, views.new_quality)), np.zeros((50, 2))
    )
    assert np.isnan(compare(nothing, part, pool(), rng=rng).values["new"]["quality_snips"].value)


def test_few_outcomes_are_refused_with_how_many_more():
    log, views = trial(np.random.default_rng(0), n=60)
    verdict = judge_gain(compare(log, views, pool(), rng=np.random.default_rng(0)))
    assert verdict.word == "refused"
    assert "about 40 more labels" in verdict.reasons[0]


def test_a_refusal_says_how_many_labels_would_show_it():
    log, views = trial(np.random.default_rng(3), n=500, gain=0.01, changed=0.3)
    verdict = judge_gain(compare(log, views, pool(), rng=np.random.default_rng(0)))
    assert verdict.word == "refused"
    assert verdict.tested
    assert "more fresh labels" in verdict.reasons[1] or "more labels would only help" in verdict.reasons[1]


def test_a_further_test_waits_for_more_outcomes():
    rng = np.random.default_rng(0)
    log, views = trial(rng, n=450, gain=0.0, changed=0.3)
    judgement = compare(log, views, pool(), rng=rng, details=False)
    first = judge_gain(judgement)
    assert first.tested
    past = [Look(first.information, first.alpha, first.spent)]
    again = judge_gain(judgement, past=past)
    assert (again.word, again.tested) == ("refused", False)
    assert again.reasons[0].startswith("too little is new since the last test")
    assert judge_gain(replace(judgement, ess_changed=1.06 * judgement.ess_changed), past=past).tested


def test_what_would_be_a_loss_lately_is_not_promoted():
    """A series that gained for long, whose last refit plainly loses on the prompts of today."""
    rng = np.random.default_rng(0)
    log, views = trial(rng, n=900, gain=0.2, changed=0.4)
    late = np.arange(900) >= 700
    judged = np.where(late[:, None] & (views.new == 1)[:, None], [1.0, 0.0], log.judged)
    views = replace(views, block=late.astype(np.intp))
    verdict = judge_gain(compare(labelled(judged), views, pool(), rng=rng))
    assert verdict.low > 0
    assert (verdict.word, verdict.tested) == ("refused", True)
    assert "on the latest 200 it would be a loss" in verdict.reasons[0]
    alike = replace(views, new=np.where(late, views.current, views.new))
    assert judge_gain(compare(log, alike, pool(), rng=rng)).word == "no-change"


def test_few_draws_of_great_weight_do_not_drown_an_import():
    rng = np.random.default_rng(0)
    first, one = trial(rng, n=500, gain=0.1, changed=0.3)
    then, two = trial(rng, n=200, gain=0.1, changed=0.3, epsilon=0.05, near_tie=False)
    both = labelled(np.concatenate([first.judged, then.judged]), chance=np.concatenate([first.chance, then.chance]))
    joined = {
        name: np.concatenate([getattr(each, name) for each in (one, two)])
        for name in ("current", "new", "current_quality", "new_quality", "cost_usd")
    }
    alone = compare(first, one, pool(), rng=rng)
    plain = compare(both, Views(**joined), pool(), rng=rng)
    weighed = compare(both, Views(**joined, block=np.repeat([0, 1], [500, 200])), pool(), rng=rng)
    assert plain.ess_changed < alone.ess_changed / 2
    assert weighed.ess_changed > alone.ess_changed
    assert weighed.scores.std() / weighed.n**0.5 < 1.05 * alone.scores.std() / alone.n**0.5


def test_equal_decisions_are_no_change():
    log, views = trial(np.random.default_rng(0), n=300)
    same = Views(views.current, views.current, views.current_quality, views.new_quality, views.cost_usd)
    verdict = judge_gain(compare(log, same, pool(), rng=np.random.default_rng(0)))
    assert (verdict.word, verdict.tested) == ("no-change", False)


def test_a_cheaper_arm_that_is_as_good_passes_by_its_cost():
    rng = np.random.default_rng(0)
    judged = np.repeat((rng.random((400, 1)) < 0.8).astype(float), 2, axis=1)
    cost = np.tile([0.001, 0.02], (400, 1))
    views = Views(np.ones(400, np.intp), np.zeros(400, np.intp), np.full((400, 2), 0.8), np.full((400, 2), 0.8), cost)
    verdict = judge_gain(compare(labelled(judged, cost=cost), views, pool(), rng=rng))
    assert verdict.word == "promoted"
    assert verdict.low == pytest.approx(0.019)


def test_a_year_of_equal_routers_promotes_by_luck_in_at_most_one_in_twenty():
    rng = np.random.default_rng(11)
    arms = pool()
    lucky = 0
    for _ in range(40):
        year, views = trial(rng, n=52 * 20, gain=0.0, changed=0.4)
        past = []
        for week in range(1, 53):
            n = 20 * week
            part = Views(
                *(
                    each[:n]
                    for each in (views.current, views.new, views.current_quality, views.new_quality, views.cost_usd)
                )
            )
            judgement = compare(year.take(np.arange(n)), part, arms, rng=rng, details=False)
            verdict = judge_gain(judgement, past=past)
            if verdict.tested:
                past.append(Look(verdict.information, verdict.alpha, verdict.spent))
            if verdict.word == "promoted":
                lucky += 1
                break
        assert len(past) > 20 or verdict.word == "promoted", "it was tested most weeks"
    assert lucky <= 5, "40 years at 5%: 2 expected, 6 or more have a chance of 1%"


def test_lopsided_scores_get_a_wider_bound():
    few_losses = np.concatenate([np.ones(380), np.full(20, -10.0)])
    low, _ = bounds(few_losses, 0.03)
    plain = few_losses.mean() - 1.886 * few_losses.std(ddof=1) / 20
    assert low < plain


@pytest.mark.parametrize(
    ("k", "n", "bound"), [(0, 59, 0.0495), (0, 100, 0.0295), (5, 100, 0.1023), (412, 412, 1.0), (10, 412, 0.0408)]
)
def test_clopper_pearson(k, n, bound):
    assert clopper_pearson_upper(k, n) == pytest.approx(bound, abs=2e-4)


def test_the_certificate():
    outcome = np.column_stack([np.ones(412), np.ones(412)])
    outcome[:9, 0] = 0.0
    decided = np.zeros(412, np.intp)
    paper = certify(decided, outcome, 1, ("small", "large"))
    assert paper.status == "certified"
    assert paper.n == 412
    assert "95% confidence, n = 412" in paper.text
    outcome[:40, 0] = 0.0
    assert certify(decided, outcome, 1, ("small", "large")).status == "above-target"
    few = certify(decided[:50], outcome[:50], 1, ("small", "large"))
    assert (few.status, few.at_most) == ("not-enough-data", None)
    assert "not enough data to certify" in few.text
    none_cheaper = certify(np.ones(412, np.intp), outcome, 1, ("small", "large"))
    assert "no prompt goes to an arm cheaper than large" in none_cheaper.text
    unknown = certify(decided, np.full((412, 2), np.nan), 1, ("small", "large"))
    assert unknown.n == 0


def test_certificates_by_kind_hold_together():
    """What is lost in one kind shows there, and is drowned in the whole; each bound is as sure as all need."""
    outcome = np.ones((500, 2))
    outcome[400:412, 0] = 0.0
    kinds = ["task"] * 400 + ["code"] * 80 + ["mathematics"] * 20
    whole = certify(np.zeros(500, np.intp), outcome, 1, ("small", "large"), kinds=kinds)
    assert (whole.status, whole.n_wrong) == ("certified", 12)
    assert list(whole.by_kind) == ["task", "code", "mathematics"]
    task, code, few = whole.by_kind.values()
    assert (task.status, task.n_wrong, task.confidence) == ("certified", 0, 0.975)
    assert (code.status, code.n_wrong, code.n) == ("above-target", 12, 80)
    assert (few.status, few.at_most, few.n) == ("not-enough-data", None, 20)
    assert task.at_most == pytest.approx(clopper_pearson_upper(0, 400, 0.025))
    assert code.at_most == pytest.approx(clopper_pearson_upper(12, 80, 0.025))
    assert "97.5% confidence, n = 80" in code.text
    data = whole.to_dict()
    assert data["by_kind"]["code"]["n_wrong"] == 12
    assert "by_kind" not in data["by_kind"]["code"]
    assert whole.at_most == certify(np.zeros(500, np.intp), outcome, 1, ("small", "large")).at_most


def test_bounds_by_kind_cover_the_truth_together():
    """Of 400 logs with 4 kinds and known rates, at most about 5% have any bound below its truth."""
    rng = np.random.default_rng(3)
    truth, sizes = np.array([0.02, 0.05, 0.10, 0.30]), [300, 120, 80, 60]
    kinds = [f"k{each}" for each, size in enumerate(sizes) for _ in range(size)]
    rates, below = np.repeat(truth, sizes), 0
    for _ in range(400):
        outcome = np.ones((len(kinds), 2))
        outcome[rng.random(len(kinds)) < rates, 0] = 0.0
        found = certify(np.zeros(len(kinds), np.intp), outcome, 1, ("small", "large"), kinds=kinds).by_kind
        below += any(found[f"k{each}"].at_most < rate for each, rate in enumerate(truth))
    assert below <= 32, "20 are expected at most; 33 or more have a chance of under 1%"


def test_kinds_that_go_to_the_best_arm_are_not_certified():
    decided = np.repeat([0, 1], 100)
    found = certify(decided, np.ones((200, 2)), 1, ("small", "large"), kinds=["task"] * 100 + ["code"] * 100)
    assert list(found.by_kind) == ["task"]
