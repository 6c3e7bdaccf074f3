"""Pages from values: what is safe in them, ticks and widths, charts at any width, and the numbers that are drawn."""

import itertools
import math
import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import HARM

from scrimp.routing.learn.measuring.overview import calibrated
from scrimp.routing.ledger.learning import add_refit
from scrimp.routing.ledger.store import open_ledger
from scrimp.routing.reports.page.bars import Bars, Mark, Part, Row, Whiskers
from scrimp.routing.reports.page.columns import Columns
from scrimp.routing.reports.page.document import prose, table
from scrimp.routing.reports.page.figures import clip, log_ticks, short_usd, ticks, width_of
from scrimp.routing.reports.page.markup import Markup, safe, tag
from scrimp.routing.reports.page.planes import Dot, Reliability, Scatter
from scrimp.routing.reports.refits import refit_history
from scrimp.routing.reports.savings import plan_stops
from scrimp.routing.reports.survey import Pair, front, survey

import made_log  # isort: skip


@given(st.text() | st.sampled_from(HARM))
def test_no_text_becomes_an_element(text):
    told = tag("p", text, title=f"x{text}")
    assert told.count("<") == told.count(">") == 2
    assert re.fullmatch(r'<p title="[^"<>]*">[^<>]*</p>', told, re.DOTALL)
    told.encode()


def test_markup_stands_as_it_is_and_text_does_not():
    assert tag("p", Markup("<b>x</b>"), "<b>") == "<p><b>x</b>&lt;b&gt;</p>"
    assert safe("a & b") == "a &amp; b"
    assert prose("run `scrimp <x>` now") == "run <code>scrimp &lt;x&gt;</code> now"
    assert isinstance(tag("br"), Markup)


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.integers(2, 8))
def test_ticks_cover_a_range_in_even_steps(low, width, most):
    found = ticks(low, low + width, most)
    assert found[0] <= low + 1e-6 * max(1.0, abs(low))
    assert found[-1] >= low + width - 1e-6 * max(1.0, abs(low), width)
    assert 2 <= len(found) <= most + 3
    steps = [b - a for a, b in itertools.pairwise(found)]
    assert max(steps) == pytest.approx(min(steps), rel=1e-3)


@given(st.floats(1e-9, 1e3), st.floats(1.0, 1e6))
def test_powers_of_ten_cover_a_range(low, times):
    found = log_ticks(low, low * times)
    assert found[0] <= low * 1.0001
    assert found[-1] >= low * times * 0.9999
    assert all(b / a == pytest.approx(10) for a, b in itertools.pairwise(found))


@given(st.text(max_size=200), st.floats(20, 400))
def test_a_clipped_text_fits(text, width):
    assert width_of(clip(text, width)) <= width + 1e-9
    assert "\n" not in clip(text, width)


def test_amounts_on_an_axis():
    assert [short_usd(each) for each in (-2.0, -0.25, 0.1, 12.5, 0.0000005)] == [
        "\u2212$2", "\u2212$0.25", "$0.1", "$12.5", "$0.0000005",
    ]  # fmt: skip


NAME = "a name " * 30

