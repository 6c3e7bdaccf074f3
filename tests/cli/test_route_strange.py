"""`scrimp route` on prompts unlike anything the router was trained on: wide intervals, the safe arm, and a word of it."""

import json
import random

import pytest

KNOWN = """
[[arms]]
name = "mini"
model = "openai/gpt-4o-mini-2024-07-18"
[[arms]]
name = "opus"
model = "anthropic/claude-3-opus-20240229"
price = { input_usd_per_mtok = 15, output_usd_per_mtok = 75 }
"""

_rng = random.Random(0)
_LOG = "".join(
    f"2026-11-23T10:{i % 60:02d}:07.{i:06d}Z ERROR [worker-{i % 7}] com.acme.pay.Dispatcher - request id={i * 7919:08x} "
    f"failed after {i % 900} ms: java.net.SocketTimeoutException: Read timed out\n"
    for i in range(400)
)[:50_000]

STRANGE = {
    "hexadecimal": _rng.randbytes(1_000).hex(),
    "one character": ".",
}

UNSURE = {
    "random bytes": bytes(_rng.randrange(1, 256) for _ in range(2_000)).decode("latin-1"),
    "a log of 50 kB": _LOG,
    "Arabic": "اشرح لي لماذا السماء زرقاء في النهار وحمراء عند الغروب؟",
}
"""Nothing that anybody would guard against, but less sure than a question in English."""

OTHER_LANGUAGES = {
    "Danish": "Kan du forklare mig, hvorfor himlen er blå om dagen og rød ved solnedgang?",
    "French": "Explique-moi pourquoi le ciel est bleu le jour et rouge au coucher du soleil.",
}


@pytest.fixture
def known(home, tmp_path):
    """A profile of two models that the router has calibrated heads for; the safe one is the dear one."""
    path = tmp_path / "known.toml"
    path.write_text('name = "known"\ndefault_arm = "opus"\n[caps]\nper_day_usd = 5.0\n' + KNOWN)
    return path


def decide(scrimp, path, *prompts):
    rows = "".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts)
    done = scrimp("route", "-p", path, "--jsonl", "-", "--json", stdin=rows)
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


def widths(decision):
    return [arm["quality_high"] - arm["quality_low"] for arm in decision["arms"]]


def test_strange_prompts_go_to_the_safe_arm_and_it_says_so(scrimp, known):
    usual, *strange = decide(scrimp, known, "What is the capital of France?", *STRANGE.values())
    assert usual["guard"] is None
    assert usual["arms"][0]["basis"] == "calibrated"
    for name, decision in zip(STRANGE, strange, strict=True):
        assert decision["guard"], name
        assert decision["arm"] == "opus", name
        assert decision["propensity"] is None, name
        assert min(widths(decision)) > 2 * max(widths(usual)), name
    shown = scrimp("route", "-p", known, STRANGE["hexadecimal"])
    assert "unlike anything the router was trained on" in shown.out + shown.err


def test_other_languages_and_odd_texts_are_less_sure_than_english(scrimp, known):
    english = "Can you explain to me why the sky is blue by day and red at sunset?"
    less_sure = OTHER_LANGUAGES | UNSURE
    usual, *others = decide(scrimp, known, english, *less_sure.values())
    for name, decision in zip(less_sure, others, strict=True):
        assert decision["guard"] is None, name
        assert decision["ood"] > usual["ood"], name
        assert max(arm["quality"] for arm in decision["arms"]) < 0.9, name
        assert min(widths(decision)) > max(widths(usual)), name


def test_explain_says_on_what_quality_rests(scrimp, known, profile):
    said = scrimp("route", "-p", known, "--explain", "What is 2 + 2?").out
    assert "mini is calibrated: it has a head of its own near the outcomes of" in said
    mixed = known.with_name("mixed.toml")
    mixed.write_text(
        known.read_text().replace('"known"', '"mixed"')
        + '[[arms]]\nname = "new"\nmodel = "acme/new-1"\ntier = "medium"\nprice = { input_usd_per_mtok = 1, output_usd_per_mtok = 2 }\n'
    )
    data = json.loads(scrimp("route", "-p", mixed, "--explain", "--json", "What is 2 + 2?").out)
    assert data["quality_rests_on"]["mini"].startswith("prior: it has a head of its own, but acme/new-1 has none")
    assert data["quality_rests_on"]["new"].startswith("prior: judged difficulty, and ability ")
    assert "by its price and tier" in data["quality_rests_on"]["new"]
    assert {arm["basis"] for arm in data["arms"]} == {"prior"}
