"""`scrimp spend`, `budget` and `models prices`: money seen from the command line."""

import csv
import io
import json
import stat
import subprocess
import sys

import pytest
from conftest import environment


def ask(scrimp, path, *words, arm="small", **flags):
    argv = ["ask", "-p", path, "-m", arm, "--json"]
    for name, value in flags.items():
        argv += [f"--{name}", value]
    done = scrimp(*argv, *(words or ("hello",)))
    assert done.code == 0, done.err
    return json.loads(done.out)


# ---- budget


def test_a_shared_cap_is_set_shown_holds_and_is_lifted(scrimp, profile, server):
    one, two = profile(small="fill", name="one"), profile(small="fill", name="two")
    assert "no cap is shared" in scrimp("budget", "show").err
    done = scrimp("budget", "set", "shared:day", "0.0015")
    assert (done.code, done.out) == (0, "")
    assert "shared:day is capped at $0.0015; $0.0015 of it is left" in done.err
    ask(scrimp, one)
    done = scrimp("ask", "-p", two, "hello " * 50)
    assert done.code == 3
    assert "shared:day cap of $0.0015" in done.err
    (cap,) = json.loads(scrimp("budget", "show", "--json").out)["caps"]
    assert cap["scope"] == "shared:day"
    assert cap["settled_usd"] == server.cost_nano / 1e9
    assert "shared:day" in scrimp("budget", "show").out
    assert "shared:day" in scrimp("spend", "-p", two).out
    assert scrimp("budget", "clear", "shared:day").code == 0
    assert scrimp("budget", "clear", "shared:day").code == 2
    ask(scrimp, two)


@pytest.mark.parametrize(
    "argv", [("set", "week", "1"), ("set", "shared:day", "much"), ("set", "shared:day", "-1"), ("clear", "x")]
)
def test_what_is_no_shared_cap_is_refused(scrimp, argv):
    assert scrimp("budget", *argv).code == 2


# ---- groups


@pytest.mark.parametrize("by", ["day", "week", "month", "arm", "profile", "source", "tag"])
def test_sums_by_each_grouping_agree_with_the_servers_bill(scrimp, profile, server, by):
    path = profile(small="ok", large="ok")
    ask(scrimp, path, tag="a")
    ask(scrimp, path, arm="large")
    data = json.loads(scrimp("spend", "--by", by, "--json").out)
    assert sum(row["n_calls"] for row in data["rows"]) == 2
    names = {row["name"] for row in data["rows"]}
    if by in ("arm", "tag"):
        assert names == {"arm": {"test/small", "test/large"}, "tag": {"a", "-"}}[by]
    assert sum(row["settled_usd"] for row in data["rows"]) > server.cost_nano / 1e9  # large is dearer than the server
    lines = scrimp("spend", "--by", by, "--csv").out.splitlines()
    assert lines[0].startswith("name,n_calls,charged_usd")
    assert len(lines) == 1 + len(names)
    assert "█" in scrimp("spend", "--by", by).out


def test_csv_holds_no_formula(scrimp, profile):
    path = profile(small="ok")
    for tag in ("=1+1", "a\r=1", "-5"):
        ask(scrimp, path, tag=tag)
    lines = list(csv.reader(io.StringIO(scrimp("spend", "--by", "tag", "--csv").out, newline="")))
    assert {line[0] for line in lines[1:]} == {"'=1+1", "a\r=1", "-5"}
    assert all(float(line[2]) > 0 for line in lines[1:])


def test_an_unknown_grouping_is_refused(scrimp):
    assert scrimp("spend", "--by", "year").code == 2


# ---- short


def run_main(home, *argv, **extra):
    return subprocess.run(
        [sys.executable, "-c", "from scrimp.cli.main import main; main()", *argv],
        env=environment(home, **extra),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )


def test_the_short_line_needs_no_profile(scrimp, profile, home):
    assert run_main(home, "spend", "--short").stdout == "nothing spent yet\n"
    path = profile(small="fill", caps="per_day_usd = 1.0\nper_month_usd = 20.0")
    cost = ask(scrimp, path)["cost_usd"]
    path.unlink()
    scrimp("budget", "set", "shared:month", "50")
    done = run_main(home, "spend", "--short")
    spent = f"${cost:.5f}"
    assert done.stdout == f"{spent}/$1.00 day · {spent}/$20.00 month · {spent}/$50.00 month, all profiles\n"
    assert run_main(home, "spend", "--short", "-p", "test").stdout == done.stdout
    other = run_main(home, "spend", "--short", SCRIMP_PROFILE="other").stdout
    assert other == f"$0 day · $0 month · {spent}/$50.00 month, all profiles\n"


