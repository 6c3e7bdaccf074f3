"""`ask --rephrase`: bought once, asked in the words that are predicted to do best, and never silently."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from urllib.parse import quote

import pytest
from conftest import environment

SCRIMP = [sys.executable, "-m", "scrimp.cli"]
QUESTION = "How many moons does the planet Mars have?"
BETTER = 0.8
GOOD = ["What is the number of moons of the planet Mars?", "State how many moons orbit the planet Mars."]


def says(*texts):
    """Return the model that sends back these phrasings, whoever asks."""
    return "say@text=" + quote(json.dumps(list(texts)))


@pytest.fixture
def phrased(profile, server):
    """Write a profile whose small arm phrases, and whose large arm answers."""

    def write(reply, *, answers="say@text=Two.", **more):
        server.script([reply], model="phrases")
        server.script([answers], model="answers")
        return profile(small="phrases", large="answers", **more)

    return write


@pytest.fixture
def prefers(monkeypatch):
    """Have the router think best of questions that are put in some words: how it thinks is not what is tested here."""

    def set_up(words):
        from scrimp.routing.deciding.decide import Decider

        decide = Decider.decide

        def better(self, prompt, *given, **more):
            decision = decide(self, prompt, *given, **more)
            quality = BETTER if words in prompt.text else 0.5
            weighed = tuple(
                replace(each, option=replace(each.option, quality=quality)) for each in decision.choice.weighed
            )
            return replace(decision, choice=replace(decision.choice, weighed=weighed))

        monkeypatch.setattr(Decider, "decide", better)

    return set_up


def ask(scrimp, path, *more, question=QUESTION):
    return scrimp("ask", "-p", path, "-m", "large", "--rephrase", "3", *more, question)


def shown(scrimp):
    return json.loads(scrimp("log", "show", "last", "--json").out)


def last_sent(server):
    return server.chats[-1].body["messages"][-1]["content"]


def test_the_best_phrasing_is_asked_and_shown(scrimp, phrased, server, prefers):
    prefers("State how many")
    done = ask(scrimp, phrased(says(*GOOD)), "--json")
    assert done.code == 0, done.err
    first, second = server.chats
    assert QUESTION in first.prompt
    assert first.output_limit < 200
    assert last_sent(server) == GOOD[1]
    assert "small puts it into other words, 3 ways" in done.err
    assert f"asked as: {GOOD[1]} (predicted quality" in done.err
    answer = json.loads(done.out)
    assert answer["answer"] == "Two."
    assert answer["rephrased"]["asked_as"] == GOOD[1]
    assert [each["text"] for each in answer["rephrased"]["candidates"]] == [QUESTION, *GOOD]
    qualities = [each["quality"] for each in answer["rephrased"]["candidates"]]
    assert max(qualities) == qualities[2] > qualities[0]
    assert answer["total_charged_usd"] == pytest.approx((first.cost_nano + 10 * second.cost_nano) / 1e9)
    row = shown(scrimp)
    assert row["prompt"] == QUESTION
    assert [(step["kind"], step["arm"], step["outcome"]) for step in row["steps"]] == [
        ("rephrase", "small", "answered"),
        ("ask", "large", "answered"),
    ]
    assert row["steps"][1]["asked"] == GOOD[1]
    assert [attempt["kind"] for attempt in row["attempts"]] == ["rephrase", "step"]
    assert row["decision"]["rephrase"]["arm"] == "small"
    told = {verdict["check"]: verdict["evidence"] for verdict in row["steps"][0]["verdicts"]}
    assert told.keys() == {"as it was put", "phrasing 1", "phrasing 2, asked"}
    assert told["phrasing 2, asked"].endswith(GOOD[1])
    assert row["labels"] == []  # no verdict on an answer
    text = scrimp("log", "show", "last").out
    assert f"asked as:\n{GOOD[1]}" in text
    assert "phrasing 1" in text


def test_explained_it_shows_every_candidate_with_its_quality(scrimp, phrased, prefers):
    prefers("State how many")
    done = ask(scrimp, phrased(says(*GOOD)), "-x")
    assert "first small puts it into other words, 3 ways, at most $" in done.err
    for name in ("as it was put", "phrasing 1", "phrasing 2, asked"):
        assert f"{name}: " in done.err


def test_the_question_as_it_was_put_is_among_them(scrimp, phrased, server, prefers):
    prefers("How many moons does")
    done = ask(scrimp, phrased(says(*GOOD)))
    assert last_sent(server) == QUESTION
    assert "asked as it was put: none of 2 phrasings is likelier" in done.err
    assert shown(scrimp)["steps"][1]["asked"] is None


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("say@text=Mars_has_two_moons.", "no phrasing of use came back: "),
        ("say@text=[]", "no phrasing of use came back: "),
        (says("Mars has two moons."), "it does not ask"),
        (says("Сколько спутников у планеты Марс?"), "it is in another language"),
        (says("How much does a pound of potatoes cost in Vienna?"), "it asks for something else"),
        (says("How many moons does Mars have? " * 60), "it is too long"),
    ],
)
def test_what_is_no_phrasing_is_dropped(scrimp, phrased, server, reply, why):
    done = ask(scrimp, phrased(reply), "--json")
    assert done.code == 0, done.err
    assert why in done.err
    assert "it is asked as it was put" in done.err
    assert last_sent(server) == QUESTION
    assert json.loads(done.out)["rephrased"]["taken"] == 0


def test_a_failed_call_leaves_the_question_as_it_was_put(scrimp, phrased, server):
    done = ask(scrimp, phrased("400"))
    assert done.code == 0, done.err
    assert last_sent(server) == QUESTION
    assert [step["outcome"] for step in shown(scrimp)["steps"]] == ["failed", "answered"]


def test_the_question_alone_is_put_into_other_words(scrimp, phrased, server, prefers, tmp_path):
    prefers("State how many")
    minutes = tmp_path / "moons.txt"
    minutes.write_text("Phobos and Deimos are the moons of Mars.\n")
    done = ask(scrimp, phrased(says(*GOOD)), "-f", minutes)
    assert done.code == 0, done.err
    first, second = server.chats
    assert "Phobos" not in first.prompt
    assert "Phobos" in second.prompt
    assert GOOD[1] in second.prompt
    assert QUESTION not in second.prompt


def test_a_conversation_keeps_what_was_put(scrimp, phrased, server, prefers):
    prefers("State how many")
    path = phrased(says(*GOOD))
    ask(scrimp, path)
    ask(scrimp, path, "-c", question="And how many moons does the planet Venus have?")
    assert "Two." not in server.chats[2].prompt  # what went before is not put into other words
    assert [message["content"] for message in server.chats[3].body["messages"]][:2] == [QUESTION, "Two."]


def test_checks_and_schemas_go_by_what_was_put(scrimp, phrased, server, prefers):
    prefers("State how many")
    schema = '{"type": "object", "required": ["answer"]}'
    path = phrased(says(*GOOD), answers="json")
    done = ask(scrimp, path, "--schema", schema, "--json")
    assert done.code == 0, done.err
    assert server.chats[0].body.get("response_format") is None
    assert GOOD[1] in server.chats[1].prompt
    done = ask(scrimp, phrased(says(*GOOD)), "--check", "judge:small")
    judged = server.chats[-1].prompt
    assert QUESTION in judged
    assert GOOD[1] not in judged


@pytest.mark.parametrize(
    ("plan", "asked", "n_calls"),
    [("large ? has:Nine > small", GOOD[1], 3), ("large + large vote", GOOD[1], 3), ("large leads small", None, 1)],
)
def test_plans_ask_so_where_they_ask_the_question(scrimp, phrased, server, prefers, plan, asked, n_calls):
    prefers("State how many")
    argv = ("ask", "-p", phrased(says(*GOOD), caps="per_day_usd = 20"), "--rephrase", "3", "--plan", plan, QUESTION)
    done = scrimp(*argv)
    assert done.code in (0, 7), done.err
    assert len(server.chats) == n_calls, done.err
    if asked is None:
        assert "asks in words of its own" in done.err
        assert "puts it into other words" not in done.err
    else:
        assert [chat.body["messages"][-1]["content"] for chat in server.chats[1:]] == [asked] * (n_calls - 1)


# -- money ------------------------------------------------------------------------------------------------------------


def test_where_the_caps_are_too_low_it_is_asked_as_it_is(scrimp, phrased, server):
    path = phrased(says(*GOOD))
    bound = json.loads(scrimp("ask", "--dry-run", "--json", "-p", path, "-m", "large", QUESTION).out)["arms"][1][
        "bound_usd"
    ]
    done = ask(scrimp, path, "--max-cost", f"{bound:.6f}")
    assert done.code == 0, done.err
    assert "the caps leave too little for other words beside the answer: it is asked as it is" in done.err
    assert [chat.model for chat in server.chats] == ["answers"]
    assert last_sent(server) == QUESTION
    assert ask(scrimp, path, "--max-cost", "0.0001").code == 3  # not even as it is
    assert len(server.chats) == 1


@pytest.mark.parametrize("caps", ["per_run_usd = {}", "per_day_usd = {}"])
def test_a_cap_holds_for_both_together(scrimp, phrased, server, prefers, caps):
    prefers("State how many")
    path = phrased(says(*GOOD))
    trace = json.loads(ask(scrimp, path, "--dry-run", "--json").out)
    both = trace["arms"][1]["bound_usd"] + trace["rephrase"]["bound_usd"] + 0.00001 * 400
    assert server.chats == []
    path = phrased(says(*GOOD), caps=caps.format(f"{both + 0.0001:.6f}"))
    done = ask(scrimp, path)
    assert (done.code, len(server.chats)) == (0, 2), done.err
    assert last_sent(server) == GOOD[1]


def test_it_stays_on_this_machine_and_where_rules_let_it(scrimp, phrased, server):
    path = phrased(says(*GOOD))
    far = path.read_text().replace(server.base_url, "https://far.invalid/v1", 1)
    path.write_text(far)
    done = ask(scrimp, path, "--local-only", "--json")
    assert done.code == 0, done.err
    assert "small puts" not in done.err
    done = ask(scrimp, path, "--json")  # an arm that runs here is asked: what it is asked stays here
    assert "small puts" not in done.err


@pytest.mark.parametrize("during", [1, 2])
def test_a_kill_pays_for_no_phrasings_twice(scrimp, phrased, server, home, during):
    path = phrased(says(*GOOD))
    argv = [*SCRIMP, "ask", "-p", str(path), "-m", "large", "--rephrase", "3", QUESTION]
    died = subprocess.Popen(argv, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    server.on_chat = lambda count: os.kill(died.pid, signal.SIGKILL) if count == during else None
    _, said = died.communicate(timeout=240)
    assert died.returncode == -signal.SIGKILL, said
    server.on_chat = None
    done = ask(scrimp, path)
    assert done.code == 0, done.err
    phrasings = [chat for chat in server.chats if "phrasings" in chat.prompt]
    assert len(phrasings) == (2 if during == 1 else 1)  # of one that was killed nothing had come: it counts as spent
    assert ("(phrasings that were bought before)" in done.err) is (during == 2)
    with sqlite3.connect(home / "scrimp.db") as conn:
        kinds = conn.execute(
            "SELECT a.kind, r.status FROM attempts a JOIN reservations r ON r.id = a.id ORDER BY a.id"
        ).fetchall()
    if during == 1:
        assert kinds == [("rephrase", "unknown"), ("rephrase", "settled"), ("step", "settled")]
    else:
        assert kinds == [("rephrase", "settled"), ("step", "unknown"), ("first", "settled")]


def test_the_same_question_again_costs_no_phrasings(scrimp, phrased, server, prefers):
    prefers("State how many")
    path = phrased(says(*GOOD))
    ask(scrimp, path)
    done = ask(scrimp, path, "--json")
    assert len(server.chats) == 3
    assert json.loads(done.out)["decision"]["rephrase"]["bought_before"] is True
    row = shown(scrimp)
    assert (row["prompt"], row["steps"][0]["asked"], len(row["steps"])) == (QUESTION, GOOD[1], 1)
    assert "asked as:" in scrimp("log", "show", "last").out
    ask(scrimp, path, question="How many moons does the planet Venus have?")
    assert len(server.chats) == 5


def test_what_held_none_of_use_is_bought_again(scrimp, phrased, server, prefers):
    prefers("State how many")
    server.script(["say@text=I_cannot."], model="phrases")
    path = phrased(says(*GOOD))
    for asked in (QUESTION, GOOD[1], GOOD[1]):
        ask(scrimp, path)
        assert last_sent(server) == asked
    assert sum("phrasings" in chat.prompt for chat in server.chats) == 2


def test_what_keeps_no_text_keeps_none_of_these(scrimp, phrased, server, prefers, home):
    prefers("State how many")
    path = phrased(says(*GOOD))
    for n in (2, 4):  # nothing was kept that could be used again
        assert ask(scrimp, path, "--no-log").code == 0
        assert len(server.chats) == n
    path = phrased(says(*GOOD), extra='[log]\nkeep = "features"\n')
    assert ask(scrimp, path).code == 0
    steps = shown(scrimp)["steps"]
    assert [(step["answer"], step["asked"]) for step in steps] == [(None, None)] * 2
    assert all(not verdict["evidence"] for step in steps for verdict in step["verdicts"])
    assert b"orbit the planet" not in (home / "scrimp.db").read_bytes()


def test_its_tokens_are_no_answers_tokens(scrimp, phrased, home):
    from scrimp.routing.ledger.attempts import final_attempts
    from scrimp.routing.ledger.outcomes import outcomes_of
    from scrimp.routing.ledger.past_calls import past_calls
    from scrimp.routing.ledger.store import open_ledger

    path = phrased(says(*GOOD))
    assert scrimp("ask", "-p", path, "-m", "small", "--rephrase", "3", QUESTION).code == 0
    with open_ledger(home / "scrimp.db") as ledger:
        assert len(final_attempts(ledger)) == 1
        ids = [row["id"] for row in ledger.rows("SELECT id FROM requests")]
        assert len(outcomes_of(ledger, ids)) == 1
        assert [call.answers for call in past_calls(ledger, ["small"])["small"]] == [True, False]


def test_a_long_text_is_asked_as_it_is(scrimp, phrased, server):
    done = ask(scrimp, phrased(says(*GOOD)), question="What does this mean? " + "word " * 3_000)
    assert done.code == 0, done.err
    assert "tokens is not put into other words" in done.err
    assert len(server.chats) == 1


def test_risky_prompts_are_put_into_other_words_first(scrimp, phrased, server, prefers):
    prefers("State how many")
    for below, code, n in ((0.7, 0, 2), (0.9, 9, 3)):
        path = phrased(says(*GOOD), extra=f'[guard]\nrisky = "refuse"\nrisk_below = {below}\n')
        question = QUESTION if n == 2 else f"{QUESTION} "
        done = ask(scrimp, path, question=question)
        assert (done.code, len(server.chats)) == (code, n), done.err
    assert "not asked: in the best of 3 phrasings large is of predicted quality" in done.err
    assert scrimp("ask", "-p", path, "-m", "large", QUESTION).code == 9
    assert len(server.chats) == 3


def test_a_dry_run_buys_nothing(scrimp, phrased, server):
    done = ask(scrimp, phrased(says(*GOOD)), "--dry-run", "-x", "--json")
    assert (done.code, server.chats) == (0, [])
    assert json.loads(done.out)["rephrase"] | {"bound_usd": 0} == {
        "n": 3, "arm": "small", "bound_usd": 0, "bought_before": False,
    }  # fmt: skip


def test_python_takes_it(home, phrased, server, prefers):
    import scrimp

    prefers("State how many")
    with scrimp.Scrimp(str(phrased(says(*GOOD))), home=str(home)) as client:
        answer = client.ask(QUESTION, arm="large", rephrase=3)
        assert (answer.text, answer.asked_as, answer.complete) == ("Two.", GOOD[1], True)
        assert answer.to_dict()["rephrased"]["asked_as"] == GOOD[1]
        assert any("asked as" in line for line in answer.said)
        assert client.ask(QUESTION, arm="large").asked_as is None
        with pytest.raises(scrimp.UsageError, match="from 2 to 9"):
            client.ask(QUESTION, rephrase=1)


def test_the_router_itself_ranks_them(scrimp, phrased, server):
    """Nothing stands in for the router here: the words asked are those of the greatest quality that it predicts."""
    done = ask(scrimp, phrased(says(*GOOD)), "--json")
    found = json.loads(done.out)["rephrased"]
    qualities = [each["quality"] for each in found["candidates"]]
    assert len(set(qualities)) > 1
    assert qualities[found["taken"]] == max(qualities)
    assert last_sent(server) == found["candidates"][found["taken"]]["text"]


def test_what_a_guard_sends_elsewhere_is_phrased_nowhere_else(scrimp, phrased, server):
    """The risk is only known once it is decided; what is known before (a rule, a scope) holds for the phrasings too."""
    from scrimp.cli import session
    from scrimp.routing.asking.phrasings import task_of
    from scrimp.routing.asking.summing import cheap_arm
    from scrimp.routing.deciding.decide import Wishes
    from scrimp.routing.guard.verdict import Guarded

    loaded = session.load(str(phrased(says(*GOOD))))
    decider = session.make_decider(loaded.profile)
    prompt = task_of(QUESTION, 3)
    (context,) = decider.contexts([QUESTION])

    def asked(**guarded):
        found = cheap_arm(prompt, Wishes(guarded=Guarded(**guarded)), context, decider, {}, good=0.0)
        return None if found is None else found[0]

    assert asked() == "small"
    assert asked(barred={"small": "by a rule"}) == "large"
    assert asked(sends="large") == "large"
    assert asked(barred={"small": "by a rule", "large": "by a rule"}) is None
