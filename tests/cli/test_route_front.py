"""`scrimp route` with times and the front: tables at 80 and 60 columns, JSON, the picture, and what is refused."""

import json
import re

import pytest
from hand_made import decision, option

from scrimp.cli.explain import decision_blocks
from scrimp.cli.front import front_blocks
from scrimp.cli.result import Result, emit, plain
from scrimp.profiles.installer import how_to_add
from scrimp.routing.asking.route import Guide

ARMS = [
    option("small", 0.62, 0.0002, first_s=0.4, seconds=3.1, seconds_p90=6.0, rests_on="its own 120 outcomes",
           terms={"time": 0.0026, "size": 0.0008}),
    option("medium", 0.74, 0.0031, first_s=0.9, seconds=7.4, seconds_p90=14.2, rests_on="its own 80 outcomes",
           terms={"time": 0.0062, "size": 0.007}),
    option("large", 0.83, 0.021, first_s=2.1, seconds=24.3, seconds_p90=61.0, rests_on="price and tier",
           basis="prior", terms={"time": 0.02, "size": 0.007}),
    option("here", 0.41, 0.0, first_s=0.2, seconds=48.0, seconds_p90=131.0, rests_on="price and tier",
           basis="prior", terms={"time": 0.04}),
    option("other", 0.60, 0.0004, rests_on="price and tier", terms={"size": 0.007}),
]  # fmt: skip
MADE = decision(ARMS, assumed={"other": ("size",)}, brief=True)

WIDE = """\
  arm     quality    rests on                  cost  at most  1st word    all
> small   62% 52-72  its own 120 outcomes  $0.00020  $0.0020     0.4 s  3.1 s
    taken
  medium  74% 64-84  its own 80 outcomes    $0.0031   $0.031     0.9 s  7.4 s
    12% better, but larger and slower, which weighs more
  large   83% 73-93  price and tier          $0.021    $0.21     2.1 s   24 s
    21% better, but slower and larger, which weighs more
  here    41% 31-51  price and tier              $0       $0     0.2 s   48 s
    cheaper, but worse by more
  other   60% 50-70  price and tier        $0.00040  $0.0040         -      -
    no better, and dearer
left out for width: tokens in, out p50 / p90 and 5 more (--json has them)
a right answer is worth $0.10; best is the greatest $0.10 x quality - cost -
  time - size
against medium: 12% price, 48% quality, 25% size, 15% time
brief: a line of system text asks for a short answer (docs/front.md)
"""

NARROW = """\
  arm     quality    rests on                  cost  at most
> small   62% 52-72  its own 120 outcomes  $0.00020  $0.0020
    taken
  medium  74% 64-84  its own 80 outcomes    $0.0031   $0.031
    12% better, but larger and slower, which weighs more
  large   83% 73-93  price and tier          $0.021    $0.21
    21% better, but slower and larger, which weighs more
  here    41% 31-51  price and tier              $0       $0
    cheaper, but worse by more
  other   60% 50-70  price and tier        $0.00040  $0.0040
    no better, and dearer
  arm     1st word    all
> small      0.4 s  3.1 s
  medium     0.9 s  7.4 s
  large      2.1 s   24 s
  here       0.2 s   48 s
  other          -      -
"""

FRONT = """\
  way     quality      cost  1st word    all  front
  here        41%        $0     0.2 s   48 s  cheapest
> small       62%  $0.00020     0.4 s  3.1 s  fastest
  medium      74%   $0.0031     0.9 s  7.4 s  in between
  large       83%    $0.021     2.1 s   24 s  best
  other       60%  $0.00040         -      -  dominated by small
the front: what no other way beats in quality, cost and time at once
no time is known of other: compared by quality and cost alone, and set before
  nothing whose time is known
"""

FRONT_NARROW = """\
  way     quality      cost  1st word    all
  here        41%        $0     0.2 s   48 s
    cheapest
> small       62%  $0.00020     0.4 s  3.1 s
    fastest
"""


@pytest.fixture
def drawn(monkeypatch):
    """Return what blocks look like on a terminal of a width."""
    from conftest import Terminal

    def draw(blocks, columns):
        end = Terminal()
        with monkeypatch.context() as patch:
            patch.setenv("TERM", "xterm-256color")
            patch.setenv("COLUMNS", str(columns))
            patch.setattr("sys.stdout", end.stream)
            emit(Result(blocks=blocks))
        return re.sub(r"\x1b\[[0-9;]*m", "", end.end()).replace("\r\n", "\n")

    return draw


def fits(text, columns):
    return all(len(line.rstrip()) <= columns for line in text.splitlines())


@pytest.mark.parametrize(("columns", "begins"), [(80, WIDE), (60, NARROW)])
def test_the_table_has_times_that_fit(drawn, columns, begins):
    text = drawn(decision_blocks(MADE), columns)
    assert text.startswith(begins)
    assert fits(text, columns)


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_all_of_it_is_shown_when_it_is_explained(drawn, columns):
    text = drawn(decision_blocks(MADE, explain=True), columns)
    assert fits(text, columns)
    flat = " ".join(text.split())
    for part in ("2 min 11 s", "time $0.0026", "other does not say its size", "all p90", "held against it"):
        assert part in flat, part


