"""`scrimp log browse`: the log as a page of one's own, which goes again."""

import json
import os
import re
import stat
import subprocess
import sys
import time

import pytest
from conftest import environment
from pages import HARM, harm, home_of, text_of

from scrimp.cli.browse import has_display


@pytest.fixture(autouse=True)
def no_screen(monkeypatch):
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)


def rows_of(page):
    return re.findall(r'<details id="r(\w+)">', page)


def test_without_a_screen_it_is_written_and_says_where(scrimp, home):
    truth = home_of(home, n=30)
    done = scrimp("log", "browse")
    assert done.code == 0
    path = home / "cache" / "pages" / done.out.strip().rpartition("/")[2]
    assert done.out == f"{path}\n"
    assert "open it with a browser" in done.err
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert rows_of(path.read_text()) == truth["ids"][::-1]


def test_a_row_opens_to_all_that_is_on_record(scrimp, home, profile, tmp_path):
    path = profile(small="say@text=no_idea", large="say@text=It_is_42")
    asked = scrimp("ask", "--json", "-p", path, "--plan", "small ? checks > large", "--check", "number:42", "6 x 7?")
    of = json.loads(asked.out)["id"]
    scrimp("rate", of, "good")
    out = tmp_path / "log.html"
    assert scrimp("log", "browse", "--output", out).code == 0
    told = text_of(out.read_text())
    shown = json.loads(scrimp("log", "show", of, "--json").out)
    for part in ("6 x 7?", "It is 42", of, "small ? checks &gt; large", "number:42: fail", "number:42: pass", "rating"):
        assert part in told, part
    for each in shown["attempts"]:
        assert f"{each['id']} {each['kind']} {each['arm']}" in told
    assert "not kept" not in told


def test_the_flags_of_the_list_apply(scrimp, home, profile, tmp_path):
    path = profile(small="say@text=plums", large="say@text=pears")
    for arm, tag, prompt in (("small", "a", "one fruit"), ("large", "b", "two fruits"), ("small", "b", "three trees")):
        assert scrimp("ask", "-p", path, "-m", arm, "--tag", tag, prompt).code == 0
    out = tmp_path / "log.html"
    for argv in (
        (), ("-m", "small"), ("--tag", "b"), ("-p", "nobody"), ("-n", "1"), ("--days", "1"), ("--days", "0"), ("pears",),
        ("-m", "small", "--tag", "b"),
    ):  # fmt: skip
        data = json.loads(scrimp("log", "browse", "--output", out, "--json", *argv).out)
        words = [each for each in argv if each == "pears"]
        flags = [each for each in argv if each != "pears"]
        listed = json.loads(scrimp("log", *(["search", *words] if words else ["list"]), "--json", *flags).out)["rows"]
        assert rows_of(out.read_text()) == [row["id"] for row in listed], argv
        assert data["requests"] == len(listed)
        assert data["n_bytes"] == out.stat().st_size
        assert data["opened"] is False
    assert scrimp("log", "browse", "--cid", "no-such").code == 2


def test_out_refuses_what_is_not_such_a_page(scrimp, home, tmp_path):
    out = tmp_path / "mine.html"
    out.write_text("<!doctype html>\n<!-- scrimp report -->\n")
    assert scrimp("log", "browse", "--output", out).code == 2
    assert out.read_text().endswith("<!-- scrimp report -->\n")
    assert not (home / "cache" / "pages").exists()


def test_hostile_texts_are_shown_and_do_nothing(scrimp, home, tmp_path):
    home_of(home, n=2 * len(HARM), word=harm)
    out = tmp_path / "log.html"
    assert scrimp("log", "browse", "--output", out).code == 0
    told = out.read_text()
    assert len(told) < 4_000_000
    assert told.count("<script>") == told.count("<style>") == 1
    for pattern in (r"<img", r"<iframe", r"<link", r"<base", r"<h1>after", r"<[^>]* on[a-z]+=", r"<svg"):
        assert not re.search(pattern, told), pattern
    assert len(rows_of(told)) == 2 * len(HARM)
    assert "more characters: <code>scrimp log show" in told


def test_old_pages_go_and_what_is_forgotten_goes_at_once(scrimp, home, profile):
    path = profile(small="ok")
    assert scrimp("ask", "-p", path, "forget me").code == 0
    folder = home / "cache" / "pages"

    def browse():
        assert scrimp("log", "browse").code == 0
        return [*folder.iterdir()]

    (old,) = browse()
    assert len(browse()) == 2  # one that was made a moment ago may still be shown
    os.utime(old, (time.time() - 90_000,) * 2)
    assert old not in browse()
    for each in folder.iterdir():
        os.utime(each, (time.time() - 90_000,) * 2)
    assert scrimp("ask", "-p", path, "another").code == 0  # every command that pays looks after them
    assert [*folder.iterdir()] == []
    (folder / "mine.txt").write_text("not a page")
    browse()
    assert scrimp("log", "rm", "last", "--yes").code == 0
    assert [each.name for each in folder.iterdir()] == ["mine.txt"]
    browse()
    assert scrimp("log", "purge", "--yes").code == 0
    assert [each.name for each in folder.iterdir()] == ["mine.txt"]


def test_the_browser_that_is_named_is_given_the_file(home, tmp_path):
    home_of(home, n=5, duels=False)
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf "%s" "$1" > {tmp_path}/opened\n')
    browser.chmod(0o700)
    env = environment(home, BROWSER=str(browser))
    argv = [sys.executable, "-m", "scrimp", "log", "browse"]
    done = subprocess.run(argv, env=env, cwd=tmp_path, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    path = done.stdout.strip()
    assert (tmp_path / "opened").read_text() == f"file://{path}"
    assert "open it with a browser" not in done.stderr
    data = subprocess.run([*argv, "--json"], env=env, cwd=tmp_path, capture_output=True, text=True).stdout
    assert json.loads(data)["opened"] is False  # a program asked


def test_where_a_browser_could_show_it():
    assert has_display({"DISPLAY": ":0"}, "linux")
    assert has_display({"BROWSER": "w3m"}, "linux")
    assert has_display({}, "darwin")
    assert not has_display({}, "linux")
