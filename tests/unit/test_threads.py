"""Which conversation a request goes on with, told by its messages alone."""

import json
import random
import time
from types import SimpleNamespace

import pytest

from scrimp.routing.deciding.staying import CACHE_S
from scrimp.routing.prompts.chat import Chat
from scrimp.routing.serving.threads import Threads

CALL = {"id": "call_1", "type": "function", "function": {"name": "read_file", "arguments": '{"path": "a.py", "n": 3}'}}
TOOL = {"type": "function", "function": {"name": "read_file", "parameters": {"type": "object"}}}
BRIEF = {"role": "system", "content": "be brief"}


def user(content):
    return {"role": "user", "content": content}


def said(content, **more):
    return {"role": "assistant", "content": content, **more}


def chat(*messages, tools=(TOOL,)):
    return Chat(tuple(messages), tools)


def decision(level=3.0, **quality):
    weighed = [SimpleNamespace(option=SimpleNamespace(arm=arm, quality=q)) for arm, q in quality.items()]
    return SimpleNamespace(choice=SimpleNamespace(weighed=weighed), input_tokens=7, level=level)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def threads(clock):
    return Threads(clock=clock)


def note(threads, messages, answer, request_id, *, session=None, arm="small", n_input=5_000, kept=True):
    return threads.note(messages, session, request_id, arm, answer, n_input, decision(small=0.6, large=0.9), kept=kept)


def test_a_conversation_goes_on(threads):
    first = chat(BRIEF, user("hello"))
    assert threads.find(first) is None
    note(threads, first, said("hi"), "r1")
    second = chat(BRIEF, user("hello"), said("hi"), user("and now?"))
    found = threads.find(second)
    assert (found.conversation_id, found.last_request, found.arm) == ("r1", "r1", "small")
    staying = found.staying(second)
    assert (staying.arm, staying.n_cached, staying.forced) == ("small", 5_000, False)
    assert (staying.running, staying.level) == ({"small": 0.6, "large": 0.9}, 3.0)
    assert found.after(second).request_id == "r1"
    note(threads, second, said("then"), "r2", arm="large")
    third = chat(BRIEF, user("hello"), said("hi"), user("and now?"), said("then"), user("go on"))
    found = threads.find(third)
    assert (found.conversation_id, found.last_request, found.arm) == ("r1", "r2", "large")
    assert found.after(third).n_messages == 3


def test_the_same_request_again_is_no_turn_of_its_own(threads):
    first = chat(user("hello"))
    note(threads, first, said("hi"), "r1")
    assert threads.find(chat(user("hello"))) is None
    assert threads.find(chat(user("hello"), said("hi"), user("x"))).last_request == "r1"


@pytest.mark.parametrize(
    "sent_back",
    [
        said("the file is read"),
        said([{"type": "text", "text": "the file is read", "cache_control": {"type": "ephemeral"}}]),
        said("the file is read\n", refusal=None, annotations=[], name="assistant"),
        {"role": "assistant", "content": [{"type": "text", "text": "the file is read"}], "tool_calls": []},
    ],
)
def test_an_answer_may_be_sent_back_in_other_words_of_json(threads, sent_back):
    """Two programs began alike; what tells them apart is the answer, however it is written."""
    for answer, name in (("another", "other"), ("the file is read", "this"), ("a third", "third")):
        note(threads, chat(user("hello")), said(answer), name)
    assert threads.find(chat(user("hello"), sent_back, user("more"))).last_request == "this"


@pytest.mark.parametrize(
    "call",
    [
        CALL,
        {**CALL, "id": "toolu_9", "index": 0},
        {"id": "c", "type": "function", "function": {"name": "read_file", "arguments": '{"n":3,"path":"a.py"}'}},
    ],
)
@pytest.mark.parametrize("content", [None, "", []])
def test_a_tool_call_may_be_sent_back_in_other_words_of_json(threads, call, content):
    other = {**CALL, "function": {"name": "read_file", "arguments": "{}"}}
    note(threads, chat(user("mend")), said(None, tool_calls=[CALL]), "this")
    note(threads, chat(user("mend")), said(None, tool_calls=[other]), "other")
    turn = chat(
        user("mend"), said(content, tool_calls=[call]), {"role": "tool", "tool_call_id": call["id"], "content": "x"}
    )
    found = threads.find(turn)
    assert found.last_request == "this"
    assert found.staying(turn).forced


def test_marks_moved_and_reminders_added_change_nothing(threads):
    note(
        threads,
        chat(BRIEF, user([{"type": "text", "text": "mend", "cache_control": {"type": "ephemeral"}}])),
        said("ok"),
        "r1",
    )
    again = user(
        [{"type": "text", "text": "<system-reminder>It is late.</system-reminder>"}, {"type": "text", "text": "mend"}]
    )
    system = {"role": "system", "content": "be brief"}
    found = threads.find(chat(system, again, said("ok"), user("more")))
    assert found.last_request == "r1"
    assert found.after(chat(system, again, said("ok"), user("more"))).system, (
        "the instructions are the same but for that"
    )


def test_a_fork_goes_on_from_where_it_was_forked(threads):
    one = chat(user("a"), said("b"), user("c"))
    note(threads, chat(user("a")), said("b"), "r1")
    note(threads, one, said("d"), "r2", arm="large")
    fork = chat(user("a"), said("b"), user("something else"))
    assert threads.find(fork).last_request == "r1"
    note(threads, fork, said("e"), "r3")
    assert threads.find(chat(*one.messages, said("d"), user("x"))).last_request == "r2"
    found = threads.find(chat(*fork.messages, said("e"), user("x")))
    assert (found.last_request, found.conversation_id, found.arm) == ("r3", "r1", "small")