def test_the_short_line_of_a_damaged_ledger_is_an_error(home):
    home.mkdir()
    (home / "scrimp.db").write_bytes(b"")
    done = run_main(home, "spend", "--short")
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.startswith("scrimp: the ledger")


def test_the_short_line_through_the_whole_command_line_is_the_same(scrimp, profile, home):
    path = profile(small="fill")
    ask(scrimp, path)
    assert scrimp("spend", "--short", "-p", path).out == run_main(home, "spend", "--short").stdout


def test_the_short_line_imports_nothing_heavy(scrimp, profile, home):
    ask(scrimp, profile(small="ok"))
    code = (
        "import sys; sys.argv[1:] = ['spend', '--short']\n"
        "import os; os._exit = lambda code: print(sorted(sys.modules), file=sys.stderr) or sys.exit(code)\n"
        "from scrimp.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(home), capture_output=True, text=True, timeout=120
    )
    assert "$" in done.stdout
    for heavy in ("typer", "msgspec", "numpy", "rich", "sqlite_utils", "litellm", "scrimp.profiles.schema", "asyncio"):
        assert f"'{heavy}'" not in done.stderr


# ---- --vs


def test_versus_compares_with_one_arm(scrimp, profile):
    path = profile(small="ok@tokens=40", large="ok@tokens=40")
    for n in range(4):
        ask(scrimp, path, f"question {n}")
    ask(scrimp, path, "question 5", arm="large")
    data = json.loads(scrimp("spend", "--vs", "large", "-p", path, "--json").out)
    assert (data["n"], data["n_left_out"], data["arm"]) == (5, 0, "large")
    assert data["cost_usd"] == pytest.approx(4 * (2 * 1e-6 + 40 * 4e-6) + 2 * 1e-5 + 40 * 4e-5)
    saved = data["saved_usd"]
    assert saved["low"] <= saved["estimate"] <= saved["high"]
    assert data["arm_cost_usd"] - data["cost_usd"] == pytest.approx(saved["estimate"])
    assert data["arm_cost_usd"] == pytest.approx(5 * (2 * 1e-5 + 40 * 4e-5), rel=0.05)
    assert data["quality_gained"]["estimate"] < 0
    text = scrimp("spend", "--vs", "large", "-p", path).out
    assert "on large alone about" in text
    assert "saved $" in text
    assert "given up" in text
    against_small = json.loads(scrimp("spend", "--vs", "small", "-p", path, "--json").out)
    assert against_small["saved_usd"]["estimate"] < 0


BEST = """
[[arms]]
name = "best"
model = "openai/ok"
api_base = "{url}"
tier = "large"
tags = ["json"]
max_output_tokens = 200
context_window = 100000
price = {{ input_usd_per_mtok = 10, output_usd_per_mtok = 40, cache_read_usd_per_mtok = 1 }}
"""


@pytest.mark.parametrize(
    ("behaviour", "flags"),
    [
        ("cached", {}),
        ("ok@tokens=150", {}),
        ("reasoning", {}),
        ("garbage-then-ok", {}),
        ("say@text=42", {"check": "agree:2"}),
    ],
)
def test_what_an_answer_saved_is_the_same_number_wherever_it_is_told(scrimp, profile, server, behaviour, flags):
    path = profile(small=behaviour, extra=BEST.format(url=server.base_url))
    if flags:  # what it is compared with is longer
        server.script([behaviour, "say@text=The_answer_is_42"])
    answer = ask(scrimp, path, "one two three four five six", **flags)
    assert answer["saved_against"] == "best"
    several = behaviour == "garbage-then-ok" or bool(flags)
    assert (answer["total_charged_usd"] > answer["charged_usd"]) == several
    data = json.loads(scrimp("spend", "--vs", "best", "-p", path, "--json").out)
    assert (data["n"], data["n_left_out"]) == (1, 0)
    assert data["saved_usd"]["estimate"] == pytest.approx(answer["saved_usd"], abs=1e-12)
    fresh = answer["input_tokens"] - (answer["cached_tokens"] or 0)
    there = (fresh * 10 + (answer["cached_tokens"] or 0) * 1 + answer["output_tokens"] * 40) / 1e6
    assert data["arm_cost_usd"] == pytest.approx(there, abs=1e-12)
    assert data["cost_usd"] == pytest.approx(answer["total_charged_usd"], abs=1e-12)


