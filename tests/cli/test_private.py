"""What is private stays: 200 canaries of eight kinds in every place from which a prompt could take them out."""

import json
import random

import pytest
from canaries import NAMES, TEXTS, in_home, leaked, sent

ALL = "\n".join(TEXTS)


@pytest.fixture
def kept_in(home, server):
    def check():
        assert server.chats
        assert leaked(sent(server)) == []
        assert leaked(in_home(home)) == []

    return check


@pytest.fixture
def redacting(profile):
    def write(extra="", **behaviours):
        guard = f'\n[guard]\nprivate = "redact"\nnames = {json.dumps(list(NAMES))}\n'
        return profile(caps="per_day_usd = 50.0", extra=guard + extra, **behaviours)

    return write


def test_in_the_prompt_and_back_again(scrimp, redacting, server, kept_in):
    done = scrimp("ask", "-p", redacting(small="echo"), "--no-stream", stdin=ALL)
    assert done.code == 0, done.err
    assert done.out == ALL.strip("\n") + "\n"
    kept_in()


SHUFFLED = random.Random(3).sample(TEXTS, len(TEXTS))
PARTS = ["\n".join(SHUFFLED[at::8]) for at in range(8)]
"""The canaries in eight texts, some of every kind in each."""


def test_in_files_their_names_and_the_system_prompt(scrimp, redacting, server, kept_in, tmp_path):
    one, two = tmp_path / "ann99@example.com.md", tmp_path / "b.md"
    one.write_text(PARTS[0] + "\n" + PARTS[1])
    two.write_text(PARTS[2])
    done = scrimp(
        "ask",
        "-p",
        redacting(small="echo"),
        "--no-stream",
        "--read",
        "whole",
        "-s",
        PARTS[3],
        "-f",
        one,
        "-f",
        two,
        PARTS[4],
    )
    assert done.code == 0, done.err
    for part in PARTS[:5]:
        assert part in done.out
    assert one.name in done.out
    assert one.name not in sent(server)
    kept_in()


@pytest.mark.parametrize("read", ["passages", "split"])
def test_in_what_is_read_of_files(scrimp, redacting, server, kept_in, home, tmp_path, read):
    text = "\n\n".join(
        f"{PARTS[at % 8]}\n\n{'The minutes say nothing of the budget that was decided. ' * 60}" for at in range(8)
    )
    file = tmp_path / "minutes.md"
    file.write_text(text)
    path = redacting(small="echo", large="echo")
    done = scrimp("ask", "-p", path, "--no-stream", "--read", read, "-f", file, "Who was it that was written down?")
    assert done.code in (0, 7), done.err
    kept_in()


def test_in_a_conversation_that_goes_on(scrimp, redacting, server, kept_in):
    path = redacting(small="echo", large="echo")
    assert scrimp("ask", "-p", path, "-m", "small", "--no-stream", stdin=PARTS[0]).code == 0
    done = scrimp("ask", "-p", path, "-m", "small", "--no-stream", "-c", f"And {PARTS[1]} Who is <EMAIL_1>?")
    assert done.code == 0, done.err
    assert PARTS[1] in done.out
    assert "Who is <EMAIL_1>?" in done.out
    assert done.err.count("stay placeholders: they stood in what was asked, and their values are not kept") == 1
    first, second = server.chats
    assert first.body["messages"][-1]["content"] == second.body["messages"][0]["content"], "the provider's cache has it"
    said = second.body["messages"][-1]["content"]
    numbers = {each for each in said.split() if each.startswith("<EMAIL_")}
    assert numbers
    kept_in()
    again = scrimp("redo", "last", "-p", path, "-m", "large", "--no-stream")
    assert again.code == 0, again.err
    kept_in()


def test_what_the_log_had_before_is_kept_back_too(scrimp, redacting, profile, server):
    open_path = profile(caps="per_day_usd = 50.0", small="echo", name="open")
    scrimp("ask", "-p", open_path, "--no-stream", "--cid", "talk", "I am ann12@example.com, phone +1 212 555 0147.")
    server.reset()
    path = redacting(small="echo")
    done = scrimp("ask", "-p", path, "--no-stream", "--cid", "talk", "Who am I?")
    assert done.code == 0, done.err
    assert "ann12@example.com" not in sent(server)
    assert "212 555" not in sent(server)
    assert "I am ann12@example.com, phone +1 212 555 0147." in done.out


def test_in_attachments_and_what_is_said_of_their_bytes(scrimp, redacting, server, tmp_path):
    image = tmp_path / "joe77@example.org.pdf"
    image.write_bytes(b"%PDF-1.4 nothing")
    done = scrimp("ask", "-p", redacting(small="echo"), "--no-stream", "-a", image, "Describe it")
    assert done.code == 0, done.err
    assert "joe77@example.org" not in sent(server)
    assert "1 image or PDF cannot be looked into" in done.err


