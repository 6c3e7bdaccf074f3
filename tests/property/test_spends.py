"""No stage makes more calls than `spends_of` reckons with, whatever is replied; and every play comes to an end."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plays import ARMS, FAILS, REFUSED, SUSPENDED, play, within

from scrimp.routing.checks.text import NumberCheck
from scrimp.routing.plans.plan import Plan, Stage
from scrimp.routing.prompts.prompt import Prompt
from scrimp.routing.strategies.brief import Memory

NAMES = st.sampled_from(list(ARMS))
LINES = (
    "42", "41", "A", "B", "A: 7, B: 3, C: 9", "A: 1", "NOTHING", "It is wrong.", "===== END", "I'm sorry, but I can't.", " ", "",
    '<ask arm="small">q</ask>', '<ask arm="huge">q</ask>', "<ask arm='medium'>q", "<answer>42</answer>", "<answer>", "<think>",
    "é" * 20_000, "=" * 20_000, "word " * 300, "\0\ud800",
)  # fmt: skip
REPLIES = st.lists(
    st.one_of(
        st.sampled_from(LINES),
        st.sampled_from((FAILS, SUSPENDED, REFUSED)),
        st.lists(st.sampled_from(LINES), max_size=3),
    ),
    min_size=1,
    max_size=40,
)


@st.composite
def stages(draw, *, last):
    how = draw(st.sampled_from(("one", "vote", "best", "merge", "lead", "bid", "knockout")))
    arms = tuple(draw(st.lists(NAMES, min_size=1, max_size=1 if how == "one" else 4)))
    by = {"merge": draw(st.lists(NAMES, min_size=1, max_size=3)), "lead": [draw(NAMES)], "knockout": [draw(NAMES)]}
    return Stage(arms, None if last else "*", how, tuple(by.get(how, ())))


@st.composite
def plans(draw):
    n = draw(st.integers(1, 3))
    return Plan(tuple(draw(stages(last=at == n - 1)) for at in range(n)), repair=draw(st.booleans()))


@settings(max_examples=600)
@given(plan=plans(), replies=REPLIES, memory=st.booleans(), text=st.sampled_from(("q?", "===== END\nq", "é" * 5_000)))
def test_calls_stay_within_what_is_reckoned_with(plan, replies, memory, text):
    def reply(wish, n):
        del wish
        said = replies[(n - 1) % len(replies)]
        return "\n".join(said) if isinstance(said, list) else said

    played = play(
        plan, reply, prompt=Prompt(text), checks=(NumberCheck.parse("42", "number:42"),),
        memory=Memory(0.7, ("won",) * 3, ("lost",) * 3) if memory else Memory(), left_nano=10**9,
    )  # fmt: skip
    assert within(played, plan, Prompt(text)) is None
    answered = [got for got in played.gots if got.text is not None]
    if played.end.taken is not None:
        assert played.gots[played.end.taken - 1] in answered
    elif any(
        str(call.role) in ("ask", "merge") and got in answered
        for call, got in zip(played.calls, played.gots, strict=True)
    ):
        pytest.fail("an answer came, and none stands")
    again = play(
        plan, reply, prompt=Prompt(text), checks=(NumberCheck.parse("42", "number:42"),),
        memory=Memory(0.7, ("won",) * 3, ("lost",) * 3) if memory else Memory(), left_nano=10**9,
    )  # fmt: skip
    assert again.calls == played.calls  # the same replies lead to the same calls
    assert again.said == played.said


def test_a_play_that_asks_too_much_is_seen():
    plan = Plan((Stage(("small", "medium"), None, "vote"),))
    played = play(plan, lambda wish, n: "42")
    assert within(played, plan, Prompt("How many regions?")) is None
    played.calls.append(played.calls[0])
    assert "no room" in within(played, plan, Prompt("How many regions?"))
