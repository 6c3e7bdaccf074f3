"""Print 400 made-up outcomes for lab.toml: short answers do for easy questions and mostly fail on hard ones.

python docs/examples/outcomes.py > outcomes.jsonl
"""

import json
import random

draw = random.Random(0)
for n in range(400):
    hard = draw.random() < 0.5
    prompt = (
        f"Prove that for every integer n > {n} the sum of the first n odd numbers plus {draw.randint(2, 999)} "
        "satisfies the stated recurrence; derive each step."
        if hard
        else f"What is the colour of item {n} in the list of {draw.choice(['fruit', 'cars', 'birds'])}? One word."
    )
    chance = {"short": 0.05 if hard else 0.95, "long": 0.95}
    cost = {"short": 0.0001, "long": 0.005}
    models = {
        arm: {
            "score": int(draw.random() < chance[arm]),
            "input_tokens": len(prompt) // 4,
            "output_tokens": draw.randint(20, 60),
            "cost_usd": cost[arm],
        }
        for arm in chance
    }
    print(json.dumps({"id": f"made-up-{n}", "source": "made-up", "prompt": prompt, "models": models}))