CHARTS = [
    Bars("bars", "about", [Row(NAME, "$1", [Part(1, "f1"), Part(0, "f2")]), Row("b", "$0", [])], "USD"),
    Bars("whole", "about", [Row("a", "none", [Part(0, "f1")], whole=0.0), Row("over", "x", [Part(9, "f1")], whole=3.0)], "USD"),
    Whiskers("whiskers", "about", [Mark(NAME, 0.5, 0.2, 0.9, "50%"), Mark("b", 0.1, None, None, "10%")], "%", str, fixed=True),
    Whiskers("one", "about", [Mark("a", 0.0, None, None, "0")], "USD", short_usd, low=0.0, high=0.0, line=0.0),
    Columns("columns", "about", [(f"11-{i:02}", [Part(i, "f1"), Part(1, "f2")], "says") for i in range(60)], "USD", "day"),
    Columns("nothing", "about", [("11-01", [], "says")], "USD", "day"),
    Reliability("reliability", "about", [(0.05, 0.0, 0.0, 0.4, 3), (1.0, 1.0, 0.9, 1.0, 90)], "observed", "predicted"),
    Scatter("scatter", "about", [Dot(NAME, 10.0**-i, i / 9, None, None, False, True, "says") for i in range(9)], "%", "USD"),
    Scatter("free", "about", [Dot("free", 0.0, 0.5, 0.1, 0.9, True, True, "says")], "%", "USD"),
    Scatter("same", "about", [Dot(f"arm{i}", 0.5, 0.5, None, None, False, False, "says") for i in range(30)], "%", "USD"),
]  # fmt: skip


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.title)
@pytest.mark.parametrize("width", [340.0, 512.0, 1064.0])
def test_charts_stay_within_their_width_and_say_what_they_show(chart, width):
    root = ET.fromstring(chart.draw(width, "x"))
    _, _, box_width, box_height = map(float, root.attrib["viewBox"].split())
    assert box_width == width
    assert root.find("title").text == chart.title
    assert root.find("desc").text == "about"
    assert root.attrib["aria-labelledby"] == "xt xd"
    for each in root.iter():
        numbers = {key: float(value) for key, value in each.attrib.items() if re.fullmatch(r"-?[\d.]+", value)}
        assert all(math.isfinite(value) for value in numbers.values())
        right = numbers.get("x", 0) + (numbers.get("width", 0) if each.tag == "rect" else 0)
        assert -0.1 <= numbers.get("x", 0) <= width + 0.1
        assert right <= width + 0.1
        assert -0.1 <= numbers.get("y", 0) <= box_height
        assert 0 <= numbers.get("cx", 1) <= width
        assert "nan" not in each.attrib.get("d", "")


def test_a_bar_is_as_long_as_what_it_says():
    root = ET.fromstring(CHARTS[0].draw(400.0, "x"))
    bars = [each for each in root.iter("rect") if each.attrib["class"] != "track"]
    assert [float(each.attrib["width"]) for each in bars] == [400.0]
    chart = Bars("b", "", [Row("a", "", [Part(1, "f1"), Part(2, "f2")]), Row("b", "", [Part(6, "f1")])], "")
    bars = [each for each in ET.fromstring(chart.draw(600.0, "x")).iter("rect") if each.attrib["class"] != "track"]
    assert [float(each.attrib["width"]) for each in bars] == [100.0, 200.0, 600.0]


def test_numbers_of_a_table_are_sorted_by_their_values():
    from scrimp.routing.reports.page.document import Cell, number

    told = table(("arm", "cost"), [("a", Cell("$1.00", 1e9)), ("b", number(None, "x"))])
    assert '<td class="n" data-v="1000000000">$1.00</td>' in told
    assert '<td class="n" data-v>unknown</td>' in told


def test_the_front_of_quality_cost_and_time():
    assert front([("a", (0.9, 1.0)), ("b", (0.8, 2.0))]) == ["a"]
    assert front([("a", (0.9, 1.0)), ("b", (0.9, 1.0))]) == ["a", "b"]  # equals do not beat each other
    assert front([("a", (None, 1.0)), ("b", (0.1, None)), ("c", (0.2, 3.0))]) == ["c"]
    assert front([("a", (0.9, 1.0, 5.0)), ("b", (0.9, 1.0, 2.0)), ("c", (0.9, 1.0, None))]) == ["b", "c"]
    assert front([]) == []


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.none() | st.floats(0, 1)), max_size=12))
def test_nothing_on_the_front_is_beaten_and_all_else_is(points):
    named = [(str(i), point) for i, point in enumerate(points)]
    best = set(front(named))
    for name, (quality, cost, seconds) in named:
        beaten = any(
            q >= quality and c <= cost and (s is None or seconds is None or s <= seconds)
            and (q > quality or c < cost or (s is not None and seconds is not None and s < seconds))
            for _, (q, c, s) in named
        )  # fmt: skip
        assert (name in best) != beaten


