"""`scrimp chat`: turns from a pipe, and a session on a terminal."""

import json
import signal
import stat

import pytest
from conftest import CANARY
from residence import House, OnTerminal, wait_for


def lines_of(*lines):
    return "".join(f"{line}\n" for line in lines)


def sent(server, at=-1):
    return [(message["role"], message["content"]) for message in server.chats[at].body["messages"]]


@pytest.fixture
def chat(scrimp, profile):
    """Take lines through a chat from a pipe: `chat("hello", ..., flags=(...), path=...)` returns a `Done`."""

    def call(*lines, flags=(), path=None, **behaviours):
        path = path or profile(**(behaviours or {"small": "echo"}))
        return scrimp("chat", "-p", path, *flags, stdin=lines_of(*lines))

    return call


# -- from a pipe ------------------------------------------------------------------------------------------------------


def test_each_line_is_a_turn_of_one_conversation(chat, server, scrimp):
    done = chat("one river", "", "and another", small="say@text=Tana")
    assert done.code == 0
    assert done.out == "Tana\nTana\n"
    assert sent(server) == [("user", "one river"), ("assistant", "Tana"), ("user", "and another")]
    assert done.err.count("[small · $") == 2
    assert "1 earlier turn" in done.err
    assert done.err.splitlines()[-1].startswith("scrimp: 2 answers (small 2) for $0.0000")
    assert ">" not in done.out
    (row,) = json.loads(scrimp("log", "conversations", "--json").out)["rows"]
    assert row["turns"] == 2
    rows = json.loads(scrimp("log", "--json").out)["rows"]
    assert [each["prompt"] for each in rows] == ["and another", "one river"]


def test_what_goes_on_and_what_begins_by_name(chat, profile, server, scrimp):
    path = profile(small="echo")
    assert scrimp("ask", "-q", "-p", path, "first").code == 0
    assert chat("second", flags=("-c",), path=path).code == 0
    assert sent(server)[0] == ("user", "first")
    assert chat("by name", flags=("--cid", "trip"), path=path).code == 0
    assert len(sent(server)) == 1
    done = chat("again", flags=("--cid", "trip", "-s", "Be brief"), path=path)
    assert done.code == 0
    assert sent(server)[:2] == [("system", "Be brief"), ("user", "by name")]


def test_it_does_not_begin_where_it_cannot(chat, scrimp, profile, server):
    for flags, code, word in (
        (("-c",), 2, "no conversation"),
        (("-m", "smal"), 2, "smal"),
        (("-f", "/none/such.txt"), 2, "/none/such.txt"),
        (("-t", "none"), 2, "no template 'none'"),
        (("-v", "a=b"), 2, "-t"),
        (("--max-cost", "much"), 2, "--max-cost"),
        (("-f", "-"), 2, "standard input"),
    ):
        done = chat("hello", flags=flags)
        assert (done.code, done.out) == (code, ""), done.err
        assert word in done.err
    assert server.chats == []


def test_the_sessions_cap_holds_and_says_what_is_left(chat, server, scrimp, profile):
    path = profile(small="echo")
    one = chat("hello", path=path)
    assert "left" not in one.err
    # A turn of at most 200 tokens is reserved at $0.0008 and a little: two fit at once, as each settles for less.
    done = chat(*["hello"] * 60, flags=("--max-cost", "0.001"), path=path)
    assert done.code == 3
    left = [line for line in done.err.splitlines() if " of $0.0010 left]" in line]
    assert 2 <= len(left) < 60
    assert "refused by the run cap of $0.0010" in done.err
    assert f"{60 - len(left)} refused by a cap" in done.err
    assert sum(each.cost_nano for each in server.chats[1:]) <= 1_000_000
    total = json.loads(scrimp("spend", "--json", "-p", path).out)["rows"][0]["charged_usd"]
    assert total == pytest.approx(sum(each.cost_nano for each in server.chats) / 1e9)


