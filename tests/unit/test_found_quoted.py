"""Checks of what an answer goes by: whether it says that the text is silent, and whether what it quotes stands there."""

import pytest
from said import LATER_SILENT, LATER_TELLS, REPORT, SILENT, STATED, TELLS

from scrimp.routing.checks.base import Given, run_checks
from scrimp.routing.checks.found import FoundCheck, says_nothing
from scrimp.routing.checks.names import make_check, runs_nothing
from scrimp.routing.checks.quoted import QuotedCheck
from scrimp.routing.prompts.prompt import Prompt, Turn
from scrimp.routing.prompts.sources import Source


@pytest.mark.parametrize("answer", SILENT)
def test_what_says_that_the_text_is_silent_fails(answer):
    assert FoundCheck().test(answer).failed


@pytest.mark.parametrize("answer", TELLS)
def test_what_tells_something_passes(answer):
    assert FoundCheck().test(answer).outcome == "pass"


def test_of_answers_that_its_wordings_were_not_made_for_it_knows_what_the_docs_say():
    known, wrong = sum(map(says_nothing, LATER_SILENT)), sum(map(says_nothing, LATER_TELLS))
    assert (known, len(LATER_SILENT), wrong, len(LATER_TELLS)) == (13, 20, 1, 20)


@pytest.mark.parametrize("answer", ["", "  \n", "**", "-", "\u2014"])
def test_an_empty_answer_says_nothing(answer):
    assert says_nothing(answer)
    assert all(verdict.failed for verdict in run_checks((FoundCheck(),), answer))


@pytest.mark.parametrize(("answer", "question", "outcome"), STATED)
def test_figures_and_quotations_are_looked_for_in_what_was_sent(answer, question, outcome):
    verdict = QuotedCheck().test(answer, Given(question, None, lambda: f"{REPORT}\n\n{question}"))
    assert verdict.outcome == outcome


def test_what_was_not_sent_is_not_known():
    assert QuotedCheck().test("It is 4,711.").outcome == "abstain"
    assert QuotedCheck().test("It is 4,711.", Given("We had 4,711 visitors. How many?")).outcome == "pass"


def test_what_was_sent_is_what_the_reading_sends():
    prompt = Prompt(
        "How many?", "Be brief. 8,111 is a lucky number.", (Turn("Were there 5,222?", "There were 6,333."),)
    )
    prompt = Prompt(
        prompt.text, prompt.system, prompt.history, sources=(Source("a.txt", "There were 4,711 visitors."),)
    )
    whole, none = prompt.sent_to("whole"), prompt.sent_to("none")
    assert [n for n in ("4,711", "5,222", "6,333", "8,111") if n in whole] == ["4,711", "5,222", "6,333", "8,111"]
    assert "4,711" not in none
    assert "6,333" in none
    check = make_check("quoted", {})
    assert check.test("4,711", Given("How many?", None, lambda: whole)).outcome == "pass"
    assert check.test("4,711", Given("How many?", None, lambda: none)).failed


def test_evidence_names_what_was_made_up():
    verdict = QuotedCheck().test("Cash 12,345, debt 99,876", Given("Cash and debt?", None, lambda: REPORT))
    assert verdict.evidence == "not in what was sent: 99,876"
    assert verdict.score == pytest.approx(0.5)


def test_both_run_nothing():
    assert runs_nothing("found", {})
    assert runs_nothing("quoted", {})


@pytest.mark.parametrize("check", [FoundCheck(), QuotedCheck()])
@pytest.mark.parametrize("text", ["not " * 50_000, "the text does " * 20_000, "1,234" * 40_000, '"a b c d ' * 30_000])
def test_a_long_answer_without_end_is_judged_all_the_same(check, text):
    assert check.test(text, Given("Why?", None, lambda: text)).outcome in ("pass", "fail", "abstain")
