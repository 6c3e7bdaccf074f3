"""A log made up in a real ledger: days, arms, plans, guards, labels, duels and refits, with a known truth."""

import json
import math
import random

from scrimp.routing.ledger.documents import insert_request
from scrimp.routing.ledger.duels import add_duel, give_verdict
from scrimp.routing.ledger.labels import add_label
from scrimp.routing.ledger.learning import add_refit
from scrimp.routing.ledger.store import instant, new_id

DAY = 86_400.0

NOW = 1_790_000_000.0

ARMS = {"small": (0.62, 0.0004), "medium": (0.74, 0.0021), "large": (0.86, 0.0150), "coder:low": (0.70, 0.0060)}
"""Of each arm: how often it is right, and what an answer costs, in USD."""

GUARDS = (
    ("private", "changed"),
    ("scope", "passed"),
    ("scope", "refused"),
    ("rules", "passed"),
    ("private", "passed"),
    ("risk", "warned"),
)


def weighed(name, quality, cost, taken):
    return {
        "name": name, "model": f"made-up/{name}", "quality": quality, "quality_low": quality - 0.1,
        "quality_high": min(1.0, quality + 0.1), "basis": "calibrated", "rests_on": "its own outcomes",
        "input_tokens": 120, "input_bound": 130, "cached_tokens": None, "output_tokens_p50": 200,
        "output_tokens_p90": 500, "output_limit": 1000, "cost_usd": round(cost, 9), "cost_usd_p90": round(2 * cost, 9),
        "bound_usd": round(3 * cost, 9), "utility": 0.1 * quality - cost, "propensity": 0.9 if taken else 0.1,
        "feasible": True, "barrier": None, "by_cap": False, "limit_lowered": False,
        "why": "taken" if taken else "worth less", "near": "", "nearness": 1.0, "learned": 0.0,
        "flip_cost_usd": None, "flip_wtp_usd": None,
    }  # fmt: skip


def decision(of, profile, arm, shift, rng, plan=None, guards=()):
    arms = [
        weighed(name, min(0.99, max(0.01, quality + shift)), cost * math.exp(rng.gauss(0, 0.3)), name == arm)
        for name, (quality, cost) in ARMS.items()
    ]
    return {
        "schema_version": 1, "id": of, "profile": profile, "arm": arm, "greedy_arm": arm, "explored": False,
        "propensity": 0.9, "propensity_note": None, "guard": None, "wtp_usd": 0.1, "min_quality": 0.0, "explore": 0.02,
        "ood": 0.3, "level": 2.5, "against": None, "price_share": None, "router_version": "shipped",
        "embedder_id": "made-up", "input_tokens": 120, "required": [], "pace": None, "plan": plan, "plans": [],
        "conversation": None, "guards": list(guards), "arms": arms,
    }  # fmt: skip


