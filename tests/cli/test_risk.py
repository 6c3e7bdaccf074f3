"""Prompts that are likely to be answered wrongly: warned of, asked about, refused, or sent to another arm."""

import json

import pytest

LIKELY, UNLIKELY = "risk_below = 0.01", "risk_below = 0.99"
HARD = "Prove that every even number above two is the sum of two primes."


@pytest.fixture
def guarded(profile):
    """Write a profile with a guard of one kind."""

    def write(risky, below=UNLIKELY, **more):
        behaviours = {"small": "ok", "large": "ok"} | more.pop("arms", {})
        return profile(extra=f'[guard]\nrisky = "{risky}"\n{below}\n', **behaviours, **more)

    return write


def risk_in(trace):
    """Return what the trace says of the risk; None where it says nothing."""
    found = [each for each in trace["guards"] if each["guard"] == "risk"]
    assert len(found) <= 1
    return found[0] if found else None


def test_it_is_off_unless_a_profile_says_so(scrimp, profile):
    done = scrimp("ask", "-p", profile(small="ok", extra=f"[guard]\n{UNLIKELY}\n"), "--json", HARD)
    assert done.code == 0, done.err
    assert risk_in(json.loads(done.out)["decision"]) is None
    assert "likely to be answered wrongly" not in done.err


@pytest.mark.parametrize("risky", ["warn", "ask", "refuse", "arm:large"])
def test_what_is_likely_to_be_right_passes(scrimp, guarded, risky):
    done = scrimp("ask", "-p", guarded(risky, LIKELY), "-x", "--json", HARD)
    assert done.code == 0, done.err
    trace = json.loads(done.out)["decision"]
    found = risk_in(trace)
    assert (found["outcome"], found["detail"]["threshold"]) == ("passed", 0.01)
    best = max(trace["arms"], key=lambda arm: arm["quality"])
    assert found["detail"]["arm"] == best["name"]
    assert found["detail"]["quality"] == pytest.approx(best["quality"], abs=1e-6)
    assert found["detail"]["low"] == pytest.approx(best["quality_low"], abs=1e-6)
    assert found["detail"]["high"] == pytest.approx(best["quality_high"], abs=1e-6)
    for said in (done.err, scrimp("log", "show", "last").out):
        assert f"risk: {found['why']} (passed)" in said


def test_warn_says_so_and_sends(scrimp, guarded, server):
    done = scrimp("ask", "-p", guarded("warn"), "--json", HARD)
    assert (done.code, len(server.chats)) == (0, 1)
    assert "likely to be answered wrongly" in done.err
    assert risk_in(json.loads(done.out)["decision"])["outcome"] == "warned"
    assert risk_in(json.loads(scrimp("log", "show", "last", "--json").out)["decision"])["outcome"] == "warned"
    assert "risk: likely to be answered wrongly" in scrimp("log", "show", "last", "-x").out


def test_refuse_sends_nothing_and_says_what_may_help(scrimp, guarded, server):
    path = guarded("refuse")
    done = scrimp("ask", "-p", path, "--yes", HARD)
    assert (done.code, server.chats) == (9, [])
    assert "below 99% (guard.risk_below)" in done.err
    assert "--rephrase" in done.err
    assert "--yes" not in done.err  # it is no question
    assert json.loads(scrimp("log", "list", "--json").out)["rows"] == []
    assert scrimp("spend", "-p", path, "--json").code == 0


def test_another_arm_that_is_likely_enough_is_named_where_one_was_asked_for(scrimp, guarded, server):
    trace = json.loads(scrimp("route", "-p", guarded("off"), "--json", HARD).out)
    small, large = (arm["quality"] for arm in trace["arms"])
    path = guarded("refuse", f"risk_below = {(small + large) / 2}")
    done = scrimp("ask", "-p", path, "-m", "small", HARD)
    assert (done.code, server.chats) == (9, [])
    assert "-m large" in done.err
    assert scrimp("ask", "-p", path, "-m", "large", HARD).code == 0
    assert scrimp("ask", "-p", path, HARD).code == 0  # the best that can take it is what counts


