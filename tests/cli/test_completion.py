"""What the shell is offered on TAB: something for all that has a name, quickly, and nothing that a shell would run."""

import json
import os
import re
import subprocess
import sys
from enum import Enum
from pathlib import Path
from typing import get_args

import pytest
from every_command import ALL

from scrimp.cli import session
from scrimp.cli.app import run

FREE = {
    "ask": {"--cap-override", "PROMPT"},
    "batch": {"--column", "--deadline", "--file-column"},
    "budget set": {"USD"},
    "chat": {"[PROMPT]"},
    "doctor": {"--fetch"},
    "duel": {"PROMPT"},
    "eval": {"--strong", "--weak"},
    "log browse": {"[WORDS]"},
    "log search": {"WORDS"},
    "profile init": {"NAME"},
    "rate": {"--note"},
    "route": {"PROMPT"},
    "run": {"COMMAND"},
    "serve": {"--host", "--tag-header", "--token"},
    "spend reconcile": {"[USD]"},
}
"""What names nothing that there is already (prompts, amounts, ages), or what only a file or another program knows:
columns, models of outcomes, embedders."""

FREE_EVERYWHERE = {"--cache", "--max-cost", "--schema", "--schema-multi", "--since", "--system", "--var"}

FILES = re.compile("FILE|FOLDER|OUTCOMES|HELD")
"""Metavars of files: the shell offers those by itself where nothing else is."""


def is_choice(parameter):
    kind = parameter.type_descriptor.annotation
    kinds = (kind, *get_args(kind))
    return kind in (bool, int, float) or any(isinstance(each, type) and issubclass(each, Enum) for each in kinds)


def test_all_that_names_a_thing_has_a_completer():
    left_out = {}
    for words, each in ALL.items():
        for parameter in each.params:
            flag = parameter.param_type_name == "option"
            name = max(parameter.opts, key=len) if flag else parameter.metavar
            if parameter._custom_shell_complete or is_choice(parameter) or name in FREE_EVERYWHERE:
                continue
            if not FILES.search(parameter.metavar or ""):
                left_out.setdefault(" ".join(words), set()).add(name)
    assert left_out == FREE


@pytest.fixture
def tab(home, capfd, monkeypatch):
    """Offer what TAB does after a line, each word with what is said of it."""

    def call(line, shell="zsh"):
        session.keys.cache_clear()
        with monkeypatch.context() as patch:
            patch.setenv("_SCRIMP_COMPLETE", f"complete_{shell}")
            patch.setenv("_TYPER_COMPLETE_ARGS", line)
            patch.setenv("COMP_WORDS", line)
            patch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
            capfd.readouterr()
            with pytest.raises(SystemExit):
                raise SystemExit(run([]))
        out, err = capfd.readouterr()
        assert (err, "Traceback" in out) == ("", False)
        return out

    def offered(line):
        return call(line, "bash").split()

    offered.raw = call
    return offered


def test_what_is_always_there_is_offered(tab):
    assert tab("scrimp ask --prefer ") == ["cheap", "balanced", "best"]
    assert tab("scrimp ask --private r") == ["redact", "refuse"]
    assert tab("scrimp probe --kind lo") == ["logic"]
    assert tab("scrimp spend --by ") == ["day", "week", "month", "arm", "profile", "source", "tag"]
    assert tab("scrimp completions show ") == ["bash", "zsh", "fish", "powershell"]
    assert {"vision", "pdf", "tools", "json"} <= set(tab("scrimp ask --need "))
    assert {"words:", "json", "judge:"} <= set(tab("scrimp ask --check "))
    assert tab("scrimp budget set ") == ["day", "month"]
    assert tab("scrimp batch rows.jsonl --lane ") == ["sync", "batch", "auto"]
    assert {"shipped", "knn"} <= set(tab("scrimp eval --router "))
    assert tab("scrimp router show ") == ["shipped"]
    assert "gpt-5" in tab("scrimp models abilities gpt-")
    assert {"OPENAI_API_KEY", "GEMINI_API_KEY"} <= set(tab("scrimp keys set "))
    assert "mixed" in tab("scrimp replay --log ")


def test_commands_are_offered_and_options_of_the_program(tab):
    assert {"ask", "batch", "learn"} <= set(tab("scrimp "))
    assert tab("scrimp ba") == ["batch"]
    assert tab("scrimp --ver") == ["--version"]
    assert tab("scrimp log sh") == ["show"]


def test_words_of_batch_are_offered_once_begun_and_files_before(tab):
    assert tab("scrimp batch ") == []
    assert tab("scrimp batch sh") == ["show"]
    assert tab("scrimp batch show ") == []


def test_what_the_profile_has_is_offered(tab, profile, home):
    path = profile(
        small="ok",
        large="ok",
        extra='[checks.short]\nspec = "words:1..9"\n[plans]\ncareful = "small ? short > large"\n',
    )
    assert tab(f"scrimp ask -p {path} -m ") == ["small", "large"]
    assert tab(f"scrimp ask -p {path} --plan ") == ["careful"]
    assert tab(f"scrimp ask -p {path} --check sh") == ["short", "sh:"]
    assert tab(f"scrimp duel -p {path} --arms small,") == ["small,large"]
    assert {"scrimp", "scrimp/careful", "large"} <= set(tab(f"scrimp run -p {path} -m "))


