"""`scrimp setup`: an interview on a real terminal, in homes of its own."""

import json
import os
import pty
import select
import subprocess
import sys
from decimal import Decimal

import pytest
from conftest import CANARY

from scrimp.profiles.draft import Draft, drafted, in_toml
from scrimp.profiles.load import load_profile
from scrimp.profiles.money import nano_from_usd
from scrimp.profiles.paths import paths
from scrimp.routing.prices.table import PriceTable

USE = "Which to use?"


START = """
import fcntl, runpy, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
runpy.run_module("scrimp.cli", run_name="__main__", alter_sys=True)
"""
"""Makes standard input the session's own terminal, where getpass looks for it, and runs the command."""


@pytest.fixture
def interview(home):
    """Run `scrimp setup` on a terminal, answer as it asks, and return its exit status and all that stood there."""

    def run(*answers, argv=("setup",), **env):
        master, slave = pty.openpty()
        kept = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
        process = subprocess.Popen(
            [sys.executable, "-c", START, *argv],
            stdin=slave, stdout=slave, stderr=slave,
            env={**kept, "SCRIMP_HOME": str(home), "TERM": "xterm", "COLUMNS": "200", **env},
            start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        shown = ""
        for expected, typed in answers:
            shown += until(master, expected, shown)
            os.write(master, typed.encode())
        shown += until(master, None, shown)
        os.close(master)
        return process.wait(60), shown

    return run


def until(master, expected, before):
    """Read on until what is expected stands at the end of what was shown; to the end where nothing is."""
    found = ""
    while expected is None or expected not in found:
        ready, _, _ = select.select([master], [], [], 60)
        assert ready, f"waited for {expected!r} after {before + found!r}"
        try:
            data = os.read(master, 65_536)
        except OSError:
            data = b""
        if not data:
            assert expected is None, f"ended before {expected!r}: {before + found!r}"
            break
        found += data.decode("utf-8", "replace")
    return found


ENTER = "\n"
REST = (
    ("spent in a month", ENTER),
    ("Which [", ENTER),
    ("Name of the profile", ENTER),
    ("make it the default?", ENTER),
)


def text_of(home, name="mine"):
    return (home / "profiles" / f"{name}.toml").read_text()


def used(home):
    return load_profile(None, env={}, cwd=home, paths=paths({"SCRIMP_HOME": str(home)}))


def test_enter_to_every_question(interview, home):
    code, shown = interview(("Add a key?", ENTER), (USE, "openai\n"), *REST, OPENAI_API_KEY="k-1234567")
    assert code == 0
    assert "Keys found: OPENAI_API_KEY (set)" in shown
    assert 'extends = "openai"' in text_of(home)
    assert in_toml(Draft("mine", ("openai",))) == text_of(home)
    assert "> small" in shown, "the first route"
    loaded = used(home)
    assert (loaded.profile.name, loaded.chosen_by) == ("mine", "scrimp profile use")


def test_a_key_is_typed_unseen(interview, home):
    code, shown = interview(
        ("Add a key?", "grok-nobody\n"), ("Add a key?", "groq\n"), ("GROQ_API_KEY (unseen", f"{CANARY}\n"),
        ("Add a key?", ENTER), (USE, "nobody\n"), (USE, "Groq\n"), *REST,
    )  # fmt: skip
    assert code == 0
    assert CANARY not in shown
    assert "no provider or variable for a key is called 'grok-nobody'" in shown
    assert "'nobody' cannot be used now; there are: groq" in shown
    assert f'GROQ_API_KEY = "{CANARY}"' in (home / "keys.toml").read_text()
    assert 'extends = "groq"' in text_of(home)


def test_answers_are_what_is_written(interview, home):
    code, shown = interview(
        ("Add a key?", ENTER), (USE, "mistral, openai\n"), ("spent in a month", "lots\n"), ("spent in a month", "$20\n"),
        ("Which [", "bes\n"), ("Name of the profile", "a b\n"), ("Name of the profile", "work\n"),
        ("make it the default?", "y\n"), OPENAI_API_KEY="k-1234567", MISTRAL_API_KEY="k-1234567",
    )  # fmt: skip
    assert code == 0, shown
    profile = used(home).profile
    assert profile.name == "work"
    assert [arm.name for arm in profile.arms] == ["luna", "sol", "mistral-small", "mistral-large"]
    assert (profile.caps.per_month_usd, profile.caps.per_day_usd) == (20, 2)
    assert profile.policy.prefer == "best"


@pytest.mark.parametrize("at", range(6))
def test_ctrl_c_writes_nothing(interview, home, at):
    questions = [
        ("Add a key?", "groq\n"),
        ("GROQ_API_KEY (unseen", f"{CANARY}\n"),
        ("Add a key?", ENTER),
        (USE, "groq\n"),
        *REST,
    ]
    stop = [*questions[: at + 2], (questions[at + 2][0], "\x03")]
    code, shown = interview(*stop)
    assert code == 130
    assert "nothing was written" in shown
    assert not any((home / name).exists() for name in ("profiles", "keys.toml", "profile"))


def test_no_at_the_end_writes_nothing(interview, home):
    code, shown = interview(
        ("Add a key?", ENTER), (USE, "groq\n"), *REST[:-1], ("make it the default?", "no\n"), GROQ_API_KEY="k-1234567"
    )
    assert code == 130
    assert "nothing was written" in shown
    assert not (home / "profiles").exists()


def test_a_file_is_not_replaced_unasked(interview, home):
    (home / "profiles").mkdir(parents=True)
    (home / "profiles" / "mine.toml").write_text('extends = "local"\n')
    keys = {"GROQ_API_KEY": "k-1234567"}
    start = (("Add a key?", ENTER), (USE, "groq\n"), *REST[:2])
    code, shown = interview(
        *start, ("[mine-2]", "mine\n"), ("Replace it?", ENTER), ("[mine-2]", ENTER), REST[-1], **keys
    )
    assert code == 0, shown
    assert text_of(home) == 'extends = "local"\n'
    assert 'extends = "groq"' in text_of(home, "mine-2")
    code, shown = interview(*start, ("[mine-2]", "mine\n"), ("Replace it?", "yes\n"), REST[-1], **keys)
    assert code == 0, shown
    assert 'extends = "groq"' in text_of(home)
    assert used(home).profile.name == "mine"


def test_azure_is_asked_its_address(interview, home):
    code, shown = interview(
        ("Add a key?", ENTER), (USE, "azure\n"), ("Azure resource", "http://x\n"), ("https://", "https://mine.openai.azure.com/\n"),
        *REST, AZURE_API_KEY="k-1234567",
    )  # fmt: skip
    assert code == 0, shown
    for arm in used(home).profile.arms:
        assert arm.api_base == "https://mine.openai.azure.com"
        assert arm.key_env == "AZURE_API_KEY"


# --- without a terminal


@pytest.fixture
def no_servers(monkeypatch):
    monkeypatch.setattr("scrimp.cli.interview.ask_server", lambda _: ())


def test_without_a_terminal_it_says_what_to_type(scrimp, home):
    done = scrimp("setup")
    assert done.code == 2
    assert "this is no terminal" in done.err
    assert "scrimp setup --yes" in done.err
    assert not home.exists()


@pytest.mark.usefixtures("no_servers")
def test_yes_takes_the_defaults(scrimp, home):
    done = scrimp("setup", "--yes")
    assert done.code == 0, done.err
    assert 'extends = "local"' in text_of(home)
    assert "when there is a key: scrimp keys set openai" in done.err
    assert "> smollm2" in done.out
    assert "no profile chosen" not in scrimp("ask", "hello").err


@pytest.mark.usefixtures("no_servers")
def test_what_chooses_all_the_same_is_said(scrimp, monkeypatch):
    monkeypatch.setenv("SCRIMP_PROFILE", "groq")
    assert "SCRIMP_PROFILE is set to groq, and wins" in scrimp("setup", "--yes").err


@pytest.mark.usefixtures("no_servers")
def test_yes_again_replaces_nothing(scrimp, home, monkeypatch):
    scrimp("setup", "--yes")
    scrimp("setup", "--yes")
    assert [file.name for file in (home / "profiles").glob("*.toml")] == ["mine.toml"]
    before = text_of(home)
    monkeypatch.setenv("GROQ_API_KEY", "k-1234567")
    monkeypatch.setenv("OPENROUTER_API_KEY", "k-1234567")
    monkeypatch.setenv("OPENAI_API_KEY", "k-1234567")
    scrimp("setup", "--yes")
    assert text_of(home) == before
    assert {arm.name for arm in used(home).profile.arms} == {"luna", "sol", "groq-small", "groq-large"}


def test_a_server_that_answers_is_used(scrimp, home, server, monkeypatch):
    monkeypatch.setattr(
        "scrimp.cli.interview._address",
        lambda name: server.base_url if name in {"ollama", "vllm"} else "http://127.0.0.1:1/v1",
    )
    done = scrimp("setup", "--yes")
    assert done.code == 0, done.err
    assert "Ollama answers on this machine: ok, echo, random" in done.err
    arms = {arm.name: arm for arm in used(home).profile.arms}
    assert set(arms) == {"ollama-ok", "ollama-echo", "ollama-random", "vllm-served"}
    assert arms["ollama-echo"].model == "ollama_chat/echo"
    assert arms["ollama-echo"].params == {"num_ctx": 8192}


# --- what is written

AZURE = "https://mine.openai.azure.com"


@pytest.mark.parametrize(
    ("of", "arms"),
    [
        ("openai", "small medium large"), ("bedrock", "small medium large"), ("azure", "small medium large"), ("vllm", "served"),
        ("openai anthropic google", "luna haiku flash argon sol opus"), ("google xai", "flash argon xai-medium xai-large"),
        ("anthropic azure", "haiku opus azure-small azure-large"), ("ollama", "ollama-qwen3-8b"),
        ("openrouter lmstudio local", "openrouter-small openrouter-large lmstudio-served smollm2"),
    ],
)  # fmt: skip
def test_every_draft_loads_as_it_was_drafted(tmp_path, of, arms):
    draft = Draft("mine", tuple(of.split()), Decimal(20), azure=AZURE, ollama=("qwen3:8b",))
    profile = drafted(draft)
    assert [arm.name for arm in profile.arms] == arms.split()
    home = paths({"SCRIMP_HOME": str(tmp_path)})
    home.profiles.mkdir()
    (home.profiles / "mine.toml").write_text(in_toml(draft))
    assert {arm.name for arm in load_profile("mine", env={}, cwd=tmp_path, paths=home).profile.arms} == set(
        arms.split()
    )
    table = PriceTable.load()
    for arm in profile.arms:
        price = table.price(arm)
        assert price is not None
        assert profile.caps.per_call_usd is not None
        assert price.bound_nano(4000, table.output_limit(arm)) <= nano_from_usd(profile.caps.per_call_usd)


@pytest.mark.parametrize(
    ("month", "day", "call"),
    [("50", "5", "0.5"), ("3", "0.5", "0.5"), ("0.2", "0.2", "0.2"), ("0", "0", "0"), ("12.345", "1.2345", "0.5")],
)
def test_caps_of_a_month(month, day, call):
    caps = drafted(Draft("mine", ("openai",), Decimal(month))).caps
    assert (caps.per_month_usd, caps.per_day_usd, caps.per_call_usd) == (Decimal(month), Decimal(day), Decimal(call))


# --- what llm has


@pytest.fixture
def llm(tmp_path):
    """A folder of llm's with a key, an alias, and a template."""
    folder = tmp_path / "llm"
    (folder / "templates").mkdir(parents=True)
    (folder / "keys.json").write_text(json.dumps({"// Note": "x", "groq": CANARY}))
    (folder / "aliases.json").write_text(json.dumps({"fast": "groq/openai/gpt-oss-20b", "odd": "nobody/nothing"}))
    (folder / "templates" / "greet.yaml").write_text("Say hello to $input")
    return folder


def test_what_llm_has_is_taken_over(interview, home, llm):
    code, shown = interview(
        ("Take over what llm has", ENTER), ("Add a key?", ENTER), (USE, "groq\n"), *REST, LLM_USER_PATH=str(llm)
    )
    assert code == 0, shown
    assert "1 key, 2 aliases, 1 template" in shown
    assert "took GROQ_API_KEY, llm's key groq" in shown
    assert "took alias fast, for groq/openai/gpt-oss-20b" in shown
    assert "alias odd is not taken" in shown
    assert "took template greet" in shown
    assert CANARY not in shown
    assert f'GROQ_API_KEY = "{CANARY}"' in (home / "keys.toml").read_text()
    assert 'extends = "groq"' in text_of(home)
    assert "> small" in shown


def test_what_llm_has_is_left_where_that_is_said(interview, home, llm):
    code, shown = interview(
        ("Take over what llm has", "no\n"), ("Add a key?", ENTER), (USE, "openai\n"), *REST,
        LLM_USER_PATH=str(llm), OPENAI_API_KEY="k-1234567",
    )  # fmt: skip
    assert code == 0, shown
    assert not (home / "keys.toml").exists()
    assert 'extends = "openai"' in text_of(home)
