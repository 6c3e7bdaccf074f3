"""Rules that a person writes: what they ask of a prompt, which arms they leave, and what is said where one is wrong."""

import time
from dataclasses import replace

import pytest
from homes import cwd, home, load, write  # noqa: F401 - fixtures

from scrimp.profiles.errors import ConfigError
from scrimp.profiles.installer import how_to_add
from scrimp.profiles.load import to_toml
from scrimp.routing.guard import language
from scrimp.routing.guard.rules import SEARCH_S, Rules, open_rules
from scrimp.routing.guard.verdict import Finding, Guarded, Name, Outcome, Seen
from scrimp.routing.prompts.chat import Chat
from scrimp.routing.prompts.prompt import Attachment, Prompt, Turn, prompt_of_chat
from scrimp.routing.prompts.sources import Source
from scrimp.routing.text.code import has_code

ARMS = """
[[arms]]
name = "small"
model = "openai/one"
[[arms]]
name = "large"
model = "openai/two"
efforts = ["low", "high"]
[[arms]]
name = "here"
model = "local/three"
"""


@pytest.fixture
def rules(load, write):
    """Return the open rules of a profile with these `[[rules]]`."""

    def make(text):
        file = write("work", f'default_arm = "small"\n{text}{ARMS}')
        found = open_rules(load("work").profile, None, None)
        assert found is not None
        return found, file

    return make


def seen(prompt="hello there", *, command="ask", tag=None, arm=None):
    return Seen(Prompt(prompt) if isinstance(prompt, str) else prompt, None, command, tag, arm)


def barred(found, *names):
    return [name for name in names or ("small", "large:low", "large:high", "here") if found.bars(name) is not None]


def test_the_first_rule_that_fits_holds(rules):
    found, file = rules("""
[[rules]]
when = { match = "ACME" }
never = ["large"]
[[rules]]
when = { match = "acme report" }
use = ["large"]
[[rules]]
when = { tag = "home" }
use = ["here"]
""")
    got = found.look(seen("The acme report, please"))
    assert barred(got) == ["large:low", "large:high"]
    (finding,) = got.findings
    assert (finding.guard, finding.outcome) == (Name.RULES, Outcome.CHANGED)
    assert finding.detail == {
        "rule": 1, "at": f"{file}:3", "bars": ["large:low", "large:high"], "use": [], "never": ["large"],
    }  # fmt: skip
    assert f"rule 1 ({file}:3)" in finding.why
    assert Finding.from_dict(finding.to_dict()) == finding
    assert barred(found.look(seen(tag="home"))) == ["small", "large:low", "large:high"]
    assert found.look(seen(tag="home")).findings[0].detail["at"] == f"{file}:9"
    assert found.look(seen()) == Guarded()


@pytest.mark.parametrize(
    ("match", "text", "fits"),
    [
        ("tax", "About my TAX return", True),
        ("tax", "a taxi", False),
        ("tax", "syntax", False),
        ("tax return", "my Tax\n  Return?", True),
        ("$5", "it costs $5.", True),
        ("$5", "it costs $55.", False),
        ("c++", "is C++20 out", True),
        ("STRASSE", "die lange Straße", True),
        ("ﬁle", "a FILE", True),
        ("re:ACME", "acme", False),
        ("re:(?i)acme", "about Acme", True),
        (r"re:^\d{3}$", "one\n123\ntwo", True),
        ("re:a.c", "a\nc", False),
    ],
)
def test_what_a_text_and_a_pattern_match(rules, match, text, fits):
    found, _ = rules(f"[[rules]]\nwhen = {{ match = '{match}' }}\nuse = ['here']\n")
    assert bool(found.look(seen(text)).findings) is fits


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt("and now?", system="You work for ACME"),
        Prompt("and now?", history=(Turn("ACME's report", "yes"),)),
        Prompt("and now?", history=(Turn("report", "ACME's?"),)),
        Prompt("and now?", sources=(Source("a.txt", "ACME"),)),
        Prompt("and now?", sources=(Source("a.txt", "x " * 200_000 + "ACME"),)),
        prompt_of_chat(Chat(({"role": "user", "content": [{"type": "text", "text": "ACME"}]},))),
        prompt_of_chat(
            Chat(({"role": "user", "content": "x"}, {"role": "tool", "tool_call_id": "1", "content": "ACME"}))
        ),
    ],
)
@pytest.mark.parametrize("match", ["acme", "re:ACME", "re:(A|X)C(M+)E"])
def test_all_that_would_be_sent_is_looked_at(rules, prompt, match):
    found, _ = rules(f'[[rules]]\nwhen = {{ match = "{match}" }}\nnever = ["small"]\n')
    assert barred(found.look(seen(prompt))) == ["small"]
    assert not found.look(seen("nothing of the kind")).findings


