"""What of a conversation goes along: order, budget, the last turns, worth, and long chats of programs."""

import json
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrimp.profiles.errors import UsageError
from scrimp.routing.asking.memory import (
    BUDGETS,
    KEPT,
    Recalled,
    budget_of,
    chosen,
    history_of,
    size_of,
    worth_of_all,
)
from scrimp.routing.asking.summing import MOST_BYTES, fitted
from scrimp.routing.ledger.conversations import (
    begin_conversation,
    conversation,
    find_conversation,
    keep_summary,
    known_names,
    name_conversation,
    summary_of,
)
from scrimp.routing.ledger.forget import remove
from scrimp.routing.ledger.store import new_id, open_ledger
from scrimp.routing.prices.price import ArmPrice
from scrimp.routing.prompts.chat import Chat
from scrimp.routing.prompts.tokens import text_bound
from scrimp.routing.retrieval.turns import turn_scores
from scrimp.routing.serving.cutting import rounds_of

TURNS = st.lists(st.tuples(st.text(max_size=400), st.text(max_size=400)), min_size=1, max_size=30)


@given(
    tier=st.sampled_from(("last", "relevant", "all")),
    turns=TURNS,
    budget=st.integers(0, 2_000),
    seed=st.integers(0, 1_000),
)
def test_order_and_budget_are_kept_and_the_last_turns_are_there(tier, turns, budget, seed):
    sizes = [size_of(*turn) for turn in turns]
    scores = np.random.default_rng(seed).random(len(turns))
    kept = chosen(tier, turns, sizes, budget, lambda: scores)
    assert kept == sorted(set(kept))
    last = list(range(len(turns)))[-KEPT:]
    assert kept[-len(last) :] == last
    history = history_of(turns, kept)
    assert len(history) == len(kept)
    sent = sum(size_of(turn.prompt, turn.answer) for turn in history)
    if tier == "all":
        assert kept == list(range(len(turns)))
    elif kept != last:  # what always goes along may be more than the budget by itself
        assert sent <= budget


def test_what_is_left_out_is_told_in_words_and_the_rest_is_as_it_was():
    turns = [(f"question {n}", f"answer {n}") for n in range(6)]
    history = history_of(turns, [1, 4, 5])
    assert [turn.answer for turn in history] == ["answer 1", "answer 4", "answer 5"]
    assert history[0].prompt == "[1 earlier turn is left out here]\n\nquestion 1"
    assert history[1].prompt == "[2 earlier turns are left out here]\n\nquestion 4"
    assert history[2].prompt == "question 5"


def test_turns_are_found_by_words_by_meaning_and_beside_a_pronoun():
    turns = [
        ("The harmonium goes to uncle Leopold", "Noted."),
        ("My dog is ill", "Poor thing, see a vet."),
        ("What is a good soup?", "Lentils with cumin."),
        ("The rent is 1,180 a month", "That is fair."),
    ]
    nothing, vectors = np.zeros(4, dtype=np.float32), [None] * 4
    by_words = turn_scores(turns, "who gets the harmonium?", nothing, vectors)
    assert int(by_words.argmax()) == 0
    unit = np.eye(4, dtype="<f4")
    meant = turn_scores(turns, "xyzzy plugh foo", unit[1], [each.tobytes() for each in unit])
    assert int(meant.argmax()) == 1
    follows = turn_scores(turns, "And how much is it?", nothing, vectors)
    assert int(follows.argmax()) == 3
    assert turn_scores([], "who?", nothing, []).shape == (0,)
    odd = turn_scores([("\ud800 dog", "OR AND NOT \" '")], '"dog" OR (', nothing, [b"short"])
    assert odd.shape == (1,)


def price(nano, cache=None):
    return ArmPrice(Decimal(nano), Decimal(0), cache_read=None if cache is None else Decimal(cache))


def test_the_budget_goes_by_what_a_right_answer_is_worth_against_the_price():
    assert budget_of(price(100), 0.1) == BUDGETS[-1]
    assert budget_of(price(15_000), 0.1) == BUDGETS[0]
    assert budget_of(price(15_000), 100.0) == BUDGETS[-1]
    assert budget_of(None, 0.0) == budget_of(price(0), 0.0) == BUDGETS[-1]
    assert budget_of(price(250), 0.1, window=4_096) == 1_024
    found = [budget_of(price(nano), 0.1) for nano in range(0, 20_000, 250)]
    assert found == sorted(found, reverse=True)


def test_all_is_sent_where_it_fits_or_where_a_cache_makes_it_cheaper_than_a_part():
    assert worth_of_all(900, 0, 1_000, price(1_000))
    assert not worth_of_all(1_100, 0, 1_000, price(1_000, 100))
    assert worth_of_all(5_000, 4_800, 1_000, price(1_000, 100))  # 200 + 480 of 1,000
    assert not worth_of_all(12_000, 11_800, 1_000, price(1_000, 100))  # 200 + 1,180
    assert not worth_of_all(5_000, 4_800, 1_000, price(1_000))  # it has no price for its cache
    assert not worth_of_all(5_000, 4_800, 1_000, price(0, 0))  # what is free is not sent for that reason


