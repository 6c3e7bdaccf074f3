"""How long arms take, told from made-up calls of known truth: places, kin, outliers, few calls, broken-off ones."""

import math
import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scrimp.routing.router.timing import Timed, TimedArm, learn_tempos

FAST, SLOW = (0.3, 1e-4, 0.005), (2.0, 4e-4, 0.04)


def calls(truth, n, *, seed=0, noise=0.2, queued=0.0, streamed=True, hidden=0.0, at_once=False):
    """Calls of an arm that truly takes `truth`; `queued` is the share that stood in a queue, of 5 to 20 times as long."""
    rng = random.Random(seed)
    start_s, read_s, write_s = truth
    made = []
    for _ in range(n):
        read, written = round(rng.lognormvariate(5.5, 1.0)), max(10, round(rng.lognormvariate(5.0, 0.7)))
        thought = round(hidden * written)
        factor = math.exp(rng.gauss(0.0, noise)) * (rng.uniform(5.0, 20.0) if rng.random() < queued else 1.0)
        whole = (start_s + read_s * read + write_s * written) * factor
        first = whole if at_once else (start_s + read_s * read + write_s * thought) * factor
        made.append(Timed(read, written, thought, whole, first if streamed else None))
    return made


def true_seconds(truth, read, written):
    return truth[0] + truth[1] * read + truth[2] * written


def error(tempo, truth, *, read=300, written=150):
    return tempo.seconds(read, written) / true_seconds(truth, read, written) - 1.0


def arm(name, of=(), *, model=None, place="one", **more):
    return TimedArm(name, model or name, place, of, **more)


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("truth", [FAST, SLOW])
def test_after_fifty_calls_the_median_is_near(truth, streamed):
    tempo = learn_tempos([arm("a", calls(truth, 50, streamed=streamed))])["a"]
    for read, written in ((50, 20), (300, 150), (2_000, 400)):
        assert abs(error(tempo, truth, read=read, written=written)) < 0.2
    assert (tempo.n_calls, tempo.timed_by) == (50, "its own 50 calls")
    if streamed:
        assert tempo.first_s(300, 150) == pytest.approx(truth[0] + truth[1] * 300, rel=0.25)


def test_a_few_calls_alike_tell_of_their_arm_beside_a_slow_one():
    """A limit of twice what each of them took would keep, and is not refused for what the slow one takes."""
    quick, slow = ([Timed(14, 20, 0, seconds, seconds - 0.005)] * 4 for seconds in (0.2, 2.0))
    tempos = learn_tempos([arm("quick", quick), arm("slow", slow)])
    assert tempos["quick"].seconds(14, 20) == pytest.approx(0.2, rel=0.2)
    assert 0.2 < tempos["quick"].seconds_p90(14, 20, 40) < 0.4
    assert tempos["slow"].seconds(14, 20) == pytest.approx(2.0, rel=0.2)


def test_some_calls_in_a_queue_move_little():
    clean, queued = (learn_tempos([arm("a", calls(FAST, 60, seed=3, queued=share))])["a"] for share in (0.0, 0.1))
    mean = statistics.fmean(call.seconds for call in calls(FAST, 60, seed=3, queued=0.1))
    assert mean > 1.6 * true_seconds(FAST, 300, 150), "the mean is led astray"
    assert abs(error(queued, FAST)) < 0.15
    assert queued.high > clean.high, "that one waits now and then is told by the 90th percentile"


def test_an_arm_without_calls_is_told_by_its_own_place_alone():
    found = learn_tempos(
        [
            arm("quick", calls(FAST, 40), place="one"),
            arm("slow", calls(SLOW, 40, seed=1), place="two"),
            arm("new-quick", place="one"),
            arm("new-slow", place="two"),
            arm("nowhere", place="three"),
        ]
    )
    assert "nowhere" not in found, "nothing is known of it"
    assert (found["new-quick"].timed_by, found["new-slow"].timed_by) == ("one's other arms", "two's other arms")
    assert found["new-slow"].seconds(300, 150) > 3.0 * found["new-quick"].seconds(300, 150)
    wide = [found[name].seconds_p90(300, 150, 150) / found[name].seconds(300, 150) for name in ("new-quick", "quick")]
    assert wide[0] > 1.3 * wide[1], "it is less sure"
    assert learn_tempos([arm("a"), arm("b")]) == {}


def test_few_calls_lie_between_the_place_and_what_they_say():
    place = [arm("other", calls(FAST, 60)), arm("third", calls(FAST, 60, seed=5))]
    seconds = [
        learn_tempos([*place, arm("a", calls(SLOW, n, seed=2, noise=0.05))])["a"].seconds(300, 150) for n in (0, 1, 30)
    ]
    assert seconds[0] < seconds[1] < 1.15 * seconds[2]
    assert seconds[1] < 0.95 * true_seconds(SLOW, 300, 150)
    assert seconds[2] == pytest.approx(true_seconds(SLOW, 300, 150), rel=0.2)


