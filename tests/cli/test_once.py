"""Which profile the keys chose is said once a day."""

import stat

import pytest

from scrimp.cli.once import said_today

NO_KEY = "scrimp: no profile chosen: using local, because no key is set (-p NAME takes another)\n"


def test_it_is_said_once(scrimp, home):
    assert NO_KEY in scrimp("route", "hello").err
    assert NO_KEY not in scrimp("route", "hello").err
    assert NO_KEY not in scrimp("ask", "hello").err
    stamp = home / "said"
    assert stat.S_IMODE(stamp.stat().st_mode) == 0o600


def test_it_is_said_again_for_another_reason_or_profile(scrimp, monkeypatch):
    assert NO_KEY in scrimp("route", "hello").err
    monkeypatch.setenv("GROQ_API_KEY", "gsk-nobody")
    assert "using groq, because GROQ_API_KEY is set" in scrimp("route", "hello").err
    assert "no profile chosen" not in scrimp("route", "hello").err
    monkeypatch.delenv("GROQ_API_KEY")
    assert NO_KEY in scrimp("route", "hello").err


def test_it_is_said_again_the_next_day(scrimp, home):
    assert NO_KEY in scrimp("route", "hello").err
    stamp = home / "said"
    stamp.write_text("2020-01-01" + stamp.read_text()[10:])
    assert NO_KEY in scrimp("route", "hello").err


def test_quiet_says_nothing_and_uses_nothing_up(scrimp, home):
    assert scrimp("ask", "-q", "hello").err == ""
    assert not (home / "said").exists()
    assert NO_KEY in scrimp("route", "hello").err


def test_where_it_cannot_be_kept_it_is_said_each_time(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("")
    (tmp_path / "said").symlink_to(elsewhere)
    assert not said_today("hello", tmp_path / "said")
    assert not said_today("hello", tmp_path / "said")
    assert elsewhere.read_text() == ""
    (tmp_path / "a file").write_text("")
    assert not said_today("hello", tmp_path / "a file" / "said")


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_what_is_chosen_is_not_told_of(scrimp, options):
    assert "no profile chosen" not in scrimp("route", "-p", "local", *options, "hello").err