def test_what_is_logged_reads_back():
    note = Recalled("summary", ("a", "b"), 9, 120, 900, 1_000, "summary", "z")
    assert Recalled.of(json.loads(json.dumps(note.to_dict()))) == note


@given(st.text(max_size=6_000))
def test_a_summary_never_takes_more_room_than_was_reserved_for_it(text):
    assert text_bound(fitted(text)) <= MOST_BYTES
    assert text.strip().startswith(fitted(text))


# -- the ledger -----------------------------------------------------------------------------------------------------


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path / "scrimp.db") as ledger:
        yield ledger


def logged(ledger, cid, text, at="2026-11-29T08:00:00.000000Z", status="ok"):
    request_id = new_id()
    row = {"id": request_id, "created_at": at, "command": "ask", "profile": "p", "conversation_id": cid}
    with ledger.transaction():
        ledger.insert("requests", {**row, "status": status, "prompt": text, "answer": f"on {text}"})
    return request_id


def test_a_conversation_is_found_by_name_id_and_the_ends_of_that(ledger):
    cid = begin_conversation(ledger, "trip", now=0.0)
    logged(ledger, cid, "first")
    logged(ledger, cid, "second", at="2026-11-29T08:01:00.000000Z")
    logged(ledger, cid, "failed", status="failed")
    for which in ("trip", cid, cid[-5:], cid[:12], cid.upper()):
        assert find_conversation(ledger, which) == cid
    assert find_conversation(ledger, "tri") is None
    assert [turn.prompt for turn in conversation(ledger, cid).turns] == ["first", "second"]
    assert begin_conversation(ledger, "trip", now=9.0) == cid
    name_conversation(ledger, "trip", "journey", now=1.0)
    assert known_names(ledger) == ["journey"]


def test_names_that_cannot_be_are_refused(ledger):
    logged(ledger, cid := new_id(), "hello")
    for name in ("a b", "-x", "x" * 65, "", "../x", "last", "01zzzz", new_id()):
        with pytest.raises(UsageError):
            begin_conversation(ledger, name, now=0.0)
    begin_conversation(ledger, "mine", now=0.0)
    with pytest.raises(UsageError, match="called 'mine' already"):
        name_conversation(ledger, cid, "mine", now=0.0)
    with pytest.raises(UsageError, match="no conversation 'nobody'"):
        name_conversation(ledger, "nobody", "x", now=0.0)


def test_forgetting_a_turn_forgets_what_was_made_of_it(ledger):
    cid, other = begin_conversation(ledger, "gone", now=0.0), begin_conversation(ledger, "stays", now=0.0)
    first, second = logged(ledger, cid, "secret"), logged(ledger, cid, "more")
    kept = logged(ledger, other, "else")
    with ledger.transaction():
        for which, upto in ((cid, second), (other, kept)):
            keep_summary(
                ledger, conversation_id=which, upto=upto, text="a secret", n_tokens=2, request_id=upto, at="2026"
            )
    remove(ledger, [first])
    assert summary_of(ledger, cid) is None
    assert summary_of(ledger, other) == (kept, "a secret")
    assert known_names(ledger) == ["gone", "stays"]
    remove(ledger, [second])
    assert known_names(ledger) == ["stays"]


# -- chats of programs ----------------------------------------------------------------------------------------------


def chat_of(n, **more):
    messages = [{"role": "system", "content": "Be brief."}]
    for at in range(n):
        messages += [{"role": "user", "content": f"q{at} " * 60}, {"role": "assistant", "content": f"a{at} " * 60}]
    return Chat((*messages, {"role": "user", "content": "and now?"}), **more)


def test_a_long_chat_keeps_its_instructions_its_first_round_and_its_last():
    chat = chat_of(12)
    rounds = rounds_of(chat)
    scores = np.zeros(12)
    scores[5] = 1.0
    cut, note = rounds.cut("relevant", 500, lambda: scores)
    assert [message["role"] for message in cut.messages] == ["system", *["user", "assistant"] * 4, "user"]
    said = [message["content"] for message in cut.messages]
    assert said[0] == "Be brief."
    assert said[1].startswith("q0 ")
    assert said[3].startswith("[4 earlier turns are left out here]\n\nq5 ")
    assert said[5].startswith("[4 earlier turns are left out here]\n\nq10 ")
    assert said[7].startswith("q11 ")
    assert said[-1] == "and now?"
    assert (note.tier, note.turns, note.n_turns) == ("relevant", ("1", "6", "11", "12"), 12)


def test_a_chat_that_fits_or_has_tools_or_images_is_sent_as_it_is():
    chat = chat_of(12)
    sent, note = rounds_of(chat).cut("auto", 100_000, lambda: np.zeros(12))
    assert sent is chat
    assert note.tier == "all"
    tool = {"type": "function", "function": {"name": "look", "description": "", "parameters": {}}}
    assert rounds_of(chat_of(12, tools=(tool,))) is None
    image = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}
    assert rounds_of(Chat((image, *chat.messages))) is None
    called = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "look"}}]}
    result = {"role": "tool", "tool_call_id": "1", "content": "seen"}
    assert rounds_of(Chat((*chat.messages, called, result))) is None
    assert rounds_of(Chat(({"role": "user", "content": "hello"},))) is None
    assert rounds_of(Chat((*chat.messages, {"role": "assistant", "content": "begun"}))) is None
