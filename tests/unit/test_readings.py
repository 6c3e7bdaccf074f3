"""How much is read: what a question asks of a text, P(right) of each reading, and what labels change of it."""

import dataclasses
import itertools
import json
import random
from decimal import Decimal

import numpy as np
import pytest

from scrimp.profiles.errors import ConfigError
from scrimp.profiles.rungs import READ_TOKENS
from scrimp.profiles.schema import Arm, Policy, Price, Profile
from scrimp.routing.asking.read import WHOLE_FROM, with_readings
from scrimp.routing.asking.read_labels import informed, tried_readings
from scrimp.routing.deciding.decide import Decider, Wishes
from scrimp.routing.ledger.labels import add_label
from scrimp.routing.ledger.store import instant, open_ledger
from scrimp.routing.prices.table import PriceTable
from scrimp.routing.prompts.context import contexts
from scrimp.routing.prompts.embedding import Embedder
from scrimp.routing.prompts.prompt import Prompt
from scrimp.routing.prompts.sources import Evidence, Read, Readings, Source
from scrimp.routing.router import readings as module
from scrimp.routing.router import text_questions
from scrimp.routing.router.arms import ArmInfo
from scrimp.routing.router.in_force import load_router
from scrimp.routing.router.reading_labels import LEAST, TriedReading, learn_offsets
from scrimp.routing.router.readings import shipped_readings
from scrimp.routing.router.text_questions import asks_of

WHOLE = """
Could you boil this down to a paragraph for my boss?
I have no time to read all of it, what do I need to know?
Give me the short version
Recap the meeting
Bullet points please
What's the upshot of this memo?
In a nutshell, what does it say?
Please summarise the attached lease in plain words
Abstract this in under 100 words
What is the book about?
What is this file?
Overview of the repository
Please translate the whole letter into Portuguese
Can you put this into Dutch?
English translation please
Please proof-read my thesis chapter
Are there any spelling mistakes in here?
Spell-check this
Correct my English
Make this sound more professional
Rewrite the report for a lay audience
Rewrite it as a dialogue
Can you rephrase the whole thing without jargon?
Tidy up these notes
Shorten it to a tweet
Convert the table to CSV
Turn this into LaTeX
Convert every price from dollars to euros
Convert these recipes to metric units
Reformat the log as JSON lines
Count the warnings in this log
How many times does the word whale occur?
How many different people are quoted?
How many errors are there in total?
Count everything that failed
List everything I have to do
List all invoices above 500 dollars
List every decision
List all the characters
Extract every e-mail address
Get me all phone numbers in the file
Find all occurrences of TODO
Which sections mention money? List all of them
Name all the drugs that were tested
What are all the exceptions to the rule?
Review this code
Please do a thorough code review of this patch
Fix the bug
Fix the failing test in this module
Where is the bug in this program?
Make this function faster
Rewrite this module in TypeScript
Explain this code line by line
Document this API
Write tests for this class
Are there any memory leaks in this code?
What is wrong with my essay?
Give feedback on my cover letter
Is this contract fair to the tenant?
Would you sign this contract? Check every clause
Rate this essay
What is the mood of the poem?
What are the main themes of the novel?
Write a review of this book
Draft an answer to this letter
Make a quiz out of this chapter
Make a timeline of everything that happened
Extend this story by one more scene
What do these two drafts disagree on?
Find contradictions in the testimony
Résumez ce rapport en cinq points
Pouvez-vous traduire cette lettre en espagnol ?
Relisez ce texte et corrigez toutes les fautes
Dressez la liste de toutes les factures
Kannst du mir den Artikel kurz zusammenfassen?
Bitte übersetze den ganzen Brief ins Spanische
Lies den Text Korrektur
Liste alle offenen Rechnungen auf
Was macht dieses Programm?
Hazme un resumen de la reunión
Tradúceme esta carta al francés
Corrige todos los errores de este texto
Haz una lista de todas las facturas
请把这封信翻译成法语
帮我总结会议记录
检查这篇文章的错别字
列出所有发票
この会議の議事録を要約してください
この手紙をフランス語に翻訳してください
請求書をすべてリストアップしてください
""".strip().splitlines()
"""Questions of a text as a whole; none is a sentence that the weights were fitted on."""

