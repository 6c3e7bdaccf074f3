"""`scrimp ask` from the command line to the answer, against a loopback server."""

import json
import os
import stat
import subprocess
import sys

import pytest

SCRIMP = [sys.executable, "-m", "scrimp.cli"]


def ask_json(scrimp, *argv, **kwargs):
    done = scrimp("ask", "--json", *argv, **kwargs)
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_answer_goes_to_stdout_and_the_rest_to_stderr(scrimp, profile):
    done = scrimp("ask", "-p", profile(small="echo"), "hello there")
    assert (done.code, done.out) == (0, "hello there\n")
    assert "[small · $" in done.err
    assert "predicted quality" in done.err


def test_json_has_the_contract_fields_and_the_servers_own_bill(scrimp, profile, server):
    answer = ask_json(scrimp, "-p", profile(small="ok"), "name three colours")
    assert answer["schema_version"] == 1
    assert answer["arm"] == "small"
    assert answer["requested_model"] == "openai/ok"
    assert answer["served_model"] == "ok"
    assert answer["cost_status"] == "settled"
    assert answer["cost_usd"] == server.cost_nano / 1e9
    assert answer["input_tokens"] == server.chats[0].input_tokens
    assert answer["output_tokens"] == server.chats[0].output_tokens
    for field in ("id", "answer", "latency_s", "predicted_quality", "predicted_cost_usd", "finish_reason"):
        assert answer[field] is not None
    assert answer["decision"]["arms"][0]["basis"] in ("uncalibrated", "prior", "calibrated")


def test_log_show_replays_the_decision(scrimp, profile):
    answer = ask_json(scrimp, "-p", profile(small="ok", large="ok"), "--seed", "1", "why is the sky blue?")
    shown = json.loads(scrimp("log", "show", answer["id"], "--json").out)
    assert shown["decision"] == answer["decision"]
    assert shown["prompt"] == "why is the sky blue?"
    assert shown["answer"] == answer["answer"]
    assert shown["attempts"][0]["served_model"] == "ok"
    assert "why" in scrimp("log", "show", "last").out


def test_the_output_limit_is_always_sent(scrimp, profile, server):
    ask_json(scrimp, "-p", profile(small="ok"), "hello")
    assert server.chats[0].output_limit == 200


def test_piped_text_is_a_file_before_the_question(scrimp, profile, server):
    ask_json(scrimp, "-p", profile(small="ok"), "summarise:", stdin="some\ntext\n")
    assert server.chats[0].prompt == "===== FILE standard input\nsome\ntext\n===== END\n\nsummarise:"


def test_standard_input_alone_is_the_prompt(scrimp, profile, server):
    ask_json(scrimp, "-p", profile(small="ok"), stdin="from a pipe\n")
    assert server.chats[0].prompt == "from a pipe"


def test_files_system_and_template(scrimp, profile, server, tmp_path):
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "t.txt").write_text("Translate into {{ language }}: {{input}}")
    ask_json(scrimp, "-p", profile(small="ok"), "-f", tmp_path / "notes.txt", "-s", "Be brief.", "read this")
    messages = server.chats[0].body["messages"]
    assert [message["role"] for message in messages] == ["system", "user"]
    assert messages[1]["content"] == "===== FILE notes.txt\nnotes\n===== END\n\nread this"
    ask_json(scrimp, "-p", profile(small="ok"), "-t", tmp_path / "t.txt", "-v", "language=Danish", "good morning")
    assert server.chats[1].prompt == "Translate into Danish: good morning"
    done = scrimp("ask", "-p", profile(small="ok"), "-t", tmp_path / "t.txt", "good morning")
    assert done.code == 2
    assert "-v language=" in done.err


def test_continue_sends_the_conversation(scrimp, profile, server):
    first = ask_json(scrimp, "-p", profile(small="echo"), "-s", "Be brief.", "first")
    answer = ask_json(scrimp, "-p", profile(small="echo"), "-c", "second")
    sent = server.chats[1].body["messages"]
    assert [message["content"] for message in sent] == ["Be brief.", "first", first["answer"], "second"]
    assert answer["conversation_id"] != answer["id"]


def test_attachments_are_sent_and_described_in_the_log(scrimp, profile, server, tmp_path):
    image = tmp_path / "dot.png"
    image.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(60))
    answer = ask_json(scrimp, "-p", profile(small="ok"), "-a", image, "what is this?")
    assert server.chats[0].body["messages"][0]["content"][1]["image_url"]["url"].startswith("data:image/png;base64,")
    shown = json.loads(scrimp("log", "show", answer["id"], "--json").out)
    assert shown["attachments"][0]["name"] == "dot.png"
    assert shown["attachments"][0]["n_bytes"] == 68
    (tmp_path / "x.bin").write_bytes(b"\x00\x01")
    assert scrimp("ask", "-p", profile(), "-a", tmp_path / "x.bin", "?").code == 2


