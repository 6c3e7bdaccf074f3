"""What an arm is told, on the wire and in the money: reserved before, billed within it, logged by its digest."""

import json
import sqlite3

import pytest

from scrimp.profiles.load import load_profile
from scrimp.profiles.paths import paths
from scrimp.routing.ledger.packing import unpack
from scrimp.routing.prompts.instructions import instructions_id

LONG = "Weigh each word before you answer. " * 1_430  # 50 kB


@pytest.fixture
def rows(home):
    def read(sql):
        conn = sqlite3.connect(home / "scrimp.db")
        conn.row_factory = sqlite3.Row
        with conn:
            found = [dict(row) for row in conn.execute(sql)]
        conn.close()
        return found

    return read


def told(path, tmp_path):
    return load_profile(str(path), env={}, cwd=tmp_path, paths=paths({"SCRIMP_HOME": str(tmp_path / "none")})).profile


def said(chat):
    return [(message["role"], message["content"]) for message in chat.body["messages"]]


def test_the_text_is_on_the_wire_and_in_the_bound(scrimp, profile, server, rows, tmp_path):
    (tmp_path / "careful.md").write_text(LONG)
    path = profile(small="echo", extra='system = "file:careful.md"\nprompt = "Q: {{input}}\\nA:"\n')
    done = scrimp("ask", "-p", path, "--json", "--system", "Be kind.", "Why is the sky blue?")
    assert done.code == 0, done.err
    (chat,) = server.chats
    assert said(chat) == [("system", f"{LONG}\n\nBe kind."), ("user", "Q: Why is the sky blue?\nA:")]
    assert (
        scrimp("ask", "-p", profile(small="echo", name="bare"), "--system", "Be kind.", "Why is the sky blue?").code
        == 0
    )
    with_it, bare = rows("SELECT * FROM reservations ORDER BY id")
    assert with_it["reserved_nano"] - bare["reserved_nano"] >= len(LONG.encode()) * 1_000  # $1 a million tokens
    for held in (with_it, bare):
        assert held["status"] == "settled"
        assert held["charged_nano"] <= held["reserved_nano"]
    assert with_it["charged_nano"] > bare["charged_nano"]  # the server counts what it was sent
    attempts = rows("SELECT instructions, input_bound, input_tokens FROM attempts ORDER BY id")
    assert attempts[0]["instructions"] == instructions_id(told(path, tmp_path).arm("small"))
    assert attempts[1]["instructions"] is None
    assert all(each["input_tokens"] <= each["input_bound"] for each in attempts)
    logged, plain = rows("SELECT prompt, system, embedding FROM requests ORDER BY created_at")
    assert (logged["prompt"], logged["system"]) == ("Why is the sky blue?", "Be kind.")
    assert logged["embedding"] == plain["embedding"]


def test_instructions_that_a_cap_leaves_no_room_for_are_not_sent(scrimp, profile, server):
    caps = "per_call_usd = 0.02"
    assert scrimp("ask", "-p", profile(small="echo", caps=caps), "hello").code == 0
    path = profile(small="echo", caps=caps, extra=f"system = {json.dumps(LONG)}\n")
    done = scrimp("ask", "-p", path, "hello")
    assert done.code == 3
    assert len(server.chats) == 1


def test_instructions_that_do_not_fit_the_window_are_not_sent(scrimp, profile, server):
    extra = '[[arms]]\nname = "narrow"\nlike = "small"\ncontext_window = 5000\n'
    path = profile(small="echo", extra=extra)
    assert scrimp("ask", "-p", path, "-m", "narrow", "hello").code == 0
    path = profile(small="echo", extra=f"{extra}system = {json.dumps(LONG)}\n")
    done = scrimp("ask", "-p", path, "-m", "narrow", "hello")
    assert done.code == 2
    assert "do not fit its window" in done.err
    assert len(server.chats) == 1


def test_each_arm_is_weighed_by_what_it_is_told(scrimp, profile):
    extra = f'[[arms]]\nname = "careful"\nlike = "small"\nsystem = {json.dumps(LONG)}\n'
    path = profile(small="echo", extra=extra)
    small, careful = json.loads(scrimp("route", "-p", path, "--json", "hello").out)["arms"]
    assert careful["input_tokens"] > small["input_tokens"] + 5_000
    assert careful["cost_usd"] > small["cost_usd"]
    assert careful["input_bound"] - small["input_bound"] >= len(LONG)


def test_a_judge_is_not_told_what_the_arm_is_told_to_answer(scrimp, profile, server, rows):
    score = "say@text={_}score_:_9}"
    path = profile(small="say@text=41", large=score, extra='system = "You are a poet."\n')
    done = scrimp("ask", "-p", path, "-m", "small", "--check", "judge:large", "What is 6 x 7?")
    assert len(server.chats) == 2, done.err
    assert "poet" not in json.dumps(server.chats[1].body)
    assert scrimp("ask", "-p", path, "-m", "large", "What is 6 x 7?").code == 0
    assert said(server.chats[2])[0] == ("system", "You are a poet.")
    assert [row["instructions"] is None for row in rows("SELECT instructions FROM attempts ORDER BY id")] == [
        True, True, False,
    ]  # fmt: skip
    for held in rows("SELECT * FROM reservations"):
        assert held["charged_nano"] <= held["reserved_nano"]


