"""`ask --hint` and `batch --hint` against a loopback server: what is sent, reserved and logged."""

import json
import sqlite3

import pytest

from scrimp.routing.asking.hint_files import read_hint

ABOUT = "translate a sentence into French"
NEAR = "Translate this sentence into French: the cat sleeps"
FAR = "What is the boiling point of iron?"
STEPS = "1. Keep the register of the sentence."


@pytest.fixture
def hint(home):
    folder = home / "hints"
    folder.mkdir(parents=True)
    path = folder / "french.md"
    path.write_text(f"---\nabout: {ABOUT}\n---\n{STEPS}\n")
    return read_hint(path)


def columns(home):
    with sqlite3.connect(home / "scrimp.db") as conn:
        return conn.execute("SELECT hint, hinted, hint_propensity, hint_similarity FROM requests ORDER BY n").fetchall()


def by_coin(scrimp, server, *argv):
    """Ask until the coin has shown both sides; return the bodies by side: 1 with the hint, 0 without."""
    found = {}
    for seed in range(40):
        server.reset()
        done = scrimp("ask", "--hint", "--json", "--seed", seed, *argv)
        assert done.code == 0, done.err
        (chat,) = server.chats
        found.setdefault(STEPS in json.dumps(chat.body), (chat, json.loads(done.out), done))
        if len(found) == 2:
            return found
    raise AssertionError("the coin shows one side only")


def test_a_coin_puts_the_nearest_hint_in_front_once(scrimp, profile, server, home, hint):
    found = by_coin(scrimp, server, "-p", profile(small="ok"), NEAR)
    body = json.dumps(found[True][0].body)
    assert body.count(STEPS) == 1
    assert found[True][0].prompt == f"{hint.framed()}\n\n{NEAR}"
    assert found[False][0].prompt == NEAR
    rows = columns(home)
    assert {row[1] for row in rows} == {0, 1}
    for name, _, propensity, similarity in rows:
        assert (name, propensity) == (hint.id, 0.5)
        assert 0.4 < similarity < 1.0


def test_the_hint_is_in_the_bound_and_not_in_what_is_embedded_or_kept(scrimp, profile, server, home, hint):
    found = by_coin(scrimp, server, "-p", profile(small="ok"), NEAR)
    with_it, without = found[True][1], found[False][1]
    with sqlite3.connect(home / "scrimp.db") as conn:
        rows = dict(
            conn.execute("SELECT q.hinted, a.input_bound FROM requests q JOIN attempts a ON a.request_id = q.id")
        )
        kept = conn.execute("SELECT DISTINCT prompt, embedding FROM requests").fetchall()
    assert rows[1] - rows[0] >= len(hint.framed().encode())
    assert with_it["input_tokens"] > without["input_tokens"]
    assert [prompt for prompt, _ in kept] == [NEAR]
    assert STEPS.encode() not in (home / "scrimp.db").read_bytes()


def test_none_below_the_threshold(scrimp, profile, server, home, hint):
    for seed in range(6):
        assert scrimp("ask", "--hint", "--seed", seed, "-p", profile(small="ok"), FAR).code == 0
    assert all(chat.prompt == FAR for chat in server.chats)
    for name, hinted, propensity, similarity in columns(home):
        assert (name, hinted, propensity) == (hint.id, None, None)
        assert similarity < 0.4
    assert "is too far, similarity" in scrimp("log", "show", "last").out


def test_without_the_flag_nothing_is_looked_for(scrimp, profile, server, home, hint):
    assert scrimp("ask", "-p", profile(small="ok"), NEAR).code == 0
    assert server.chats[0].prompt == NEAR
    assert columns(home) == [(None, None, None, None)]


def test_by_name_it_is_no_draw(scrimp, profile, server, home, hint):
    done = scrimp("ask", "-x", "--use-hint", "french", "-p", profile(small="ok"), FAR)
    assert done.code == 0
    assert server.chats[0].prompt == f"{hint.framed()}\n\n{FAR}"
    assert columns(home) == [(hint.id, 1, None, None)]
    said = f"hint in front: {hint.id}, asked for by name"
    assert said in done.err
    assert said in scrimp("log", "show", "last").out
    assert json.loads(scrimp("log", "show", "last", "--json").out)["hint"] == hint.id


def test_a_name_that_is_not_there(scrimp, profile, server, hint):
    done = scrimp("ask", "--use-hint", "german", "-p", profile(small="ok"), FAR)
    assert done.code == 2
    assert "no hint 'german'" in done.err
    assert "There are: french" in done.err
    assert not server.chats


