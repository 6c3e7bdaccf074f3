"""Rules from the command line: which arm is asked, what is said and logged, and that no other call gets round them."""

import json

import pytest

RULES = """
[[rules]]
when = { match = "ACME" }
never = ["large"]
[[rules]]
when = { has = "code" }
use = ["large"]
"""


@pytest.fixture
def ruled(profile):
    def write(extra=RULES, **behaviours):
        return profile(
            caps="per_day_usd = 20",
            extra=extra,
            **(behaviours or {"small": "small", "medium": "medium", "large": "large"}),
        )

    return write


def asked(server):
    return [chat.model for chat in server.chats]


def test_a_rule_decides_who_is_asked_and_is_on_record(scrimp, ruled, server):
    path = ruled()
    code = "Mend this:\n```python\nprint(1)\n```"
    done = scrimp("ask", "--json", "-p", path, code)
    assert done.code == 0, done.err
    assert asked(server) == ["large"]
    assert "rule 2" not in done.err, "that it holds is as the user wrote it"
    shown = scrimp("log", "show", "last")
    assert f"rules: rule 2 ({path}:" in shown.out
    (finding,) = json.loads(scrimp("log", "show", "last", "--json").out)["decision"]["guards"]
    assert finding["guard"] == "rules"
    assert finding["detail"]["rule"] == 2
    assert finding["detail"]["bars"] == ["small", "medium"]
    assert f"{path}:" in finding["detail"]["at"]


def test_an_arm_by_name_goes_before_a_rule(scrimp, ruled, server):
    done = scrimp("ask", "-p", ruled(), "-m", "large", "What did ACME sell?")
    assert done.code == 0, done.err
    assert asked(server) == ["large"]
    assert "asked for by name, that goes before it" in done.err


def test_a_barred_arm_takes_no_fallback(scrimp, ruled, server):
    path = ruled(small="400", medium="400", large="large")
    done = scrimp("ask", "-p", path, "What did ACME sell?")
    assert done.code != 0
    assert "large" not in asked(server)


def test_a_barred_arm_judges_nothing_and_merges_nothing(scrimp, ruled, server):
    path = ruled()
    done = scrimp("ask", "-p", path, "-m", "small", "--check", "judge:large", "What did ACME sell?")
    assert "large" not in asked(server), done.err
    done = scrimp("ask", "-p", path, "--plan", "small + medium => large", "What did ACME sell?")
    assert done.code != 0
    assert "rule 1" in done.err
    assert "large" not in asked(server)
    done = scrimp("ask", "-p", path, "--plan", "small ? checks > large", "--check", "is:nothing", "What did ACME sell?")
    assert done.code != 0
    assert "large" not in asked(server)


def test_cascades_recruit_no_barred_arm(scrimp, ruled, server):
    done = scrimp("ask", "-p", ruled(), "--plan", "@2 vote", "What did ACME sell?")
    assert done.code == 0, done.err
    assert sorted(asked(server)) == ["medium", "small"]


def test_no_arm_left_is_said_with_the_rule(scrimp, ruled, server):
    path = ruled('[[rules]]\nwhen = { tag = "home" }\nuse = ["small"]\n')
    done = scrimp("ask", "-p", path, "--tag", "home", "--need", "audio", "hello")
    assert done.code == 2
    assert "rule 1" in done.err
    assert not server.chats


def test_a_wrong_rule_ends_with_78(scrimp, ruled):
    path = ruled('[[rules]]\nwhen = { match = "re:(" }\nuse = ["small"]\n')
    done = scrimp("ask", "-p", path, "hello")
    assert done.code == 78
    assert "rules[1]: when.match: not a regular expression" in done.err
    assert f"{path}:" in done.err


def test_route_shows_the_rule_and_what_it_bars(scrimp, ruled):
    path = ruled()
    data = json.loads(scrimp("route", "--json", "-p", path, "What did ACME sell?").out)
    arms = {each["name"]: each for each in data["arms"]}
    assert [name for name, each in arms.items() if not each["feasible"]] == ["large"]
    assert arms["large"]["barrier"] == "rule"
    assert arms["large"]["why"].startswith(f"rule 1 ({path}:")
    assert [(each["guard"], each["detail"]["rule"]) for each in data["guards"]] == [("rules", 1)]
    shown = scrimp("route", "-p", path, "What did ACME sell?").out
    assert f"rules: rule 1 ({path}:" in shown
    assert "only small and medium may take this prompt" in shown
    lines = path.parent / "lines.txt"
    lines.write_text("What did ACME sell?\nWhat is 2 + 2?\n")
    one, other = map(json.loads, scrimp("route", "--json", "-p", path, "--lines", lines).out.splitlines())
    assert [len(each["guards"]) for each in (one, other)] == [1, 0]


def test_rules_hold_for_each_row_of_a_batch(scrimp, ruled, server, tmp_path):
    path = ruled("""
[[rules]]
when = { match = "ACME", command = "batch" }
use = ["large"]
[[rules]]
when = { tag = "cheap" }
use = ["small"]
""")
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"prompt": f"{what} {n}"}) + "\n" for n in range(3) for what in ("ACME", "tea")))
    done = scrimp("batch", "--yes", "-p", path, "--tag", "cheap", "-o", tmp_path / "out.jsonl", rows)
    assert done.code == 0, done.err
    out = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert sorted(each["arm"] for each in out) == ["large"] * 3 + ["small"] * 3


def test_rules_hold_in_a_duel(on_terminal, ruled, server):
    path = ruled('[[rules]]\nwhen = { command = "duel" }\nnever = ["large"]\n')
    for _ in range(3):
        code, _, err = on_terminal("duel", "-p", path, "What did ACME sell?", typed="1\n\n")
        assert code == 0, err
    assert set(asked(server)) == {"small", "medium"}
