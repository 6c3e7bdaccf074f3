"""`ask --save` keeps what was typed, `-t` uses it, and what is typed wins."""

import json
import stat

import pytest


def body(server):
    return server.chats[-1].body


def test_saved_and_used(scrimp, profile, server, home):
    path = profile(small="ok", large="json")
    done = scrimp("ask", "--save", "who", "-p", path, "-m", "large", "-s", "Be {{how}}.", "-v", "how=brief", "-o",
                  "temperature", "0", "--max-tokens", "30", "--schema", "name, age int", "Who is in it? {{input}}")  # fmt: skip
    assert (done.code, done.out) == (0, "")
    file = home / "templates" / "who.md"
    assert f"saved {file}; `scrimp ask -t who` uses it" in done.err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not server.chats
    done = scrimp("ask", "-q", "-t", "who", "Ann and Bob", stdin=None)
    assert done.code in (0, 7), done.err
    sent = body(server)
    assert sent["model"] == "json"
    assert [each["content"] for each in sent["messages"]] == ["Be brief.", "Who is in it? Ann and Bob"]
    assert (sent["temperature"], sent["max_tokens"]) == (0, 30)
    assert set(sent["response_format"]["json_schema"]["schema"]["properties"]) == {"name", "age"}


def test_what_is_typed_wins_over_the_template(scrimp, profile, server):
    path = profile(small="ok", large="echo")
    scrimp("ask", "--save", "t", "-p", path, "-m", "large", "-s", "Saved.", "-o", "temperature", "0", "-o", "top_p", "0.5",
           "-v", "who=nobody", "Greet {{who}}")  # fmt: skip
    scrimp("ask", "-q", "-t", "t", "-m", "small", "-s", "Typed.", "--temperature", "1", "-v", "who=Ann")
    sent = body(server)
    assert (sent["model"], sent["temperature"], sent["top_p"]) == ("ok", 1, 0.5)
    assert [each["content"] for each in sent["messages"]] == ["Typed.", "Greet Ann"]
    scrimp("ask", "-q", "-t", "t")
    assert body(server)["messages"][-1]["content"] == "Greet nobody"
    done = scrimp("ask", "--dry-run", "-x", "-t", "t", "--plan", "small ? complete > large")
    assert done.code == 0, done.err  # the template's arm is left aside


def test_checks_files_and_needs_add_up(scrimp, profile, server, tmp_path, home):
    (tmp_path / "work" / "a.txt").write_text("alpha")
    (tmp_path / "work" / "b.txt").write_text("beta")
    path = profile(small="echo")
    scrimp("ask", "--save", "t", "-p", path, "-f", "a.txt", "--check", "has:alpha", "--read", "whole", "What is in it?")
    assert f'file = ["{tmp_path / "work" / "a.txt"}"]' in (home / "templates" / "t.md").read_text()
    done = scrimp("ask", "--json", "-t", "t", "-f", "b.txt", "--check", "has:beta")
    told = json.loads(done.out)
    assert [each["check"] for each in told["checks"]] == ["has:alpha", "has:beta"]
    assert told["passed"]
    assert "alpha" in server.chats[-1].prompt < server.chats[-1].prompt + "x"


def test_a_system_prompt_alone_is_a_template(scrimp, profile, server):
    path = profile(small="ok")
    scrimp("ask", "--save", "pirate", "-s", "Talk like a pirate.")
    assert scrimp("ask", "-q", "-p", path, "-t", "pirate", "Hello").code == 0
    assert [each["content"] for each in body(server)["messages"]] == ["Talk like a pirate.", "Hello"]
    assert scrimp("ask", "-q", "-p", path, "-t", "pirate", stdin="piped in").code == 0
    assert body(server)["messages"][-1]["content"] == "piped in"


def test_a_schema_of_a_file_is_kept_itself(scrimp, home, tmp_path):
    (tmp_path / "work" / "s.json").write_text('{"type": "object", "title": "kept"}')
    assert scrimp("ask", "--save", "t", "--schema", "s.json", "x").code == 0
    assert '"title": "kept"' in (home / "templates" / "t.md").read_text()