def test_what_is_broken_is_said_and_left_out(scrimp, profile, server, home, hint):
    (home / "hints" / "bad.md").write_text("---\nabout: x\n")
    done = scrimp("ask", "--use-hint", "french", "-p", profile(small="ok"), FAR)
    assert done.code == 0
    assert f"hint left out: {home / 'hints' / 'bad.md'}:1: the front matter that begins here has no end" in done.err


def test_no_hints_at_all(scrimp, profile, server, home):
    done = scrimp("ask", "--hint", "-p", profile(small="ok"), FAR)
    assert done.code == 0
    assert "there are no hints yet" in done.err
    assert columns(home) == [(None, None, None, None)]


def test_no_log_keeps_nothing_of_it(scrimp, profile, server, home, hint):
    assert scrimp("ask", "--no-log", "--use-hint", "french", "-p", profile(small="ok"), NEAR).code == 0
    assert STEPS in server.chats[0].prompt
    assert columns(home) == []


def test_it_is_said_of_a_draw_only_to_who_asks(scrimp, profile, server, hint):
    argv = ("ask", "--hint", "--seed", "1", "-p", profile(small="ok"), NEAR)
    assert "hint" not in scrimp(*argv).err  # a rating is not to know it
    assert f"{hint.id}, similarity 0." in scrimp(*argv, "-x").err


def test_a_conversation_goes_on_without_the_hints_of_its_past(scrimp, profile, server, hint):
    chosen = profile(small="ok")
    assert scrimp("ask", "--use-hint", "french", "-p", chosen, NEAR).code == 0
    assert scrimp("ask", "-c", "--use-hint", "french", "-p", chosen, "And in Danish?").code == 0
    first, _, last = server.chats[1].body["messages"]
    assert first["content"] == NEAR
    assert last["content"] == f"{hint.framed()}\n\nAnd in Danish?"


def test_asked_again_it_is_asked_plainly(scrimp, profile, server, home, hint):
    chosen = profile(small="ok", large="ok")
    assert scrimp("ask", "-m", "small", "--use-hint", "french", "-p", chosen, NEAR).code == 0
    assert scrimp("redo", "last", "-m", "large", "-p", chosen).code == 0
    assert server.chats[1].prompt == NEAR
    assert columns(home)[1] == (None, None, None, None)


def test_a_repaired_prompt_has_it_and_a_judge_does_not_see_it(scrimp, profile, server, hint):
    chosen = profile(small="ok", large="ok")
    argv = ("--plan", "small ? checks > large", "--repair", "--check", "re:never", "-p", chosen)
    assert scrimp("ask", "--use-hint", "french", *argv, NEAR).code == 7
    assert [json.dumps(chat.body).count(STEPS) for chat in server.chats] == [1, 1]
    assert "WHAT IS WRONG WITH IT" in server.chats[1].prompt
    server.reset()
    scrimp("ask", "--use-hint", "french", "--check", "judge:large", "-m", "small", "-p", chosen, NEAR)
    assert [json.dumps(chat.body).count(STEPS) for chat in server.chats] == [1, 0]
    assert "Score an answer" in server.chats[1].prompt


def test_a_cap_that_the_hint_breaks_refuses(scrimp, home, server, profile, hint):
    (home / "hints" / "french.md").write_text(f"---\nabout: {ABOUT}\n---\n{'step ' * 1500}\n")
    chosen = profile(small="ok", caps="per_call_usd = 0.004\nper_day_usd = 1.0")
    assert scrimp("ask", "-p", chosen, NEAR).code == 0
    done = scrimp("ask", "--use-hint", "french", "-p", chosen, NEAR)
    assert done.code == 3
    assert len(server.chats) == 1


# -- batch ---------------------------------------------------------------------------------------------------------


def rows_of(path, *prompts):
    path.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))
    return path


def test_a_coin_for_each_row_of_a_batch(scrimp, profile, server, home, hint, tmp_path):
    prompts = [f"Translate this sentence into French: the cat sleeps {n} hours" for n in range(24)]
    file = rows_of(tmp_path / "in.jsonl", *prompts, FAR)
    done = scrimp("batch", file, "-o", tmp_path / "out.jsonl", "--hint", "-p", profile(small="ok", large="ok"), "-y")
    assert done.code == 0, done.err
    bodies = [json.dumps(chat.body) for chat in server.chats]
    n_hinted = sum(STEPS in body for body in bodies)
    assert 2 < n_hinted < 22
    assert all(body.count(STEPS) <= 1 for body in bodies)
    rows = columns(home)
    assert sorted(row[1] is None for row in rows) == [False] * 24 + [True]
    assert sum(row[1] or 0 for row in rows) == n_hinted
    assert {row[2] for row in rows} == {0.5, None}


