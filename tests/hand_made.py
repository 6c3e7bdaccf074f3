"""Options and decisions made by hand: arms with the numbers that a test is about."""

import random

from scrimp.routing.deciding.policy import Option, choose
from scrimp.routing.deciding.trace import Decision


def option(arm, quality, cost_usd, **changes):
    nano = None if cost_usd is None else round(cost_usd * 1e9)
    values = {
        "arm": arm,
        "model": f"openai/{arm}",
        "quality": quality,
        "quality_low": max(0.0, quality - 0.1),
        "quality_high": min(1.0, quality + 0.1),
        "basis": "calibrated",
        "input_tokens": 10,
        "output_tokens_p50": 100,
        "output_tokens_p90": 300,
        "input_bound": 40,
        "output_limit": 4096,
        "cost_nano": nano,
        "cost_p90_nano": None if nano is None else 2 * nano,
        "bound_nano": None if nano is None else 10 * nano,
    }
    return Option(**{**values, **changes})


def pick(options, **wishes):
    return choose(options, **{"wtp_usd": 0.1, "rng": random.Random(0), **wishes})


def decision(options, **changes):
    wishes = {key: changes[key] for key in ("wtp_usd", "min_quality") if key in changes}
    values = {
        "id": "01k", "profile": "work", "choice": pick(options, **wishes), "wtp_usd": 0.1, "min_quality": 0.0,
        "explore": 0.0, "ood": 0.4, "router_version": "r1", "embedder_id": "e", "input_tokens": 10,
    }  # fmt: skip
    return Decision(**{**values, **changes})
