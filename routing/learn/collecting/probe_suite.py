"""About seventy short prompts with answers that a machine can check, to place a model that was never seen.

Each has a level of difficulty, from 1 (any model) to 5 (the best may fail), judged by docs/difficulty.md as any prompt is: an
answer in full, without tools, nearly always right. What a level means for a model, the router's curves say.
"""

# ruff: noqa: E501 - a prompt stays on one line

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["SUITE", "ProbeItem", "ProbeKind", "in_order", "knot"]

ProbeKind = Literal["arithmetic", "code", "extraction", "format", "knowledge", "logic", "language"]


@dataclass(frozen=True, slots=True)
class ProbeItem:
    """One prompt of the suite.

    Attributes
    ----------
    checks
        Specifications as `--check` takes them; the answer is right when it passes all.
    level
        Of difficulty, in [1, 5].
    """

    id: str
    kind: ProbeKind
    prompt: str
    checks: tuple[str, ...]
    level: float


_NUMBER = " Give the number only."
_WORD = " Answer with one word."
_ROWS: Final[tuple[tuple[ProbeKind, float, str, tuple[str, ...]], ...]] = (
    ("arithmetic", 1.0, "What is 17 + 26?" + _NUMBER, ("number:43",)),
    ("arithmetic", 1.5, "What is 23 times 14?" + _NUMBER, ("number:322",)),
    ("arithmetic", 1.5, "A shirt costs 40 dollars and is 15% off. What is the new price in dollars?" + _NUMBER, ("number:34",)),
    ("arithmetic", 2.0, "A train goes 180 km in 2 hours and 15 minutes. What is its speed in km/h?" + _NUMBER, ("number:80",)),
    ("arithmetic", 2.5, "What is the remainder when 7 to the power 100 is divided by 5?" + _NUMBER, ("number:1",)),
    ("arithmetic", 3.0, "In how many ways can a 2 by 10 board be tiled with 1 by 2 dominoes?" + _NUMBER, ("number:89",)),
    ("arithmetic", 3.5, "How many whole numbers from 1 to 1000 are divisible by neither 2 nor 5 nor 7?" + _NUMBER, ("number:343",)),
    ("arithmetic", 3.5, "How many whole numbers from 1 to 1000 have digits that add up to 10?" + _NUMBER, ("number:63",)),
    ("arithmetic", 4.0, "What is the smallest positive whole number that leaves the remainder 2 by 3, 3 by 5, 4 by 7 and 5 by 11?" + _NUMBER, ("number:368",)),
    ("arithmetic", 4.0, "With how many zeros does 1000 factorial end when it is written in base 12?" + _NUMBER, ("number:497",)),
    ("arithmetic", 4.5, "What is 4,837 times 692?" + _NUMBER, ("number:3347204",)),
    ("arithmetic", 4.5, "What are the last four digits of 7 to the power 2026?" + _NUMBER, ("number:5649",)),
    ("arithmetic", 5.0, "What is 48,271,937 times 9,182,736?" + _NUMBER, ("number:443268453679632",)),
    ("code", 1.0, "What does this Python print? print(len('banana'))" + _NUMBER, ("number:6",)),
    ("code", 2.0, "What does this Python print? a = [1, 2, 3]; b = a; b.append(9); print(len(a))" + _NUMBER, ("number:4",)),
    ("code", 2.5, "What does this Python print? print(sum(i for i in range(20) if i % 3 == 1))" + _NUMBER, ("number:70",)),
    ("code", 2.5, "What does this Python print? f = lambda n: n if n < 2 else f(n - 1) + f(n - 2); print(f(11))" + _NUMBER, ("number:89",)),
    ("code", 3.0, "What does this Python print? d = {}; print([d.setdefault(k, len(d)) for k in 'mississippi'][-1])" + _NUMBER, ("number:1",)),
    ("code", 3.5, "What does this Python print? x = 7\nfor i in range(1, 8): x = (x * 5 + i) % 31\nprint(x)" + _NUMBER, ("number:19",)),
    ("code", 4.0, "What does this Python print? print(sum(1 for n in range(1, 200) if bin(n).count('1') == 3))" + _NUMBER, ("number:53",)),
    ("code", 5.0, "What does this Python print? x = 1\nfor _ in range(6): x = (x * 1103515245 + 12345) % 2147483648\nprint(x)" + _NUMBER, ("number:368800899",)),
    ("code", 5.0, "What does this Python print? print(987654321 * 123456789 % 1000003)" + _NUMBER, ("number:839324",)),
    ("extraction", 1.0, "Text: 'The parcel was sent to Maria Lopez in Porto on 3 May.' Which city is named?" + _WORD, ("is:Porto",)),
    ("extraction", 1.5, "Text: 'not the red box but the one left of it, which is green, holds the key; the blue one is empty.' What colour is the box with the key?" + _WORD, ("is:green",)),
    ("extraction", 1.5, 'Text: "Eva Holm, 41, lives in Oslo." Answer with a JSON object that has the keys name, age and city, and nothing else.', ("json", 're:"age"\\s*:\\s*41')),
    ("extraction", 2.0, "Text: 'Invoice 8841: 3 chairs at 45 each, delivery 20, less 10 for the return.' What is to be paid?" + _NUMBER, ("number:145",)),
    ("extraction", 2.0, "Text: 'Ann called Bob, who had written to Cleo before Dan did.' Who wrote to Cleo first?" + _WORD, ("is:Bob",)),
    ("extraction", 2.0, "Text: 'ID=7 ok; ID=12 failed; ID=9 ok; ID=31 failed; ID=4 failed'. What is the sum of the failed IDs?" + _NUMBER, ("number:47",)),
    ("extraction", 2.5, "Text: '10 bikes at first. Mon 3 in, 1 out; Tue 5 in, 4 out; Wed 2 in, 6 out; Thu 4 in, 0 out.' At the end of which day were there fewest? Answer with its name as written.", ("re:(?i)^\\W*wed(nesday)?\\W*$",)),
    ("extraction", 4.0, "Text: 'The eager geese fled westward when the elderly gamekeeper left the gate between the meadows open.' How many times does the letter e stand in it?" + _NUMBER, ("number:25",)),
    ("format", 1.0, "Write the word HELLO in lower case and nothing else.", ("re:^\\W*hello\\W*$",)),
    ("format", 1.0, "Name three colours of the rainbow, one on each line, and nothing else.", ("lines:3",)),
    ("format", 1.5, "Describe the sea in exactly two sentences.", ("sentences:2",)),
    ("format", 2.5, "Describe a forest without using any comma, in 20 to 40 words.", ("no-commas", "words:20..40")),
    ("format", 2.5, "Reply with the letters of the word 'planet' in reverse order, separated by hyphens, and nothing else.", ("is:t-e-n-a-l-p",)),
    ("format", 2.5, "Write the numbers from 1 to 15 separated by single spaces, leaving out every multiple of 4, and nothing else.", ("is:1 2 3 5 6 7 9 10 11 13 14 15",)),
    ("format", 3.0, "Write exactly twelve words about winter.", ("words:12",)),
    ("format", 4.0, "Describe a storm at sea in exactly three sentences and exactly 25 words altogether.", ("sentences:3", "words:25")),
    ("format", 4.5, "Describe a cat in one sentence of 15 to 20 words without using the letter e anywhere.", ("lacks:e", "words:15..20", "sentences:1")),
    ("format", 4.5, "Write one sentence of seven words whose lengths are 1, 2, 3, 4, 5, 6 and 7 letters, in this order, and nothing else.", ("re:(?i)^\\W*[a-z]\\W+[a-z]{2}\\W+[a-z]{3}\\W+[a-z]{4}\\W+[a-z]{5}\\W+[a-z]{6}\\W+[a-z]{7}\\W*$",)),
    ("format", 5.0, "Write a text about rain that is exactly 100 characters long, spaces and punctuation counted, and nothing else.", ("chars:100",)),
    ("knowledge", 1.0, "What is the capital of France?" + _WORD, ("is:Paris",)),
    ("knowledge", 1.0, "Which planet is nearest to the sun?" + _WORD, ("is:Mercury",)),
    ("knowledge", 1.0, "What is the chemical symbol of sodium?" + " Answer with the symbol only.", ("is:Na",)),
    ("knowledge", 1.0, "In which year did the Berlin Wall fall?" + _NUMBER, ("number:1989",)),
    ("knowledge", 2.0, "Which composer wrote the opera 'Fidelio'? Answer with the surname only.", ("is:Beethoven",)),
    ("knowledge", 3.0, "Which river flows through Vilnius and gives it its name?" + _WORD, ("re:(?i)viln(ia|el[eė])",)),
    ("knowledge", 4.0, "What is the order of the Janko group J1?" + _NUMBER, ("number:175560",)),
    ("knowledge", 4.5, "What is the order of the Conway group Co3?" + _NUMBER, ("number:495766656000",)),
    ("knowledge", 5.0, "Which four digits stand at the places 61 to 64 after the decimal point of pi?" + _NUMBER, ("number:5923",)),
    ("knowledge", 5.0, "What is the 1500th prime number?" + _NUMBER, ("number:12553",)),
    ("logic", 1.0, "All cats are animals. Tom is a cat. Is Tom an animal? Answer yes or no.", ("is:yes",)),
    ("logic", 1.0, "Ann is taller than Bob. Bob is taller than Cleo. Who is the shortest?" + _WORD, ("is:Cleo",)),
    ("logic", 2.0, "If it rains the street is wet. The street is wet. Does it follow that it rains? Answer yes or no.", ("is:no",)),
    ("logic", 2.5, "Sam is a boy and has three sisters. Each sister has two brothers. How many children are there?" + _NUMBER, ("number:5",)),
    ("logic", 2.5, "Today is Wednesday. Which day is it 100 days from now?" + _WORD, ("is:Friday",)),
    ("logic", 3.0, "A says: 'B lies.' B says: 'C lies.' C says: 'A and B both lie.' Each always lies or always tells the truth. Who tells the truth? Answer with one letter.", ("is:B",)),
    ("logic", 3.5, "A drawer holds 10 black, 8 white and 6 grey socks. How many must be taken in the dark to be sure of two pairs of different colours?" + _NUMBER, ("number:13",)),
    ("logic", 3.5, "A boy is hurt. The surgeon, who is the boy's father, says: 'I cannot operate on him, he is my son.' What is the surgeon to the boy?" + _WORD, ("is:father",)),
    ("logic", 4.0, "There is a car behind one of three doors. You choose one. The host, who does not know where the car is, opens another at random: a goat. With what probability do you win by switching? Answer with a fraction only.", ("number:0.5",)),
    ("logic", 4.0, "How many sequences of 12 coin tosses have no three heads in a row?" + _NUMBER, ("number:1705",)),
    ("logic", 4.5, "In how many ways can a 4 by 7 board be tiled with 1 by 2 dominoes?" + _NUMBER, ("number:781",)),
    ("logic", 5.0, "In how many orders of the numbers 1 to 7 do no two neighbours differ by exactly 1?" + _NUMBER, ("number:646",)),
    ("language", 1.0, "Translate into Spanish: the dog." + " Give the translation only.", ("re:(?i)^\\W*el perro\\W*$",)),
    ("language", 1.0, "Translate the German word 'Schmetterling' into English." + _WORD, ("is:butterfly",)),
    ("language", 1.5, "Which language is this: 'Kiitos paljon avusta'?" + " Name the language in English, in one word.", ("is:Finnish",)),
    ("language", 2.0, "Give the past participle of the French verb 'vivre'." + _WORD, ("is:vécu",)),
    ("language", 3.0, "How many times does the letter r stand in 'refrigerator repairer'?" + _NUMBER, ("number:7",)),
    ("language", 3.5, "What is the Latin verb 'fero' in the first person singular of the pluperfect subjunctive active?" + _WORD, ("is:tulissem",)),
    ("language", 4.0, "Give the Finnish noun 'kauppa' in the comitative with the possessive suffix of the third person." + _WORD, ("is:kauppoineen",)),
)  # fmt: skip

SUITE: Final = tuple(
    ProbeItem(f"probe-{number:02d}-{kind}", kind, prompt, checks, level)
    for number, (kind, level, prompt, checks) in enumerate(_ROWS, start=1)
)
"""The built-in suite."""

_ORDER_SEED: Final = 2026
"""Shuffles each level, always alike: a probe that ends early has tried the same prompts as any other that long."""


def knot(level: float) -> int:
    """Return the whole level that a level counts to, from 1 to 5; halves count upwards."""
    return int(level + 0.5)


def in_order() -> list[ProbeItem]:
    """Return the suite in the order it is asked in: shuffled, every level evenly from the first five on."""
    rng = random.Random(_ORDER_SEED)  # noqa: S311 - an order, not a secret
    placed: list[tuple[float, int, ProbeItem]] = []
    for level in range(1, 6):
        items = [item for item in SUITE if knot(item.level) == level]
        rng.shuffle(items)
        placed += [((k + 0.5) / len(items), level, item) for k, item in enumerate(items)]
    return [item for _, _, item in sorted(placed, key=lambda each: each[:2])]