IMAGE, PDF = Attachment("a.png", "image/png", b"x"), Attachment("a.pdf", "application/pdf", b"x")
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,eA=="}}


@pytest.mark.parametrize(
    ("has", "prompt"),
    [
        ("code", Prompt("Why?\n```\nx\n```")),
        ("code", Prompt("def f(x):\n    return x")),
        ("code", Prompt("Mend it", sources=(Source("a.py", "import os\nprint(os.name)\n"),))),
        ("image", Prompt("What is it?", attachments=(IMAGE,))),
        ("image", prompt_of_chat(Chat(({"role": "user", "content": [PICTURE]},)))),
        ("file", Prompt("Sum up", sources=(Source("a.txt", "x"),))),
        ("file", Prompt("Sum up", attachments=(PDF,))),
    ],
)
def test_what_a_prompt_has(rules, has, prompt):
    found, _ = rules(f'[[rules]]\nwhen = {{ has = "{has}" }}\nuse = ["here"]\n')
    assert barred(found.look(seen(prompt))) == ["small", "large:low", "large:high"]
    others = {"code": Prompt("Say it", attachments=(IMAGE,)), "image": Prompt("x", attachments=(PDF,))}
    assert not found.look(seen(others.get(has, Prompt("Explain tides", attachments=(IMAGE,))))).findings


def test_all_conditions_have_to_hold(rules):
    found, _ = rules("""
[[rules]]
when = { match = "tax", has = "file", tag = "work", command = "batch" }
use = ["here"]
""")
    fits = seen(Prompt("tax", sources=(Source("a", "b"),)), command="batch", tag="work")
    assert found.look(fits).findings
    assert not found.look(replace(fits, command="ask")).findings
    assert not found.look(replace(fits, tag=None)).findings
    assert not found.look(replace(fits, prompt=Prompt("tax"))).findings
    assert not found.look(replace(fits, prompt=Prompt("x", sources=(Source("a", "b"),)))).findings


def test_use_leaves_these_arms_alone_of_a_pool_too(rules):
    found, _ = rules('[[rules]]\nwhen = { tag = "t" }\nuse = ["large"]\nnever = ["large:high"]\n')
    got = found.look(seen(tag="t"))
    assert barred(got) == ["small", "large:high", "here"]
    assert barred(got, "tax-of-the-pool", "large:low/passages", "large:high/whole") == [
        "tax-of-the-pool",
        "large:high/whole",
    ]


def test_an_arm_asked_for_goes_before_a_rule_and_that_is_said(rules):
    found, file = rules('[[rules]]\nwhen = { tag = "t" }\nuse = ["here"]\n')
    got = found.look(seen(tag="t", arm="small"))
    assert barred(got) == ["large:low", "large:high"]
    (finding,) = got.findings
    assert finding.outcome is Outcome.WARNED
    assert finding.detail["overruled"] == "small"
    assert f"rule 1 ({file}:2)" in finding.why
    assert barred(found.look(seen(tag="t", arm="large:low/whole"))) == ["small", "large:high"]
    assert found.look(seen(tag="t", arm="here")).findings[0].outcome is Outcome.CHANGED
    never, _ = rules('[[rules]]\nwhen = { tag = "t" }\nnever = ["large"]\n')
    assert barred(never.look(seen(tag="t", arm="large:high"))) == ["large:low"]


