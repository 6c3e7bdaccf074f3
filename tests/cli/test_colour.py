"""NO_COLOR and FORCE_COLOR: what is drawn on a terminal is drawn on a pipe too where it is asked for, and only there."""

import pytest


@pytest.fixture
def models(scrimp, profile, monkeypatch):
    path = profile(small="ok", large="ok")

    def run(*more, **env):
        for name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name, raising=False)
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("TERM", "xterm-256color")
        done = scrimp("models", "-p", path, *more)
        assert done.code == 0
        return done.out

    return run


def test_a_pipe_gets_no_colour_by_itself(models):
    assert "\x1b" not in models()
    assert "\t" in models()


@pytest.mark.parametrize("value", ["1", "0", "yes"])
def test_forced_it_is_drawn(models, value):
    """By its presence, whatever it says, as force-color.org has it."""
    drawn = models(FORCE_COLOR=value)
    assert "\x1b[1m" in drawn
    assert "\t" not in drawn


@pytest.mark.parametrize("env", [{"FORCE_COLOR": ""}, {"FORCE_COLOR": "1", "NO_COLOR": "1"}])
def test_empty_forces_nothing_and_no_colour_is_stronger(models, env):
    assert models(**env) == models()


def test_json_stays_json(models):
    assert models("--json", FORCE_COLOR="1") == models("--json")


def test_an_answer_in_a_pipe_stays_as_it_is(scrimp, profile, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert scrimp("ask", "-p", profile(small="echo"), "hello\tthere").out == "hello\tthere\n"