def test_a_cap_that_keeps_it_from_an_abler_arm_is_named(scrimp, guarded, server):
    trace = json.loads(scrimp("route", "-p", guarded("off"), "--json", HARD).out)
    small, large = trace["arms"]
    between = (small["quality"] + large["quality"]) / 2
    dear = (small["bound_usd"] + small["cost_usd"]) * 1.5
    path = guarded("refuse", f"risk_below = {between}", caps=f"per_call_usd = {dear:.6f}")
    done = scrimp("ask", "-p", path, HARD)
    assert (done.code, server.chats) == (9, [])
    assert "small is the best for it" in done.err
    assert "raise the cap that keeps it from large" in done.err


def test_ask_asks_on_a_terminal(scrimp, guarded, server):
    path = guarded("ask")
    for typed, code, n_sent in (("n\n", 9, 0), ("\n", 9, 0), ("", 9, 0), ("y\n", 0, 1)):
        server.reset()
        done = scrimp("ask", "-p", path, "--json", HARD, typed=typed)
        assert (done.code, len(server.chats)) == (code, n_sent), done.err
        assert "Send it anyway? [y/N]" in done.err
    found = risk_in(json.loads(done.out)["decision"])
    assert (found["outcome"], found["detail"]["confirmed"]) == ("warned", True)


def test_ask_without_a_terminal_takes_yes(scrimp, guarded, server):
    path = guarded("ask")
    done = scrimp("ask", "-p", path, HARD)
    assert (done.code, server.chats) == (9, [])
    assert "--yes" in done.err
    done = scrimp("ask", "-p", path, "--yes", HARD)
    assert (done.code, len(server.chats)) == (0, 1)


def test_a_question_on_a_real_terminal(on_terminal, guarded, server):
    path = guarded("ask")
    code, _, err = on_terminal("ask", "-p", path, HARD, typed="no\n")
    assert (code, server.chats) == (9, [])
    assert "Send it anyway? [y/N]" in err
    code, out, _ = on_terminal("ask", "-p", path, HARD, typed="yes\n")
    assert (code, len(server.chats)) == (0, 1)
    assert out


@pytest.mark.parametrize("named", [(), ("-m", "small")])
def test_another_arm_takes_it(scrimp, guarded, server, named):
    path = guarded("arm:large", arms={"small": "ok", "large": "400"})
    done = scrimp("ask", "-p", path, *named, HARD)
    assert (done.code, [chat.model for chat in server.chats]) == (5, ["openai/400"][:1] and ["400"])  # and no fallback
    path = guarded("arm:large", arms={"small": "400", "large": "ok"})
    done = scrimp("ask", "-p", path, *named, "--json", HARD)
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    assert answer["arm"] == "large"
    assert answer["decision"]["propensity"] is None
    found = risk_in(answer["decision"])
    assert (found["outcome"], found["detail"]["risky"]) == ("changed", "arm:large")
    assert found["detail"]["arm"] == ("small" if named else "large")  # whose quality it was
    assert "sent to large" in done.err


def test_no_plan_is_followed_where_it_is_sent(scrimp, guarded, server):
    path = guarded("arm:large", arms={"small": "say@text=no", "large": "say@text=no"})
    done = scrimp("ask", "-p", path, "--plan", "small ? has:no > large", "--json", HARD)
    assert (done.code, json.loads(done.out)["arm"], len(server.chats)) == (0, "large", 1)


def test_an_arm_that_cannot_take_it_ends_it(scrimp, guarded, server):
    path = guarded("arm:large", caps="per_call_usd = 0.002")
    done = scrimp("ask", "-p", path, HARD)
    assert (done.code, server.chats) == (3, [])
    assert "large" in done.err