def test_a_pattern_that_never_ends_sends_nothing(rules):
    found, file = rules("[[rules]]\nwhen = { match = 're:x.*y.*z' }\nnever = ['small']\n")
    began = time.monotonic()
    got = found.look(seen("x" * 3_000_000))
    assert time.monotonic() - began < 30 * SEARCH_S
    assert got.refused is not None
    assert f"{file}:2" in got.refused.why
    assert barred(found.look(seen("x, y and z"))) == ["small"]


@pytest.mark.parametrize("pattern", ["(a|a)*b", r"(\w+\s?)*\$", "(a+)+$", "(a|aa)+$", r"(.*a){20}"])
def test_a_catastrophic_pattern_is_decided_or_refused_soon(rules, pattern):
    found, _ = rules(f"[[rules]]\nwhen = {{ match = 're:{pattern}' }}\nnever = ['small']\n")
    began = time.monotonic()
    found.look(seen("a" * 5_000 + "!"))
    assert time.monotonic() - began < 30 * SEARCH_S


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('when = { match = "x" }', "{file}:2: rules[1]: it says neither use nor never"),
        ('when = {}\nuse = ["small"]', "{file}:3: rules[1]: when: it asks for nothing"),
        ('use = ["small"]', "{file}:2: rules[1]: when is missing"),
        ('when = { match = "re:(" }\nuse = ["small"]', "{file}:3: rules[1]: when.match: not a regular expression"),
        ('when = { match = "re:" }\nuse = ["small"]', "{file}:3: rules[1]: when.match: it is empty"),
        ('when = { match = "  " }\nuse = ["small"]', "{file}:3: rules[1]: when.match: it is empty"),
        (
            'when = { tag = "x" }\nuse = ["smal"]',
            "{file}:4: rules[1]: use: no arm is called 'smal' (did you mean 'small'?)",
        ),
        ('when = { tag = "x" }\nnever = ["large:max"]', "{file}:4: rules[1]: never: no arm is called 'large:max'"),
        ('when = { tag = "x" }\nuse = "small"', "{file}:4: rules[1]: use: expected a list of arms"),
        ('when = { tags = "x" }\nuse = ["small"]', "{file}:3: rules[1]: when.tags: unknown key (did you mean 'tag'?)"),
        ('when = { has = "picture" }\nuse = ["small"]', "{file}:3: rules[1]: when.has: expected code, image or file"),
        ('when = { command = "bath" }\nuse = ["small"]', "(did you mean 'batch'?)"),
        ('when = { tag = "x" }\nuses = ["small"]', "{file}:4: rules[1]: uses: unknown key (did you mean 'use'?)"),
        ('when = { tag = "x" }\nuse = ["small"]\nnever = ["small"]', "rules[1]: it leaves no arm"),
        ('when = { tag = "x" }\nuse = ["small"]\nat = "here"', "{file}:5: rules[1]: at: unknown key"),
    ],
)
def test_a_wrong_rule_is_told_by_file_line_and_key(load, write, text, message):
    file = write("work", f'default_arm = "small"\n[[rules]]\n{text}\n{ARMS}')
    with pytest.raises(ConfigError) as caught:
        load("work")
    assert message.format(file=file) in caught.value.message


def test_a_rule_that_is_not_a_table(load, write):
    write("work", f'default_arm = "small"\n[rules]\nwhen = 3\n{ARMS}')
    with pytest.raises(ConfigError, match=r"rules: expected a list of tables: write \[\[rules\]\]"):
        load("work")


