"""The part of a long prompt that asks: found beside pasted logs and stories, of any text, in bounded time."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrimp.routing.prompts.asked import ASKED_CHARS, asked_part

LINE = "2026-01-02 03:04:05,678 worker-7 INFO handled 41 of 300 rows in 12 ms"
LOG = "\n".join([LINE] * 140)
STORY = " ".join(["The rain fell on the harbour. Nobody spoke for a while. Mira looked at the boats."] * 120)
CHATTY = " ".join(['"Where are you going?" she asked. He did not say. The lamp went out.'] * 150)
MOST = 2 * ASKED_CHARS + 1
"""As many characters at most: what is picked, and a line end after each of them."""

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates too


@given(ANY_TEXT)
def test_a_short_text_is_taken_whole(text):
    assert asked_part(text[:ASKED_CHARS]) == text[:ASKED_CHARS]


@given(ANY_TEXT.filter(bool), st.integers(ASKED_CHARS, 40_000))
def test_of_any_longer_text_a_bounded_part_is_taken(text, n):
    long = text * (n // len(text) + 1)
    part = asked_part(long)
    assert len(part) <= MOST
    assert set(part) <= set(long) | {"\n"}
    assert asked_part(long) == part


@pytest.mark.parametrize(
    "unit", ["a", "?", "\n", " ", "a? ", "why\n", "。", "\ud800", "e\u0301. ", "12:30 ok. ", "please ", "a\u2028"]
)
def test_megabytes_take_no_longer_than_a_page(unit):
    text = unit * (4_000_000 // len(unit))
    start = time.perf_counter()
    part = asked_part(text)
    assert time.perf_counter() - start < 1.0
    assert len(part) <= MOST


@pytest.mark.parametrize("question", ["Which worker failed first, and why?", "Summarise the errors in one sentence."])
@pytest.mark.parametrize("pasted", [LOG, STORY], ids=["log", "story"])
@pytest.mark.parametrize("place", ["first", "last", "middle"])
def test_the_question_is_kept_beside_what_was_pasted(question, pasted, place):
    half = len(pasted) // 2
    text = {
        "first": f"{question}\n\n{pasted}",
        "last": f"{pasted}\n\n{question}",
        "middle": f"{pasted[:half]}\n\n{question}\n\n{pasted[half:]}",
    }[place]
    assert len(text) <= 16_000  # of what is longer, the middle is not looked at
    part = asked_part(text)
    assert question in part
    assert len(part) < len(text) / 5


@pytest.mark.parametrize("place", ["first", "last"])
def test_the_question_is_kept_beside_a_story_full_of_questions(place):
    question = "Who is the narrator of this chapter, and how do you know?"
    text = f"{question}\n\n{CHATTY}" if place == "first" else f"{CHATTY}\n\n{question}"
    assert question in asked_part(text)


def test_the_first_and_the_last_sentence_are_kept_though_they_do_not_ask():
    text = f"Notes of a meeting on Monday.\n{CHATTY}\nThat is all there was to it."
    lines = asked_part(text).split("\n")
    assert lines[0] == "Notes of a meeting on Monday."
    assert lines[-1] == "That is all there was to it."


def test_a_question_mark_tells_a_question_that_begins_like_a_story():
    question = "In plain words, and for a manager, that means what?"
    assert question in asked_part(f"{STORY[:5000]}\n{question}\n{STORY[:5000]}")


def test_records_that_ask_are_no_request():
    records = "\n".join(["2026-01-02 03:04:05 worker-7 asks: ready?"] * 100)
    request = "Summarise what went wrong."
    assert request in asked_part(f"{records}\n{request}\n{records}")


def test_what_is_kept_stands_in_its_order():
    text = f"Read this log.\n{LOG}\nWhich worker was slow?\n{LOG[:3000]}\nAnswer with its number only."
    part = asked_part(text)
    at = [part.index(each) for each in ("Read this log.", "Which worker was slow?", "Answer with its number only.")]
    assert at == sorted(at)


def test_a_request_in_another_script_is_found():
    assert asked_part("记录如下。" + "系统正常。" * 2000 + "哪台机器先出错？").endswith("哪台机器先出错？")


def test_of_a_text_without_sentences_both_ends_are_taken():
    part = asked_part("a" * 1000 + "b" * 10_000 + "c" * 1000)
    assert (part[0], part[-1], len(part)) == ("a", "c", ASKED_CHARS + 1)
    part = asked_part("a" * 1000 + "b" * 100_000 + "c" * 1000)
    assert (part[0], part[-1]) == ("a", "c")


@pytest.mark.parametrize(("n", "before"), [(100, ""), (5_000, ""), (5_000, "Here is my data. ")])
def test_a_question_on_the_line_of_what_was_pasted_is_kept(n, before):
    pasted = ", ".join(f'{{"id": {i}, "name": "user{i}"}}' for i in range(n))
    assert "Which id is missing?" in asked_part(f"{before}{pasted} Which id is missing?")
    assert "Which id is missing?" in asked_part(f"Which id is missing? {pasted}")
