"""Conversations from the command line: what is really sent of them, what that costs, names, and kills."""

import json
import os
import signal
import sqlite3
import subprocess
import sys

import pytest
from conftest import environment

from scrimp.cli.complete import complete_conversations

SCRIMP = [sys.executable, "-m", "scrimp.cli"]
FACTS = (
    "The harmonium of my grandmother goes to uncle Leopold in Villach",
    "My neighbour Senta gave me six tomato plants from Apulia",
    "The dentist is called Havel and sees me on the 29th",
    "Our choir rehearses in the old fire station",
    "The van costs 148 euros a day",
    "I bought running shoes of size 45",
)
WORDS = "and I would like you to keep that in mind for whatever comes later on in this conversation of ours " * 10


def filled(scrimp, path):
    """Have a conversation of some 270 tokens a turn."""
    for fact in FACTS:
        done = scrimp("ask", "-q", "-p", path, "--cid", "long", f"{fact} {WORDS}")
        assert done.code == 0, done.err


def sent(server):
    """Return what the last call was sent: what the user said and what was answered, in order."""
    return [message["content"] for message in server.chats[-1].body["messages"]]


def shown(scrimp):
    return json.loads(scrimp("log", "show", "last", "--json").out)


def test_a_short_conversation_is_sent_whole(scrimp, profile, server):
    path = profile(small="ok")
    scrimp("ask", "-p", path, "My name is Ida")
    scrimp("ask", "-p", path, "-c", "I live in Aarhus")
    done = scrimp("ask", "-p", path, "-c", "Who am I?")
    assert sent(server)[::2] == ["My name is Ida", "I live in Aarhus", "Who am I?"]
    assert "all 2 earlier turns" in done.err
    memory = shown(scrimp)["memory"]
    assert (memory["tier"], memory["wanted"], memory["n_turns"], len(memory["turns"])) == ("all", "auto", 2, 2)


@pytest.mark.parametrize("tier", ["auto", "relevant"])
def test_what_the_question_is_about_goes_along_with_the_last_turns(scrimp, profile, server, tier):
    path = profile(large="ok@tokens=5")
    filled(scrimp, path)
    done = scrimp("ask", "-p", path, "-c", "--memory", tier, "-x", "Who gets the harmonium?")
    first, *_, last = sent(server)
    assert first.startswith(FACTS[0])
    assert last == "Who gets the harmonium?"
    asked = sent(server)[::2]
    assert asked[1].startswith("[3 earlier turns are left out here]\n\n" + FACTS[4])
    assert asked[2].startswith(FACTS[5])
    assert "3 of 6 earlier turns" in done.err
    assert "within 1,000" in done.err
    found = shown(scrimp)["memory"]
    ids = [row["id"] for row in json.loads(scrimp("log", "list", "--cid", "long", "--json").out)["rows"]][::-1]
    assert found["turns"] == [ids[0], ids[4], ids[5]]
    assert found["n_tokens"] <= found["budget"] == 1_000 < found["n_all"]
    assert "memory relevant" in scrimp("log", "show", "last").out


def test_last_sends_the_last_turns_and_all_sends_all(scrimp, profile, server):
    path = profile(large="ok@tokens=5")
    filled(scrimp, path)
    scrimp("ask", "-p", path, "-c", "--memory", "last", "Who gets the harmonium?")
    assert FACTS[0] not in server.chats[-1].prompt
    assert all(fact in server.chats[-1].prompt for fact in FACTS[4:])
    scrimp("ask", "-p", path, "-c", "--memory", "all", "Who gets the harmonium?")
    assert all(fact in server.chats[-1].prompt for fact in FACTS)


def test_asking_again_sends_the_same(scrimp, profile, server):
    path = profile(large="ok@tokens=5", medium="ok")
    filled(scrimp, path)
    assert scrimp("ask", "-p", path, "-m", "large", "-c", "--memory", "relevant", "Who has tomatoes?").code == 0
    before, note = sent(server), shown(scrimp)["memory"]
    assert scrimp("redo", "-p", path, "-m", "medium").code == 0
    assert sent(server) == before
    assert shown(scrimp)["memory"] == note


@pytest.mark.parametrize(("behaviour", "n_sent"), [("cached", 5), ("ok@tokens=5", 3)])
def test_all_goes_on_where_a_cache_was_seen_to_hold_it(scrimp, profile, server, behaviour, n_sent):
    path = profile(large=behaviour)
    path.write_text(path.read_text().replace("_mtok = 40 }", "_mtok = 40, cache_read_usd_per_mtok = 0.1 }"))
    for fact in FACTS[:5]:
        assert scrimp("ask", "-q", "-p", path, "--cid", "long", f"{fact} {WORDS}").code == 0
    done = scrimp("ask", "-p", path, "-c", "-x", "Who gets the harmonium?")
    assert len(sent(server)[::2]) == n_sent + 1
    assert ("tokens of it cached" in done.err) == (n_sent == 5)
    assert shown(scrimp)["memory"]["tier"] == ("all" if n_sent == 5 else "relevant")