def test_a_profile_s_own_rules_come_before_inherited_ones(load, write):
    below = write("below", f'default_arm = "small"\n[[rules]]\nwhen = {{ tag = "a" }}\nuse = ["small"]\n{ARMS}')
    above = write(
        "above",
        'extends = "below"\n[[rules]]\nwhen = { tag = "b" }\nuse = ["here"]\n[[rules]]\nwhen = { tag = "c" }\nnever = ["here"]\n',
    )
    profile = load("above").profile
    assert [(rule.when.tag, rule.at) for rule in profile.rules] == [
        ("b", f"{above}:2"), ("c", f"{above}:5"), ("a", f"{below}:2"),
    ]  # fmt: skip
    again = write("again", to_toml(profile).replace('name = "above"', 'name = "again"', 1))
    assert [(rule.when, rule.use, rule.never) for rule in load("again").profile.rules] == [
        (rule.when, rule.use, rule.never) for rule in profile.rules
    ]
    assert again.read_text().count("[[rules]]") == 3
    write("above", 'extends = "below"\n[[rules]]\nwhen = { tag = "b" }\nuse = ["here"]\n')
    write("below", f'default_arm = "small"\n\n[[rules]]\nwhen = {{ tag = "a" }}\nuse = ["nobody"]\n{ARMS}')
    with pytest.raises(ConfigError) as caught:
        load("above")
    assert f"{below}:5: rules[2]: use: no arm is called 'nobody'" in caught.value.message


def test_a_project_s_own_file_may_set_no_rules(load, write, cwd):
    write("default", f'default_arm = "small"\n{ARMS}')
    (cwd / ".scrimp.toml").write_text('[[rules]]\nwhen = { tag = "x" }\nuse = ["small"]\n')
    with pytest.raises(ConfigError, match="rules: a project's own file may not set this"):
        load()


def test_what_a_project_leaves_out_is_missed_by_no_rule(load, write, cwd):
    write("default", f'default_arm = "small"\n[[rules]]\nwhen = {{ tag = "t" }}\nuse = ["here"]\n{ARMS}')
    (cwd / ".scrimp.toml").write_text('use = ["small", "large"]\n')
    found = open_rules(load().profile, None, None)
    assert barred(found.look(seen(tag="t")), "small", "large:low", "large:high") == ["small", "large:low", "large:high"]


def test_the_user_s_own_rules_hold_in_a_profile_that_a_project_chooses(load, write, cwd):
    own = write("default", f'default_arm = "small"\n[[rules]]\nwhen = {{ match = "ACME" }}\nnever = ["small"]\n{ARMS}')
    write(
        "other",
        '[[rules]]\nwhen = { match = "report" }\nuse = ["cheap"]\n'
        '[[arms]]\nname = "cheap"\nmodel = "openai/one"\n[[arms]]\nname = "dear"\nmodel = "openai/four"\n',
    )
    (cwd / ".scrimp.toml").write_text('profile = "other"\n')
    profile = load().profile
    assert [arm.name for arm in profile.arms] == ["cheap", "dear"]
    found = open_rules(profile, None, None)
    got = found.look(seen("ACME's report"))
    assert barred(got, "cheap", "dear") == ["cheap"]
    assert f"{own}:2" in got.findings[0].why
    assert barred(found.look(seen("a report")), "cheap", "dear") == ["dear"]


SENTENCES = {
    "de": ["Wie lange muss ein weiches Ei kochen?", "Schreib mir eine kurze Absage an den Vermieter."],
    "en": ["How long should a soft egg boil?", "Write a short note to my landlord."],
    "fr": ["Pourquoi le ciel est-il rouge le soir ?", "Combien coûte un billet pour Hambourg ?"],
    "es": ["Escribe una nota breve a mi casero.", "¿Por qué el cielo es rojo por la tarde?"],
    "it": ["Scrivi una breve lettera al mio padrone di casa.", "Perché il cielo è rosso la sera?"],
    "nl": ["Schrijf een kort briefje aan mijn huisbaas.", "Waarom is de lucht 's avonds rood?"],
    "pl": ["Dlaczego niebo wieczorem jest czerwone?", "Ile kosztuje bilet do Hamburga?"],
    "sk": ["Prečo je obloha večer červená?", "Zhrň nasledujúci text do troch viet."],
    "sv": ["Skriv ett kort brev till min hyresvärd.", "Varför är himlen röd på kvällen?"],
    "zh": ["请写一封短信给我的房东，告诉他暖气坏了。", "为什么傍晚的天空是红色的？"],
}
UNDECIDABLE = ["ok", "2+2=?", "Paris", "hm", "12345 67890", "print(x)", "def f(x): return x+1", "SELECT * FROM t;"]


