"""The `instructions` check: what it reads off a prompt, and its verdicts on answers made to keep or to break it.

The answers are made here, by the rules that IFEval publishes for its kinds of instruction.
"""

import random
import time

import pytest

from scrimp.routing.checks.base import Given
from scrimp.routing.checks.clauses import Request, number_of
from scrimp.routing.checks.instructions import KINDS, InstructionsCheck, instructions_in

CHECK = InstructionsCheck()
NOUNS = [
    "river",
    "lamp",
    "carpet",
    "engine",
    "window",
    "garden",
    "bottle",
    "ladder",
    "pencil",
    "market",
    "candle",
    "blanket",
]


def _words(rng, n):
    return " ".join(rng.choice(NOUNS) for _ in range(n))


def _sentences(rng, n):
    return " ".join(f"The {rng.choice(NOUNS)} is near the {rng.choice(NOUNS)}." for _ in range(n))


def _lines(rng, n, mark="* "):
    return "\n".join(f"{mark}{_words(rng, 4)}" for _ in range(n))


def _times(rng, word, n):
    return " ".join(f"{rng.choice(NOUNS)} {word}" for _ in range(n)) or _words(rng, 5)


def words_least(rng):
    n = rng.randint(20, 60)
    return f"Describe a house. Answer with at least {n} words.", _words(rng, n), _words(rng, n - 1)


def words_most(rng):
    n = rng.randint(20, 60)
    return f"Describe a house. Your answer must contain fewer than {n} words.", _words(rng, n - 1), _words(rng, n)


def words_between(rng):
    n = rng.randint(20, 60)
    return f"Describe a house in {n} to {n + 9} words.", _words(rng, n + 9), _words(rng, n + 10)


def words_plus(rng):
    n = rng.randint(20, 60)
    return f"Write a {n}+ word story of a house.", _words(rng, n), _words(rng, n - 1)


def sentences_least(rng):
    n = rng.randint(3, 9)
    return (
        f"What is a comet? Your reply should be at least {n} sentences long.",
        _sentences(rng, n),
        _sentences(rng, n - 1),
    )


def sentences_or(rng):
    return "What is a comet? Organize your answer in 5 or 6 sentences.", _sentences(rng, 6), _sentences(rng, 7)


def sentences_most(rng):
    n = rng.randint(3, 9)
    return f"What is a comet? Use no more than {n} sentences.", _sentences(rng, n), _sentences(rng, n + 1)


def paragraphs(rng):
    n = rng.randint(2, 5)
    made = ["\n\n".join(_sentences(rng, 2) for _ in range(k)) for k in (n, n + 1)]
    return f"Tell me of bees. There should be exactly {n} paragraphs.", *made


def parts(rng):
    n = rng.randint(2, 5)
    made = ["\n***\n".join(_sentences(rng, 2) for _ in range(k)) for k in (n, n + 1)]
    return f"Tell me of bees in exactly {n} paragraphs. Separate the paragraphs with ***", *made


def bullets(rng):
    n = rng.randint(2, 6)
    prompt = f"Name tools. Your answer must contain exactly {n} bullet points in markdown, such as:\n* Point one"
    return prompt, _lines(rng, n), _lines(rng, n + 1)


def highlights(rng):
    n = rng.randint(1, 5)
    made = [" and ".join(f"*{_words(rng, 2)}*" for _ in range(k)) or "nothing" for k in (n, n - 1)]
    return (
        f"Explain rust. Highlight at least {n} sections in your answer with markdown, i.e. *highlighted section*.",
        *made,
    )


def placeholders(rng):
    n = rng.randint(1, 6)
    made = ["Dear you, " + " ".join(f"[{_words(rng, 1)}]" for _ in range(k)) for k in (n, n - 1)]
    return f"Draft a letter. Include at least {n} placeholders represented by square brackets, such as [name].", *made


def capitals(rng):
    n = rng.randint(2, 6)
    made = [_words(rng, 3) + " " + " ".join(rng.choice(NOUNS).upper() for _ in range(k)) for k in (n, n - 1)]
    return f"Write a slogan. Words with all capital letters should appear at least {n} times.", *made


def capitals_most(rng):
    n = rng.randint(2, 6)
    made = [_words(rng, 3) + " " + " ".join(rng.choice(NOUNS).upper() for _ in range(k)) for k in (n - 1, n)]
    return f"Write a slogan. Words with all capital letters should appear less than {n} times.", *made


def sections(rng):
    n = rng.randint(2, 5)
    made = ["\n".join(f"SECTION {k + 1}\n{_sentences(rng, 2)}" for k in range(m)) for m in (n, n - 1)]
    return f"Plan a trip. It must have {n} sections. Mark the beginning of each section with SECTION X.", *made


def keywords(rng):
    first, second = rng.sample(NOUNS, 2)
    return f'Write a poem and include the keywords "{first}" and "{second}".', f"{first}, {second}", f"only {first}"


