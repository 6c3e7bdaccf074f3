"""A decision on a terminal of 80 columns: every number, name and id whole, and words that say what stands behind it."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from dataclasses import replace

import pytest
from conftest import environment

from scrimp.cli.explain import decision_blocks
from scrimp.cli.result import Note, plain
from scrimp.profiles.money import format_usd, nano_from_usd
from scrimp.routing.deciding.trace import Decision
from scrimp.routing.reports.log import show_request
from scrimp.routing.text.in_words import percent

BOLD = re.compile(r"\x1b\[[0-9;]*m")
DECISION = re.compile(r"^decision [0-9a-z]{26}$", re.MULTILINE)
BUILT_IN = ["local", "openai", "anthropic", "google", "openrouter", "ollama", "mixed"]
PROMPT = "Prove that there are infinitely many primes"


@pytest.fixture
def at_80(on_terminal):
    """Run a command line on a terminal of 80 columns; return what stood there, with no line longer than that."""

    def call(*argv):
        code, out, err = on_terminal(*argv, columns=80)
        assert code == 0, err
        shown = BOLD.sub("", out + err)
        assert max(map(len, shown.splitlines())) <= 80, shown
        return shown

    return call


def usd(amount):
    return "unknown" if amount is None else format_usd(nano_from_usd(amount))


def assert_whole(shown, decision):
    """Every arm stands in one line with its quality, cost and bound; so does the decision's id."""
    for arm in decision["arms"]:
        row = re.compile(
            rf"^{'> ' if arm['name'] == decision['arm'] else '  '}{re.escape(arm['name'])} +"
            rf"{percent(arm['quality'])} {100 * arm['quality_low']:.0f}-{100 * arm['quality_high']:.0f} +"
            rf"(\S.* +)?{re.escape(usd(arm['cost_usd']))} +{re.escape(usd(arm['bound_usd']))}( |$)",
            re.MULTILINE,
        )
        assert row.search(shown), (arm["name"], shown)
        assert arm["rests_on"] in row.search(shown)[0] or f"in every row: rests on {arm['rests_on']}" in shown
    assert DECISION.search(shown), shown


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_built_in_profiles_fit_80_columns(at_80, scrimp, name):
    decision = json.loads(scrimp("route", "-p", name, "--seed", "1", "--json", PROMPT).out)
    short = at_80("route", "-p", name, "--seed", "1", PROMPT)
    assert_whole(short, decision)
    beside = re.search(r"^  arm .* tokens in", short, re.MULTILINE) is not None
    assert beside != ("\nleft out for width: tokens in" in short), "details stand beside the rest, or it is said"
    assert not beside or name in ("local", "ollama")
    full = at_80("route", "-x", "-p", name, "--seed", "1", PROMPT)
    assert_whole(full, decision)
    for arm in decision["arms"]:
        assert re.search(
            rf"^[> ] {arm['name']} .*{arm['output_tokens_p50']:,} / {arm['output_tokens_p90']:,}", full, re.MULTILINE
        )
        assert re.search(rf"^[> ] {arm['name']} .* {arm['utility']:.5f} ", full, re.MULTILINE)
    models = at_80("models", "-p", name)
    for arm in decision["arms"]:
        assert re.search(rf"^{arm['name']}( \*)? +{re.escape(arm['model'])} ", models, re.MULTILINE)


def test_long_names_stay_whole(at_80, scrimp, home, tmp_path):
    names = [f"{word}-".ljust(20, "x") for word in ("tiny", "small", "middle", "large", "larger", "largest")]
    path = tmp_path / "long.toml"
    path.write_text(
        'name = "long"\n[caps]\nper_day_usd = 5.0\n'
        + "".join(
            f'[[arms]]\nname = "{name}"\nmodel = "openrouter/some-provider/{name}-instruct-2026-11-01"\n'
            f"price = {{ input_usd_per_mtok = {3 * n + 0.0123}, output_usd_per_mtok = {9 * n + 0.0456} }}\n"
            for n, name in enumerate(names)
        )
    )
    decision = json.loads(scrimp("route", "-p", path, "--seed", "1", "--json", PROMPT).out)
    for argv in (("route",), ("route", "-x")):
        shown = at_80(*argv, "-p", path, "--seed", "1", PROMPT)
        assert_whole(shown, decision)
        for arm in decision["arms"]:
            assert f"    {arm['why']}\n" in shown, "beside the rest there is no room: it stands below"
    models = at_80("models", "-p", path)
    assert all(f" openrouter/some-provider/{name}-instruct-2026-11-01" in models for name in names)


def test_asking_and_the_log_show_it_the_same_way(at_80, scrimp, profile):
    path = profile(small="echo", medium="echo", large="echo")
    asked = at_80("ask", "-x", "-p", path, PROMPT)
    data = json.loads(scrimp("log", "show", "last", "--json").out)
    assert_whole(asked, data["decision"])
    assert f"decision {data['id']}\n" in asked
    assert_whole(at_80("log", "show", "last"), data["decision"])
    explained = at_80("log", "show", "-x", "last")
    assert_whole(explained, data["decision"])
    assert "out p50 / p90" in explained
    listed = at_80("log")
    assert re.search(rf"^{data['id']} .* {data['decision']['arm']} ", listed, re.MULTILINE)
    assert PROMPT in listed
    at_80("ask", "-x", "-p", path, "--plan", "small ? checks > large", "--check", "has:primes", PROMPT)
    at_80("ask", "--dry-run", "-x", "-p", path, PROMPT)