def test_a_schema_is_sent_and_checked(scrimp, profile, server):
    schema = json.dumps({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]})
    done = scrimp("ask", "-p", profile(small="echo"), "--schema", schema, '{"name": "Nairobi"}')
    assert (done.code, json.loads(done.out)) == (0, {"name": "Nairobi"})
    assert server.chats[0].body["response_format"]["json_schema"]["schema"]["required"] == ["name"]
    done = scrimp("ask", "-p", profile(small="echo"), "--schema", schema, '{"name": 3}')
    assert done.code == 7
    assert "at name" in done.err
    assert scrimp("ask", "-p", profile(), "--schema", '{"type": "nonsense"}', "x").code == 78
    assert scrimp("ask", "-p", profile(), "--schema", "nowhere.json", "x").code == 2


def test_dry_run_sends_and_logs_nothing(scrimp, profile, server):
    done = scrimp("ask", "-p", profile(small="ok"), "--dry-run", "-x", "hello")
    assert done.code == 0
    assert "predicted quality" in done.out
    assert "utility" in done.err
    assert server.chats == []
    assert json.loads(scrimp("log", "--json").out)["rows"] == []


def test_no_log_keeps_money_rows_only(scrimp, profile, home):
    secret = "a very private question"
    done = scrimp("ask", "-p", profile(small="echo"), "--no-log", secret)
    assert done.code == 0
    assert json.loads(scrimp("log", "--json").out)["rows"] == []
    spent = json.loads(scrimp("spend", "--json", "-p", profile(small="echo")).out)
    assert spent["rows"][0]["n_calls"] == 1
    assert spent["rows"][0]["charged_usd"] > 0
    assert all(secret.encode() not in path.read_bytes() for path in home.glob("scrimp.db*"))


def test_max_cost_refuses_with_exit_3_before_anything_is_sent(scrimp, profile, server):
    done = scrimp("ask", "-p", profile(small="ok"), "--max-cost", "0.0000001", "hello")
    assert done.code == 3
    assert "--max-cost" in done.err
    assert server.chats == []


def test_a_daily_cap_holds_over_requests(scrimp, profile, server):
    path = profile(small="fill", caps="per_day_usd = 0.003")
    codes = [scrimp("ask", "-p", path, f"question {n}").code for n in range(6)]
    assert 0 in codes
    assert codes[-1] == 3
    assert server.cost_nano <= 3_000_000
    done = scrimp("ask", "-p", path, "again")
    assert "day cap" in done.err
    assert "rolls over at" in done.err


def test_the_arm_asked_for_is_taken_without_propensity(scrimp, profile):
    answer = ask_json(scrimp, "-p", profile(small="ok", large="ok"), "-m", "large", "hello")
    assert answer["arm"] == "large"
    assert answer["decision"]["propensity"] is None
    done = scrimp("ask", "-p", profile(small="ok", large="ok"), "-m", "larg", "hello")
    assert done.code == 2
    assert "did you mean 'large'" in done.err


def test_saved_is_told_against_the_best_arm(scrimp, profile):
    answer = ask_json(scrimp, "-p", profile(small="ok", large="ok"), "-m", "small", "hello")
    assert answer["saved_against"] == "large"
    assert answer["saved_usd"] > 0


def test_local_only_leaves_out_arms_elsewhere(scrimp, profile, tmp_path):
    far = tmp_path / "far.toml"
    far.write_text(
        'name = "far"\n[[arms]]\nname = "a"\nmodel = "openai/gpt-4o-mini"\napi_base = "https://example.com/v1"\n'
        "price = { input_usd_per_mtok = 1, output_usd_per_mtok = 1 }\n"
    )
    done = scrimp("ask", "-p", far, "--local-only", "hello")
    assert done.code == 2
    assert "does not run on this machine" in done.err
    assert scrimp("ask", "-p", profile(small="ok"), "--local-only", "hello").code == 0