def test_fifty_turns_cost_in_line_with_their_number(scrimp, profile, server):
    path = profile(large="ok@tokens=60", caps="per_day_usd = 20.0")
    for n in range(50):
        done = scrimp("ask", "-q", "-p", path, "--cid", "many", f"This is remark {n}: {WORDS[:200]}")
        assert done.code == 0, done.err
    tokens = [chat.input_tokens for chat in server.chats]
    assert sum(tokens[30:]) < 1.1 * sum(tokens[10:30])
    for n in range(2, 50):
        assert f"remark {n - 1}:" in server.chats[n].prompt
        assert f"remark {n - 2}:" in server.chats[n].prompt


# -- summaries ------------------------------------------------------------------------------------------------------


def steps(scrimp):
    return [(step["kind"], step["outcome"]) for step in shown(scrimp)["steps"]]


def test_a_summary_is_bought_once_and_extended_by_what_is_new(scrimp, profile, server):
    path = profile(large="ok@text=Leopold_gets_the_harmonium")
    filled(scrimp, path)
    n = len(server.chats)
    done = scrimp("ask", "-p", path, "-c", "--memory", "summary", "--json", "Who gets the harmonium?")
    answer = json.loads(done.out)
    summary, asked = server.chats[n:]
    assert FACTS[0] in summary.prompt
    assert FACTS[5] not in summary.prompt
    assert summary.output_limit <= 500
    first = asked.body["messages"][0]["content"]
    assert first.startswith("[Notes on the first 4 turns of this conversation, which are not sent: Leopold gets")
    assert FACTS[4] in first
    assert answer["total_charged_usd"] == pytest.approx(10 * (summary.cost_nano + asked.cost_nano) / 1e9)
    assert steps(scrimp) == [("summary", "answered"), ("ask", "answered")]
    assert shown(scrimp)["messages"][0][0] == first
    scrimp("ask", "-p", path, "-c", "--memory", "summary", "Sure?")  # that fits beside the summary: nothing is bought
    assert len(server.chats) == n + 3
    assert "Notes on the first 4 turns" in server.chats[-1].prompt
    for more in ("A new piano stands in the hall", "The cat is called Miro"):
        scrimp("ask", "-q", "-p", path, "-c", "--memory", "last", f"{more} {WORDS}")
    scrimp("ask", "-p", path, "-c", "--memory", "summary", "And the cat?")
    again = server.chats[-2].prompt
    assert "The notes so far" in again
    assert "Leopold gets the harmonium" in again
    assert FACTS[0] not in again
    assert FACTS[4] in again