def test_languages_are_told_and_what_tells_of_none_is_in_none():
    told = [(language.language_of(text), code) for code, texts in SENTENCES.items() for text in texts]
    assert all(found in (code, None) for found, code in told)
    assert sum(found is not None for found, _ in told) >= 18
    assert [language.language_of(text) for text in UNDECIDABLE] == [None] * len(UNDECIDABLE)


def test_a_rule_for_a_language(rules):
    found, file = rules('[[rules]]\nwhen = { language = "de" }\nuse = ["here"]\n')
    assert barred(found.look(seen(SENTENCES["de"][0]))) == ["small", "large:low", "large:high"]
    assert not found.look(seen(SENTENCES["en"][0])).findings
    wrong, file = rules('[[rules]]\nwhen = { language = "xx" }\nuse = ["here"]\n')
    with pytest.raises(ConfigError, match=r"when.language: 'xx' is no language that can be told") as caught:
        wrong.look(seen("anything"))
    assert f"{file}:2" in caught.value.message


def test_the_detector_is_loaded_only_where_a_rule_asks_for_a_language(rules, monkeypatch):
    found, _ = rules('[[rules]]\nwhen = { language = "de", tag = "t" }\nuse = ["here"]\n')

    def loaded():
        pytest.fail("the detector was loaded")

    monkeypatch.setattr(language, "_detector", loaded)
    assert not found.look(seen(SENTENCES["de"][0])).findings


def test_without_the_detector_a_rule_for_a_language_is_refused(load, write, monkeypatch):
    file = write("work", f'default_arm = "small"\n[[rules]]\nwhen = {{ language = "de" }}\nuse = ["here"]\n{ARMS}')
    monkeypatch.setattr("scrimp.routing.guard.rules.detector_is_there", lambda: False)
    with pytest.raises(ConfigError) as caught:
        open_rules(load("work").profile, None, None)
    assert f"{file}:2: rules[1]: when.language" in caught.value.message
    assert how_to_add("language") == caught.value.hint


def test_a_profile_without_rules_opens_none(load, write):
    write("work", f'default_arm = "small"\n{ARMS}')
    assert open_rules(load("work").profile, None, None) is None


@pytest.mark.parametrize(
    "text",
    [
        "Explain tides to a child", "If you ask me, for example, the answer(s) are: a, b; c.",
        "Let x be a real number with x^2 = 2. Prove it is irrational.",
        "Dear Sir,\nfrom now on we import goods for the class.\nwhile waiting",
        "How do I write a function in Python?", "f(x) = 3x + 2. What is f(5)?", "Is iPhone better than eBay?",
        "Compute P(A|B) when P(A)=0.3, P(B)=0.4.", "E = mc^2; F = ma", "select all that apply from the list",
    ],
)  # fmt: skip
def test_prose_and_mathematics_are_no_code(text):
    assert not has_code(text)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT name FROM users WHERE id = 3", "Explain: for (int i = 0; i < n; i++) { s += a[i]; }",
        "x = [i for i in range(10)]; print(x)", 'Traceback (most recent call last):\n  File "a.py", line 3',
        "const a = 3;", "fix: foo.bar(x) => baz_qux", "#include <stdio.h>", "package main\n\nfunc main() {\n}",
        "What does `os.path.join('a')` return, and is x_y == 3 in it?",
    ],
)  # fmt: skip
def test_program_text_is_told(text):
    assert has_code(text)


def test_rules_have_no_need_of_an_embedding():
    assert not Rules((), ()).embeds