def test_an_arm_that_is_not_there_is_refused_at_load_with_its_place(scrimp, guarded):
    path = guarded("arm:larg")
    done = scrimp("ask", "-p", path, HARD)
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "risky" in text)
    assert done.code == 78
    assert f"{path.name}:{line}: guard.risky: no arm is called 'larg' (did you mean 'large'?)" in done.err


def test_a_ladder_takes_it_by_its_name(scrimp, profile, server):
    path = profile(small="ok", large="ok", extra=f'[guard]\nrisky = "arm:large"\n{UNLIKELY}\n')
    path.write_text(path.read_text().replace('name = "large"', 'name = "large"\nefforts = ["low", "high"]'))
    done = scrimp("ask", "-p", path, "--json", HARD)
    assert done.code == 0, done.err
    assert json.loads(done.out)["arm"].startswith("large:")


@pytest.mark.parametrize(("more", "typed", "code"), [((), None, 9), (("--yes",), None, 0), ((), "", 0)])
def test_a_dry_run_shows_it_and_exits_as_it_would(scrimp, guarded, server, more, typed, code):
    done = scrimp("ask", "--dry-run", "-x", "--json", "-p", guarded("ask"), *more, HARD, typed=typed)
    assert (done.code, server.chats) == (code, [])
    found = risk_in(json.loads(done.out))
    assert found["outcome"] == ("refused" if code else "warned")
    assert "risk: " in done.err


def test_a_dry_run_of_what_is_refused_shows_the_arms(scrimp, guarded):
    done = scrimp("ask", "--dry-run", "-x", "-p", guarded("refuse"), HARD)
    assert done.code == 9
    assert "risk: likely to be answered wrongly" in done.err
    assert "predicted quality" in done.out


def test_python_is_refused_too(home, guarded, server):
    import scrimp

    for risky in ("refuse", "ask"):
        with scrimp.Scrimp(str(guarded(risky)), home=str(home)) as client, pytest.raises(scrimp.ScrimpError) as caught:
            client.ask(HARD)
        assert caught.value.exit_code == 9
    assert server.chats == []


# -- what an arm can take, said before; and whether an answer is whole, said after ------------------------------------

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452") + bytes(20)


def feasible_in(trace):
    return next((each for each in trace["guards"] if each["guard"] == "feasible"), None)


def test_which_arms_cannot_take_it_is_in_the_trace(scrimp, profile, tmp_path):
    picture = tmp_path / "a.png"
    picture.write_bytes(PNG)
    path = profile(small="ok", large="ok", extra=f'[guard]\nrisky = "warn"\n{LIKELY}\n')
    path.write_text(path.read_text().replace('"vision", ', "", 1))
    trace = json.loads(scrimp("ask", "--dry-run", "--json", "-p", path, "-a", picture, "What is this?").out)
    assert [each["guard"] for each in trace["guards"]] == ["feasible", "risk"]
    found = feasible_in(trace)
    assert (found["outcome"], list(found["detail"]["arms"]), found["detail"]["n_able"]) == ("changed", ["small"], 1)
    assert found["detail"]["needs"] == ["vision"]
    assert "1 of 2 arms cannot take it (small: not known to take vision" in found["why"]
    assert feasible_in(json.loads(scrimp("ask", "--dry-run", "--json", "-p", path, "What is this?").out)) is None


def test_what_no_arm_can_do_is_said(scrimp, profile, tmp_path, server):
    picture, paper = tmp_path / "a.png", tmp_path / "a.pdf"
    picture.write_bytes(PNG)
    paper.write_bytes(b"%PDF-1.4\n%%EOF\n")
    path = profile(small="ok", large="ok")
    path.write_text(path.read_text().replace('["json", "vision", "pdf"]', "[]"))
    for more, can in (
        (("-a", picture), "read an image"),
        (("-a", picture, "-a", paper), "read a PDF and read an image"),
        (("--schema", '{"type": "object"}'), "keep to a schema"),
        (("--need", "private"), 'take what needs "private"'),
    ):
        done = scrimp("ask", "-p", path, *more, "What is this?")
        assert done.code == 2
        assert f"no arm of profile test can {can}, as this prompt needs (small: not known to take" in done.err
    done = scrimp("ask", "-p", path, "-s", "word " * 110_000, "What is this?")
    assert "no arm of profile test can take this prompt (small: about" in done.err
    assert server.chats == []