def test_what_no_arm_has_is_left_out(drawn):
    bare = decision([option("a", 0.6, 0.001), option("b", 0.7, 0.01)])
    text = drawn(decision_blocks(bare, explain=True), 80)
    for part in ("1st word", "held against", " - time"):
        assert part not in text
    assert "1st word" not in drawn(front_blocks(bare, Guide.front(bare)), 80)
    assert "no time is known (docs/time.md)" in " ".join(drawn(front_blocks(bare, Guide.front(bare)), 80).split())


@pytest.mark.parametrize(("columns", "begins"), [(80, FRONT), (60, FRONT_NARROW)])
def test_the_front_fits(drawn, columns, begins):
    text = drawn(front_blocks(MADE, Guide.front(MADE)), columns)
    assert text.startswith(begins)
    assert fits(text, columns)


def test_a_pipe_gets_columns_by_tabs():
    table, *_ = front_blocks(MADE, Guide.front(MADE))
    lines = [line.split("\t") for line in plain(table).splitlines()]
    assert lines[0] == ["  way", "quality", "cost", "1st word", "all", "front"]
    assert lines[5] == ["  other", "60%", "$0.00040", "-", "-", "dominated by small"]


# -- the command ----------------------------------------------------------------------------------------------------


def test_the_front_as_json(scrimp, profile):
    done = scrimp("route", "-p", profile(small="ok", large="ok"), "--front", "--json", "What is the capital of France?")
    assert done.code == 0, done.err
    data = json.loads(done.out)
    assert data["schema_version"] == 1
    assert data["axes"] == ["quality", "cost_usd", "seconds"]
    assert {each["name"] for each in data["points"]} == {"small", "large"}
    assert data["taken"] == data["arm"]
    for each in data["points"]:
        assert each["on_front"] is (each["dominated_by"] == [])
    assert any("cheapest" in each["roles"] for each in data["points"] if each["on_front"])


def test_times_come_from_own_calls(scrimp, profile, server):
    path = profile(small="ok", large="ok")
    for n in range(6):
        assert scrimp("ask", "-q", "-p", path, "-m", "small", f"Name {n} colours").code == 0
    points = json.loads(scrimp("route", "-p", path, "--front", "--json", "Name a colour").out)["points"]
    seconds = {each["name"]: each["seconds"] for each in points}
    assert seconds["small"] > 0
    shown = scrimp("route", "-p", path, "Name a colour").out
    assert "1st word\tall" in shown.splitlines()[0]


def test_plans_are_on_it_too(scrimp, profile):
    path = profile(small="ok", large="ok", extra='[plans]\nboth = "small + large vote"\n')
    asked = scrimp(
        "route", "-p", path, "--plan", "small ? re:x > large", "--check", "re:x", "--front", "--json", "2+2?"
    )
    weighed = scrimp("route", "-p", path, "--front", "--json", "How many legs has an ant?")
    for done, name in ((asked, "small ? re:x > large"), (weighed, "both")):
        assert done.code == 0, done.err
        data = json.loads(done.out)
        (plan,) = (each for each in data["points"] if each["kind"] == "plan")
        assert plan["name"] == name
        assert plan["cost_usd"] > min(each["cost_usd"] for each in data["points"])
    assert json.loads(asked.out)["taken"] == "small ? re:x > large"


def test_what_has_no_place_is_no_point(scrimp, profile):
    path = profile(small="ok", large="ok", caps="per_call_usd = 0.003")
    data = json.loads(scrimp("route", "-p", path, "--front", "--json", "Why?").out)
    assert [each["name"] for each in data["points"]] == ["small"]
    assert scrimp("route", "-p", profile(caps="per_call_usd = 0.0000001"), "--front", "Why?").code == 3


def test_the_picture(scrimp, profile, tmp_path):
    path = profile(small="ok", large="ok")
    for name, start in (("front.svg", b"<?xml"), ("front.png", b"\x89PNG")):
        done = scrimp("route", "-p", path, "--plot", tmp_path / name, "Why is the sky blue?")
        assert done.code == 0, done.err
        assert "front" in done.out
        assert (tmp_path / name).read_bytes().startswith(start)
    drawing = (tmp_path / "front.svg").read_text()
    assert "small" in drawing
    assert "large" in drawing


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("--front", "--lines", "-"), "of one prompt"),
        (("--plot", "front.jpg", "Why?"), ".png or a .svg"),
        (("--plot", "nowhere/front.png", "Why?"), "there is no folder"),
    ],
)
def test_what_is_refused(scrimp, profile, argv, says):
    done = scrimp("route", "-p", profile(), *argv, stdin="Why?\n")
    assert done.code == 2
    assert says in done.err


def test_without_matplotlib_it_says_what_to_install(scrimp, profile, tmp_path, monkeypatch):
    monkeypatch.setattr("scrimp.routing.learn.measuring.plot.find_spec", lambda _name: None)
    done = scrimp("route", "-p", profile(), "--plot", tmp_path / "front.png", "Why?")
    assert done.code == 2
    assert how_to_add("plot") in done.err
    assert scrimp("route", "-p", profile(), "--front", "Why?").code == 0


def test_needs_of_size_are_taken_from_the_command_line(scrimp, profile):
    path = profile(small="ok", large="ok")
    path.write_text(path.read_text().replace('tier = "small"', 'tier = "small"\nsize = "8B"'))
    data = json.loads(scrimp("route", "-p", path, "--need", "size<=8B", "--json", "Why?").out)
    assert data["arm"] == "small"
    assert "does not say its size" in next(each["why"] for each in data["arms"] if each["name"] == "large")