def test_a_real_terminal_of_80_columns(home, profile):
    """A process of its own, which finds out by itself how wide its terminal is."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    env = {name: value for name, value in environment(home, TERM="xterm").items() if name not in ("COLUMNS", "LINES")}
    path = profile(small="echo", medium="echo", large="echo")
    process = subprocess.Popen(
        [sys.executable, "-m", "scrimp.cli", "route", "-p", str(path), PROMPT],
        stdin=subprocess.DEVNULL, stdout=follower, stderr=subprocess.PIPE, env=env,
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
    lines = BOLD.sub("", shown.decode()).splitlines()
    assert 40 < max(map(len, lines)) <= 80
    assert any(re.match(r"[> ] medium +\d+% \d+-\d+ ", line) for line in lines), lines
    assert any(DECISION.match(line) for line in lines), lines


def test_a_pipe_gets_every_column_and_no_wrapping(scrimp):
    done = scrimp("route", "-p", "mixed", PROMPT)
    header, *rows = [line.split("\t") for line in done.out.splitlines() if "\t" in line]
    assert header == [
        "  arm", "quality", "rests on", "cost", "at most", "why", "tokens in", "out p50 / p90", "utility", "chance",
        "flips at", "basis",
    ]  # fmt: skip
    assert len(rows) == 6
    assert {len(row) for row in rows} == {len(header)}
    assert "\x1b" not in done.out


def test_json_says_what_the_choice_turned_on(scrimp, profile):
    path = profile(small="ok", large="ok")
    for argv in (("route",), ("ask", "--dry-run")):
        data = json.loads(scrimp(*argv, "-p", path, "--json", PROMPT).out)
        taken, other = (
            next(arm for arm in data["arms"] if arm["name"] == name) for name in (data["arm"], data["against"])
        )
        price = abs(taken["cost_usd"] - other["cost_usd"])
        worth = data["wtp_usd"] * abs(taken["quality"] - other["quality"])
        assert data["price_share"] == pytest.approx(price / (price + worth))
        assert {arm["rests_on"] for arm in data["arms"]} <= {
            "your outcomes", "outcomes", "similar models", "judged difficulty", "tier and price",
        }  # fmt: skip
        assert data["level"] is None or 1.0 <= data["level"] <= 5.0
    alone = json.loads(scrimp("route", "-p", profile(small="ok"), "--json", PROMPT).out)
    assert (alone["against"], alone["price_share"]) == (None, None)


@pytest.fixture
def logged(scrimp, profile):
    """A decision as the log has it."""
    from scrimp.profiles.paths import paths
    from scrimp.routing.ledger.store import open_ledger

    assert scrimp("ask", "-q", "-p", profile(small="ok", large="ok"), PROMPT).code == 0
    with open_ledger(paths().ledger) as ledger:
        return show_request(ledger, "last").decision


def notes(decision):
    return [block.text for block in decision_blocks(decision) if isinstance(block, Note)]


def test_the_sentences(logged):
    decision = replace(logged, level=1.78, ood=0.42, wtp_usd=0.1, min_quality=0.0)
    said = notes(decision)
    price = round(100 * decision.price_share)
    assert said[:3] == [
        "difficulty: easy, 1.8 of 5",
        "a right answer is worth $0.10; best is the greatest $0.10 x quality - cost",
        f"against {decision.against.arm}: {price}% price, {100 - price}% quality",
    ]
    assert said[-2:] == [
        f"router {decision.router_version}: this prompt is like its training prompts (distance quantile 0.42)",
        f"decision {decision.id}",
    ]
    assert not any(line.startswith("difficulty") for line in notes(replace(decision, level=None)))
    at_least = notes(replace(decision, min_quality=0.805))
    assert "a right answer is worth $0.10; best is the cheapest arm of quality 80.5% or more" in at_least


def test_a_trace_without_grounds_is_shown_too(logged):
    trace = logged.to_dict()
    del trace["level"], trace["against"], trace["price_share"]
    for arm in trace["arms"]:
        del arm["rests_on"]
    table, *_ = decision_blocks(Decision.from_dict(trace))
    header, *rows = [line.split("\t") for line in plain(table).splitlines()]
    assert {row[header.index("rests on")] for row in rows} == {"-"}


def test_a_guess_from_tier_and_price_says_so(logged):
    """The prior without weights has no training prompts to be like."""
    weighed = tuple(
        replace(each, option=replace(each.option, basis="uncalibrated", rests_on="tier and price"))
        for each in logged.choice.weighed
    )
    decision = replace(logged, router_version="tier-prior", ood=0.0, choice=replace(logged.choice, weighed=weighed))
    assert notes(decision)[-2] == "router tier-prior, which has no training prompts"