def test_rate_and_redo_leave_labels(scrimp, profile, home):
    path = profile(small="ok", large="echo")
    first = ask_json(scrimp, "-p", path, "-m", "small", "what is up?")
    assert scrimp("rate", "bad", "--note", "wrong").code == 0
    (home / "profiles").mkdir(exist_ok=True)
    (home / "profiles" / "test.toml").write_text(path.read_text())
    done = scrimp("redo", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["arm"] == "large"
    labels = json.loads(scrimp("log", "show", first["id"], "--json").out)["labels"]
    assert [(each["source"], each["reward"]) for each in labels] == [("rating", 0.0), ("redo", 0.25)]
    assert scrimp("rate", "excellent").code == 2


def test_log_lists_searches_exports_and_forgets(scrimp, profile, home):
    path = profile(small="echo")
    for text in ("the quick brown fox", "a lazy dog", 'quotes " AND * NEAR('):
        ask_json(scrimp, "-p", path, text)
    assert len(json.loads(scrimp("log", "--json").out)["rows"]) == 3
    assert len(json.loads(scrimp("log", "-n", "2", "--json").out)["rows"]) == 2
    found = json.loads(scrimp("log", "search", "quick fox", "--json").out)["rows"]
    assert [row["prompt"] for row in found] == ["the quick brown fox"]
    assert json.loads(scrimp("log", "search", '" AND * NEAR(', "--json").out)["rows"]
    lines = scrimp("log", "export").out.splitlines()
    assert json.loads(lines[0])["prompt"] == "the quick brown fox"
    assert scrimp("log", "rm", found[0]["id"]).code == 2, "without a terminal it needs --yes"
    assert scrimp("log", "rm", found[0]["id"], "--yes").code == 0
    assert json.loads(scrimp("log", "search", "quick fox", "--json").out)["rows"] == []
    before = json.loads(scrimp("spend", "--json").out)["rows"]
    assert scrimp("log", "purge", "--yes").code == 0
    assert json.loads(scrimp("spend", "--json").out)["rows"] == before
    assert all(b"lazy dog" not in file.read_bytes() for file in home.glob("scrimp.db*"))


def test_files_are_private_from_birth(scrimp, profile, home):
    ask_json(scrimp, "-p", profile(small="ok"), "hello")
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    for file in home.glob("scrimp.db*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_unusable_arms_say_why(scrimp, tmp_path):
    path = tmp_path / "k.toml"
    path.write_text('name = "k"\n[[arms]]\nname = "a"\nmodel = "anthropic/claude-haiku-4-5"\n')
    done = scrimp("ask", "-p", path, "hello")
    assert done.code == 4
    assert "scrimp keys set ANTHROPIC_API_KEY" in done.err
    path.write_text(
        'name = "k"\n[[arms]]\nname = "a"\nmodel = "openai/nobody-knows-this"\napi_base = "http://127.0.0.1:9/v1"\n'
    )
    done = scrimp("ask", "-p", path, "hello")
    assert done.code == 2
    assert "no price is known" in done.err


@pytest.mark.parametrize("argv", [["ask", ""], ["ask", "  \n"], ["ask"], ["route", ""]])
def test_an_empty_prompt_is_refused(scrimp, profile, argv):
    done = scrimp(*argv[:1], "-p", profile(), *argv[1:])
    assert done.code == 2
    assert "empty" in done.err


def test_text_that_is_not_text(scrimp, profile, server, tmp_path):
    done = scrimp("ask", "-p", profile(), stdin=b"ab\xff\xfe")
    assert done.code == 2
    assert "not UTF-8" in done.err
    done = scrimp("ask", "-p", profile(), stdin=b"a\nb\0c")
    assert done.code == 2
    assert "NUL" in done.err
    assert "line 2" in done.err
    answer = ask_json(scrimp, "-p", profile(small="echo"), "lone \ud800 surrogate")
    assert "\ud800" not in answer["answer"]
    assert scrimp("ask", "-p", profile(), "-f", tmp_path / "missing.txt", "x").code == 2


def test_a_10_mb_prompt_fits_no_window(scrimp, profile, server):
    done = scrimp("ask", "-p", profile(small="ok"), stdin=b"word " * 2_000_000)
    assert done.code == 2
    assert "do not fit its window" in done.err
    assert server.chats == []


def test_escapes_of_a_model_do_not_reach_a_terminal(home, profile, server):
    """On a pseudo-terminal the answer is made harmless; on a pipe it is left as it is."""
    import pty

    from conftest import environment

    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*SCRIMP, "ask", "-p", str(profile(small="escape")), "hello"],
        stdin=subprocess.DEVNULL, stdout=follower, stderr=subprocess.PIPE, env=environment(home),
    )  # fmt: skip
    os.close(follower)
    shown = b""
    try:
        while part := os.read(leader, 4096):
            shown += part
    except OSError:
        pass
    assert process.wait(60) == 0, process.stderr.read()
    process.stderr.close()
    os.close(leader)
    assert b"before" in shown
    assert b"after" in shown
    assert b"\x1b" not in shown
    assert b"\x07" not in shown
    assert "\u202e".encode() not in shown