def test_a_batch_by_one_arm_embeds_for_its_hints(scrimp, profile, server, home, hint, tmp_path):
    file = rows_of(tmp_path / "in.jsonl", NEAR, FAR)
    argv = ("-o", tmp_path / "out.jsonl", "-m", "small", "-p", profile(small="ok"), "-y")
    assert scrimp("batch", file, *argv, "--hint").code == 0
    by_hint = {row[1] is None: row for row in columns(home)}
    assert by_hint[False][3] > 0.4 > by_hint[True][3]


def test_by_name_in_a_batch_the_cache_tells_hinted_answers_apart(scrimp, profile, server, home, hint, tmp_path):
    file = rows_of(tmp_path / "in.jsonl", NEAR)
    argv = ("batch", file, "--cache", "7d", "-p", profile(small="ok"), "-y")
    assert scrimp(*argv, "-o", tmp_path / "1.jsonl").code == 0
    assert scrimp(*argv, "-o", tmp_path / "2.jsonl", "--use-hint", "french").code == 0
    assert scrimp(*argv, "-o", tmp_path / "3.jsonl", "--use-hint", "french").code == 0
    assert [chat.prompt for chat in server.chats] == [NEAR, f"{hint.framed()}\n\n{NEAR}"]


# -- does it help --------------------------------------------------------------------------------------------------


def test_a_refit_finds_what_helps_and_the_next_coin_knows(scrimp, profile, server, home, hint):
    chosen = profile(small="ok")
    assert scrimp("ask", "--hint", "-p", chosen, NEAR).code == 0
    with sqlite3.connect(home / "scrimp.db") as conn:
        for n in range(240):
            conn.execute(
                "INSERT INTO requests (id, created_at, command, profile, status, arm, hint, hinted, hint_propensity, "
                "hint_similarity) VALUES (?, '2026-11-29T00:00:00Z', 'ask', 'test', 'ok', 'small', ?, ?, 0.5, 0.6)",
                (f"y{n:025d}", hint.id, n % 2),
            )
            conn.execute(
                "INSERT INTO labels (request_id, arm, reward, source, at) VALUES (?, 'small', ?, 'rating', "
                "'2026-11-29T00:00:00Z')",
                (f"y{n:025d}", float(n % 2 == 1 or n % 3 == 0)),
            )
    before = json.loads(scrimp("report", "--json", "-p", "test").out)["hints"]
    assert (before["n"], before["overall"]["verdict"]) == (240, "open")
    assert "hints: +66.7 points [" in scrimp("report", "-p", "test").out
    done = scrimp("refit", "-p", chosen)
    assert done.code == 0, done.err
    assert "hints: +66.7 points [" in done.out
    assert "n = 240: shown to help" in done.out
    kinds = json.loads(scrimp("refit", "--json", "-p", chosen).out)["hints"]["kinds"]
    assert kinds[hint.id]["chance"] == 0.9
    (row,) = json.loads(scrimp("learn", "templates", "--list", "--json", "-p", chosen).out)["hints"]
    assert (row["name"], row["chance"], row["n"], row["edited"]) == ("french", 0.9, 240, True)
    assert "shown to help" in row["text"]
    assert scrimp("ask", "--hint", "-p", chosen, NEAR).code == 0
    *_, (name, hinted, propensity, _) = columns(home)
    assert name == hint.id
    assert propensity == pytest.approx(0.9 if hinted else 0.1)
    path = home / "hints" / "french.md"
    path.write_text(path.read_text() + "2. And the tense.\n")  # another text: nothing is known of it yet
    assert scrimp("ask", "--hint", "-p", chosen, NEAR).code == 0
    assert columns(home)[-1][2] == 0.5


def test_without_draws_nothing_is_said(scrimp, profile, server, home):
    chosen = profile(small="ok")
    assert scrimp("ask", "-p", chosen, NEAR).code == 0
    assert "hints" not in scrimp("report").out
    assert json.loads(scrimp("report", "--json").out)["hints"] is None
    assert json.loads(scrimp("refit", "--json", "-p", chosen).out)["hints"] is None


def test_a_forgotten_request_takes_its_hint_along(scrimp, profile, server, home, hint):
    assert scrimp("ask", "--use-hint", "french", "-p", profile(small="ok"), NEAR).code == 0
    assert scrimp("log", "purge", "--yes").code == 0
    assert columns(home) == []
    assert hint.id.encode() not in (home / "scrimp.db").read_bytes()
