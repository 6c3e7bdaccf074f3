"""`scrimp models abilities`: a profile's arms, any model, the whole table, and a table of one's own."""

import json
import stat

import pytest

from scrimp.routing.router.in_force import shipped_folder

CSV = "model,ability,low,high,released\nclaude-haiku-5-5,1.5,1.2,1.8,2026-11-02\nacme/rocket-1,0.5,-0.5,1.5,\n"


def abilities(scrimp, *argv):
    done = scrimp("models", "abilities", *argv, "--json")
    assert done.code == 0, done.err
    data = json.loads(done.out)
    assert data["schema_version"] == 1
    return data["abilities"]


def test_the_arms_of_a_profile(scrimp):
    rows = abilities(scrimp, "-p", "mixed")
    assert [row["arm"] for row in rows] == ["luna", "haiku", "flash", "argon", "sol", "opus"]
    for row in rows:
        assert set(row) == {"arm", "model", "ability", "low", "high", "basis"}
        assert row["low"] < row["ability"] < row["high"]
        assert row["basis"]
    shown = scrimp("models", "abilities", "-p", "mixed").out
    assert "claude-haiku-5-5" in shown
    assert "±" in shown


def test_any_model_by_its_name(scrimp):
    rows = abilities(scrimp, "gpt-4o-mini", "bedrock/us.anthropic.claude-3-5-sonnet-20241022-v2:0", "no/such-model")
    assert [row["model"] for row in rows][-1] == "no/such-model"
    assert "arm" not in rows[0]
    assert rows[0]["ability"] == 0.0
    assert rows[1]["ability"] > 0.3
    assert rows[2]["high"] - rows[2]["low"] > 2.0
    assert rows[2]["basis"] == "its name"


def test_the_whole_table(scrimp):
    rows = abilities(scrimp, "--all")
    assert len(rows) > 600
    assert [row["ability"] for row in rows] == sorted((row["ability"] for row in rows), reverse=True)


def test_models_shows_it_too(scrimp):
    done = scrimp("models", "-p", "openai", "--json")
    (small, *_) = json.loads(done.out)["arms"]
    (place, *_) = abilities(scrimp, "-p", "openai")
    got = (small["ability"], small["ability_low"], small["ability_high"], small["ability_basis"])
    assert got == (place["ability"], place["low"], place["high"], place["basis"])
    header = scrimp("models", "-p", "openai").out.splitlines()[0]
    assert header.split("\t")[3] == "ability"


def test_an_arm_at_more_effort_is_abler(scrimp, tmp_path, home):
    arms = "".join(
        f'[[arms]]\nname = "{effort}"\nmodel = "openai/gpt-5.4-mini"\nreasoning_effort = "{effort}"\n'
        for effort in ("none", "low", "medium", "high")
    )
    path = tmp_path / "efforts.toml"
    path.write_text(f'name = "efforts"\n[caps]\nper_day_usd = 1\n{arms}')
    found = [row["ability"] for row in abilities(scrimp, "-p", path)]
    assert found == sorted(set(found))