def test_the_rungs_of_a_ladder_tell_of_one_another_before_other_models():
    found = learn_tempos(
        [
            arm("think:low", calls(SLOW, 40, hidden=0.5), model="m", thinks=True),
            arm("think:high", model="m", thinks=True),
            arm("other", calls(FAST, 40), model="o"),
            arm("unlike", model="u"),
        ]
    )
    assert abs(error(found["think:high"], SLOW)) < 0.3
    assert found["think:high"].timed_by == "the same model's other arms"
    assert found["unlike"].seconds(300, 150) < 0.7 * found["think:high"].seconds(300, 150)
    low = found["think:low"]
    assert low.hidden == pytest.approx(0.5, abs=0.03)
    assert low.first_s(300, 150) == pytest.approx(true_seconds(SLOW, 300, 75), rel=0.25), "thoughts come before a word"


def test_what_thinks_unseen_has_no_first_word_that_is_known():
    found = learn_tempos([arm("a", calls(FAST, 20)), arm("b", model="b", thinks=True)])
    assert found["b"].first_s(300, 150) is None
    assert found["b"].seconds(300, 150) > 0.0


def test_answers_that_come_in_one_piece():
    tempo = learn_tempos([arm("a", calls(SLOW, 40, at_once=True))])["a"]
    assert tempo.first_s(300, 150) == tempo.seconds(300, 150)
    assert abs(error(tempo, SLOW)) < 0.2


def test_calls_that_a_deadline_broke_off_took_longer():
    """Of an arm that takes 8 s, all that is seen at a deadline of 3 s is that it took more."""
    cut = [Timed(300, 150, 0, 3.0, None, cut=True)] * 6
    tempo = learn_tempos([arm("a", cut)])["a"]
    assert tempo.seconds(300, 150) > 3.0
    without = learn_tempos([arm("a", calls(FAST, 30))])["a"]
    once = learn_tempos([arm("a", [cut[0], *calls(FAST, 30)])])["a"]
    assert once.seconds(300, 150) == pytest.approx(without.seconds(300, 150), rel=0.1), "one of thirty is an outlier"
    late = learn_tempos([arm("a", [Timed(300, 150, 0, 0.1, None, cut=True), *calls(SLOW, 30)])])["a"]
    alone = learn_tempos([arm("a", calls(SLOW, 30))])["a"]
    assert late.seconds(300, 150) == pytest.approx(alone.seconds(300, 150), rel=0.05), (
        "that it took over 0.1 s is no news"
    )


def test_the_ninetieth_percentile_covers_nine_in_ten():
    within = tries = 0
    for seed in range(40):
        tempo = learn_tempos([arm("a", calls(SLOW, 50, seed=seed, noise=0.4, queued=0.03))])["a"]
        fresh = calls(SLOW, 100, seed=1_000 + seed, noise=0.4, queued=0.03)
        within += sum(call.seconds <= tempo.seconds_p90(call.read, call.written, call.written) for call in fresh)
        tries += len(fresh)
    assert 0.85 <= within / tries <= 0.95


def test_a_model_of_this_machine_starts_from_what_its_size_says():
    supposed = (0.05, 0.01, 0.02)
    tempo = learn_tempos([arm("a", supposed=supposed, bend=3_000.0)])["a"]
    assert tempo.timed_by == "this machine's speed"
    assert tempo.seconds(0, 0) == pytest.approx(0.05)
    # 1,000 tokens take 1,000 (1 + 1,000 / 6,000) as long as one, 100 tokens after them 100 (1 + 1,050 / 3,000).
    assert tempo.seconds(1_000, 100) == pytest.approx(0.05 + 0.01 * 1_000 * 7 / 6 + 0.02 * 100 * 1.35)
    truth = (0.05, 0.02, 0.04)
    told = learn_tempos([arm("a", calls(truth, 50, noise=0.1), supposed=supposed)])["a"]
    assert abs(error(told, truth)) < 0.1
    assert told.timed_by == "its own 50 calls"
    other = learn_tempos([arm("a", calls(truth, 50), supposed=supposed), arm("b", supposed=(0.05, 0.1, 0.2))])["b"]
    assert other.seconds(300, 150) == pytest.approx(0.05 + 30.0 + 30.0), "another size says nothing of this one"


def test_calls_that_cannot_be_are_passed_over():
    odd = [Timed(10, 10, 0, 0.0), Timed(10, 10, 0, -1.0)]
    assert learn_tempos([arm("a", [*odd, *calls(FAST, 20)])])["a"].n_calls == 20


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.builds(
            Timed,
            st.integers(0, 10**6), st.integers(0, 10**5), st.just(0), st.floats(1e-6, 1e5),
            st.none() | st.floats(0.0, 1e5), st.booleans(),
        ),
        min_size=1, max_size=12,
    )
)  # fmt: skip
def test_whatever_was_timed_gives_times_in_order(made):
    for call in (learn_tempos([arm("a", made)])["a"],):
        for read, written in ((0, 1), (100, 100), (10**5, 10**4)):
            whole = call.seconds(read, written)
            assert math.isfinite(whole)
            assert (
                0.0 < whole <= call.seconds_p90(read, written, written) <= call.seconds_p90(read, written, 2 * written)
            )
