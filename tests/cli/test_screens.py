"""Golden screens: the important ones as they stand on terminals of 80 and 140 columns, light or dark.

`just screens` writes them anew; what changed is then to be looked at in the difference.
"""

import os
import re
import time

import pytest
from made_log import NOW
from pages import home_of
from screens import OWN_COLOURS, WIDTHS, check, colours_of, drawn, lines_of, masked

WRITE = os.environ.get("SCRIMP_GOLDEN") == "write"

PROFILE = """\
name = "work"
[caps]
per_call_usd = 0.50
per_day_usd = 1234.50
per_month_usd = 20000
[plans]
careful = "small ? number:42 > large"
[checks.number]
spec = "number:42"
"""

PROMPT = "Design multi-region failover for a payments ledger"

SCREENS = {
    "bare": (),
    "help": ("--help",),
    "help-ask": ("ask", "--help"),
    "help-log-show": ("log", "show", "--help"),
    "route": ("route", "-p", "mixed", "--seed", "1", PROMPT),
    "route-explained": ("route", "-x", "-p", "mixed", "--seed", "1", PROMPT),
    "log": ("log", "-n", "5"),
    "log-show": ("log", "show", "REQUEST"),
    "spend": ("spend", "-p", "work", "--by", "arm"),
    "spend-months": ("spend", "-p", "work", "--by", "month"),
    "spend-open": ("spend", "--open"),
    "budget": ("budget",),
    "models": ("models", "-p", "mixed"),
    "models-work": ("models", "-p", "work"),
    "profile-list": ("profile", "list"),
    "profile-check": ("profile", "check", "work"),
    "keys": ("keys", "list"),
    "batch-dry-run": ("batch", "rows.jsonl", "--dry-run", "-p", "work", "--max-cost", "0.05"),
    "report": ("report", "-p", "work"),
    "duels": ("report", "--duels"),
    "router": ("router", "list"),
    "plans": ("plans", "-p", "work"),
    "plans-of-one": ("plans", "-p", "work", "careful"),
    "ask": ("ask", "-p", "work", "What is the capital of Peru?"),
}
"""Each screen's name, and what is typed for it."""

OF_THIS_MACHINE = ("route", "route-explained", "batch-dry-run", "ask")
"""An embedding decides them: another kind of processor computes it a little otherwise."""


HEAD = {"help-ask": 24}
"""Of these only so many lines: all of it is in docs/commands.md."""


@pytest.fixture
def world(home, scrimp, server, tmp_path, monkeypatch):
    """A home of a month and a half of asking, in Copenhagen."""
    monkeypatch.setenv("TZ", "Europe/Copenhagen")
    time.tzset()
    truth = home_of(home, n=200, now=NOW)
    arms = (("small", "small", "0.1", "0.4"), ("medium", "medium", "1.25", "5"), ("large", "large", "10", "40"))
    (home / "profiles").mkdir()
    (home / "profiles" / "work.toml").write_text(
        PROFILE
        + "".join(
            f'[[arms]]\nname = "{name}"\nmodel = "openai/say@text=Lima"\napi_base = "{server.base_url}"\n'
            f'tier = "{tier}"\ntags = ["json"]\nmax_output_tokens = 1000\ncontext_window = 128000\n'
            f"price = {{ input_usd_per_mtok = {cost}, output_usd_per_mtok = {costs} }}\n"
            for name, tier, cost, costs in arms
        )
    )
    (tmp_path / "work" / "rows.jsonl").write_text('{"prompt": "What is 6 times 7?"}\n{"prompt": "Capital of Peru?"}\n')
    assert scrimp("budget", "set", "month", "50").code == 0
    assert scrimp("keys", "set", "GROQ_API_KEY", stdin="gsk-nobodys-key").code == 0
    yield truth
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("width", WIDTHS)
def test_screens_are_as_they_were(on_terminal, world, width):
    problems = []
    for name, argv in SCREENS.items():
        words = [world["ids"][-4] if word == "REQUEST" else word for word in argv]
        code, out, err = on_terminal(*words, columns=width)
        assert code == (2 if name == "bare" else 0), (name, err)
        screen = drawn(err + out, width)
        lines = lines_of(screen)[: HEAD.get(name)]
        assert all(cell.data != "�" for row in screen.buffer.values() for cell in row.values()), name
        for fore, back, turned, blinking in colours_of(screen):
            assert (fore in OWN_COLOURS, back, turned, blinking) == (True, "default", False, False), name
        try:
            check(name, masked(lines, numbers=name in OF_THIS_MACHINE), width, write=WRITE)
        except AssertionError as error:
            problems.append(str(error))
    assert not problems, "\n".join(problems)


def test_nothing_is_wider_than_the_terminal_or_broken_by_it(on_terminal, world):
    """A terminal that breaks a line does so between any two characters."""
    for name, argv in SCREENS.items():
        words = [world["ids"][-4] if word == "REQUEST" else word for word in argv]
        _, out, err = on_terminal(*words, columns=80)
        for line in re.sub(r"\x1b\[[0-9;]*m", "", out + err).splitlines():
            assert len(line) <= 80, (name, line)


def test_styles_are_those_that_every_terminal_has(on_terminal, world):
    """Bold, dim and italic: nothing that a light or a dark background could swallow."""
    seen = set()
    for argv in SCREENS.values():
        words = [world["ids"][-4] if word == "REQUEST" else word for word in argv]
        _, out, err = on_terminal(*words, columns=80)
        seen |= {code for found in re.findall(r"\x1b\[([0-9;]*)m", out + err) for code in found.split(";")}
    assert seen <= {"0", "1", "2", "3", "31", "32", "34", "35", "36"}
    assert {"1", "2", "3"} <= seen, "titles, what is left out, what a table is called"


def test_no_colour_means_none(on_terminal, world, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    for argv in (("models", "-p", "mixed"), ("spend", "-p", "work")):
        _, out, _ = on_terminal(*argv, columns=80)
        assert not re.search(r"\x1b\[(?:\d+;)*[349]\d(?:;\d+)*m", out), "bold may stay, a colour may not"


def test_a_pipe_keeps_titles_and_headers(scrimp, world):
    lines = scrimp("spend", "-p", "work").out.splitlines()
    at = lines.index("caps of profile work (days of Europe/Copenhagen)")
    assert lines[at + 1].split("\t")[:2] == ["cap", "limit"]
    assert lines[0].split("\t")[1:3] == ["calls", "charged"]
    assert "\x1b" not in "".join(lines)