def test_versus_without_anything_to_compare(scrimp, profile):
    path = profile(small="no-usage", large="ok")
    assert scrimp("spend", "--vs", "large", "-p", path).code == 2
    assert scrimp("spend", "--vs", "larg", "-p", path).code == 2
    ask(scrimp, path)
    done = scrimp("spend", "--vs", "large", "-p", path)
    assert done.code == 0
    assert "no logged answer can be compared with large (1 left out)" in done.err


# ---- prices

TABLE = {
    "openai/priced": {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": 1e-6,
        "output_cost_per_token": 4e-6,
    }
}


def priced(server, tmp_path, *models):
    arms = "".join(
        f'[[arms]]\nname = "{name}"\nmodel = "openai/{model}"\napi_base = "{server.base_url}"\ntier = "{tier}"\n'
        f"max_output_tokens = 100\ncontext_window = 100000\n"
        for name, model, tier in models
    )
    path = tmp_path / "listed.toml"
    path.write_text('name = "listed"\n[caps]\nper_day_usd = 1\n' + arms)
    return path


def table(tmp_path, entries, name="prices-new.json"):
    path = tmp_path / name
    path.write_text(entries if isinstance(entries, str) else json.dumps(entries))
    return path


def test_a_table_of_ones_own_prices_what_had_no_price(scrimp, server, home, tmp_path):
    path = priced(server, tmp_path, ("a", "priced", "small"))
    done = scrimp("ask", "-p", path, "hello")
    assert done.code == 2
    assert "no price is known" in done.err
    assert server.chats == []
    done = scrimp("models", "prices", "-p", path, "--update", table(tmp_path, TABLE))
    assert done.code == 0, done.err
    assert "stored 1 priced models" in done.err
    stored = home / "prices.json"
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    assert "prices.json of" in done.out
    answer = ask(scrimp, path, arm="a")
    assert answer["cost_usd"] == server.cost_nano / 1e9
    assert answer["price_source"].startswith("prices.json of")
    data = json.loads(scrimp("models", "prices", "-p", path, "--json").out)
    assert data["table"].startswith("prices.json of")
    assert " over litellm " in data["table"]
    assert len(data["sha256"]) == 64
    assert scrimp("models", "prices", "-p", path, "--forget").code == 0
    assert not stored.exists()
    assert scrimp("ask", "-p", path, "hello").code == 2
    assert scrimp("models", "prices", "-p", path, "--forget").code == 2


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ({}, "no model in it has a price"),
        (
            {"m": {"mode": "chat", "input_cost_per_token": -1, "output_cost_per_token": 1}},
            "m: input_cost_per_token: expected",
        ),
        ({"m": {"mode": "chat", "input_cost_per_token": True, "output_cost_per_token": 1}}, "expected an amount"),
        ('{"m": {"mode": "chat", "input_cost_per_token": 1e400, "output_cost_per_token": 1}}', "expected an amount"),
        ({"m": {"mode": "embedding", "input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6}}, "no model in it"),
    ],
)
def test_a_table_that_is_none_is_refused_and_not_stored(scrimp, profile, home, tmp_path, entries, why):
    done = scrimp("models", "prices", "-p", profile(), "--update", table(tmp_path, entries))
    assert done.code == 78
    assert why in done.err
    assert not (home / "prices.json").exists()


def test_litellms_own_table_can_be_stored(scrimp, profile, home, tmp_path):
    from importlib.util import find_spec
    from pathlib import Path

    own = Path(find_spec("litellm").origin).parent / "model_prices_and_context_window_backup.json"
    done = scrimp("models", "prices", "-p", profile(), "--update", own)
    assert done.code == 0, done.err


def test_a_stored_table_that_was_damaged_says_how_to_go_on(scrimp, profile, home):
    home.mkdir(exist_ok=True)
    (home / "prices.json").write_text("{")
    done = scrimp("ask", "-p", profile(), "hello")
    assert done.code == 78
    assert "scrimp models prices --forget" in done.err
    assert scrimp("models", "prices", "--forget", "-p", profile()).code == 0


def test_a_diff_shows_changed_prices_and_choices_that_flip(scrimp, server, home, tmp_path):
    def entry(read, written):
        return {
            "litellm_provider": "openai",
            "mode": "chat",
            "input_cost_per_token": read,
            "output_cost_per_token": written,
        }

    path = priced(server, tmp_path, ("a", "first", "small"), ("b", "second", "large"))
    old = {"openai/first": entry(1e-6, 4e-6), "openai/second": entry(1e-3, 4e-3)}
    scrimp("models", "prices", "-p", path, "--update", table(tmp_path, old))
    done = scrimp("ask", "-p", path, "--json", "--seed", "1", "a question")
    assert json.loads(done.out)["decision"]["greedy_arm"] == "a"
    ask(scrimp, path, arm="a")  # by name: no choice, so nothing to flip
    data = json.loads(scrimp("models", "prices", "-p", path, "--diff", "--json").out)
    assert (data["flips"], data["n_decided"]) == ([], 1)
    assert [change["changed"] for change in data["changes"]] == [False]
    new = {"openai/first": entry(1e-6, 4e-6), "openai/second": entry(1e-7, 4e-7)}
    done = scrimp("models", "prices", "-p", path, "--update", table(tmp_path, new), "--diff", "--json")
    data = json.loads(done.out)
    assert [(change["arm"], change["changed"]) for change in data["changes"]] == [("a", False), ("b", True)]
    (flip,) = data["flips"]
    assert (flip["was"], flip["now"]) == ("a", "b")
    text = scrimp("models", "prices", "-p", path, "--diff").out
    assert "1 would fall on another arm" in text


def test_update_and_forget_exclude_each_other(scrimp, profile, tmp_path):
    assert scrimp("models", "prices", "-p", profile(), "--update", "x.json", "--forget").code == 2
    assert scrimp("models", "prices", "-p", profile(), "--update", tmp_path / "none.json").code == 2


def test_prices_in_a_profile_win_over_every_table(scrimp, profile, server, tmp_path):
    scrimp(
        "models",
        "prices",
        "-p",
        profile(small="ok"),
        "--update",
        table(tmp_path, {"openai/ok": TABLE["openai/priced"] | {"input_cost_per_token": 1}}),
    )
    answer = ask(scrimp, profile(small="ok"))
    assert answer["price_source"] == "profile"


# ---- pacing


def test_pacing_is_shown_and_moves_the_choice(scrimp, profile, monkeypatch):
    monkeypatch.setattr("scrimp.routing.ledger.store.Ledger.month_gone", lambda _self, _now: 0.5)
    path = profile(
        small="fill", large="fill", caps="per_month_usd = 0.02", extra='[policy]\npace = "month"\nexplore = 0\n'
    )
    question = "Prove that every group of order p^2 q is solvable, and classify all of them up to isomorphism"
    first = json.loads(scrimp("route", "-p", path, "--json", question).out)
    (flip,) = [arm["flip_wtp_usd"] for arm in first["arms"] if arm["flip_wtp_usd"] is not None]
    wtp = str(1.5 * flip)
    assert first["pace"] is None  # there is no ledger yet
    ask(scrimp, path)
    even = json.loads(scrimp("route", "-p", path, "--wtp", wtp, "--json", question).out)
    assert even["pace"]["factor"] == 1.0
    assert even["arm"] == "large"
    ask(scrimp, path, arm="large")
    ask(scrimp, path, arm="large")
    ahead = json.loads(scrimp("route", "-p", path, "--wtp", wtp, "--json", question).out)
    assert ahead["pace"]["used"] > 0.7
    assert ahead["pace"]["factor"] < 0.2
    assert ahead["wtp_usd"] == pytest.approx(float(wtp) * ahead["pace"]["factor"])
    assert ahead["arm"] == "small"
    done = scrimp("ask", "-p", path, "--wtp", wtp, "-x", "--json", question)
    assert "of the month cap is spent" in done.err
    assert "lowered to" in done.err
    answer = json.loads(done.out)
    assert answer["arm"] == "small"
    assert answer["decision"]["pace"]["scope"] == "month"
    assert json.loads(scrimp("log", "show", answer["id"], "--json").out)["decision"] == answer["decision"]