def fill(ledger, *, n=400, now=NOW, days=45, profile="work", seed=1, keep=True, word=None):
    """Write so many requests; return what is true of them: charged nano-USD, answers, right ones.

    `word(i)` is what a stranger could put wherever a text of request i stands: prompt, answer, tag, model, error, why.
    """
    rng = random.Random(seed)
    truth = {"charged_nano": 0, "n": n, "known": 0, "right": 0, "ids": [], "guards": 0}
    with ledger.transaction():
        for i in range(n):
            at = now - days * DAY * (1 - i / n)
            day, month = ledger.windows(at)
            of = new_id(at)
            truth["ids"].append(of)
            arm = rng.choices([*ARMS], [6, 3, 2, 1])[0]
            quality, cost = ARMS[arm]
            shift = rng.gauss(0, 0.08)
            staged = i % 5 == 0
            plan = None
            if staged:
                plan = {
                    "text": "small ? checks > large", "spelled": None, "name": "careful", "asked_for": False,
                    "stages": [{"arms": ["small"], "gate": "*", "how": "one"}, {"arms": ["large"], "gate": None, "how": "one"}],
                    "expected": {"quality": 0.8, "cost_usd": 0.004},
                }  # fmt: skip
                arm = "large" if i % 15 == 0 else "small"
                quality, cost = ARMS[arm]
            found = []
            if i % 3 == 0:
                guard, outcome = GUARDS[i // 3 % len(GUARDS)]
                found.append(
                    {
                        "guard": guard,
                        "outcome": outcome,
                        "why": f"what {guard} found" if word is None else word(i),
                        "detail": {},
                    }
                )
                truth["guards"] += 1
            nano = round(cost * math.exp(rng.gauss(0, 0.5)) * 1e9)
            insert_request(
                ledger,
                {
                    "id": of, "created_at": instant(at), "command": "ask", "profile": profile, "conversation_id": of,
                    "prompt": None if not keep else f"question {i}" if word is None else word(i),
                    "answer": None if not keep else f"answer {i}" if word is None else word(i),
                    "error": None if word is None else word(i)[:2000], "tag": None if word is None else word(i)[:2000],
                    "router_version": "shipped", "decision": json.dumps(decision(of, profile, arm, shift, rng, plan, found)),
                    "arm": arm, "propensity": 0.9, "status": "ok",
                },
            )  # fmt: skip
            stages = (
                [("small", round(nano * 0.1)), ("large", nano - round(nano * 0.1))]
                if staged and arm == "large"
                else [(arm, nano)]
            )
            for seq, (each, charged) in enumerate(stages, start=1):
                call = ledger.insert(
                    "reservations",
                    {
                        "request_id": of, "profile": profile, "arm": each, "source": "ask", "at": instant(at), "day": day,
                        "month": month, "status": "unverified" if i % 97 == 0 else "settled", "reserved_nano": 3 * charged,
                        "charged_nano": charged, "sent": 1,
                    },
                )  # fmt: skip
                ledger.insert(
                    "attempts",
                    {
                        "id": call, "request_id": of, "seq": seq, "kind": "first", "arm": each,
                        "requested_model": f"made-up/{each}", "served_model": f"made-up/{each}" if word is None else word(i)[:200], "started_at": instant(at),
                        "input_tokens": 120, "output_tokens": rng.randint(20, 600), "cost_nano": charged,
                        "latency_s": rng.uniform(0.3, 6.0), "finish_reason": "stop", "usage_status": "reported",
                        "expected_output": 200, "expected_output_p90": 540, "expected_s": 2.0, "expected_s_p90": 5.5,
                    },
                )  # fmt: skip
                truth["charged_nano"] += charged
                if staged:
                    ledger.insert(
                        "steps",
                        {
                            "request_id": of, "seq": seq, "stage": seq, "kind": "ask", "arm": each, "outcome": "answered",
                            "verdicts": json.dumps(
                                [{"check": "number:42", "outcome": "pass" if seq == len(stages) else "fail", "evidence": "", "cost_usd": 0.0}]
                            ),
                            "charged_nano": charged, "taken": int(seq == len(stages)), "at": instant(at),
                        },
                    )  # fmt: skip
            if i % 2 == 0:
                good = rng.random() < min(0.99, max(0.01, quality + shift))
                add_label(ledger, request_id=of, arm=arm, reward=float(good), source="rating", at=instant(at))
                truth["known"] += 1
                truth["right"] += good
    return truth


def fight(ledger, truth, *, n=60, now=NOW, profile="work", seed=2):
    """Write so many duels between arms of known strength."""
    rng = random.Random(seed)
    strength = {"small": -0.8, "medium": 0.0, "large": 1.0}
    for i in range(n):
        left, right = rng.sample([*strength], 2)
        of = new_id(now + i)
        add_duel(
            ledger, duel_id=of, at=instant(now + i), profile=profile, requests=(truth["ids"][i], truth["ids"][-i - 1]),
            arms=(left, right), models=(f"made-up/{left}", f"made-up/{right}"), instructions=(None, None),
            propensity=0.5, chances=None, prompt_key=None,
        )  # fmt: skip
        p = 1 / (1 + math.exp(strength[right] - strength[left]))
        verdict = "tie" if rng.random() < 0.15 else "left" if rng.random() < p else "right"
        give_verdict(ledger, of, verdict, why=None, at=instant(now + i))


REFITS = (
    ("refused", None, (0.00031, -0.0004, 0.00105)),
    ("promoted", "r0001", (0.00120, 0.00034, 0.00207)),
    ("no-change", None, (None, None, None)),
    ("refused", "r0002", (-0.00022, -0.00101, 0.00058)),
)


def learn(ledger, *, now=NOW, profile="work"):
    """Write some refits."""
    for i, (verdict, version, (gain, low, high)) in enumerate(REFITS):
        data = {
            "gain_utility": {"estimate": gain, "low": low, "high": high}, "reasons": [f"the reason of refit {i}"],
            "n_labels": 100 * (i + 1), "n_judged": 40 * (i + 1),
        }  # fmt: skip
        add_refit(
            ledger, at=instant(now - (4 - i) * 7 * DAY), profile=profile, verdict=verdict, version=version,
            tested=gain is not None, alpha=0.01, last_label=i, forced=False, data=json.dumps(data),
        )  # fmt: skip
