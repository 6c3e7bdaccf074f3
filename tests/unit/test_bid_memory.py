"""What the log says of jurors and of bids."""

import json
import random
import sqlite3

import pytest

from scrimp.routing.strategies.bid_memory import PastBid, trust_of

CAPS = "per_day_usd = 20"
QUESTION = "How many regions do 9 chords cut a disc into?"


def world(jury, *, n=150, labelled=True, seed=3):
    """Return bids of a world in which jurors are right, guess, or always say the same."""
    rng = random.Random(seed)
    bids = []
    for _ in range(n):
        right = rng.random() < 0.5
        given = {
            "right": lambda right=right: 0.8 if right else 0.2,
            "guess": rng.random,
            "same": lambda: 0.8,
            "wrong": lambda right=right: 0.2 if right else 0.8,
        }[jury]
        scores = tuple(min(1.0, max(0.0, given() + rng.gauss(0, 0.05))) for _ in range(3))
        bids.append(PastBid(0.5, scores if jury != "same" else (0.8,) * 3, float(right) if labelled else None))
    return bids


def test_jurors_who_are_right_come_to_be_trusted_and_others_do_not():
    assert trust_of(world("right")) > 0.8
    assert trust_of(world("guess")) < 0.2
    assert trust_of(world("same")) < 0.1
    assert trust_of(world("wrong")) < 0.1  # consistent, and labels say otherwise


def test_without_labels_only_consistency_tells():
    assert trust_of([]) == pytest.approx(0.35)
    assert trust_of(world("right", labelled=False)) == pytest.approx(0.35)
    assert trust_of(world("wrong", labelled=False)) == pytest.approx(0.35)
    assert trust_of(world("guess", labelled=False)) < 0.25


def test_trust_grows_with_labels():
    found = [trust_of(world("right", n=n)) for n in (0, 10, 40, 160)]
    assert found == sorted(found)
    assert trust_of([PastBid(0.5, ())] * 30) == pytest.approx(0.35)
    assert 0.0 < trust_of([PastBid(0.0, (1.0, 1.0), 0.0), PastBid(1.0, (0.0, 0.0), 1.0)] * 5) < 0.35


def say(server, arm, *texts):
    server.script([f"say@text={text.replace(' ', '_')}" for text in texts], model=arm)


def bid(scrimp, server, path, plan="small + large bid"):
    server.reset()
    say(server, "small", "Guess it.", "A: 5; B: 5", "Count.", "A: 5; B: 5", "41")
    say(server, "large", "Use a formula.", "A: 5; B: 5", "42")
    done = scrimp("ask", "--json", "-p", path, "--prefer", "best", "--plan", plan, QUESTION)
    assert done.code == 0, done.err
    return json.loads(done.out)


def kinds(answer):
    return [f"{step['kind']} {step['arm']}" for step in answer["steps"]]


ONCE = ["bid small", "bid large", "judge small", "judge large"]


def test_the_second_time_bids_that_won_and_lost_are_shown(scrimp, profile, server, home):
    path = profile(small="small", large="large", caps=CAPS)
    first = bid(scrimp, server, path)
    assert kinds(first)[:4] == ONCE
    assert first["decision"]["plan"]["bids"] == {"trust": 0.35, "won": [], "lost": []}
    ends = {step["arm"]: [each["check"] for each in step["verdicts"]] for step in first["steps"][:2]}
    jurors = ["juror small", "juror large"]
    assert ends == {"small": [*jurors, "lost"], "large": [*jurors, "won"]}

    with sqlite3.connect(home / "scrimp.db") as db:  # what it also tells of lengths would end the bidding sooner
        db.execute("UPDATE attempts SET prompt_output = NULL")
    second = bid(scrimp, server, path)
    known = second["decision"]["plan"]["bids"]
    assert {tuple(each) for each in (*known["won"], *known["lost"])} == {(first["id"], 1), (first["id"], 2)}
    assert kinds(second) == [*ONCE, "bid small", "judge small", "judge large", "ask large"]
    (again,) = [chat.prompt for chat in server.chats if "Your plan was not the best" in chat.prompt]
    assert "A PLAN THAT WON\nUse a formula." in again
    assert "A PLAN THAT LOST\nGuess it." in again
    said = scrimp("log", "show", "last").out
    assert "juror small:" in said
    assert "worth $" in said
    assert "counts 3" in said  # per cent, beside predicted quality


def test_an_arm_is_shown_no_bid_on_a_prompt_that_it_was_not_asked(scrimp, profile, server):
    path = profile(small="small", medium="medium", large="large", caps=CAPS)
    bid(scrimp, server, path)
    say(server, "medium", "Look it up.", "A: 5; B: 5", "43")
    assert bid(scrimp, server, path, "small + medium bid")["decision"]["plan"]["bids"]["won"] == []
    assert bid(scrimp, server, path)["decision"]["plan"]["bids"]["won"] != []


def test_what_is_not_kept_is_not_shown(scrimp, profile, server):
    path = profile(small="small", large="large", caps=CAPS, extra='[log]\nkeep = "features"\n')
    bid(scrimp, server, path)
    assert bid(scrimp, server, path)["decision"]["plan"]["bids"]["won"] == []
    path = profile(small="small", large="large", name="other", caps=CAPS)
    assert bid(scrimp, server, path)["decision"]["plan"]["bids"]["won"] == []
    first = bid(scrimp, server, path)
    assert scrimp("log", "rm", first["id"], "--yes").code == 0