@pytest.mark.parametrize(
    ("says", "whole", "why"),
    [
        ("say@text=All_is_said.", True, ""),
        ("say@text=```%0Aprint(1)", False, "a code block is never closed"),
        ("say@text=%7B%22a%22: [1%2C", False, "JSON that does not end"),
        ("fill", False, "cut at its"),
    ],
)
def test_whether_an_answer_is_whole_is_said_without_a_check(scrimp, profile, server, says, whole, why):
    path = profile(small="answers")
    server.script([says], model="answers")
    done = scrimp("ask", "-p", path, "--json", "Go on")
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    assert answer["complete"] is whole
    assert any(why in note for note in answer["notes"]) is not whole
    assert (why in done.err) or whole
    shown = scrimp("log", "show", "last")
    assert ("complete: passed" in shown.out) is whole
    assert ("complete: failed: " in shown.out) is not whole
    assert json.loads(scrimp("log", "show", "last", "--json").out)["complete"] is whole


def test_of_an_answer_whose_text_is_not_kept_the_reason_for_its_end_says_it(scrimp, profile):
    for behaviour, said in (("ok", None), ("fill", False)):
        path = profile(small=behaviour, extra='[log]\nkeep = "features"\n')
        assert scrimp("ask", "-p", path, "Go on").code == 0
        assert json.loads(scrimp("log", "show", "last", "--json").out)["complete"] is said


# -- every way in which a prompt is asked -----------------------------------------------------------------------------


def test_route_shows_what_would_be_taken_and_ends_as_ask_would(scrimp, guarded):
    for risky, outcome in (("warn", "warned"), ("ask", "refused"), ("refuse", "refused"), ("arm:large", "changed")):
        done = scrimp("route", "-p", guarded(risky), "--json", HARD)
        assert done.code == (9 if outcome == "refused" else 0), done.err
        trace = json.loads(done.out)
        assert risk_in(trace)["outcome"] == outcome
        assert trace["arm"] is not None
        assert f"risk: {risk_in(trace)['why']}" in scrimp("route", "-p", guarded(risky), HARD).out
    many = scrimp("route", "-p", guarded("refuse"), "--json", "--lines", "-", stdin=f"{HARD}\n2 + 2?\n")
    assert [risk_in(json.loads(line))["outcome"] for line in many.out.splitlines()] == ["refused", "passed"]


@pytest.mark.parametrize("more", [(), ("--max-cost", "1")])
@pytest.mark.parametrize("risky", ["refuse", "ask", "warn", "arm:large"])
def test_rows_of_a_file_are_skipped_with_the_reason(scrimp, guarded, server, tmp_path, risky, more):
    rows, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows.write_text(json.dumps({"id": "a", "prompt": HARD}) + "\n" + json.dumps({"id": "b", "prompt": "2 + 2?"}) + "\n")
    done = scrimp("batch", rows, "-o", out, "-p", guarded(risky), "--yes", *more)
    held = risky in ("refuse", "ask")
    assert (done.code, len(server.chats)) == ((6, 1) if held else (0, 2)), done.err
    hard, easy = (json.loads(line) for line in out.read_text().splitlines())
    assert (hard["status"], easy["status"]) == ("skipped" if held else "ok", "ok")
    if held:
        assert "not sent: likely to be answered wrongly" in hard["error"]
        assert hard["cost_usd"] in (None, 0)
    if risky == "arm:large":
        assert hard["arm"] == "large"