def test_in_a_template_and_its_variables(scrimp, redacting, server, kept_in, home):
    (home / "templates").mkdir(parents=True)
    (home / "templates" / "mail.txt").write_text("Write to {{who}} about: {{input}}")
    done = scrimp("ask", "-p", redacting(small="echo"), "--no-stream", "-t", "mail", "-v", f"who={PARTS[5]}", PARTS[6])
    assert done.code == 0, done.err
    assert done.out == f"Write to {PARTS[5]} about: {PARTS[6]}\n"
    kept_in()


def test_in_judges_and_repairs(scrimp, redacting, server, kept_in):
    path = redacting(small="echo", large="say@text=score:_0.9")
    done = scrimp(
        "ask", "-p", path, "--no-stream", "--plan", "small ? checks > small", "--repair", "--check", "judge:large:Is it polite?",
        "--check", "re:NEVER", stdin=PARTS[0],
    )  # fmt: skip
    assert done.code in (0, 7), done.err
    assert len(server.chats) >= 2
    kept_in()


def test_in_a_schema_and_checks(scrimp, redacting, server, kept_in, home):
    schema = {
        "type": "object",
        "properties": {"who": {"enum": ["ann12@example.com", "bob34@example.com"]}},
        "required": ["who"],
    }
    answer = '{"who": "ann12@example.com"}'
    flags = ("--schema", json.dumps(schema), "--check", "has:ann12@example.com")
    done = scrimp("ask", "-p", redacting(small="echo"), "--no-stream", *flags, answer)
    assert done.code == 0, done.err
    assert done.out == f"{answer}\n"
    assert "ann12@example.com" not in sent(server)
    assert "ann12@example.com" not in in_home(home)
    done = scrimp("ask", "-p", redacting(small="echo"), "--no-stream", *flags, answer.replace("ann12", "ann13"))
    assert done.code == 7


def test_in_the_plan_that_a_check_stops(scrimp, redacting, server, home):
    path, text = redacting(small="echo", large="echo"), "Write to ann12@example.com"
    for flags in (["--cascade"], ["--plan", "small ? checks > large"]):
        done = scrimp("ask", "-p", path, "--no-stream", *flags, "--check", "has:ann12@example.com", text)
        assert (done.code, done.out) == (0, f"{text}\n"), done.err
    assert "ann12@example.com" not in sent(server)
    assert "ann12@example.com" not in in_home(home)
    done = scrimp("ask", "-p", path, "--plan", "small ? has:ann12@example.com > large", text)
    assert done.code == 2
    assert "--check" in done.err


def test_values_are_spelled_as_json_in_json(scrimp, redacting):
    key = "-----BEGIN PRIVATE KEY-----\nabc1\n-----END PRIVATE KEY-----"
    path = redacting(small="echo@last")  # what it says is the last line: JSON around the placeholder
    done = scrimp(
        "ask", "-p", path, "--no-stream", "--schema", '{"type": "object"}', f'Put it in here:\n{{"key": "{key}"}}'
    )
    assert done.code == 0, done.err
    assert json.loads(done.out) == {"key": key}


def test_nothing_is_kept_of_it_without_a_log(scrimp, redacting, server, kept_in):
    done = scrimp("ask", "-p", redacting(small="echo"), "--no-stream", "--no-log", stdin=ALL)
    assert done.code == 0
    assert done.out == ALL.strip("\n") + "\n"
    kept_in()


def test_a_stream_puts_values_back_across_its_pieces(on_terminal, redacting, kept_in):
    text = "Tell ann12@example.com and bob34@example.com; a < b, and <EMAIL is none"
    code, out, err = on_terminal("ask", "-p", redacting(small="echo"), text)
    assert code == 0, err
    assert text in out.replace("\r\n", "\n")


def test_warn_says_it_and_sends_it(scrimp, profile, server):
    done = scrimp(
        "ask", "-p", profile(small="echo"), "--private", "warn", "--no-stream", "My card is 4111 1111 1111 1111"
    )
    assert done.code == 0
    assert "private: 1 card number: sent as it is" in done.err
    assert "4111 1111 1111 1111" not in done.err
    assert "4111 1111 1111 1111" in sent(server)


def test_refuse_sends_nothing_and_quotes_nothing(scrimp, profile, server, home):
    done = scrimp("ask", "-p", profile(small="echo"), "--private", "refuse", "My card is 4111 1111 1111 1111")
    assert done.code == 9
    assert "1 card number" in done.err
    assert "4111" not in done.err
    assert not server.chats
    assert "4111 1111" not in in_home(home)