def test_what_is_the_users_own_is_offered(tab, scrimp, home):
    hints, templates = home / "config" / "hints", home / "config" / "templates"
    for folder in (hints, templates):
        folder.mkdir(parents=True, exist_ok=True)
    from scrimp.profiles.aliases import set_alias
    from scrimp.profiles.paths import paths

    paths().hints.mkdir(parents=True, exist_ok=True)
    (paths().hints / "proofs.md").write_text("+++\nabout = 'proofs of theorems'\n+++\nStep by step.\n")
    paths().templates.mkdir(parents=True, exist_ok=True)
    (paths().templates / "commit.txt").write_text("A message: {{input}}")
    set_alias("quick", "openai/gpt-5-nano", paths())
    assert tab("scrimp ask -t ") == ["commit"]
    assert "quick" in tab("scrimp ask -m qu")
    scrimp("keys", "set", "MY_API_KEY", stdin="sk-0123456789abcdef\n")
    assert tab("scrimp keys rm ") == ["MY_API_KEY"]


def test_what_the_log_has_is_offered(tab, scrimp, profile):
    path = profile(small="ok")
    assert scrimp("ask", "-p", path, "--tag", "trial", "--cid", "move", "Why is the sky blue?").code == 0
    (row,) = json.loads(scrimp("log", "--json").out)["rows"]
    assert tab("scrimp log show ") == ["last", row["id"]]
    assert tab(f"scrimp redo {row['id'][:9]}") == [row["id"]]
    assert set(tab("scrimp rate ")) == {"good", "bad", "last", row["id"]}
    assert tab("scrimp log --tag ") == ["trial"] or tab("scrimp log list --tag ") == ["trial"]
    assert tab("scrimp ask --cid m") == ["move"]
    assert "Why is the sky blue?" in tab.raw("scrimp log show ")


def test_runs_of_batch_are_offered(tab, scrimp, profile, tmp_path):
    (tmp_path / "rows.txt").write_text("one\n")
    done = scrimp("batch", tmp_path / "rows.txt", "-o", tmp_path / "out.jsonl", "-p", profile(small="ok"), "--json")
    run_id = json.loads(done.out)["run"]
    for words in ("show", "cancel", "collect", "status", "--resume"):
        assert tab(f"scrimp batch {words} ") == ["last", run_id]


EVIL = (
    "\\$(touch pwned) `touch pwned` $(touch pwned)",
    "'; touch pwned; '",
    '"$(touch pwned)"',
    "[/red] [link=x]y[/link]",
)


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_nothing_that_is_offered_can_be_run(tab, scrimp, profile, evil, shell):
    """Typer's script for zsh evaluates what it is given."""
    assert scrimp("ask", "-p", profile(small="ok"), "--tag", evil, "--", evil).code == 0
    for line in ("scrimp log show ", "scrimp log list --tag ", "scrimp rate "):
        offered = tab.raw(line, shell)
        assert not re.search(r"[`$\\]", offered)
    assert "touch pwned" not in tab.raw("scrimp log list --tag ", shell)


def test_what_is_broken_offers_nothing_and_breaks_nothing(tab, home, tmp_path):
    (tmp_path / "broken.toml").write_text("arms = [")
    for line in (f"scrimp ask -p {tmp_path}/broken.toml -m ", "scrimp ask -p nobody --plan "):
        assert tab(line) == []
    from scrimp.profiles.paths import paths

    for path in (paths().ledger, paths().aliases, paths().keys):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("not at all what it should be")
    for line in ("scrimp log show ", "scrimp keys rm ", "scrimp log list --tag ", "scrimp ask --cid "):
        assert tab(line) == []


HEAVY = {"numpy", "litellm", "httpx", "pydantic", "onnxruntime", "tokenizers", "openai", "ray", "jinja2"}

LINES = (
    "scrimp ", "scrimp ask --prefer ", "scrimp ask -m ", "scrimp ask -p ", "scrimp ask --plan ", "scrimp ask --need ",
    "scrimp ask -t ", "scrimp ask --use-hint ", "scrimp ask --check ", "scrimp ask --cid ", "scrimp log show ",
    "scrimp log list --tag ", "scrimp batch show ", "scrimp keys set ", "scrimp keys rm ", "scrimp router show ",
    "scrimp run -m ", "scrimp eval --router ", "scrimp spend reconcile ", "scrimp rate ",
)  # fmt: skip

SEEN = """
import sys
from scrimp.cli.app import run
try:
    code = run([])
finally:
    heavy = sorted({name.partition(".")[0] for name in sys.modules} & set(sys.argv[1].split(",")))
    print("heavy:", *heavy, file=sys.stderr)
"""


@pytest.mark.parametrize("line", LINES)
def test_nothing_heavy_is_imported_to_offer_it(home, scrimp, profile, line):
    path = profile(small="ok")
    assert scrimp("ask", "-p", path, "--tag", "a", "hello").code == 0
    env = os.environ | {
        "_SCRIMP_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
        "SCRIMP_PROFILE": str(path),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    argv = [sys.executable, "-c", SEEN, ",".join(HEAVY)]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == "heavy:", done.stderr


def test_no_command_is_imported_to_offer_their_names(home):
    env = os.environ | {"_SCRIMP_COMPLETE": "complete_bash", "COMP_WORDS": "scrimp ", "COMP_CWORD": "1"}
    argv = [sys.executable, "-X", "importtime", "-m", "scrimp.cli"]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60)
    assert "ask" in done.stdout.split()
    commands = {f"scrimp.cli.{name}" for name in done.stdout.split()}
    commands -= {"scrimp.cli.resident"}  # the room of the process, which the way in looks into
    assert commands & {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()} == set()