@pytest.mark.parametrize("during", [1, 2])
def test_a_kill_loses_no_summary_that_was_paid(scrimp, profile, server, home, during):
    path = profile(large="ok@text=Leopold")
    filled(scrimp, path)
    n = len(server.chats)
    argv = [*SCRIMP, "ask", "-p", str(path), "-c", "--memory", "summary", "Who gets the harmonium?"]
    died = subprocess.Popen(argv, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    server.on_chat = lambda count: os.kill(died.pid, signal.SIGKILL) if count == n + during else None
    _, said = died.communicate(timeout=120)
    assert died.returncode == -signal.SIGKILL, said
    server.on_chat = None
    assert scrimp("ask", "-p", path, "-c", "--memory", "summary", "Who gets the harmonium?").code == 0
    summaries = [chat for chat in server.chats[n:] if "You keep the notes" in chat.prompt]
    assert len(summaries) == (2 if during == 1 else 1)  # of one that was killed nothing had come: it counts as spent
    with sqlite3.connect(home / "scrimp.db") as conn:
        kinds = conn.execute(
            "SELECT a.kind, r.status FROM attempts a JOIN reservations r ON r.id = a.id ORDER BY a.id"
        ).fetchall()[n:]
    if during == 1:
        assert kinds == [("summary", "unknown"), ("summary", "settled"), ("step", "settled")]
    else:
        assert kinds == [("summary", "settled"), ("step", "unknown"), ("first", "settled")]


def test_a_limit_holds_for_summary_and_answer_together(scrimp, profile, server):
    path = profile(large="ok@tokens=5")
    filled(scrimp, path)
    n = len(server.chats)

    def ask(tier, usd):
        return scrimp("ask", "-p", path, "-c", "--memory", tier, "--max-cost", f"{usd:.3f}", "Who gets it?")

    enough = next(usd / 1_000 for usd in range(1, 500) if ask("last", usd / 1_000).code == 0)
    assert len(server.chats) == n + 1
    refused = ask("summary", enough + 0.005)
    assert refused.code == 3, refused.err
    assert len(server.chats) == n + 1
    assert ask("summary", enough + 0.2).code == 0
    assert len(server.chats) == n + 3


def test_where_no_summary_can_be_had_the_last_turns_are_sent(scrimp, profile, server):
    path = profile(small="400", large="ok@tokens=5")
    filled_by = profile(name="other", large="ok@tokens=5")
    filled(scrimp, filled_by)
    done = scrimp("ask", "-p", path, "-m", "large", "-c", "--memory", "summary", "Who gets the harmonium?")
    assert done.code == 0, done.err
    assert "there is no summary" in done.err
    assert steps(scrimp) == [("summary", "failed"), ("ask", "answered")]
    assert shown(scrimp)["memory"]["tier"] == "last"
    assert sent(server)[0].startswith("[4 earlier turns are left out here]")


def test_a_summary_of_what_stays_here_is_made_here(scrimp, profile, server):
    path = profile(large="ok@tokens=5")
    path.write_text(
        path.read_text() + '[[arms]]\nname = "far"\nmodel = "openai/gpt-far"\napi_base = "https://far.invalid/v1"\n'
        'tier = "large"\ncontext_window = 100000\nprice = { input_usd_per_mtok = 0.1, output_usd_per_mtok = 0.1 }\n'
    )
    for fact in FACTS:
        assert scrimp("ask", "-q", "-p", path, "-m", "large", "--cid", "here", f"{fact} {WORDS}").code == 0
    n = len(server.chats)
    for more in (("--local-only",), ("-m", "large")):
        done = scrimp("ask", "-p", path, "--cid", "here", "--memory", "summary", *more, "Who gets the harmonium?")
        assert done.code == 0, done.err
        assert "far sums up" not in done.err
    assert "You keep the notes" in server.chats[n].prompt


# -- names ----------------------------------------------------------------------------------------------------------


def test_conversations_have_names(scrimp, profile, server):
    path = profile(small="ok")
    scrimp("ask", "-p", path, "--cid", "trip", "We leave in May")
    scrimp("ask", "-p", path, "something else")
    scrimp("ask", "-p", path, "--cid", "trip", "With two children")
    assert sent(server)[::2] == ["We leave in May", "With two children"]
    rows = json.loads(scrimp("log", "conversations", "--json").out)["rows"]
    assert [(row["name"], row["turns"], row["first"]) for row in rows] == [
        ("trip", 2, "We leave in May"),
        (None, 1, "something else"),
    ]
    spent = [chat.input_tokens + chat.output_tokens for chat in server.chats]
    assert rows[0]["tokens"] == spent[0] + spent[2]
    assert rows[0]["charged_usd"] == pytest.approx((server.chats[0].cost_nano + server.chats[2].cost_nano) / 1e9)
    assert "We leave in May" in scrimp("log", "conversations").out
    assert (complete_conversations(None, "tr"), complete_conversations(None, "x")) == ([("trip", "")], [])
    listed = json.loads(scrimp("log", "--cid", "trip", "--json").out)["rows"]
    assert [row["prompt"] for row in listed] == ["With two children", "We leave in May"]
    assert scrimp("log", "conversations", "--name", rows[1]["id"][-6:], "other").code == 0
    assert scrimp("ask", "-p", path, "--cid", "other", "Go on").code == 0
    assert sent(server)[0] == "something else"


def test_what_cannot_be_is_refused_and_nothing_is_begun(scrimp, profile, server):
    path = profile(small="ok")
    for argv, why in (
        (("--cid", "a b"), "a name"),
        (("--cid", "01kzzz"), "no conversation '01kzzz'"),
        (("-c",), "no conversation to go on with"),
        (("--cid", "x", "--memory", "some"), "some"),
        (("--memory", "last"), "go on with one by -c or --cid"),
    ):
        done = scrimp("ask", "-p", path, *argv, "hello")
        assert (done.code, why in done.err) == (2, True), done.err
    assert scrimp("ask", "-p", path, "--dry-run", "--cid", "fresh", "hello").code == 0
    assert json.loads(scrimp("log", "conversations", "--json").out)["rows"] == []
    assert scrimp("log", "--cid", "fresh").code == 2
    assert scrimp("log", "conversations", "--name", "fresh", "x").code == 2
    assert server.chats == []


def test_two_that_go_on_with_one_conversation_at_once_are_both_in_it(scrimp, profile, home):
    path = profile(small="ok@latency_ms=300")
    argv = [*SCRIMP, "ask", "-p", str(path), "--cid", "shared"]
    env = environment(home)
    both = [subprocess.Popen([*argv, f"remark {n}"], env=env, stdout=subprocess.DEVNULL) for n in (1, 2)]
    assert [each.wait(timeout=120) for each in both] == [0, 0]
    (row,) = json.loads(scrimp("log", "conversations", "--json").out)["rows"]
    assert (row["name"], row["turns"]) == ("shared", 2)


def test_python_goes_on_with_a_name(home, profile, server):
    import scrimp

    with scrimp.Scrimp(str(profile(small="ok")), home=str(home)) as client:
        client.ask("We leave in May", conversation="trip")
        answer = client.ask("With whom?", conversation="trip", memory="last")
        client.ask("And when?", conversation=answer)
        with pytest.raises(scrimp.UsageError, match="expected one of auto"):
            client.ask("x", conversation="trip", memory="none")
    assert sent(server)[::2] == ["We leave in May", "With whom?", "And when?"]
