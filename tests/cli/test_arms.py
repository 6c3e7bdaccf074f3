"""Arms that say what they are for, by the command line: models, route, and what refit knows of changed instructions."""

import json
import sqlite3
from types import SimpleNamespace

import pytest

CAREFUL = '[[arms]]\nname = "{name}"\nlike = "small"\nabout = "{about}"\nsystem = "You know {name}."\n'
EXPERTS = CAREFUL.format(name="law", about="contracts, courts, tenants, legal advice") + CAREFUL.format(
    name="kitchen", about="cooking, recipes, baking bread, how long to boil an egg"
)
RECIPE = "How long do I bake a sourdough loaf?"
LEGAL = "Can my landlord end the contract without notice to the tenant?"
STRANGE = "zxqv 0x7f 0x00 deadbeef"


@pytest.fixture
def route(scrimp, profile):
    path = profile(small="ok", extra=EXPERTS)

    def ask(prompt, *flags):
        done = scrimp("route", "-p", path, "--json", *flags, prompt)
        assert done.code == 0, done.err
        data = json.loads(done.out)
        return data, {each["name"]: each for each in data["arms"]}

    return ask


@pytest.mark.parametrize(("prompt", "nearest", "other"), [(RECIPE, "kitchen", "law"), (LEGAL, "law", "kitchen")])
def test_the_arm_whose_about_is_nearest_is_the_better_of_one_model(route, prompt, nearest, other):
    data, arms = route(prompt)
    assert data["arm"] == nearest
    assert arms[nearest]["quality"] > max(arms["small"]["quality"], arms[other]["quality"])
    assert arms[nearest]["near"].startswith("nearest in about (0.")
    assert arms[other]["near"] == arms["small"]["near"] == ""


def test_far_from_all_it_is_the_arm_that_is_for_anything(route):
    _, arms = route(STRANGE)
    assert arms["small"]["quality"] >= max(arms["law"]["quality"], arms["kitchen"]["quality"])


def test_how_near_moves_a_quality_by_no_more_than_a_tenth(scrimp, profile, route):
    plain = json.loads(scrimp("route", "-p", profile(small="ok", name="bare"), "--json", RECIPE).out)["arms"][0]
    _, arms = route(RECIPE)
    for each in arms.values():
        assert 0.9 - 1e-9 <= each["quality"] / plain["quality"] <= 1.0


def test_the_rungs_of_a_ladder_fit_alike(scrimp, profile):
    extra = 'about = "cooking, recipes, baking bread"\nefforts = ["low", "medium", "high"]\n'
    other = '[[arms]]\nname = "other"\nlike = "small"\n'
    data = json.loads(scrimp("route", "-p", profile(small="ok", extra=extra + other), "--json", RECIPE).out)
    *rungs, plain = data["arms"]
    assert [each["quality"] for each in rungs] == sorted(each["quality"] for each in rungs)
    assert min(each["quality"] for each in rungs) > plain["quality"]
    assert all(each["near"].startswith("nearest in about") for each in rungs)


def test_an_arm_with_a_model_of_its_own_is_only_remarked_on(scrimp, profile):
    plain = json.loads(scrimp("route", "-p", profile(large="ok", small="ok"), "--json", RECIPE).out)["arms"]
    path = profile(large="echo", small="ok", extra='about = "recipes"\n')
    small = json.loads(scrimp("route", "-p", path, "--json", RECIPE).out)["arms"][1]
    assert small["quality"] == plain[1]["quality"]
    assert small["near"].startswith("nearest in about")
    shown = scrimp("route", "-p", path, RECIPE)
    assert "; nearest in about (0." in shown.out


def test_lines_are_decided_as_each_prompt_alone(scrimp, profile, route, tmp_path):
    (tmp_path / "lines.txt").write_text(f"{RECIPE}\n{LEGAL}\n")
    done = scrimp("route", "-p", profile(small="ok", extra=EXPERTS), "--lines", tmp_path / "lines.txt", "--json")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["arm"] for row in rows] == ["kitchen", "law"]
    alone, _ = route(RECIPE)
    assert [each["quality"] for each in rows[0]["arms"]] == pytest.approx([each["quality"] for each in alone["arms"]])


