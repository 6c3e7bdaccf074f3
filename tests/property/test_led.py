"""Whatever a planner, a judge or a juror says is read as something that it may have meant, and nothing breaks."""

from hypothesis import given
from hypothesis import strategies as st

from scrimp.routing.strategies.led import Asks, Says, read_lead
from scrimp.routing.strategies.letters import read_letter, read_scores
from scrimp.routing.text.fence import fenced

PIECES = st.sampled_from((
    "<ask", "<answer", "</ask>", "</answer>", "<answer>", ">", "<", "/", " arm=", '"small"', "'huge'", "small", "=", "<think>",
    "</think>", "```", "\n", "{", "}", '"ask":', '"arm":', '"question":', ":", "&lt;", "&gt;", "42", "who?", "A", "B: 7", "\0", "é",
    "\ud800", "=====", " END",
))  # fmt: skip
REPLIES = st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=30).map("".join))


@given(REPLIES, st.booleans())
def test_a_planners_reply_is_a_question_an_answer_or_nothing(reply, last):
    said = read_lead(reply, ["small", "medium"], last=last)
    if isinstance(said, Asks):
        assert not last
        assert said.arm in ("small", "medium", None)
        assert "\0" not in said.question
    elif isinstance(said, Says):
        assert said.text.strip()
    else:
        assert said is None


@given(REPLIES, st.integers(1, 12))
def test_letters_and_scores_are_of_those_that_there_are(reply, n):
    letter = read_letter(reply, n)
    assert letter is None or 0 <= letter < n
    scores = read_scores(reply, n)
    assert all(0 <= at < n and 0.0 <= score <= 10.0 for at, score in scores.items())


@given(
    st.lists(st.one_of(st.text(max_size=80), st.lists(PIECES, max_size=8).map("".join)), min_size=1, max_size=5),
    REPLIES,
)
def test_no_text_holds_the_mark_that_it_stands_between(texts, beside):
    found = fenced([(f"PART {n}", text) for n, text in enumerate(texts)], beside)
    mark = found.partition(" PART 0\n")[0]
    assert "\n" not in mark
    assert len(mark) <= 20
    assert mark not in beside
    rest = found
    for n, text in enumerate(texts):
        assert mark not in text
        head = f"{mark} PART {n}\n{text}\n"
        assert rest.startswith(head)
        rest = rest[len(head) :]
    assert rest == f"{mark} END"