def test_commands(chat, server, scrimp, home):
    done = chat(
        "hello",
        "!multi",
        "see:",
        "```python",
        "print(1)",
        "```",
        "!end",
        "!code",
        "!rate good",
        "!arm large",
        "who?",
        "!arm",
        "!cost",
        "!help",
        "!save out.md",
        "! spaced",
        " !arm x",
        "exit",
        "not read",
        small="echo",
        large="say@text=me",
        flags=("--prefer", "cheap"),
    )
    assert done.code == 0, done.err
    assert "```\nprint(1)\nme\n" in done.out  # the code of the answer, without its fence
    assert [sent(server, at)[-1][1] for at in (3, 4)] == ["! spaced", "!arm x"]
    assert ("user", "see:\n```python\nprint(1)\n```") in sent(server, 1)
    assert [json.loads(each)["labels"] != [] for each in scrimp("log", "export").out.splitlines()][:2] == [False, True]
    assert "every turn goes to large, until !arm" in done.err
    assert "every turn is routed" in done.err
    assert "[large · $" in done.err
    assert "cap\tlimit" in done.err
    assert "run\t" not in done.err  # no cap is set over the session
    assert "!rate good|bad|0..1" in done.err
    text = (home.parent / "work" / "out.md").read_text()
    assert text.count("## You") == 3
    assert "## You\n\nwho?\n\n## large\n\nme\n" in text
    assert len(server.chats) == 5


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("!armm", "Did you mean !arm?"),
        ("!zzz", "no command !zzz"),
        ("!arm smal", "did you mean 'small'?"),
        ("!rate fine", "not 'fine'"),
        ("!code", "no answer yet"),
        ("!redo", "no answer yet"),
        ("!rate good", "no answer yet"),
        ("!cost now", "!cost takes nothing after it"),
        ("!save", "!save takes the name of a file"),
        ("!edit", "!edit needs a terminal"),
        ("!multi", "!multi without !end"),
    ],
)
def test_a_command_that_is_refused_keeps_the_session(chat, server, line, said):
    done = chat(line, *([] if line == "!multi" else ["hello"]))
    assert done.code == 2
    assert said in done.err
    assert done.out == ("" if line == "!multi" else "hello\n")


def test_save_replaces_only_what_it_wrote(chat, home):
    (home.parent / "work" / "mine.md").write_text("mine")
    done = chat("hello", "!save mine.md", "!save new.md", "again", "!save new.md")
    assert "mine.md exists" in done.err
    assert (home.parent / "work" / "mine.md").read_text() == "mine"
    assert (home.parent / "work" / "new.md").read_text().count("## small") == 2


def test_redo_asks_again_and_the_conversation_goes_on_from_that(chat, server, scrimp):
    done = chat("hello", "!redo", "and then?", small="say@text=weak", large="say@text=strong", flags=("-m", "small"))
    assert done.code == 0, done.err
    assert done.out == "weak\nstrong\nweak\n"
    assert "asking large what small answered" in done.err
    assert sent(server) == [("user", "hello"), ("assistant", "strong"), ("user", "and then?")]
    rows = [json.loads(each) for each in scrimp("log", "export").out.splitlines()]
    assert [each["source"] for each in rows[0]["labels"]] == ["redo"]
    assert rows[1]["redo_of"] == rows[0]["id"]


def test_a_model_that_was_named_is_not_routed_to_afterwards(chat, server, scrimp):
    done = chat("hello", "!arm gpt-5-mini", "hello", "!arm", "hello", "!redo gpt-5-mini", "hello", small="echo")
    assert "every turn goes to gpt-5-mini, until !arm" in done.err
    assert done.err.count("OPENAI_API_KEY is not set") == 2
    rows = [json.loads(each) for each in scrimp("log", "export").out.splitlines()]
    assert [[arm["name"] for arm in row["decision"]["arms"]] for row in rows] == [["small"]] * 3
    assert "against gpt" not in done.err


