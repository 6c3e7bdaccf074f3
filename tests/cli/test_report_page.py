"""`scrimp report --html`: one page that holds what the log says, and nothing that a text of it could do."""

import json
import re
import stat
from pathlib import Path

import pytest
from pages import HARM, harm, home_of, text_of

from scrimp.profiles.money import format_usd
from scrimp.routing.ledger.store import open_ledger
from scrimp.routing.text.sanitize import sanitize


@pytest.fixture
def page(scrimp, tmp_path):
    def make(*argv, code=0):
        path = tmp_path / "report.html"
        done = scrimp("report", "--html", path, *argv)
        assert done.code == code, done.err
        return path.read_text()

    return make


def test_an_empty_log_says_what_is_missing_and_what_would_fill_it(page, home):
    told = text_of(page())
    for missing, command in (
        ("Nothing was paid yet.", "scrimp ask &quot;a question&quot;"),
        ("Nothing was answered yet.", "scrimp ask"),
        ("No answer was checked yet.", "scrimp ask --check"),
        ("No answer of known worth", "scrimp rate last good"),
        ("No plan of several stages ran.", "scrimp ask --cascade"),
        ("No duel was judged yet.", "scrimp duel"),
        ("No refit is on record.", "scrimp refit"),
        ("No guard is on record", "scrimp ask --private"),
    ):
        assert missing in told
        assert command in told
    assert "Right unknown" in told
    assert "A right answer cost unknown" in told
    assert not (home / "scrimp.db").exists()  # reading makes none