FACTS = """
What was the net loss in the first quarter?
Net loss in Q1?
Which service failed first?
Who chaired the meeting on 4 May?
When does the lease run out?
How much is the monthly rent?
What deposit did the tenant pay?
Is subletting permitted?
Which law governs this agreement?
What is the notice period?
Who is liable for water damage?
What happens when rent is two months late?
What did Captain Ahab lose to the whale?
Where does Elizabeth first meet Mr Darcy?
Why did Jekyll lock himself in his laboratory?
How did Holmes know that the visitor was a doctor?
What is the name of Huck's companion on the raft?
What was written on the gold ring?
Who stole the letter?
At what age did she marry?
What kind of soup did the innkeeper serve?
Which optimizer was used to train the model?
What batch size do the authors use?
On how many GPUs was the model trained?
What BLEU score does the system reach on WMT14?
Why do the authors drop the auxiliary loss?
Which baseline comes closest?
How large is the vocabulary?
What was the median age of the patients?
Which side effect was most common?
What dose did the control group get?
What was the hazard ratio?
What is the maximum upload size?
Which port does the server listen on?
How do I rotate the API key?
What environment variable sets the log level?
Where is the retry limit set?
What exit code means that the budget was refused?
What does the flag --dry-run do?
Which function parses the header?
Who introduced the cache?
What error came right before the crash?
When was the last successful backup?
Which host returned 503 at noon?
What is the request id of the failed payment?
How long was the outage?
Who was on call that night?
How many shares were outstanding on March 31, 2024?
What percentage of revenue came from the largest customer?
Did the company pay a dividend in 2023?
What is the interest rate on the term loan?
Who audits the company?
How many people does the firm employ?
When does the credit facility mature?
What impairment was recorded in the second quarter?
By how much did gross margin fall from 2022 to 2023?
How did revenue compare with the prior year?
What was the total amount of current liabilities?
What was the total cost of the roof?
Who wrote the summary?
When did the translation appear?
Who fixed the heating?
What did the review board decide about the dam?
How many votes did the motion get?
What did they decide about the budget?
Who has to send the offer, and by when?
What is the phone number of the clinic?
Quel est le loyer mensuel ?
Qui préside la réunion du 4 mai ?
Quand expire le bail ?
Pourquoi la livraison a-t-elle été retardée ?
Wie hoch ist die Miete?
Wer leitete die Sitzung am 4. Mai?
Wann endet der Mietvertrag?
Warum wurde die Lieferung verschoben?
¿Cuánto es el alquiler mensual?
¿Quién presidió la reunión del 4 de mayo?
¿Cuándo termina el contrato?
¿Por qué se retrasó la entrega?
每月租金是多少？
五月四日的会议由谁主持？
租约什么时候到期？
毎月の家賃はいくらですか
5月4日の会議の議長は誰でしたか
賃貸契約はいつ終わりますか
""".strip().splitlines()
"""Questions of a place in a text, likewise."""

WEAK = ArmInfo(name="weak", model="mistral-nemo")
MINI = ArmInfo(name="mini", model="gpt-4o-mini")
STRONG = ArmInfo(name="strong", model="claude-3-5-sonnet-20241022")
RIGHTS = [0.7, 0.6, 0.8]


@pytest.fixture(scope="module")
def embedder():
    return Embedder()


def rights(reading, arm=MINI, n_tokens=128_000, n_sent=3_200, given=RIGHTS, **more):
    return shipped_readings().rights(given, reading, Evidence(n_tokens, n_sent, **more), arm)