def test_a_failed_turn_keeps_the_session_and_can_be_asked_again(chat, server, scrimp):
    done = chat("hello", "!redo", "bye", small="400-then-ok")
    assert done.code == 5
    assert "!redo" not in done.err
    assert [sent(server, at) for at in (0, 1)] == [[("user", "hello")]] * 2
    assert sent(server)[-1] == ("user", "bye")
    assert len(sent(server)) == 3
    assert "1 failed" in done.err


def test_a_guard_that_refuses_keeps_the_session(chat, profile, server):
    path = profile(small="echo", extra='[guard]\nprivate = "refuse"\n')
    done = chat("my card is 4111 1111 1111 1111", "hello", path=path)
    assert (done.code, done.out) == (9, "hello\n")
    assert len(server.chats) == 1


def test_without_a_log_it_still_is_a_conversation(chat, server, scrimp, home):
    secret = f"say {CANARY}"
    done = chat(
        secret, "and then?", "!rate good", "!redo", flags=("--no-log", "-m", "small"), small="say@text=so", large="ok"
    )
    assert done.out == "so\nso\n"
    assert sent(server) == [("user", secret), ("assistant", "so"), ("user", "and then?")]
    assert done.code == 2
    assert "there is nothing to rate: the log keeps nothing of this session" in done.err
    for path in home.rglob("*"):
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path


def test_files_and_templates_go_with_every_turn(chat, server, home, tmp_path):
    notes = tmp_path / "notes.txt"
    notes.write_text("The van is red.")
    shout = tmp_path / "shout.txt"
    shout.write_text("{{who}}, in capitals: {{input}}")
    done = chat("what colour?", "sure?", flags=("-f", notes, "-t", shout, "-v", "who=Ann"))
    assert done.code == 0, done.err
    for at in (0, 1):
        assert "The van is red." in sent(server, at)[-1][1]
        assert "Ann, in capitals: " in sent(server, at)[-1][1]


def test_what_is_said_first_may_stand_on_the_command_line(scrimp, profile, server):
    done = scrimp("chat", "-q", "-p", profile(small="say@text=so"), "hello", "there", stdin=lines_of("bye"))
    assert (done.code, done.out, done.err) == (0, "so\nso\n", "")
    assert sent(server)[0] == ("user", "hello there")


def test_private_words_go_out_as_placeholders(chat, server):
    done = chat("write to ann@example.org", flags=("--private", "redact"))
    assert "ann@example.org" not in json.dumps(server.chats[0].body)
    assert done.out == "write to ann@example.org\n"