def test_local_takes_no_arm_of_elsewhere(scrimp, profile, server):
    path = profile(small="echo", large="echo")
    text = path.read_text()
    path.write_text(text.replace(server.base_url, "https://model.invalid/v1", 1))  # `small` is elsewhere
    done = scrimp("ask", "-p", path, "--private", "local", "--json", "My card is 4111 1111 1111 1111")
    assert done.code == 0, done.err
    assert "1 card number: only arms of this machine may take it" in done.err
    assert json.loads(done.out)["arm"] == "large"
    done = scrimp("ask", "-p", path, "--private", "local", "-m", "small", "My card is 4111 1111 1111 1111")
    assert done.code != 0
    assert len(server.chats) == 1
    shown = scrimp("route", "-p", path, "--private", "local", "--json", "What is the capital of France?")
    assert all(each["feasible"] for each in json.loads(shown.out)["arms"]), "where nothing is private, all may"


def test_route_and_the_log_say_what_was_found(scrimp, profile, server):
    path = profile(small="echo", extra='[guard]\nprivate = "redact"\n')
    shown = scrimp("route", "-p", path, "--explain", "My card is 4111 1111 1111 1111")
    assert "private: 1 card number -> <CARD_1>" in shown.out
    data = json.loads(scrimp("route", "-p", path, "--json", "My card is 4111 1111 1111 1111").out)
    assert data["guards"][0]["detail"] == {"mode": "redact", "counts": {"CARD": 1}}
    scrimp("ask", "-p", path, "My card is 4111 1111 1111 1111")
    shown = scrimp("log", "show", "last")
    assert "private: 1 card number -> <CARD_1>" in shown.out
    assert "My card is <CARD_1>" in shown.out
    assert "nothing private was found (passed)" in scrimp("route", "-p", path, "Hello there").out


def test_an_arms_own_words_are_kept_private_too(scrimp, profile, server):
    path = profile(small="echo", extra='[guard]\nprivate = "redact"\n')
    text = path.read_text().replace("tier =", 'system = "You work for boss1@example.com."\ntier =')
    path.write_text(text)
    done = scrimp("ask", "-p", path, "--no-stream", "Write to boss1@example.com and a2@b.io")
    assert done.out == "You work for boss1@example.com.\nWrite to boss1@example.com and a2@b.io\n"
    assert sent(server).count("<EMAIL_1>") == 2
    assert "@example.com" not in sent(server)


def test_lists_are_checked_when_the_profile_is_loaded(scrimp, profile, tmp_path, server):
    path = profile(small="echo", extra='[guard]\nprivate = "redact"\nnames = ["Ann Smith", "file:clients.txt"]\n')
    done = scrimp("ask", "-p", path, "hello")
    assert done.code == 78
    assert "clients.txt" in done.err
    assert f"{path}:" in done.err
    (tmp_path / "clients.txt").write_bytes(b"Fox Ltd\n\xff\n")
    done = scrimp("ask", "-p", path, "hello")
    assert "clients.txt:2" in done.err
    (tmp_path / "clients.txt").write_text("# clients\n\nFox Ltd\nDvořák\n")
    done = scrimp("ask", "-p", path, "--no-stream", "ann smith of FOX LTD met Dvořák")
    assert done.out == "ann smith of FOX LTD met Dvořák\n"
    assert sent(server).count("<NAME_") == 3


def test_from_python_and_in_its_stream(redacting, home, server):
    from scrimp import GuardRefusedError, Scrimp

    text = "Tell ann12@example.com of 4111 1111 1111 1111"
    with Scrimp(redacting(small="echo")) as client:
        pieces = []
        answer = client.ask(text, on_text=pieces.append)
        assert answer.text == text
        assert "".join(pieces) == text
        assert "4111 1111 1111 1111" in client.ask(text, private="off").text
        with pytest.raises(GuardRefusedError):
            client.ask(text, private="refuse")
        assert client.route(text, private="refuse").arm is None
    assert [each.prompt for each in server.chats] == ["Tell <EMAIL_1> of <CARD_1>", text]


def test_both_answers_of_a_duel(on_terminal, redacting, home, server):
    path = redacting(small="echo", large="echo")
    code, out, err = on_terminal("duel", "-p", path, "Tell ann12@example.com of 4111 1111 1111 1111", typed="=\n\n")
    assert code == 0, err
    assert out.count("Tell ann12@example.com of 4111 1111 1111 1111") >= 2
    assert [each.prompt for each in server.chats] == ["Tell <EMAIL_1> of <CARD_1>"] * 2
    assert "4111" not in in_home(home)
