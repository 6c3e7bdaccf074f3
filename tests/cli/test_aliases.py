"""`scrimp alias`: names of the user's own for arms and models."""

import json

import pytest


def test_set_list_rm_path(scrimp, home):
    done = scrimp("alias", "list")
    assert (done.code, done.out) == (0, "")
    assert "there are none" in done.err
    done = scrimp("alias", "set", "mini", "gpt-5-mini")
    assert (done.code, done.out, done.err) == (0, "", "scrimp: mini stands for gpt-5-mini\n")
    done = scrimp("alias", "set", "mini", "openai/gpt-5-nano")
    assert "mini stands for openai/gpt-5-nano (was: gpt-5-mini)" in done.err
    assert scrimp("alias", "list").out == "alias\tstands for\nmini\topenai/gpt-5-nano\n"
    assert json.loads(scrimp("alias", "list", "--json").out) == {
        "schema_version": 1, "aliases": {"mini": "openai/gpt-5-nano"}
    }  # fmt: skip
    assert scrimp("alias", "path").out == f"{home / 'aliases.toml'}\n"
    assert scrimp("alias", "rm", "mini").code == 0
    done = scrimp("alias", "rm", "mini")
    assert done.code == 2
    assert "no alias is called 'mini'" in done.err


def test_what_will_not_do_as_expected_is_said(scrimp):
    done = scrimp("alias", "set", "smollm2", "gpt-5-mini")
    assert done.code == 0
    assert "profile local has an arm smollm2, which comes first" in done.err
    done = scrimp("alias", "set", "fast", "gpt-5-minni")
    assert done.code == 0
    assert "note that as it stands, profile local has no arm 'fast'" in done.err


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("a b", "small"), "not a name for an alias"),
        (("a", "x y"), "not an arm or a model"),
        (("a", "a"), "cannot stand for itself"),
        (("a",), "Missing argument"),
    ],
)
def test_what_cannot_be(scrimp, home, argv, says):
    done = scrimp("alias", "set", *argv)
    assert done.code == 2
    assert says in done.err
    assert not (home / "aliases.toml").exists()


def test_a_broken_file_is_named_with_its_line(scrimp, home):
    home.mkdir()
    (home / "aliases.toml").write_text('ok = "small"\nbad = 3\n')
    for argv in (("list",), ("set", "x", "small"), ("rm", "ok")):
        done = scrimp("alias", *argv)
        assert done.code == 78
        assert f"{home / 'aliases.toml'}:2: bad: expected an arm or a model" in done.err
    assert (home / "aliases.toml").read_text() == 'ok = "small"\nbad = 3\n'