def test_offline_takes_no_arm_elsewhere(scrimp, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    done = scrimp("chat", "-p", "openai", "--offline", stdin=lines_of("hello"))
    assert (done.code, done.out) == (2, "")
    assert "this machine" in done.err


def test_the_real_model_on_this_machine(scrimp):
    done = scrimp("chat", "-p", "local", "--max-cost", "0", stdin=lines_of("What is the capital of France?", "!cost"))
    assert done.code == 0, done.err
    assert "Paris" in done.out
    assert "[smollm2 · $0 · " in done.err
    assert "$0 of $0 left]" in done.err


# -- on a terminal ----------------------------------------------------------------------------------------------------

NO_CPR = {"PROMPT_TOOLKIT_NO_CPR": "1", "SCRIMP_RESIDENT": "0"}
PASTE = b"\x1b[200~%s\x1b[201~"


@pytest.fixture
def house(tmp_path, server):
    return House(tmp_path, server)


READY = b"\x1b[?2004h"
"""What a terminal is told where a line begins to be read: that pastes are to be marked."""


def at_terminal(house, *argv, env=(), extra="", **behaviours):
    path = house.write("test", extra=extra, **(behaviours or {"small": "echo"}))
    shell = OnTerminal(house, "chat", "-p", path, *argv, env={**NO_CPR, **dict(env)})
    shell.hear(READY, 30)
    return shell


def hear_next(shell, what):
    shell.said = shell.said.partition(READY)[2] if what == READY else b""
    shell.hear(what, 30)


def asks(shell, typed, *heard):
    """Type, hear what comes of it in order, and the next prompt."""
    shell.said = b""
    shell.type(typed)
    for what in heard:
        shell.hear(what, 30)
        shell.said = shell.said.partition(what)[2]
    shell.hear(READY, 30)


def test_a_session_on_a_terminal(house, server):
    shell = at_terminal(house)
    asks(shell, b"hello\r", b"[small ")
    asks(shell, PASTE % b"one\rtwo\rthree" + b"\r", b"[small ")
    asks(shell, b"four\x1b\rfive\r", b"[small ")
    asks(shell, b"half a line\x03")
    shell.type(b"!arm sm\t")
    hear_next(shell, b"all")
    asks(shell, b"\r", b"every turn goes to small")
    asks(shell, b"\x1b[A\x1b[A\x1b[A\r", b"[small ")  # over the command, and up the two lines sent last
    shell.said = b""
    shell.type(b"\x04")
    assert shell.end() == 0
    assert b"4 answers (small 4) for $" in shell.said
    asked = [sent(server, at)[-1][1] for at in range(4)]
    assert asked == ["hello", "one\ntwo\nthree", "four\nfive", "four\nfive"]
    kept = house.home / "typed.jsonl"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "one\\ntwo" in kept.read_text()


def test_ctrl_c_ends_an_answer_and_not_the_session(house, server):
    shell = at_terminal(house, "--max-cost", "0.01", small="drip-hang@hang_s=30", large="echo")
    asks(shell, b"!arm small\r")
    shell.said = b""
    shell.type(b"hello\r")
    wait_for(lambda: server.chats, 30)
    shell.hear(b"two", 30)
    asks(shell, b"\x03", b"interrupted: $")
    asks(shell, b"!arm large\r")
    asks(shell, b"and now?\r", b"[large ", b"left]")
    asks(shell, b"!cost\r", b"1 interrupted")
    shell.type(b"\x04")
    assert shell.end() == 0
    assert sent(server)[-1] == ("user", "and now?")
    spent = house.json("spend", "-p", house.home.parent / "test.toml", env={"SCRIMP_RESIDENT": "0"})
    assert spent["rows"][0]["n_calls"] == 2
    assert spent["rows"][0]["charged_usd"] >= sum(each.cost_nano for each in server.chats) / 1e9


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_session(house, number):
    shell = at_terminal(house)
    shell.process.send_signal(number)
    assert shell.end() == 128 + number


def test_the_editor_writes_a_message(house, server, tmp_path):
    editor = tmp_path / "editor.sh"
    editor.write_text('#!/bin/sh\nprintf "from the editor" >> "$1"\n')
    editor.chmod(0o700)
    shell = at_terminal(house, env={"VISUAL": str(editor)})
    asks(shell, b"!edit dear\r", b"[small ")
    shell.type(b"\x04")
    shell.end()
    assert sent(server)[-1][1] == "dear\nfrom the editor"


@pytest.mark.parametrize(("flags", "kept"), [((), True), (("--no-log",), False), (("--private", "redact"), False)])
def test_what_was_typed_is_kept_only_where_the_log_keeps_it(house, server, flags, kept):
    shell = at_terminal(house, *flags)
    asks(shell, b"remember this\r", b"[small ")
    shell.type(b"\x04")
    assert shell.end() == 0
    file = house.home / "typed.jsonl"
    assert file.exists() == kept
    if kept:
        again = at_terminal(house)
        asks(again, b"\x1b[A\r", b"[small ")
        again.type(b"\x04")
        again.end()
        assert server.chats[-1].prompt == "remember this"
        assert house.run("log", "rm", "last", "--yes", env={"SCRIMP_RESIDENT": "0"}).returncode == 0
        assert not file.exists()


def test_the_question_of_a_guard_is_asked_between_turns(house, server):
    shell = at_terminal(house, extra='[guard]\nrisky = "ask"\nrisk_below = 0.999\n')
    shell.type(b"Prove the Riemann hypothesis\r")
    hear_next(shell, b"[y/N]")
    asks(shell, b"n\n")
    shell.type(b"\x04")
    assert shell.end() == 0
    assert server.chats == []