def keywords_bare(rng):
    first, second, third = rng.sample(NOUNS, 3)
    prompt = f"Write a poem. Include the words {first}, {second} and {third} in it."
    return prompt, f"a {first}, a {second} and a {third}", f"a {second} and a {third}"


def forbidden(rng):
    first, second = rng.sample(NOUNS, 2)
    return f"Write a poem. Do not use the words '{first}' or '{second}'.", f"{first}ish verses", f"a {second} sings"


def forbidden_passive(rng):
    word = rng.choice(NOUNS)
    return f'Write a poem. The word "{word}" should not appear in your reply.', "verses", f"one {word}"


def frequency_least(rng):
    word, n = rng.choice(NOUNS), rng.randint(2, 5)
    return f"Write a song. The word {word} should appear at least {n} times.", f"{word} " * n, f"{word} " * (n - 1)


def frequency_most(rng):
    word, n = rng.choice(NOUNS), rng.randint(2, 5)
    return f'Write a song. The word "{word}" should appear less than {n} times.', f"x {word} " * (n - 1), f"{word} " * n


def frequency_twice(rng):
    word = rng.choice(NOUNS)
    return f"Write a song and include the word {word} at least twice.", f"{word} and {word}", f"one {word}"


def letter_least(rng):
    n = rng.randint(2, 9)
    return f"Write a line. The letter q should appear at least {n} times.", "q a " * n, "q a " * (n - 1) + "b"


def letter_none(rng):
    del rng
    return "Write a line without using the letter e.", "A bird sang", "A bee sang"


def starts(rng):
    phrase = _words(rng, 3)
    return f'Write a line. Start your answer with the phrase "{phrase}".', f"{phrase} and so on", f"So {phrase}"


def ends(rng):
    phrase = _words(rng, 3)
    return (
        f'Finish your answer with the exact phrase "{phrase}". Why is it dark?',
        f"It is. {phrase}",
        f"{phrase} it is",
    )


def opening(rng):
    word = rng.choice(NOUNS)
    good, bad = (f"One.\n\n{first} two.\n\nThree." for first in (word.title(), f"A {word}"))
    return f'Write exactly 3 paragraphs on tea. The second paragraph must start with the word "{word}".', good, bad


def postscript(rng):
    del rng
    prompt = "Write to my aunt. At the end of your response, please explicitly add a postscript starting with P.P.S"
    return prompt, "Dear aunt\nP.P.S. All is well", "Dear aunt\nP.S. All is well"


def options(rng):
    del rng
    prompt = 'Is snow white? Answer with one of the following options: "It is so.", "It is not so.", "I cannot tell."'
    return prompt, "It is so.", "Yes"


def repeat(rng):
    request = f"Write a rhyme about a {rng.choice(NOUNS)} and a king."
    prompt = f"{request}\n\nFirst repeat the request above word for word without change, then give your answer."
    return prompt, f"{request}\n\nThere was one.", "There was a king."


def lower(rng):
    del rng
    return "Write a line. Your entire response should be in all lowercase letters.", "a line", "A line"


def upper(rng):
    del rng
    return "Write a line. Your entire response should be in English, and in all capital letters.", "A LINE", "A line"


def commas(rng):
    del rng
    return "List three fruits. Don't use any commas in your response.", "figs and plums", "figs, plums"


def json_only(rng):
    n = rng.randint(1, 99)
    return "Give the capital of Peru. Wrap your entire output in JSON format.", f'```json\n{{"a": {n}}}\n```', f"a: {n}"


def quoted(rng):
    return "Write a line. Wrap your entire response with double quotation marks.", f'"{_words(rng, 4)}"', _words(rng, 4)


def title(rng):
    made = f"<<{_words(rng, 2)}>>\nverses"
    return (
        "Write a poem with a title wrapped in double angular brackets, i.e. <<title>>.",
        made,
        rng.choice(["<title>\nverses", "<< >>\nverses"]),
    )


def two(rng):
    prompt = "Give two different responses to this, separated by 6 asterisk symbols: ******. Why do cats purr?"
    first, second = _sentences(rng, 1), _sentences(rng, 2)
    return prompt, f"{first}\n******\n{second}", f"{first}\n******\n{first}"


def language(rng):
    del rng
    prompt = "Tell me of the sea. Your response should be in German, no other language is allowed."
    good = "Das Meer ist groß und tief, und die Wellen sind nicht immer ruhig."
    return prompt, good, "The sea is deep and the waves are not always calm, which is what they are for."


def script(rng):
    del rng
    prompt = "Tell me of the sea, using only the Kannada language, no other language is allowed."
    return prompt, "ಸಮುದ್ರವು ಆಳವಾಗಿದೆ ಮತ್ತು ವಿಶಾಲವಾಗಿದೆ", "The sea is deep and wide and blue"


MADE = (
    words_least, words_most, words_between, words_plus, sentences_least, sentences_or, sentences_most, paragraphs, parts,
    bullets, highlights, placeholders, capitals, capitals_most, sections, keywords, keywords_bare, forbidden,
    forbidden_passive, frequency_least, frequency_most, frequency_twice, letter_least, letter_none, starts, ends, opening,
    postscript, options, repeat, lower, upper, commas, json_only, quoted, title, two, language, script,
)  # fmt: skip


