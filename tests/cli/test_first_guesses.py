"""What a user of `llm`, `gh` and `uv` types first: a hundred lines as they are typed, and what each of them does."""

import re
import shlex

import pytest

from scrimp.profiles.paths import paths

HELLO = "hello there, and how are you"
NO_KEY_SHOWN = "sk-canary-Zq7Tn5vX2bLw8Kd4"

DOES = {
    "asking": [
        (f'"{HELLO}"', HELLO),
        ("what is the capital of France", "what is the capital of France"),
        ('ask "capital of Peru?"', "capital of Peru"),
        ("ask capital of Peru", "capital of Peru"),
        ('prompt "capital of Peru?"', "capital of Peru"),
        ('-m small "capital of Peru?"', "capital of Peru"),
        ('-p default "capital of Peru?"', "capital of Peru"),
        ('-s "Be brief" "capital of Peru?"', "capital of Peru"),
        ('--json "capital of Peru?"', '"answer": "capital of Peru'),
        ('-c "And of Chile?"', "And of Chile"),
        ('continue "And of Chile?"', "And of Chile"),
        ('ask --cid trip "And of Chile?"', "And of Chile"),
        ('ask -m small "capital of Peru?"', "capital of Peru"),
        ('ask --model small "capital of Peru?"', "capital of Peru"),
        ('ask --arm small "capital of Peru?"', "capital of Peru"),
        ('ask -m gpt-5-mini --dry-run "capital of Peru?"', "gpt-5-mini"),
        ('ask -m openai/gpt-5-mini --dry-run "capital of Peru?"', "gpt-5-mini"),
        ('ask -m small -o temperature 0 "capital of Peru?"', "capital of Peru"),
        ('ask -m small --temperature 0 "capital of Peru?"', "capital of Peru"),
        ('ask -m small --max-tokens 20 "capital of Peru?"', "capital of Peru"),
        ('ask --extract "capital of Peru?"', "^capital of Peru"),
        ('ask -x "capital of Peru?"', "capital of Peru"),
        ('ask --dry-run "capital of Peru?"', "small|large"),
        ('ask --max-cost 0.01 "capital of Peru?"', "capital of Peru"),
        ('ask --no-stream "capital of Peru?"', "capital of Peru"),
        ('ask --no-log "capital of Peru?"', "capital of Peru"),
        ('ask -f notes.txt "what is missing?"', "milk"),
        ("summarize -f notes.txt", "milk"),
        ("ask -f - sum this up < notes.txt", "milk"),
        ("< notes.txt", "milk"),
        ("summarize < notes.txt", "milk"),
        ('ask "sum this up" < notes.txt', "milk"),
        ('ask --save greet "Greet {{input}} in {{tongue}}"', "greet"),
        ("ask -t greet -v tongue=Danish Anna", "Greet Anna in Danish"),
        ('ask -t greet "Anna" -v tongue=Welsh', "Greet Anna in Welsh"),
        ('"2+2?"', r"2\+2"),
        ("redo", r"2\+2"),
        ('"3+3?"', r"3\+3"),
        ("again", r"3\+3"),
        ('"4+4?"', r"4\+4"),
        ("retry", r"4\+4"),
        ('estimate "capital of Peru?"', "small|large"),
        ("why is the sky so blue", "why is the sky so blue"),
        ("plan a day in Rome", "plan a day in Rome"),
    ],
    "looking back": [
        ("log", "cost"),
        ("logs", "cost"),
        ("history", "cost"),
        ("log list", "cost"),
        ("log ls", "cost"),
        ("logs list -n 1", "cost"),
        ("log -n 1", "cost"),
        ("logs -n 1", "cost"),
        ("log show", "prompt:"),
        ("log show last", "prompt:"),
        ("log last", "prompt:"),
        ("show last", "prompt:"),
        ("last", "prompt:"),
        ("log get last", "prompt:"),
        ("log -r", HELLO),
        ("logs -r", HELLO),
        ("log show -r", HELLO),
        ("log search there", HELLO),
        ("logs -q there", HELLO),
        ("search there", HELLO),
        ("log --json", '"rows"'),
        ("logs path", "scrimp.db"),
        ("why", "arm"),
        ("rate good", "rated"),
        ("good", "rated"),
        ("bad", "rated"),
        ("rate 0.5", "rated"),
        ("report", "small"),
        ("stats", "small"),
    ],
    "money": [
        ("spend", "caps of profile"),
        ("spend --today", "caps of profile"),
        ("spend today", "caps of profile"),
        ("cost", "caps of profile"),
        ("usage", "caps of profile"),
        ("spend --by arm", "small"),
        ("budget", "no cap is shared"),
        ("budget set day 5", r"\$5"),
        ("budget day 6", r"\$6"),
        ("budget show", "shared:day"),
        ("budget list", "shared:day"),
        ("budget clear day", "no longer"),
        ("budget set month 50", r"\$50"),
        ("budget rm month", "no longer"),
        ("models prices", "."),
        ("prices", "."),
    ],
    "setting up": [
        ("models", "small"),
        ("models list", "small"),
        ("arms", "small"),
        ("profile list", "default"),
        ("profiles", "default"),
        ("profile", "default"),
        ("profile show", "arms"),
        ("profile new work", "work.toml"),
        ("profile init home", "home.toml"),
        ("profile use work", "work"),
        ("keys", "."),
        ("keys list", "."),
        (f"keys set openai < {NO_KEY_SHOWN}", "OPENAI_API_KEY"),
        (f"keys add groq < {NO_KEY_SHOWN}", "GROQ_API_KEY"),
        ("keys path", "keys"),
        ("keys remove OPENAI_API_KEY", "forgot"),
        ("alias set fast small", "fast"),
        ("aliases", "fast"),
        ("alias list", "fast"),
        ("templates list", "greet"),
        ("templates", "greet"),
        ("templates show greet", "Danish"),
        ("templates path", "templates"),
        ("completions zsh", "compdef"),
        ("completion bash", "complete"),
        ("help", "Commands|Asking"),
        ("help ask", "Usage: scrimp ask"),
        ("help log show", "Usage: scrimp log show"),
        ("version", r"^scrimp \d"),
        ("--version", r"^scrimp \d"),
        ("-v", r"^scrimp \d"),
        ("router list", "."),
    ],
}
"""What is typed after `scrimp`, and a pattern of what it prints; `< FILE` is standard input, or else its text."""