def test_a_repair_within_a_template_is_planned_by_all_that_it_repeats(scrimp, profile, server, rows):
    long = "41_" * 40
    extra = f'prompt = "{"{{input}} " * 60}"\n'
    path = profile(small=f"say@text={long}", large="say@text=42", extra=extra, caps="per_day_usd = 50.0")
    plan = ("--plan", "small ? checks > large", "--check", "number:42", "--repair")
    assert scrimp("ask", "-p", path, *plan, "6 x 7?").code == 0
    asked = said(server.chats[1])[-1][1]
    assert asked.count("41 41") >= 60
    (request,) = rows("SELECT decision FROM requests")
    planned = json.loads(unpack(request["decision"]))["plan"]["expected"]["bound_usd"]
    held = rows("SELECT reserved_nano, charged_nano FROM reservations")
    assert sum(each["reserved_nano"] for each in held) <= round(planned * 1e9)


def test_batch_tells_arms_too_and_its_cache_knows_by_what(scrimp, profile, server, tmp_path, rows):
    (tmp_path / "in.jsonl").write_text('{"prompt": "Why is the sky blue?"}\n')

    def run(out, **more):
        path = profile(small="echo", **more)
        argv = (
            "batch",
            tmp_path / "in.jsonl",
            "-o",
            tmp_path / out,
            "-p",
            path,
            "--cache",
            "7d",
            "--yes",
            "-m",
            "small",
        )
        done = scrimp(*map(str, argv))
        assert done.code == 0, done.err

    brief = 'system = "Be brief."\nprompt = "Q: {{input}}"\n'
    run("one.jsonl", extra=brief)
    assert said(server.chats[0]) == [("system", "Be brief."), ("user", "Q: Why is the sky blue?")]
    run("two.jsonl", extra=brief)
    assert len(server.chats) == 1  # from the cache
    run("three.jsonl", extra='system = "Be long."\n')
    run("four.jsonl")
    assert [said(chat)[0] for chat in server.chats[1:]] == [("system", "Be long."), ("user", "Why is the sky blue?")]
    assert len({row["instructions"] for row in rows("SELECT instructions FROM attempts")}) == 3


@pytest.fixture
def ladder(profile):
    """One arm at three efforts: a cap for all of them together."""
    return lambda cap: profile(
        small="ok", extra=f'efforts = ["low", "medium", "high"]\ncap = {{ per_day_usd = {cap} }}\n'
    )


def test_a_ladder_stays_within_its_arms_cap(scrimp, ladder, server, rows):
    path = ladder("0.01")  # of three times that: a call reserves about $0.0011, and costs less
    codes = [
        scrimp("ask", "-p", path, "-m", f"small:{each}", "hello").code for _ in range(3) for each in ("low", "high")
    ]
    assert set(codes) == {0}
    assert {chat.body.get("reasoning_effort") for chat in server.chats} == {"low", "high"}
    spent = rows("SELECT sum(charged_nano) AS n FROM reservations")[0]["n"]
    path = ladder(f"{spent / 1e9:.9f}")
    done = scrimp("ask", "-p", path, "-m", "small:medium", "hello")
    assert done.code == 3
    assert "arm:small:day cap" in done.err
    (cap,) = [each for each in json.loads(scrimp("spend", "-p", path, "--json").out)["caps"] if "arm" in each["scope"]]
    assert cap["scope"] == "arm:small:day"
    assert round(cap["settled_usd"] * 1e9) == spent
    assert len(server.chats) == 6


def test_what_an_arm_spent_before_it_had_efforts_counts(scrimp, profile, ladder, rows):
    assert scrimp("ask", "-p", profile(small="ok"), "hello").code == 0
    spent = rows("SELECT sum(charged_nano) AS n FROM reservations")[0]["n"]
    assert scrimp("ask", "-p", ladder(f"{spent / 1e9:.9f}"), "-m", "small:low", "hello").code == 3


def test_a_plan_over_a_ladder_fits_its_cap_as_a_whole(scrimp, ladder, server):
    plan = ("--plan", "small:low ? checks > small:high", "--check", "number:42")
    one = json.loads(scrimp("route", "-p", ladder("1"), "--json", "6 x 7?").out)["arms"][0]["bound_usd"]
    done = scrimp("ask", "-p", ladder(f"{1.5 * one:.9f}"), *plan, "6 x 7?")
    assert (done.code, len(server.chats)) == (3, 0)
    assert "arm:small:day cap" in done.err
    done = scrimp("ask", "-p", ladder(f"{2.5 * one:.9f}"), *plan, "6 x 7?")
    assert len(server.chats) == 2, done.err


def test_a_ladders_name_alone_names_no_arm(scrimp, ladder):
    done = scrimp("ask", "-p", ladder("1"), "-m", "small", "hello")
    assert done.code == 2
    assert "has no arm 'small'" in done.err
    assert "small has efforts: take one of small:low, small:medium, small:high." in done.err


def test_a_batch_of_a_ladder_is_planned_within_one_cap(scrimp, ladder, server, tmp_path, rows):
    (tmp_path / "in.jsonl").write_text("".join(f'{{"prompt": "hello {i}"}}\n' for i in range(12)))
    cap = 4e6 / 1e9
    argv = ("batch", tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl", "-p", ladder(f"{cap:.9f}"), "--yes")
    done = scrimp(*map(str, argv))
    assert done.code in (0, 6), done.err
    held = rows("SELECT sum(charged_nano) AS n FROM reservations")[0]["n"]
    assert server.cost_nano <= held <= cap * 1e9
    assert server.chats