def test_ask_takes_the_expert_and_vectors_of_abouts_are_kept(scrimp, profile, server, home):
    path = profile(small="echo", extra=EXPERTS)
    for prompt, arm in ((RECIPE, "kitchen"), (LEGAL, "law")):
        assert json.loads(scrimp("ask", "-p", path, "--json", prompt).out)["arm"] == arm
    assert [chat.body["messages"][0]["content"] for chat in server.chats] == ["You know kitchen.", "You know law."]
    (file,) = (home / "cache" / "abouts").iterdir()
    assert file.stat().st_mode & 0o077 == 0
    size = file.stat().st_size
    assert scrimp("route", "-p", path, RECIPE).code == 0
    assert file.stat().st_size == size


def test_models_show_ladders_and_what_arms_are_for(scrimp, profile):
    extra = 'efforts = ["high", "low"]\n[[arms]]\nname = "law"\nlike = "small:low"\nabout = "contracts"\nsystem = "Be fair."\n'
    path = profile(small="ok", extra=extra)
    out = scrimp("models", "-p", path).out
    assert "small: at low < high, under one cap\n" in out
    assert "law: contracts; like small:low; told how to answer\n" in out
    arms = {each["name"]: each for each in json.loads(scrimp("models", "-p", path, "--json").out)["arms"]}
    assert list(arms) == ["small:low", "small:high", "law"]
    assert arms["small:high"]["efforts"] == ["low", "high"]
    assert (arms["law"]["about"], arms["law"]["like"], arms["law"]["efforts"]) == ("contracts", "small:low", [])
    assert len(arms["law"]["instructions"]) == 16
    assert arms["small:low"]["instructions"] is None


def test_check_finds_instructions_that_fit_no_window(scrimp, profile):
    long = f'[[arms]]\nname = "narrow"\nlike = "small"\ncontext_window = 5000\nsystem = "{"word " * 6000}"\n'
    done = scrimp("profile", "check", profile(small="ok", extra=long))
    assert done.code == 78
    assert 'error: arm "narrow": what it is told (about ' in done.out
    assert "do not fit its window of 5,000" in done.out
    assert scrimp("profile", "check", profile(small="ok", extra='system = "Be brief."\n')).code == 0


def test_completion_offers_every_effort(profile):
    from scrimp.cli.complete import complete_arms

    path = profile(small="ok", extra='efforts = ["low", "high"]\n')
    context = SimpleNamespace(params={"profile": str(path)})
    assert [name for name, _ in complete_arms(context, "small:h")] == ["small:high"]


def test_an_arm_is_what_it_is_told_now(scrimp, profile, home):
    """What was learnt at other instructions counts less, does not judge, and is told from what is said now."""
    from scrimp.profiles.load import load_profile
    from scrimp.profiles.paths import paths
    from scrimp.routing.asking.home import make_decider
    from scrimp.routing.learn.data.read import read_log
    from scrimp.routing.ledger.store import open_ledger

    def ask(system, prompt, arm="small"):
        path = profile(small="say@text=42", large="say@text=41", extra=f'system = "{system}"\n', caps="")
        assert scrimp("ask", "-p", path, "-m", arm, "--check", "number:42", prompt).code in (0, 7)
        return path

    ask("Be brief.", "What is 6 x 7?", "large")
    ask("Be brief.", "What is 40 + 2?", "large")
    path = ask("Be long.", "What is 50 - 8?", "large")
    ask("Be long.", "What is 21 x 2?", "small")
    loaded = load_profile(str(path), env={}, cwd=home, paths=paths({"SCRIMP_HOME": str(home)})).profile
    decider = make_decider(loaded, paths({"SCRIMP_HOME": str(home)}))
    with open_ledger(home / "scrimp.db") as ledger:
        log = read_log(ledger, loaded.name, decider.infos, embedder_id=decider.embedder.id, dim=384)
    large = list(log.arms).index("large")
    assert log.retold[:, large].tolist() == [True, True, False, False]
    assert log.weight[:, large].tolist() == [0.25, 0.25, 1.0, 0.0]
    assert log.own.sum(axis=0).tolist() == [1, 1]
    assert not log.retold[:, 1 - large].any()
    with sqlite3.connect(home / "scrimp.db") as conn:
        told = [row[0] for row in conn.execute("SELECT instructions FROM attempts ORDER BY id")]
    assert len(set(told[:3])) == 2
    assert told[3] is None