def test_predicted_beside_observed():
    assert calibrated([]) is None
    found = calibrated(
        [Pair(0.82, 1.0, "calibrated"), Pair(0.88, 0.0, "prior"), Pair(0.1, 0.0, "prior"), Pair(1.2, 1.0, "prior")]
    )
    assert [(each.n, round(each.predicted, 2), each.observed) for each in found.bins] == [
        (1, 0.1, 0.0),
        (2, 0.85, 0.5),
        (1, 1.0, 1.0),
    ]
    assert found.ece == pytest.approx(0.25 * 0.1 + 0.5 * 0.35)
    assert found.brier == pytest.approx((0.18**2 + 0.88**2 + 0.1**2) / 4)
    assert found.bases == {"calibrated": 1, "prior": 3}
    assert found.bins[1].low < 0.5 < found.bins[1].high


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path / "scrimp.db") as found:
        yield found


def test_the_survey_counts_what_is_true(ledger):
    truth = made_log.fill(ledger, n=300)
    found = survey(ledger, n_requests=4)
    assert (found.n, found.n_traced) == (300, 300)
    assert len(found.pairs) == truth["known"]
    assert sum(pair.observed for pair in found.pairs) == truth["right"]
    assert {pair.basis for pair in found.pairs} == {"calibrated", "plan"}
    assert sum(found.guards.values()) == truth["guards"]
    assert list(dict.fromkeys(guard for guard, _ in found.guards)) == ["private", "rules", "scope", "risk"]
    assert {each.outcome for each in found.events} == {"changed", "refused", "warned"}
    assert [each.at for each in found.events] == sorted((each.at for each in found.events), reverse=True)
    alone = {arm.arm: arm for arm in found.arms}
    assert sum(arm.n for arm in found.arms) == 240  # every fifth was answered by a plan
    assert all(arm.n_weighed == 300 for arm in found.arms)
    assert alone["large"].predicted_quality == pytest.approx(0.86, abs=0.03)
    charged = [each.charged_nano for each in found.biggest]
    assert len(charged) == 4
    assert charged == sorted(charged, reverse=True)
    (most,) = ledger.rows(
        "SELECT max(s) AS n FROM (SELECT sum(charged_nano) AS s FROM reservations GROUP BY request_id)"
    )
    assert charged[0] == most["n"]
    assert all(each.worth == 0.0 for each in found.worst)
    assert survey(None).n == 0
    assert survey(ledger, profile="nobody").n == 0
    late = survey(ledger, since=made_log.NOW - 9 * made_log.DAY)
    assert late.n == 60
    # However the log is read, in one part or in many.
    many = survey(ledger, n_requests=1)
    assert many.biggest[0] == found.biggest[0]


def test_what_a_plan_saved_is_what_its_later_stages_cost_elsewhere(ledger):
    made_log.fill(ledger, n=300)
    (plan,) = plan_stops(ledger, "work")
    assert (plan.name, plan.n_stages, plan.n, plan.stopped) == ("careful", 2, 60, {1: 40, 2: 20})
    second = ledger.rows("SELECT charged_nano FROM steps WHERE stage = 2")
    mean = round(sum(row["charged_nano"] for row in second) / len(second))
    assert plan.saved_nano == 40 * mean
    assert (plan.n_saved, plan.n_unknown) == (40, 0)
    with ledger.transaction() as conn:
        conn.execute("DELETE FROM steps WHERE stage = 2")
    (plan,) = plan_stops(ledger, "work")
    assert (plan.saved_nano, plan.n_saved, plan.n_unknown) == (None, 0, 40)  # nothing says what it would have cost
    assert plan_stops(ledger, "nobody") == []
    assert plan_stops(ledger, "work", since=made_log.NOW + 1) == []


def test_refits_are_told_as_they_were_and_damage_is_passed_over(ledger):
    made_log.learn(ledger)
    add_refit(
        ledger, at="2027-01-01T00:00:00.000000Z", profile="work", verdict="refused", version=None, tested=False,
        alpha=0.0, last_label=0, forced=False, data="{broken",
    )  # fmt: skip
    found = refit_history(ledger)
    assert [(each.verdict, each.version) for each in found] == [
        *((verdict, version) for verdict, version, _ in made_log.REFITS), ("refused", None),
    ]  # fmt: skip
    assert (found[1].gain, found[1].low, found[1].high) == made_log.REFITS[1][2]
    assert found[-1].gain is None
    assert found[-1].reasons == ()
    assert refit_history(ledger, profile="other") == refit_history(None) == []