def test_the_log_keeps_no_longer_than_the_profile_says(scrimp, profile, home):
    from scrimp.profiles.paths import paths
    from scrimp.routing.ledger.store import open_ledger

    path = profile(small="ok", extra="[log]\nretention_days = 30\n")
    old = ask_json(scrimp, "-p", path, "an old question")
    with open_ledger(paths().ledger) as ledger, ledger.transaction() as conn:
        conn.execute("UPDATE requests SET created_at = '2020-01-01T00:00:00.000000Z'")
    new = ask_json(scrimp, "-p", path, "a new question")
    kept = [row["id"] for row in json.loads(scrimp("log", "--json").out)["rows"]]
    assert kept == [new["id"]]
    assert old["id"] not in kept
    assert json.loads(scrimp("spend", "--json", "-p", path).out)["rows"][0]["n_calls"] == 2


@pytest.mark.parametrize(
    "prompt", ["- item", "-5", "-5 degrees?", "--- a/x\n+++ b/x", "-\tone", "--so what", "-zap me"]
)
def test_a_prompt_may_begin_with_a_dash(scrimp, profile, server, prompt):
    assert scrimp("ask", "-q", "-p", profile(small="ok"), prompt).code == 0
    assert server.chats[0].prompt == prompt


def test_an_option_that_is_not_there_says_how_a_prompt_with_a_dash_is_given(scrimp, profile, server):
    for word in ("-zap", "--profle"):
        done = scrimp("ask", "-p", profile(small="ok"), word)
        assert (done.code, server.chats) == (2, [])
        assert "goes after --" in done.err
    assert scrimp("ask", "-q", "-p", profile(small="ok"), "-sbe brief", "--", "-zap").code == 0
    assert [message["content"] for message in server.chats[0].body["messages"]] == ["be brief", "-zap"]


@pytest.mark.parametrize(
    "argv",
    [("caf\udce9",), ("hello", "-s", "caf\udce9"), ("hello", "--tag", "caf\udce9"), ("hello", "--check", "has:\udce9")],
)
def test_an_argument_that_is_not_utf_8_is_never_sent(scrimp, profile, server, argv):
    done = scrimp("ask", "-p", profile(small="ok"), *argv)
    assert (done.code, server.chats) == (2, [])
    assert "not UTF-8: byte 0xe9" in done.err
    assert "iconv" in done.err


def test_the_home_folder_is_found_wherever_a_file_is_named(scrimp, profile, server, home):
    for name, text in (("notes.txt", "notes"), ("t.txt", "Read {{input}}"), ("s.json", '{"type": "string"}')):
        (home.parent / name).write_text(text)
    (home.parent / "dot.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    argv = ("-f", "~/notes.txt", "-t", "~/t.txt", "--schema", "~/s.json", "-a", "~/dot.png", "now")
    done = scrimp("ask", "--dry-run", "-p", profile(small="ok"), *argv)
    assert done.code == 0, done.err
    done = scrimp("ask", "-p", profile(small="ok"), "-f", "~nobody-of-that-name/x", "now")
    assert (done.code, server.chats) == (2, [])


@pytest.mark.parametrize(
    ("data", "fix"),
    [
        ("hello".encode("utf-16-le"), "iconv -f utf-16le "),
        ("hello".encode("utf-32-le"), "iconv -f utf-32le "),
        (b"it\x92s", "iconv -f cp1252 "),
        (b"caf\xe9", "iconv -f latin1 "),
        (b"PK\x03\x04\0\0", "Save it as text"),
        (b"a\nb\0c", "-a"),
    ],
)
def test_input_that_is_no_utf_8_says_how_it_is_converted(scrimp, profile, server, data, fix):
    done = scrimp("ask", "-p", profile(small="ok"), stdin=data)
    assert (done.code, server.chats) == (2, [])
    assert fix in done.err


def test_a_template_without_a_place_for_the_prompt_drops_nothing(scrimp, profile, server, tmp_path):
    (tmp_path / "t.txt").write_text("Say hello in {{language}}")
    argv = ("-p", profile(small="ok"), "-t", tmp_path / "t.txt", "-v", "language=Danish")
    done = scrimp("ask", *argv, stdin="some text")
    assert (done.code, server.chats) == (2, [])
    assert "no {{input}}" in done.err
    assert scrimp("ask", *argv).code == 0
    assert server.chats[0].prompt == "Say hello in Danish"


def test_what_is_interrupted_before_it_is_sent_says_that_it_cost_nothing(scrimp, profile, server, monkeypatch):
    from scrimp.routing.asking.workspace import Workspace

    def choose(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Workspace, "choose", choose)
    done = scrimp("ask", "-p", profile(small="ok"), "hello")
    assert (done.code, server.chats) == (130, [])
    assert "nothing is charged" in done.err


def test_what_is_said_of_an_answer_that_broke_off_begins_a_line(capfd):
    from scrimp.cli.answers import Printer

    printer, shown = Printer("in the log"), []
    say = printer.below(lambda line: shown.append((capfd.readouterr().out, line)))
    printer.show("half an ans")
    say("it broke off")
    assert shown == [("half an ans\n", "it broke off")]