def test_programs_that_begin_alike_are_not_taken_for_one(threads):
    title = {"role": "system", "content": "name this conversation"}
    note(threads, chat(title, user("mend the test"), tools=()), said("Mending a test"), "title")
    note(threads, chat(BRIEF, user("mend the test")), said("done"), "main")
    assert threads.find(chat(BRIEF, user("mend the test"), said("done"), user("go on"))).last_request == "main"
    stranger = chat({"role": "system", "content": "a third"}, user("mend the test"), said("no"), user("go on"))
    assert threads.find(stranger) is None
    shortened = chat(BRIEF, user("mend the test"), said("do..."), user("go on"))
    assert threads.find(shortened).last_request == "main", "the same instructions: its answer was cut short"


def test_a_session_tells_apart_what_is_alike(threads):
    first = chat(user("hello"))
    note(threads, first, said("hi"), "r1", session="one")
    note(threads, chat(user("hello")), said("hi"), "r2", session="two")
    later = (user("hello"), said("hi"), user("x"))
    assert threads.find(chat(*later), "one").conversation_id == "r1"
    assert threads.find(chat(*later), "two").conversation_id == "r2"
    assert threads.find(chat(*later), "three") is None
    assert threads.find(chat(*later)) is None


def test_what_was_cached_lapses(threads, clock):
    note(threads, chat(user("hello")), said("hi"), "r1")
    turn = chat(user("hello"), said("hi"), user("x"))
    clock.now = CACHE_S
    assert threads.find(turn).staying(turn).n_cached == 5_000
    clock.now = CACHE_S + 1
    assert threads.find(turn).staying(turn).n_cached == 0
    note(threads, chat(user("short")), said("hi"), "r2", n_input=900)
    short = chat(user("short"), said("hi"), user("x"))
    assert threads.find(short).staying(short).n_cached == 0, "too short for any cache"


def test_an_explicit_cache_holds_what_was_marked(threads):
    note(threads, chat(user("hello")), said("hi"), "r1")
    second = chat(user("hello"), said("hi"), user("x"))
    assert not threads.find(second).staying(second).marked
    note(threads, second, said("y"), "r2")
    third = chat(*second.messages, said("y"), user("z"))
    assert threads.find(third).staying(third).marked, "a chat that goes on is marked"
    marked = user([{"type": "text", "text": "own", "cache_control": {"type": "ephemeral"}}])
    note(threads, chat(marked), said("hi"), "r3")
    assert threads.find(chat(marked, said("hi"), user("x"))).marked


def test_what_is_kept_is_told_for_the_log(threads):
    note(threads, chat(BRIEF, user("hello")), said("hi"), "r1")
    turn = (user("hello"), said("hi"), user("x"))
    same, other = chat(BRIEF, *turn), chat({"role": "system", "content": "be long"}, *turn, tools=())
    assert (threads.find(same).after(same).system, threads.find(same).after(same).tools) == (True, True)
    assert (threads.find(other).after(other).system, threads.find(other).after(other).tools) == (False, False)
    note(threads, chat(user("secret")), said("hi"), "r2", kept=False)
    hidden = chat(user("secret"), said("hi"), user("x"))
    assert threads.find(hidden).conversation_id == "r2"
    assert threads.find(hidden).after(hidden) is None


def test_memory_is_bounded_by_size_and_age(clock):
    threads = Threads(clock=clock, max_bytes=200_000, max_age_s=100.0)
    for n in range(2_000):
        note(threads, chat(user(f"prompt {n}")), said("hi"), f"r{n}")
        assert threads.n_bytes <= 200_000
    assert 100 < len(threads) < 200
    assert threads.find(chat(user("prompt 0"), said("hi"), user("x"))) is None
    assert threads.find(chat(user("prompt 1999"), said("hi"), user("x"))) is not None
    clock.now = 101.0
    assert threads.find(chat(user("prompt 1999"), said("hi"), user("x"))) is None
    assert (len(threads), threads.n_bytes) == (0, 0)


def test_many_at_once_stay_apart(threads):
    """Hundred conversations of ten turns in any order, forks among them: each goes on with its own."""
    rng = random.Random(0)
    going = [[user(f"conversation {n % 50}"), said(f"answer {n}")] for n in range(100)]
    for n, messages in enumerate(going):
        note(threads, chat(*messages[:1]), messages[1], f"r{n}.0")
    last = {n: f"r{n}.0" for n in range(100)}
    for step in range(1, 1_000):
        n = rng.randrange(100)
        turn = chat(*json.loads(json.dumps(going[n])), user(f"step {step}"))
        found = threads.find(turn)
        assert (found.last_request, found.conversation_id) == (last[n], f"r{n}.0")
        last[n] = f"r{n}.{step}"
        answer = said(f"and {step}")
        note(threads, turn, answer, last[n])
        going[n] = [*turn.messages, answer]


def test_a_long_conversation_is_found_at_once(threads):
    messages = [each for n in range(200) for each in (user(f"{n} {'word ' * 240}"), said(f"{n} {'word ' * 240}"))]
    raw = json.dumps(messages)
    note(threads, chat(*messages[:-1]), messages[-1], "r")
    took = []
    for _ in range(5):
        turn = chat(*json.loads(raw), user("go on"))
        begun = time.process_time()
        assert threads.find(turn).last_request == "r"
        took.append(time.process_time() - begun)
    assert min(took) < 0.01