def test_its_numbers_are_those_of_the_log(page, scrimp, home):
    truth = home_of(home, n=300)
    told = text_of(page())
    data = json.loads(scrimp("report", "--json").out)
    assert f"Charged {format_usd(truth['charged_nano'])}" in told
    assert f"Answered {truth['n']} of {truth['n']} requests" in told
    low, high = data["success_interval"]
    assert f"Right {data['success']:.0%} [{100 * low:.0f}, {100 * high:.0f}]" in told
    for arm in data["arms"]:
        assert f"{arm['success']:.0%}" in told
    duels = json.loads(scrimp("report", "--duels", "--json").out)
    for each in duels["strengths"]:
        assert f"{each['won']} won, {each['tied']} tied, {each['lost']} lost" in told
    assert "promoted r0001 +$1.20 [+$0.34, +$2.07]" in told
    n_refused = sum(i % 3 == 0 and i // 3 % 6 == 2 for i in range(300))
    assert f"scope refused {n_refused}" in told


def test_only_so_many_days_and_only_one_profile(page, home):
    home_of(home, n=100, days=10)
    home_of(home, n=30, days=10, profile="other", seed=5, duels=False)
    assert "Answered 130 of 130" in text_of(page())
    assert "work/large" in text_of(page())
    told = text_of(page("-p", "other"))
    assert "Answered 30 of 30" in told
    assert "Profile other, everything in the log" in told
    assert "No duel was judged yet." in told
    assert "work/" not in told
    told = text_of(page("--days", "5"))
    assert "the last 5 days" in told
    assert 60 < int(re.search(r"Answered (\d+) of", told)[1]) < 70


def test_of_a_profile_that_is_gone_caps_are_not_known(page, home, scrimp, profile):
    home_of(home, n=20)
    assert "What caps leave is not known" in text_of(page("-p", "work"))
    assert scrimp("ask", "-p", profile(small="ok"), "hello").code == 0
    told = text_of(page("-p", profile(small="ok")))
    assert "left of $1.00" in told
    assert "Answered 1 of 1" in told


def test_texts_stand_there_only_where_they_are_kept_and_wanted(page, scrimp, profile, home):
    path = profile(small="say@text=marmalade")
    assert scrimp("ask", "-p", path, "what is <b>kept</b>?").code == 0
    shown = page()
    assert "what is &lt;b&gt;kept&lt;/b&gt;?" in shown
    assert "marmalade" in shown
    bare = page("--no-text")
    assert "marmalade" not in bare
    assert "kept&lt;/b&gt;" not in bare
    assert "left out here (--no-text)" in text_of(bare)
    path = profile(name="quiet", small="say@text=marmalade", extra='[log]\nkeep = "features"\n')
    assert scrimp("ask", "-p", path, "a secret").code == 0
    told = page("-p", "quiet")
    assert "a secret" not in told
    assert "not kept" in told


def test_what_was_not_told_is_unknown_and_never_zero(page, scrimp, profile):
    assert scrimp("ask", "-p", profile(small="ok"), "hello").code == 0
    told = text_of(page())
    assert "Right unknown 0 of known worth" in told
    assert "A right answer cost unknown" in told


def test_hostile_texts_are_shown_and_do_nothing(page, home):
    home_of(home, n=3 * len(HARM), word=harm)
    told = page()
    assert len(told) < 1_500_000
    assert told.count("<script>") == told.count("</script>") == 1
    assert told.count("<style>") == told.count("</style>") == 1
    for pattern in (r"<img", r"<iframe", r"<link", r"<base", r"<h1>after", r"<[^>]* on[a-z]+=", r"<svg[^>]*onload"):
        assert not re.search(pattern, told), pattern
    assert told == sanitize(told)  # nothing that a terminal obeys or that hides text
    assert told.rstrip().endswith("</script></body></html>")


def test_its_policy_names_its_own_script_and_style_alone(page, home):
    import base64
    import hashlib

    told = page()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', told)[1]
    parts = dict(part.split(" ", 1) for part in policy.split("; "))
    assert parts["default-src"] == "'none'"
    for name, element in (("script-src", "script"), ("style-src", "style")):
        inside = re.search(f"<{element}>(.*)</{element}>", told, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert parts[name] == f"'sha256-{digest}'"
    assert "unsafe" not in policy
    assert "http" not in policy


def test_the_file_is_private_and_takes_the_place_of_an_earlier_page_alone(scrimp, home, tmp_path):
    path = tmp_path / "report.html"
    assert scrimp("report", "--html", path).code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_text()
    home_of(home, n=10, duels=False)
    assert scrimp("report", "--html", path).code == 0
    assert path.read_text() != before
    path.write_text("my own notes")
    done = scrimp("report", "--html", path)
    assert done.code == 2
    assert "is no report page" in done.err
    assert path.read_text() == "my own notes"
    assert [each.name for each in tmp_path.iterdir() if "unfinished" in each.name] == []
    other = tmp_path / "log.html"
    assert scrimp("log", "browse", "--output", other).code == 0
    assert scrimp("report", "--html", other).code == 2


@pytest.mark.parametrize("where", ["missing/report.html", ".", "/dev/null"])
def test_where_it_cannot_be_written_nothing_is_and_it_says_why(scrimp, home, where):
    done = scrimp("report", "--html", where)
    assert done.code == 2
    assert "report.html" in done.err or where in done.err
    assert not Path("missing").exists()


def test_json_says_where_it_is(scrimp, home, tmp_path):
    truth = home_of(home, n=25)
    path = tmp_path / "r.html"
    data = json.loads(scrimp("report", "--html", path, "--json").out)
    assert data == {"schema_version": 1, "path": str(path), "n_bytes": path.stat().st_size, "requests": truth["n"]}
    assert scrimp("report", "--html", path).out == f"{path}\n"


def test_options_that_do_not_go_together(scrimp, home, tmp_path):
    assert scrimp("report", "--html", tmp_path / "r.html", "--duels").code == 2
    assert scrimp("report", "--no-text").code == 2


def test_a_damaged_trace_is_passed_over(page, home):
    home_of(home, n=30, duels=False)
    with open_ledger(home / "scrimp.db") as ledger, ledger.transaction() as conn:
        for i, bad in enumerate(
            (
                '{"arms": 3, "guards": {}}',
                '{"arms": [{"name": 4}], "plan": []}',
                '{"guards": [{"guard": "\\ud800", "outcome": "refused", "why": 7}]}',
                "[1]",
                "{not json",
                '"x"',
            )
        ):
            conn.execute("UPDATE requests SET decision = ?, memory = ? WHERE n = ?", (bad, bad, i + 1))
    assert "Answered 30 of 30" in text_of(page())


def test_a_log_of_ten_thousand_makes_a_small_page(page, home):
    truth = home_of(home, n=10_000, days=400, duels=False)
    told = page()
    assert len(told.encode()) < 1_500_000
    assert f"Charged {format_usd(truth['charged_nano'])}" in text_of(told)
    assert "week from" in told
