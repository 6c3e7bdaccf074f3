"""Write N real prompts, each different, as JSON Lines: sums, capitals, words, small facts.

python bench/prompts.py 200 > prompts.jsonl
"""

import json
import random
import sys

CAPITALS = [
    "France",
    "Japan",
    "Kenya",
    "Peru",
    "Norway",
    "Egypt",
    "Canada",
    "Chile",
    "Greece",
    "Cuba",
    "Ghana",
    "Nepal",
    "Iran",
    "Spain",
    "Qatar",
    "Mali",
]
WORDS = [
    "warm",
    "early",
    "brave",
    "quiet",
    "cheap",
    "narrow",
    "ancient",
    "gentle",
    "steep",
    "honest",
    "fragile",
    "rapid",
    "hollow",
    "bitter",
    "loud",
]
TOPICS = [
    "rain",
    "a",
    "volcano",
    "bread",
    "the",
    "moon",
    "a",
    "bicycle",
    "salt",
    "a",
    "compass",
    "glass",
    "sleep",
    "honey",
]
FACTS = [
    "How many days are there in {}?",
    "Name one animal that lives in {}.",
]
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
PLACES = [
    "the desert",
    "the sea",
    "a forest",
    "the Arctic",
    "a river",
    "a cave",
    "the savanna",
    "a pond",
    "the mountains",
    "a garden",
]


def prompts(n, seed=0):
    rng = random.Random(seed)
    made = [f"What is the capital of {country}?" for country in CAPITALS]
    made += [f"Give one word that means the opposite of {word!r}." for word in WORDS]
    made += [FACTS[0].format(month) for month in MONTHS] + [FACTS[1].format(place) for place in PLACES]
    while len(made) < n:
        a, b = rng.randint(2, 99), rng.randint(2, 99)
        kind = rng.randrange(3)
        text = (
            f"What is {a} + {b}?",
            f"What is {a} times {b}?",
            f"Is {a * b} greater than {a * 50}? Answer yes or no.",
        )
        if text[kind] not in made:
            made.append(text[kind])
    rng.shuffle(made)
    return made[:n]


if __name__ == "__main__":
    for i, text in enumerate(prompts(int(sys.argv[1]) if len(sys.argv) > 1 else 200), 1):
        print(json.dumps({"id": f"q{i:03}", "prompt": text}))