# ---- what a question asks of the text


def test_questions_of_the_whole_are_never_read_in_passages(embedder):
    vectors = embedder.embed(WHOLE)
    missed = [q for q, v in zip(WHOLE, vectors, strict=True) if asks_of(q, v).whole < WHOLE_FROM]
    assert len(WHOLE) >= 60
    assert missed == []


def test_questions_of_a_place_are_mostly_not_taken_for_questions_of_the_whole(embedder):
    vectors = embedder.embed(FACTS)
    taken = [q for q, v in zip(FACTS, vectors, strict=True) if asks_of(q, v).whole >= WHOLE_FROM]
    assert len(FACTS) >= 60
    assert len(taken) <= len(FACTS) // 10, taken


def test_words_alone_tell_nearly_as_well_for_profiles_with_another_embedder():
    assert sum(asks_of(question, None).whole >= WHOLE_FROM for question in WHOLE) >= 0.93 * len(WHOLE)
    assert sum(asks_of(question, None).whole >= WHOLE_FROM for question in FACTS) <= 0.1 * len(FACTS)


def test_comparisons_are_told_from_plain_questions(embedder):
    pairs = [
        ("How did operating income change from 2021 to 2022?", "What was operating income in 2022?"),
        ("Compare the dividend in May with that of June", "Who declared the dividend in May?"),
        ("Was the deficit larger than the year before?", "Why is there a deficit?"),
    ]
    for comparing, plain in pairs:
        a, b = (asks_of(text, vector).comparison for text, vector in
                zip((comparing, plain), embedder.embed([comparing, plain]), strict=True))  # fmt: skip
        assert a > b + 0.1, comparing


@pytest.mark.parametrize("text", ["", " ", "?" * 10_000, "\ud800 what", "字" * 5_000, "1 2 3", "a" * 100_000])
def test_odd_questions_have_a_probability(text, embedder):
    vector = embedder.embed(["x"])[0]
    for each in (asks_of(text, vector), asks_of(text, None)):
        assert 0.0 <= each.whole <= 1.0
        assert 0.0 <= each.comparison <= 1.0