SAYS = [
    ("aks hello", "scrimp ask"),
    ("hello", "scrimp ask hello"),
    ("lgo last", "scrimp log"),
    ("config", "scrimp profile"),
    ("login", "scrimp keys set openai"),
    ("status", "scrimp spend"),
    ("list", "scrimp log"),
    ("update", "uv tool upgrade"),
    ("plugins", "any model of LiteLLM"),
    ("install llm-mistral", "any model of LiteLLM"),
    ("embed", "llm embed"),
    ("fragments", "-f"),
    ("tools", "scrimp serve"),
    ("undo", "scrimp router rollback"),
    ("stop", "scrimp resident stop"),
    ('ask --verbose "hi"', "-x shows"),
    ('ask --budget 1 "hi"', "--max-cost"),
    (f'ask --key {NO_KEY_SHOWN} "hi"', "scrimp keys set openai"),
    (f"keys set OPENAI_API_KEY {NO_KEY_SHOWN}", "."),
    ('ask -m gpt-99-huge "hi"', "gpt"),
    ('ask --cheap "hi"', "--prefer cheap"),
    ('ask -n "hi"', "--dry-run"),
    ("budget set week 5", "day|month"),
    ("log show zzzz", "scrimp log"),
    ("rate wonderful", "good"),
    ("keys get openai", "never"),
]
"""What cannot be done as it is typed, and a pattern of the line that says what to type: exit 2, and nothing is sent."""


@pytest.fixture
def day_one(scrimp, profile, server, tmp_path):
    """A user whose default profile asks a server that says what it was asked."""
    folder = paths().profiles
    folder.mkdir(parents=True)
    (folder / "default.toml").write_text(profile(small="echo", large="echo").read_text().replace('"test"', '"default"'))
    notes = "notes: buy milk"
    (tmp_path / "work" / "notes.txt").write_text(notes)

    def typed(line):
        command, _, given = line.partition("< ")
        words = shlex.split(command)
        return scrimp(*words, stdin=notes if given == "notes.txt" else given or None)

    assert typed(f'ask --cid trip "{HELLO}"').code == 0
    return typed


@pytest.mark.parametrize("kind", DOES)
def test_what_is_typed_first_does_what_is_meant(day_one, kind):
    if kind == "setting up":
        day_one('ask --save greet "Greet {{input}} in Danish"')
    wrong = []
    for line, pattern in DOES[kind]:
        done = day_one(line)
        if done.code or not re.search(pattern, done.out + done.err, re.MULTILINE):
            wrong.append(f"scrimp {line}\n  {done.code} {done.out[:200]!r} {done.err[:300]!r}")
        assert NO_KEY_SHOWN not in done.out + done.err
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("line", "pattern"), SAYS)
def test_the_rest_is_told_in_a_line_what_to_type(day_one, server, line, pattern):
    before = len(server.chats)
    done = day_one(line)
    assert done.code == 2, done
    assert len(server.chats) == before
    assert NO_KEY_SHOWN not in done.out + done.err
    said = [each for each in done.err.splitlines() if re.search(pattern, each)]
    assert said, done.err
    assert len(done.err.strip().splitlines()) <= 5, "the parser's own lines, and one more"


def test_a_prompt_typed_at_a_terminal_is_waited_for_aloud(day_one, scrimp):
    done = scrimp("ask", "-", typed="capital of Peru?\n")
    assert (done.code, done.out) == (0, "capital of Peru?\n"), done.err
    assert done.err.startswith("scrimp: type the text; Ctrl-D on a line of its own ends it\n")


def test_a_log_of_which_nothing_is_chosen_is_not_called_empty(day_one):
    assert day_one("log --tag nobody").err == "scrimp: nothing found\n"


def test_a_hundred_guesses_of_which_most_do_what_is_meant():
    n_do, n_said = sum(map(len, DOES.values())), len(SAYS)
    assert n_do + n_said >= 100
    assert n_do >= 0.85 * 100
    assert n_do / (n_do + n_said) >= 0.8