def test_a_table_of_ones_own_wins_until_it_is_forgotten(scrimp, home, tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text(CSV)
    (before,) = abilities(scrimp, "anthropic/claude-haiku-5-5")
    done = scrimp("models", "abilities", "-p", "mixed", "--update", file)
    assert done.code == 0, done.err
    assert "stored 2 models" in done.err
    stored = home / "abilities.json"
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    mine = abilities(scrimp, "anthropic/claude-haiku-5-5", "rocket-1")
    assert [(row["ability"], row["low"], row["high"], row["basis"]) for row in mine] == [
        (1.5, 1.2, 1.8, "your own table"),
        (0.5, -0.5, 1.5, "your own table"),
    ]
    assert json.loads(scrimp("models", "-p", "mixed", "--json").out)["arms"][1]["ability"] == 1.5
    assert scrimp("models", "abilities", "--forget", "-p", "mixed").code == 0
    assert not stored.exists()
    assert abilities(scrimp, "anthropic/claude-haiku-5-5") == [before]
    assert scrimp("models", "abilities", "--forget", "-p", "mixed").code == 2


def test_what_it_prints_it_takes(scrimp, tmp_path):
    listed = scrimp("models", "abilities", "--json", "claude-haiku-5-5", "gpt-4o").out
    (tmp_path / "a.json").write_text(listed)
    assert scrimp("models", "abilities", "-p", "mixed", "--update", tmp_path / "a.json").code == 0
    again = abilities(scrimp, "claude-haiku-5-5", "gpt-4o")
    was = json.loads(listed)["abilities"]
    for row, old in zip(again, was, strict=True):
        assert row["basis"] == "your own table"
        assert row["ability"] == old["ability"]
        assert row["low"] == pytest.approx(old["low"], abs=0.02)


def test_a_whole_table_in_the_shipped_form_is_taken(scrimp, tmp_path):
    data = json.loads((shipped_folder().parent / "abilities.json").read_text())
    data["models"]["openai"]["gpt-4o"][0] = 3.25
    (tmp_path / "newer.json").write_text(json.dumps(data))
    assert scrimp("models", "abilities", "-p", "mixed", "--update", tmp_path / "newer.json").code == 0
    assert abilities(scrimp, "gpt-4o")[0]["ability"] == 3.25


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: no column"),
        ("model,ability\nx,1\n", "line 1: no column low, high"),
        ("model,ability,low,high\n", "no model in it"),
        ("model,ability,low,high\na,1,0,2\nb,x,0,2\n", "line 3: ability: expected a number, got 'x'"),
        ("model,ability,low,high\na,1,,2\n", "line 2: low: expected a number, got nothing"),
        ("model,ability,low,high\na,1,1.5,2\n", "line 2: a: expected low <= ability <= high"),
        ("model,ability,low,high\na,inf,0,2\n", "line 2: ability: expected a number"),
        ("model,ability,low,high\na,99,0,100\n", "line 2: ability: expected -20 to 20"),
        ("model,ability,low,high\n,1,0,2\n", "line 2: model: expected a model's name"),
        ("model,ability,low,high,released\na,1,0,2,soon\n", "line 2: released: expected a number, got 'soon'"),
        ("{", "not JSON"),
        ("[]", "schema_version 1"),
        ('{"schema_version": 1, "abilities": []}', "abilities: expected a list of models"),
        ('{"schema_version": 1, "abilities": [{"model": "a", "ability": "1", "low": 0, "high": 2}]}', "row 1: ability"),
        ('{"schema_version": 1, "abilities": [7]}', "row 1: expected an object"),
        ('{"schema_version": 1, "place": {}, "models": []}', "models: expected an object"),
    ],
)
def test_a_bad_file_says_where_and_changes_nothing(scrimp, home, tmp_path, text, said):
    file = tmp_path / "bad.file"
    file.write_text(text)
    done = scrimp("models", "abilities", "-p", "mixed", "--update", file)
    assert done.code == 78
    assert "bad.file" in done.err
    assert said in done.err
    assert not (home / "abilities.json").exists()


def test_a_stored_table_that_was_damaged_says_what_to_do(scrimp, home):
    home.mkdir(exist_ok=True)
    (home / "abilities.json").write_text("{")
    done = scrimp("models", "abilities", "gpt-4o")
    assert done.code == 78
    assert "--forget" in done.err
    assert scrimp("models", "abilities", "-p", "mixed", "--forget").code == 0


def test_what_cannot_go_together(scrimp, tmp_path):
    assert scrimp("models", "abilities", "--update", "x", "--forget").code == 2
    assert scrimp("models", "abilities", "--all", "gpt-4o").code == 2
    assert scrimp("models", "abilities", "--update", tmp_path / "none.csv", "-p", "mixed").code == 2
