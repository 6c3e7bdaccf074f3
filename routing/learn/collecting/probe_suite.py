"""Sixty short prompts with answers that a machine can check, to place a model that was never seen.

Each item's difficulty is a logit: a model of middling ability is right with probability sigmoid(-difficulty). They are the
author's estimates, on purpose spread from what a very small model can do to what large models often miss.
"""

# ruff: noqa: E501 - a prompt stays on one line

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["SUITE", "ProbeItem", "ProbeKind"]

ProbeKind = Literal["arithmetic", "code", "extraction", "format", "knowledge", "logic", "language"]


@dataclass(frozen=True, slots=True)
class ProbeItem:
    """One prompt of the suite.

    Attributes
    ----------
    checks
        Specifications as `--check` takes them; the answer is right when it passes all.
    difficulty
        On the logit scale.
    """

    id: str
    kind: ProbeKind
    prompt: str
    checks: tuple[str, ...]
    difficulty: float


_NUMBER = " Give the number only."
_WORD = " Answer with one word."
_ROWS: Final[tuple[tuple[ProbeKind, float, str, tuple[str, ...]], ...]] = (
    ("arithmetic", -3.0, "What is 17 + 26?" + _NUMBER, ("number:43",)),
    ("arithmetic", -2.0, "What is 23 times 14?" + _NUMBER, ("number:322",)),
    ("arithmetic", -2.0, "A shirt costs 40 dollars and is 15% off. What is the new price in dollars?" + _NUMBER, ("number:34",)),
    ("arithmetic", -1.5, "A train goes 180 km in 2 hours and 15 minutes. What is its speed in km/h?" + _NUMBER, ("number:80",)),
    ("arithmetic", -0.5, "What is the remainder when 7 to the power 100 is divided by 5?" + _NUMBER, ("number:1",)),
    ("arithmetic", 0.5, "What is 4,837 times 692?" + _NUMBER, ("number:3347204",)),
    ("arithmetic", 0.0, "How many positive divisors does 360 have?" + _NUMBER, ("number:24",)),
    ("arithmetic", 0.5, "How many whole numbers from 1 to 1000 are divisible by neither 2 nor 5 nor 7?" + _NUMBER, ("number:343",)),
    ("arithmetic", 1.0, "In how many ways can a 2 by 10 board be tiled with 1 by 2 dominoes?" + _NUMBER, ("number:89",)),
    ("code", -2.0, "What does this Python print? print(len('banana'))" + _NUMBER, ("number:6",)),
    ("code", -1.5, "What does this Python print? print([x * x for x in range(5)][-1])" + _NUMBER, ("number:16",)),
    ("code", -0.5, "What does this Python print? a = [1, 2, 3]; b = a; b.append(4); print(len(a))" + _NUMBER, ("number:4",)),
    ("code", 0.0, "What does this Python print? print(sum(i for i in range(20) if i % 3 == 1))" + _NUMBER, ("number:70",)),
    ("code", 0.5, "What does this Python print? print('abracadabra'.replace('a', '', 3).count('a'))" + _NUMBER, ("number:2",)),
    ("code", 0.5, "What does this Python print? f = lambda n: n if n < 2 else f(n - 1) + f(n - 2); print(f(11))" + _NUMBER, ("number:89",)),
    ("code", 1.0, "What does this Python print? print(sorted('Zebra apple'.split(), key=str.lower)[0][::-1])" + " Give the output only.", ("is:elppa",)),
    ("code", 1.5, "What does this Python print? d = {}; print([d.setdefault(k, len(d)) for k in 'mississippi'][-1])" + _NUMBER, ("number:1",)),
    ("code", 1.5, "What does this Python print? x = 0b1011 ^ 0b0110; print(x << 2 | 1)" + _NUMBER, ("number:53",)),
    ("extraction", -2.5, "Text: 'The parcel was sent to Maria Lopez in Porto on 3 May.' Which city is named?" + _WORD, ("is:Porto",)),
    ("extraction", -2.0, "Text: 'Invoice 8841: 3 chairs at 45 each, delivery 20.' What is the invoice number?" + _NUMBER, ("number:8841",)),
    ("extraction", -1.0, "Text: 'Invoice 8841: 3 chairs at 45 each, delivery 20, less 10 for the return.' What is to be paid?" + _NUMBER, ("number:145",)),
    ("extraction", -1.0, "Text: 'Ann called Bob, who had written to Cleo before Dan did.' Who wrote to Cleo first?" + _WORD, ("is:Bob",)),
    ("extraction", -0.5, "Text: 'ID=7 ok; ID=12 failed; ID=9 ok; ID=31 failed; ID=4 failed'. What is the sum of the failed IDs?" + _NUMBER, ("number:47",)),
    ("extraction", 0.0, "Text: 'Opened 2 March 2019, closed for repairs from May to July 2020, reopened in August, sold in 2023.' In which year was it repaired?" + _NUMBER, ("number:2020",)),
    ("extraction", 0.5, "Text: 'not the red box but the one left of it, which is green, holds the key; the blue one is empty.' What colour is the box with the key?" + _WORD, ("is:green",)),
    ("extraction", -0.5, 'Text: "Eva Holm, 41, lives in Oslo." Answer with a JSON object that has the keys name, age and city, and nothing else.', ("json", 're:"age"\\s*:\\s*41')),
    ("format", -2.0, "Write the word HELLO in lower case and nothing else.", ("re:^\\W*hello\\W*$",)),
    ("format", -1.5, "Name three colours of the rainbow, one on each line, and nothing else.", ("lines:3",)),
    ("format", -0.5, "Describe the sea in exactly two sentences.", ("sentences:2",)),
    ("format", 0.0, "Describe a forest without using any comma, in 20 to 40 words.", ("no-commas", "words:20..40")),
    ("format", 0.5, "Write exactly twelve words about winter.", ("words:12",)),
    ("format", 0.0, "List five animals as bullets. Each bullet begins with a hyphen. Write nothing else.", ("bullets:5",)),
    ("format", 0.5, "Write one sentence about rain in capital letters only.", ("upper",)),
    ("format", 1.0, "Reply with the letters of the word 'planet' in reverse order, separated by hyphens, and nothing else.", ("is:t-e-n-a-l-p",)),
    ("format", 1.0, "Write the numbers from 1 to 15 separated by single spaces, leaving out every multiple of 4, and nothing else.", ("is:1 2 3 5 6 7 9 10 11 13 14 15",)),
    ("knowledge", -3.0, "What is the capital of France?" + _WORD, ("is:Paris",)),
    ("knowledge", -2.5, "Which planet is nearest to the sun?" + _WORD, ("is:Mercury",)),
    ("knowledge", -2.0, "What is the chemical symbol of sodium?" + " Answer with the symbol only.", ("is:Na",)),
    ("knowledge", -1.5, "In which year did the Berlin Wall fall?" + _NUMBER, ("number:1989",)),
    ("knowledge", -1.0, "Which composer wrote the opera 'Fidelio'? Answer with the surname only.", ("is:Beethoven",)),
    ("knowledge", -0.5, "What is the atomic number of tungsten?" + _NUMBER, ("number:74",)),
    ("knowledge", 0.0, "Which river flows through Vilnius and gives it its name?" + _WORD, ("re:(?i)viln(ia|el[eė])",)),
    ("knowledge", 0.5, "In which year was the Treaty of Tordesillas signed?" + _NUMBER, ("number:1494",)),
    ("knowledge", 1.0, "What is the order of the Mathieu group M11?" + _NUMBER, ("number:7920",)),
    ("logic", -2.0, "All cats are animals. Tom is a cat. Is Tom an animal? Answer yes or no.", ("is:yes",)),
    ("logic", -1.0, "Ann is taller than Bob. Bob is taller than Cleo. Who is the shortest?" + _WORD, ("is:Cleo",)),
    ("logic", -0.5, "If it rains the street is wet. The street is wet. Does it follow that it rains? Answer yes or no.", ("is:no",)),
    ("logic", 0.0, "Sam has three sisters. Each sister has two brothers. How many children are there?" + _NUMBER, ("number:5",)),
    ("logic", 0.5, "Today is Wednesday. Which day is it 100 days from now?" + _WORD, ("is:Friday",)),
    ("logic", 0.5, "Five people shake hands, each pair once, but two of them refuse to shake hands with each other. How many handshakes are there?" + _NUMBER, ("number:9",)),
    ("logic", 1.0, "A says: 'B lies.' B says: 'C lies.' C says: 'A and B both lie.' Each always lies or always tells the truth. Who tells the truth? Answer with one letter.", ("is:B",)),
    ("logic", 1.5, "A drawer holds 10 black, 8 white and 6 grey socks. How many must be taken in the dark to be sure of two pairs of different colours?" + _NUMBER, ("number:13",)),
    ("logic", 1.0, "Turn these cards: A, K, 4, 7. Rule: a card with a vowel on one side has an even number on the other. Which two cards must be turned to test it? Answer with both, separated by a space.", ("re:^\\W*(A\\W+(and\\W+)?7|7\\W+(and\\W+)?A)\\W*$",)),
    ("language", -2.5, "Translate into Spanish: the dog." + " Give the translation only.", ("re:(?i)^\\W*el perro\\W*$",)),
    ("language", -2.0, "What is the plural of 'mouse' (the animal)?" + _WORD, ("is:mice",)),
    ("language", -1.5, "Translate the German word 'Schmetterling' into English." + _WORD, ("is:butterfly",)),
    ("language", -0.5, "Which language is this: 'Kiitos paljon avusta'?" + " Name the language in English, in one word.", ("is:Finnish",)),
    ("language", 0.0, "Give the past participle of the French verb 'vivre'." + _WORD, ("is:vécu",)),
    ("language", 0.5, "What is the Latin word for 'sea' in the genitive singular?" + _WORD, ("is:maris",)),
    ("language", 0.5, "How many times does the letter r stand in 'refrigerator repairer'?" + _NUMBER, ("number:7",)),
)  # fmt: skip

SUITE: Final = tuple(
    ProbeItem(f"probe-{number:02d}-{kind}", kind, prompt, checks, difficulty)
    for number, (kind, difficulty, prompt, checks) in enumerate(_ROWS, start=1)
)
"""The built-in suite."""
