"""The coin: which hint, from what similarity on, by what chance."""

import random
from dataclasses import replace

import numpy as np
import pytest

from scrimp.profiles.errors import UsageError
from scrimp.routing.asking.hint_files import Hint, Shelf
from scrimp.routing.asking.hinting import FAIR, SELDOM, START, Drawn, Hinter, Odds
from scrimp.routing.prompts.chat import Chat
from scrimp.routing.prompts.prompt import Prompt, prompt_of_chat

A, B = Hint("a", "east", "1. Go east."), Hint("b", "north", "1. Go north.")
SHELF = Shelf((A, B))
PROMPT = Prompt("Which way?")


def embed(texts):
    return np.array([{"east": (1.0, 0.0), "north": (0.0, 1.0)}.get(text, (0.6, 0.8)) for text in texts], np.float32)


def hinter(odds=None, **more):
    return Hinter(SHELF, odds or Odds(), embed, random.Random(0), **more)


def test_the_nearest_is_drawn_by_a_fair_coin_at_first():
    draws = [hinter().put(PROMPT, np.array([0.6, 0.8], np.float32), rng=random.Random(n)) for n in range(400)]
    assert {drawn.hint for _, drawn in draws} == {B.id}
    assert all((prompt.hint is not None) == drawn.hinted for prompt, drawn in draws)
    assert {drawn.propensity for _, drawn in draws} == {FAIR}
    assert 150 < sum(drawn.hinted for _, drawn in draws) < 250
    assert draws[0][1].similarity == pytest.approx(0.8)


def test_a_learnt_chance_is_logged_as_that_of_what_was_drawn():
    odds = Odds(chance={B.id: 0.9, A.id: 0.1})
    draws = [hinter(odds).put(PROMPT, rng=random.Random(n))[1] for n in range(400)]
    assert {(drawn.hinted, round(drawn.propensity, 9)) for drawn in draws} == {(True, 0.9), (False, 0.1)}
    assert sum(drawn.hinted for drawn in draws) > 330


def test_an_edited_hint_is_another_one():
    odds = Odds(chance={B.id: 0.9})
    edited = Hinter(Shelf((replace(B, body="2."),)), odds, embed, random.Random(0))
    assert edited.put(PROMPT)[1].propensity == FAIR


@pytest.mark.parametrize(
    ("threshold", "similarity", "chance"),
    [
        (START, 0.39, None),
        (START, 0.41, FAIR),
        (0.81, 0.8, SELDOM),  # seen to harm there: a few go on telling
        (0.79, 0.8, FAIR),
        (0.33, 0.34, FAIR),
        (0.33, 0.32, None),
    ],
)
def test_from_what_similarity_on(threshold, similarity, chance):
    embedding = np.array([0.0, similarity], np.float32)
    prompt, noted = hinter(Odds(threshold)).put(PROMPT, embedding)
    assert noted.hint == B.id
    assert Odds(threshold).of_hint(B.id, similarity) == chance
    if chance is None:
        assert prompt is PROMPT
        assert (noted.hinted, noted.propensity) == (None, None)
    else:
        assert noted.propensity == pytest.approx(chance if noted.hinted else 1 - chance)


def test_what_a_refit_found_is_read():
    assert Odds.of(None) == Odds() == Odds.of({})
    assert Odds().threshold == START
    found = {"threshold": {"value": 0.55}, "kinds": {A.id: {"chance": 0.25}}}
    assert Odds.of(found) == Odds(0.55, {A.id: 0.25})


def test_without_hints_or_with_tools_there_is_none():
    assert Hinter(Shelf(), Odds(), embed, random.Random(0)).put(PROMPT) == (PROMPT, None)
    tools = ({"type": "function", "function": {"name": "f"}},)
    chat = prompt_of_chat(Chat(({"role": "user", "content": "Which way?"},), tools=tools))
    assert hinter(name="a").put(chat) == (chat, None)


def test_by_name():
    prompt, drawn = hinter(name="a").put(PROMPT)
    assert prompt.hint == A.framed()
    assert drawn == Drawn(A.id, None, True, None)
    assert drawn.columns() == {"hint": A.id, "hinted": 1, "hint_propensity": None, "hint_similarity": None}
    with pytest.raises(UsageError, match="no hint 'c'"):
        hinter(name="c")


def test_a_request_that_was_begun_goes_on_as_it_was():
    again = hinter().again
    assert again(PROMPT, {"hinted": 0, "hint": A.id}) == PROMPT
    assert again(PROMPT, {"hinted": None, "hint": A.id}) == PROMPT
    assert again(PROMPT, {"hinted": 1, "hint": A.id}).hint == A.framed()
    assert again(PROMPT, {"hinted": 1, "hint": "a@000000000000"}) is None