def prompt_of(question, embedder, *, wanted="auto", named=(), n=40_000):
    text = "\n\n".join(f"Paragraph {k}: the lease of house {k} ends in {1900 + k % 120}." for k in range(n // 15))
    prompt = Prompt(question, sources=(Source("lease.txt", text),))
    (context,) = contexts([question], embedder)
    return with_readings(prompt, context, embedder, wanted=wanted, named=named)


def test_what_is_offered_follows_what_is_asked(embedder):
    of_all, of_a_place = "Summarise this document", "When does the lease of house 77 end?"
    assert prompt_of(of_all, embedder).readings.offered == ("whole",)
    asked = prompt_of(of_a_place, embedder).readings
    assert asked.offered == ("whole", "passages")
    assert asked.evidence.wants_whole < WHOLE_FROM
    assert set(asked.evidence.kind) == {"comparison"}
    # Whoever asks for passages by name gets them.
    assert prompt_of(of_all, embedder, wanted="passages").readings.offered == ("passages",)
    assert "passages" in prompt_of(of_all, embedder, named=("small/passages",)).readings.offered
    # Nothing is ever read of a file unless that is asked for.
    assert "none" not in asked.offered


# ---- P(right) of a reading


@pytest.mark.parametrize("arm", [WEAK, MINI, STRONG])
@pytest.mark.parametrize("more", [{}, {"best": 0.3}, {"kind": {"comparison": 1.0}}, {"wants_whole": 1.0}])
def test_where_passages_are_all_of_the_text_both_are_one(arm, more):
    n = READ_TOKENS
    assert rights("passages", arm, n, n, **more) == pytest.approx(rights("whole", arm, n, n, **more), abs=1e-12)


@pytest.mark.parametrize("arm", [WEAK, MINI, STRONG])
def test_longer_texts_are_read_worse_as_a_whole_and_weak_models_lose_more(arm):
    lengths = [4_000, 16_000, 64_000, 128_000, 400_000, 2_000_000]
    middle = [rights("whole", arm, n)[0] for n in lengths]
    assert all(a > b for a, b in itertools.pairwise(middle))
    lost = {each.name: RIGHTS[0] - rights("whole", each)[0] for each in (WEAK, MINI, STRONG)}
    assert lost["weak"] > lost["mini"] > lost["strong"]


def test_passages_gain_on_the_whole_with_length_and_lose_with_what_is_left_out():
    gap = [rights("passages", WEAK, n)[0] - rights("whole", WEAK, n)[0] for n in (8_000, 32_000, 128_000, 500_000)]
    assert gap == sorted(gap)
    sent = [rights("passages", STRONG, 128_000, n, kind={"comparison": 1.0})[0] for n in (3_200, 64_000)]
    assert sent == sorted(sent)


def test_comparisons_prefer_the_whole():
    plain, comparing = ({"kind": {"comparison": p}} for p in (0.0, 1.0))
    gap = rights("passages", STRONG, 32_000, **comparing)[0] - rights("whole", STRONG, 32_000, **comparing)[0]
    assert gap < -0.08
    assert gap < rights("passages", STRONG, 32_000, **plain)[0] - rights("whole", STRONG, 32_000, **plain)[0]
    weak = rights("passages", WEAK, **plain)[0] - rights("whole", WEAK, **plain)[0]
    assert weak > 0.05


def test_of_a_question_of_the_whole_passages_are_far_worse():
    low, high = rights("passages", wants_whole=1.0)[0], rights("whole", wants_whole=1.0)[0]
    assert low < 0.2 * high


def test_a_better_match_never_hurts_passages_and_speaks_against_silence():
    model = shipped_readings()
    bests = [0.1, 0.3, 0.5, 0.7, 0.9]
    answers = [model.parts(0.7, "passages", Evidence(128_000, 3_200, best), MINI)[0] for best in bests]
    silent = [model.silent(Evidence(128_000, 3_200, best)) for best in bests]
    assert answers == sorted(answers)
    assert silent == sorted(silent, reverse=True)
    assert model.silent(Evidence(9, 9)) == pytest.approx(model.at.base)
    assert model.silent(Evidence(9, 9), base=0.39) == pytest.approx(0.39)


def test_nothing_read_is_the_worst_of_the_three():
    for arm in (WEAK, MINI, STRONG):
        none = rights("none", arm)[0]
        assert 0.0 < none < min(rights(reading, arm)[0] for reading in ("whole", "passages"))


def test_the_interval_widens_with_what_was_not_seen():
    def width(reading, n, **more):
        _, low, high = rights(reading, MINI, n, **more)
        return high - low

    for reading in ("whole", "passages"):
        quality, low, high = rights(reading)
        assert 0.0 < low < quality < high < 1.0
    assert width("whole", 4_000) < width("whole", 64_000) < width("whole", 1_000_000)
    assert width("passages", 3_300) < width("passages", 64_000) < width("passages", 1_000_000)
    assert width("none", 64_000) > width("whole", 64_000)
    # never narrower than the router's own, on the logit scale
    _, low, high = rights("whole", MINI, 128_000)
    own = np.log(0.8 / 0.2) - np.log(0.6 / 0.4)
    assert np.log(high / (1 - high)) - np.log(low / (1 - low)) > own


@pytest.mark.parametrize("quality", [0.0, 1e-9, 1.0])
def test_sure_qualities_stay_probabilities(quality):
    for reading in ("whole", "passages", "none"):
        found = rights(reading, given=[quality] * 3)
        assert all(0.0 <= each <= 1.0 for each in found)
        assert found[1] <= found[0] <= found[2]


@pytest.mark.parametrize("content", ["", "[]", '{"coefficients": {}}', '{"coefficients": {"strain": "x"}}'])
def test_damaged_coefficients_are_refused(content, tmp_path, monkeypatch):
    file = tmp_path / "readings.json"
    file.write_text(content)
    monkeypatch.setattr(module, "COEFFICIENTS", file)
    shipped_readings.cache_clear()
    with pytest.raises(ConfigError, match=r"readings\.json"):
        shipped_readings()
    shipped_readings.cache_clear()


def test_damaged_weights_are_refused(tmp_path, monkeypatch):
    file = tmp_path / "asks.npy"
    np.save(file, np.zeros((2, 3)))
    monkeypatch.setattr(text_questions, "WEIGHTS", file)
    text_questions._weights.cache_clear()
    with pytest.raises(ConfigError, match=r"asks\.npy"):
        asks_of("x", None)
    text_questions._weights.cache_clear()


# ---- labels


def test_few_labels_leave_the_prior_and_many_move_it():
    wrong = TriedReading("m", "passages", 0.7, 0.0)
    assert learn_offsets([wrong] * (LEAST - 1)) == {}
    moved = [learn_offsets([wrong] * n)["m", "passages"].mean for n in (LEAST, 20, 40, 80)]
    assert moved == sorted(moved, reverse=True)
    found = learn_offsets([wrong] * 40)
    # the whole is thought worse of too, other models' passages more so, this one's most
    assert found["m", "passages"].mean < found["", "passages"].mean < found["", "whole"].mean < 0.0
    assert found["", "passages"].sd > found["m", "passages"].sd


def test_labels_that_say_what_was_predicted_move_nothing():
    as_predicted = [TriedReading("m", "passages", 0.7, float(k % 10 < 7)) for k in range(200)]
    assert abs(learn_offsets(as_predicted)["m", "passages"].mean) < 0.02


def test_offsets_find_the_truth_of_a_simulated_log():
    rng = np.random.default_rng(5)
    tried = []
    for model, reading, offset in (("a", "passages", -1.0), ("a", "whole", 0.5), ("b", "passages", 0.3)):
        quality = rng.uniform(0.3, 0.9, 600)
        right = rng.random(600) < 1 / (1 + np.exp(-(np.log(quality / (1 - quality)) + offset)))
        tried += [TriedReading(model, reading, q, float(r)) for q, r in zip(quality, right, strict=True)]
    found = learn_offsets(tried)
    for key, offset in ((("a", "passages"), -1.0), (("a", "whole"), 0.5), (("b", "passages"), 0.3)):
        assert abs(found[key].mean - offset) < 3.5 * found[key].sd
        assert found[key].sd < 0.15


PRICES = {"small": ("openai/gpt-4o-mini", "0.15", "0.6"), "large": ("openai/gpt-4o", "2.5", "10")}


@pytest.fixture
def decider(embedder, tmp_path):
    arms = tuple(
        Arm(
            name=name,
            model=model,
            price=Price(input_usd_per_mtok=Decimal(a), output_usd_per_mtok=Decimal(b)),
            context_window=200_000,
        )
        for name, (model, a, b) in PRICES.items()
    )
    profile = Profile(name="p", arms=arms[:1], default_arm="small", policy=Policy(wtp_usd=0.1, explore=0.0))
    return Decider(profile, PriceTable.load(), load_router("shipped", tmp_path), embedder)


def ask_of(question, n=24_000, **more):
    reads = {kind: Read(kind, "abcd" * size, size) for kind, size in (("whole", n), ("passages", 3_200), ("none", 0))}
    readings = Readings(reads, ("whole", "passages"), Evidence(n, 3_200, **more))
    return Prompt(question, sources=(Source("f", "abcd" * n),), readings=readings)


def decided(decider, question="What is the notice period of the lease?", key="d"):
    (context,) = decider.contexts([question])
    return decider.decide(
        ask_of(question), decider.predict([context]), Wishes(), decision_id=key, rng=random.Random(1)
    )  # fmt: skip


def put(ledger, decision, arm, reward, source="rating"):
    """Put a request on record as a process does, with its trace, and label what an arm answered."""
    with ledger.transaction():
        ledger.insert(
            "requests",
            {
                "id": decision.id, "created_at": instant(1.8e9), "profile": "p", "command": "ask", "status": "ok",
                "arm": arm, "prompt": "q", "decision": ledger_json(decision),
            },
        )  # fmt: skip
    add_label(ledger, request_id=decision.id, arm=arm, reward=reward, source=source, at=instant(1.8e9))


def ledger_json(decision):
    return json.dumps(decision.to_dict())


def test_forty_labels_against_passages_turn_the_choice_and_three_do_not(decider, tmp_path):
    assert decided(decider).arm == "small/passages"
    with open_ledger(tmp_path / "scrimp.db") as ledger:
        now = decider
        for k in range(40):
            put(ledger, decided(now, key=f"d{k}"), "small/passages", 0.0)
            now = informed(now, ledger)
            if k == 2:
                assert now is decider  # three leave all as it is
                assert decided(now).arm == "small/passages"
        assert decided(now).arm == "small/whole"
        quality = {each.option.arm: each.option for each in decided(now).choice.weighed}
        prior = {each.option.arm: each.option for each in decided(decider).choice.weighed}
        assert quality["small/passages"].quality < 0.5 * prior["small/passages"].quality
        # What was predicted is what labels are held against, whatever had been learned by then.
        first = {round(each.quality, 6) for each in tried_readings(ledger)}
        assert first == {round(prior["small/passages"].quality, 6)}


def test_forty_labels_for_passages_do_not_turn_it(decider, tmp_path):
    with open_ledger(tmp_path / "scrimp.db") as ledger:
        for k in range(40):
            put(ledger, decided(decider, key=f"d{k}"), "small/passages", 1.0)
        now = informed(decider, ledger)
        assert decided(now).arm == "small/passages"
        assert now.readings.offset("openai/gpt-4o-mini", "passages").mean > 0.3


def test_checks_and_plain_labels_say_nothing_of_readings(decider, tmp_path):
    with open_ledger(tmp_path / "scrimp.db") as ledger:
        for k in range(20):
            put(ledger, decided(decider, key=f"a{k}"), "small/passages", 0.0, source="check")
            put(ledger, decided(decider, key=f"b{k}"), "small", 0.0)
        assert tried_readings(ledger) == []
        assert informed(decider, ledger) is decider


def test_the_trace_keeps_what_was_learned(decider):
    from scrimp.routing.deciding.trace import Decision

    moved = decider.reading_by(shipped_readings().with_offsets(learn_offsets(
        [TriedReading("openai/gpt-4o-mini", "passages", 0.7, 0.0)] * 40)))  # fmt: skip
    kept = Decision.from_dict(decided(moved).to_dict())
    option = kept.choice.option("small/passages")
    assert option.learned < -0.5
    assert dataclasses.replace(option, learned=0.0) != option


def test_labels_of_readings_do_not_touch_the_plain_arms_head(decider, tmp_path):
    from scrimp.routing.learn.data.read import read_log

    with open_ledger(tmp_path / "scrimp.db") as ledger:
        for k in range(12):
            put(ledger, decided(decider, key=f"d{k}"), "small/passages", 0.0, source="import")
        put(ledger, decided(decider, key="plain"), "small", 1.0, source="import")
        log = read_log(
            ledger, "p", decider.infos, embedder_id=decider.embedder.id, dim=384, embed=decider.embedder.embed
        )
        assert log.arms == ("small",)
        known = ~np.isnan(log.reward[:, 0])
        assert [log.ids[i] for i in np.flatnonzero(known)] == ["plain"]