@pytest.mark.parametrize("make", MADE, ids=[make.__name__ for make in MADE])
def test_an_answer_that_keeps_to_it_passes_and_one_that_does_not_fails(make):
    for seed in range(10):
        prompt, kept, broken = make(random.Random(seed))
        assert len(instructions_in(prompt)) > 0, prompt
        verdict = CHECK.test(kept, Given(prompt))
        assert verdict.outcome == "pass", (prompt, kept, verdict.evidence)
        verdict = CHECK.test(broken, Given(prompt))
        assert verdict.outcome == "fail", (prompt, broken)
        assert verdict.evidence
        assert verdict.score < 1.0


def test_every_kind_has_answers_made_for_it():
    read = {kind.name for make in MADE for kind in KINDS if list(kind.read(Request(make(random.Random(0))[0])))}
    assert read == {kind.name for kind in KINDS}


def test_the_verdict_says_what_was_broken_and_by_how_much():
    prompt = "Write of tea in at least 50 words. Do not use the word 'cup'. The letter z should appear at most twice."
    verdict = CHECK.test("A cup, zzz", Given(prompt))
    assert "the answer has 3 words, not 50 or more" in verdict.evidence
    assert "'cup' stands in the answer 1 times, not 0" in verdict.evidence
    assert "'z' stands in the answer 3 times, not 0 to 2" in verdict.evidence
    assert verdict.score == 0.0


@pytest.mark.parametrize(
    "prompt",
    [
        "She wrote at least 300 words a day for exactly 3 weeks. How many words is that?",
        "If each bookmark has 12 letters, how many letters do 5 bookmarks have?",
        "Which of the following forbids commas?\nA. No commas\nB. All capital letters\nC. At most two sentences\nAnswer:",
        "What does the word 'tax' mean?",
        "How do you say bread in German?",
        "Translate into German: I am in Paris.",
        'Correct this: "Use no commas. Answer in JSON. Write at least 300 words."',
        "Explain this:\n```\n# Answer in JSON only, with at least 30 words\n```",
        "Write a Python function that counts the words in capital letters.",
        "A poem has three stanzas of four lines and every line has at least eight syllables. How many lines has it?",
        "Why do some letters end with P.S.?",
        "In which year did he repeat the request?",
        "Who may not use the letter e in a lipogram, and who wrote one of at least 50,000 words?",
        "Given S, print it in one line.\n\nSample Input 1\n\nab\n\nSample Output 1\n\nab",
        "The title must be under 10 words; each paragraph should have at least 3 sentences.",
        "Parse the JSON file and list the names.",
        "",
    ],
)
def test_what_only_mentions_such_words_is_no_instruction(prompt):
    assert instructions_in(prompt) == ()


@pytest.mark.parametrize(
    ("prompt", "names"),
    [
        ("Answer in one word.", ["words:1"]),
        ("I don't want anything longer than 30 words. Describe tea.", ["words:..30"]),
        ("Please summarize this in 45 or less words.", ["words:..45"]),
        ("Make sure the word tea appears 3 to 5 times.", ["times:tea"]),
        ("Reply with at least five hashtags and 2 exclamation marks.", ["hashtags:5..", "exclamation marks:2"]),
        ("Write a story. Day X marks each section; it must have 3 sections, each starting with Day X.", ["sections:3"]),
        ("Answer in English, e.g. of the U.S., in at most 20 words.", ["words:..20", "language:en"]),
        ("Please answer in at most\ntwo sentences", ["sentences:..2"]),
    ],
)
def test_numbers_are_read_in_many_wordings(prompt, names):
    assert [check.name for check in instructions_in(prompt)] == names


def test_numbers_in_words():
    assert [number_of(each) for each in ("twelve", "Forty", "a hundred", "1,500", "7")] == [12, 40, 100, 1500, 7]


HOSTILE = [
    "at least " * 12_000, "the word " * 12_000, "no more than 3 " * 7_000, '"' * 100_000, "' \"a " * 20_000, "* _" * 33_000,
    "the " * 25_000, "write a, " * 11_000, "\n*\n" * 33_000, "<<" * 50_000, "[" * 100_000, " " * 100_000, "a" * 100_000,
    "1" * 100_000, "do not use the words a, a, " * 4_000, "separated " * 10_000, "in " * 33_000, "```" * 33_000,
    "word words all in capital letters " * 3_000, "please answer respond reply in using only " * 2_500, "\x01" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_text_made_to_be_slow_does_not_take_for_ever(text):
    asked = "\n".join(make(random.Random(1))[0] for make in MADE)
    began = time.process_time()
    CHECK.test("a", Given(text))
    CHECK.test(text, Given(text))
    CHECK.test(text, Given(asked))
    assert time.process_time() - began < 30.0, "a search that grows with a power of the text takes hours"
