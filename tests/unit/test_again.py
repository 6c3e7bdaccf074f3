"""A prompt of the log, asked again: of whom, with what, and what that says of the first answer."""

import json
import random

import pytest

from scrimp.profiles.errors import UsageError
from scrimp.profiles.schema import Arm, Profile
from scrimp.routing.asking.again import label_redone, next_better, prompt_of, redo_request
from scrimp.routing.calls.call import served_by_another
from scrimp.routing.deciding.decide import Decider, Wishes
from scrimp.routing.ledger.labels import labels_of
from scrimp.routing.ledger.store import open_ledger
from scrimp.routing.prices.table import PriceTable
from scrimp.routing.prompts.embedding import Embedder
from scrimp.routing.prompts.prompt import Prompt, Turn
from scrimp.routing.router.tier_prior import TierPrior

PROFILE = Profile(
    name="test",
    arms=[Arm(name=tier, model=f"openai/{tier}", tier=tier, price=None) for tier in ("small", "medium", "large")],
)


@pytest.fixture(scope="module")
def decision():
    """The JSON of a decision among three arms, the abler the dearer."""
    decider = Decider(PROFILE, PriceTable(b"{}", "0"), TierPrior(), Embedder())
    (context,) = decider.contexts(["What is 3 plus 4?"])
    found = decider.decide(
        Prompt("What is 3 plus 4?"),
        decider.predict([context]),
        Wishes(arm="small"),
        decision_id="d",
        rng=random.Random(0),
    )
    return json.dumps(found.to_dict())


def row(decision=None, **over):
    return {
        "id": "d", "prompt": "What is 3 plus 4?", "system": "be brief", "messages": '[["hello", "hi"]]', "schema": None,
        "attachments": None, "arm": "small", "decision": decision, "conversation_id": "c", "status": "ok", **over,
    }  # fmt: skip


def test_the_prompt_is_as_it_was():
    prompt = prompt_of(row(schema='{"type": "string"}'), needs=["vision"])
    assert prompt == Prompt(
        "What is 3 plus 4?", "be brief", (Turn("hello", "hi"),), schema={"type": "string"}, needs=frozenset({"vision"})
    )
    assert prompt_of(row(messages=None)).history == ()


def test_the_next_better_arm_answers_again(decision):
    assert next_better(row(decision), PROFILE) == "medium"
    assert next_better(row(decision, arm="medium"), PROFILE) == "large"
    request = redo_request(row(decision), PROFILE, max_cost_nano=7)
    assert (request.wishes.arm, request.wishes.max_cost_nano, request.redo_of, request.command) == (
        "medium", 7, "d", "redo",
    )  # fmt: skip
    assert redo_request(row(decision), PROFILE, arm="large").wishes.arm == "large"


def test_the_next_better_may_be_a_reading_that_fits(decision):
    arms = json.loads(decision)["arms"]
    both = []
    for arm in arms:  # the whole is the better, and the dearer
        whole = {**arm, "name": f"{arm['name']}/whole"}
        both += [whole, {**arm, "name": f"{arm['name']}/passages", "quality": arm["quality"] - 0.001}]
    read = {**json.loads(decision), "arms": both}

    def after(arm):
        return next_better(row(json.dumps(read), arm=arm), PROFILE)

    assert [after(f"small/{kind}") for kind in ("passages", "whole")] == ["small/whole", "medium/passages"]
    both[0].update(feasible=False, barrier="window")
    assert after("small/passages") == "medium/passages"


def test_a_prompt_that_was_to_stay_here_is_not_asked_elsewhere_unless_told(decision):
    kept = json.loads(decision)
    kept["arms"][2].update(feasible=False, barrier="not_here")
    kept = json.dumps(kept)
    with pytest.raises(UsageError, match="on this machine"):
        next_better(row(kept), PROFILE)
    local = Profile(name="test", arms=[*PROFILE.arms[:2], Arm(name="large", model="local/large")])
    assert next_better(row(kept), local) == "large"
    assert redo_request(row(kept), PROFILE, arm="medium").wishes.arm == "medium"


@pytest.mark.parametrize(
    ("over", "says"),
    [
        ({"prompt": None}, "was not kept"),
        ({"attachments": "[]"}, "had attachments"),
        ({"arm": "large"}, "no arm predicted to be better"),
        ({"decision": None}, "no arm predicted to be better"),
    ],
)
def test_what_cannot_be_asked_again(decision, over, says):
    with pytest.raises(UsageError, match=says):
        redo_request(row(**{"decision": decision, **over}), PROFILE)
    with pytest.raises(UsageError, match="answered this already"):
        redo_request(row(decision), PROFILE, arm="small")


def test_only_an_answer_gets_a_bad_mark(tmp_path):
    with open_ledger(tmp_path / "scrimp.db") as ledger, ledger.transaction():
        for key, status in (("d", "ok"), ("e", "failed")):
            ledger.insert(
                "requests",
                {"id": key, "created_at": "2026-01-01", "command": "ask", "profile": "test", "status": status},
            )
            label_redone(ledger, row(id=key, status=status), "large", PROFILE, now=0.0)
        (label,) = labels_of(ledger, "d")
        assert (label["arm"], label["reward"], label["weight"], label["source"]) == ("small", 0.25, 0.5, "redo")
        assert labels_of(ledger, "e") == []


@pytest.mark.parametrize(
    ("served", "requested", "another"),
    [
        ("gpt-5-mini", "openai/gpt-5-mini", False),
        ("gpt-5-mini-2026-01-01", "openai/gpt-5-mini", False),
        ("acme/gpt-5-mini", "openai/gpt-5-mini", False),
        ("gpt-4o", "openai/gpt-5-mini", True),
        (None, "openai/gpt-5-mini", False),
        ("", "openai/gpt-5-mini", False),
    ],
)
def test_who_served_it(served, requested, another):
    assert served_by_another(served, requested) is another