def test_one_of_that_name_is_replaced_with_yes(scrimp, home):
    scrimp("ask", "--save", "t", "one")
    done = scrimp("ask", "--save", "t", "two")
    assert done.code == 2
    assert "there is a template t already" in done.err
    assert scrimp("ask", "--save", "t", "-y", "two").code == 0
    assert scrimp("templates", "show", "t").out == "two\n"


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ((), "there is nothing to save"),
        (("-c", "x"), "--follow is about one call"),
        (("--dry-run", "x"), "--dry-run is about one call"),
        (("--json", "x"), "--json is about one call"),
        (("-x", "x"), "--explain is about one call"),
        (("-t", "other", "x"), "--template is about one call"),
        (("-f", "-", "x"), "standard input is given when the template is used"),
        (("-o", "n", "3", "x"), "-o n: not an option"),
        (("--max-cost", "much", "x"), "--max-cost"),
        (("-v", "x", "x"), "expected NAME=VALUE"),
        (("--schema", "a b c", "x"), "is no field"),
    ],
)
def test_what_cannot_be_saved_is_refused_and_not_dropped(scrimp, home, argv, says):
    done = scrimp("ask", "--save", "t", *argv)
    assert done.code == 2
    assert says in done.err
    assert not (home / "templates").exists()


def test_names_that_cannot_be(scrimp, home):
    for name in ("../x", "a/b", "", ".hidden"):
        done = scrimp("ask", "--save", name, "hi")
        assert done.code == 2
        assert "not a name for a template" in done.err
    assert not list(home.glob("**/*.md"))


def test_old_files_go_on_working(scrimp, profile, server, home):
    folder = home / "templates"
    folder.mkdir(parents=True)
    (folder / "plain.txt").write_text("Translate into {{language}}: {{input}}")
    assert scrimp("ask", "-q", "-p", profile(small="ok"), "-t", "plain", "-v", "language=Danish", "ox").code == 0
    assert body(server)["messages"][-1]["content"] == "Translate into Danish: ox"


def test_templates_list_show_edit_path_rm(scrimp, home, monkeypatch, tmp_path):
    done = scrimp("templates", "list")
    assert (done.code, done.out) == (0, "")
    assert "there are none" in done.err
    scrimp("ask", "--save", "sum", "-s", "Be brief.", "Sum it up: {{input}}")
    assert scrimp("templates", "list").out == "template\tsettings\tbegins\nsum\tsystem\tSum it up: {{input}}\n"
    told = json.loads(scrimp("templates", "list", "--json").out)["templates"]
    assert told == [
        {
            "name": "sum",
            "file": str(home / "templates" / "sum.md"),
            "settings": ["system"],
            "begins": "Sum it up: {{input}}",
        }
    ]
    assert scrimp("templates", "show", "sum").out == '+++\nsystem = "Be brief."\n+++\n\nSum it up: {{input}}\n'
    assert scrimp("templates", "path").out == f"{home / 'templates'}\n"
    assert scrimp("templates", "path", "sum").out == f"{home / 'templates' / 'sum.md'}\n"
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\necho "More." >> "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    assert "is in order" in scrimp("templates", "edit", "sum").err
    assert scrimp("templates", "show", "sum").out.endswith("Sum it up: {{input}}\nMore.\n")
    assert scrimp("templates", "edit", "fresh").code == 0
    assert scrimp("templates", "show", "fresh").out == "{{input}}\nMore.\n"
    editor.write_text('#!/bin/sh\nprintf "+++\\nmodle = 1\\n+++\\n" > "$1"\n')
    done = scrimp("templates", "edit", "fresh")
    assert done.code == 78
    assert "fresh.md:2: modle: unknown key (did you mean 'model'?)" in done.err
    assert scrimp("templates", "rm", "sum").code == 0
    done = scrimp("templates", "show", "sum")
    assert done.code == 2
    assert "no template 'sum'" in done.err


def test_a_broken_template_names_its_line(scrimp, profile, server, home):
    folder = home / "templates"
    folder.mkdir(parents=True)
    (folder / "bad.md").write_text("+++\n\nprefer = 'dear'\n+++\nHi")
    done = scrimp("ask", "-p", profile(small="ok"), "-t", "bad")
    assert done.code == 78
    assert f"{folder / 'bad.md'}:3: prefer: expected cheap, balanced or best" in done.err
    done = scrimp("templates", "list")
    assert done.code == 0
    assert "bad" in done.out
    (folder / "bad.md").write_text("+++\n[options]\ntemperatur = 1\n+++\nHi")
    done = scrimp("ask", "-p", profile(small="ok"), "-t", "bad")
    assert done.code == 2
    assert "temperatur: not an option that is passed on (did you mean 'temperature'?)" in done.err


def test_a_template_of_a_repository_runs_no_command(scrimp, profile, tmp_path, server):
    (tmp_path / "work" / "theirs.md").write_text("+++\ncheck = ['cmd:touch pwned']\n+++\nHi {{input}}")
    done = scrimp("ask", "-p", profile(small="ok"), "-t", "theirs.md", "x")
    assert done.code == 78
    assert "theirs.md:2: check: only a template in your own folder may say this" in done.err
    assert not server.chats
    assert not (tmp_path / "work" / "pwned").exists()
