"""What `scrimp profile init` writes."""

from __future__ import annotations

from typing import Final

__all__ = ["STARTER"]

STARTER: Final = """\
# A profile of scrimp: the models it may use, what it may spend, and how it weighs one against the other.
# Everything in a comment shows what can be set; `scrimp profile show --origin` shows what holds.
name = "{name}"
extends = "{template}"  # with its arms: {arms}
# default_arm = "{arm}"  # the safe arm: taken when the router should not be trusted

[caps]  # in USD; a call that could exceed one is not sent
# per_call_usd = 0.05
# per_run_usd = 1.00
# per_day_usd = 2.00
# per_month_usd = 20.00
# timezone = "local"  # when a day ends

[policy]
# prefer = "balanced"  # cheap, balanced or best: a right answer is worth $0.01, $0.10 or $1.00; or wtp_usd = 0.05
# min_quality = 0.0
# explore = 0.02

[log]
# keep = "all"  # all, features (no text) or money (neither)
# retention_days = 365

[resident]
# start = "auto"  # auto: after a question at a terminal, keep a process that makes the next one instant; off: never

# An arm by the name of one above changes that one key by key; another name adds an arm.
# [[arms]]
# name = "{arm}"
# model = "{model}"
# max_output_tokens = 1024
# tier = "small"  # small, medium or large
# key_env = "MY_API_KEY"  # or key_cmd = ["pass", "show", "mine"], or `scrimp keys set`
# price = {{ input_usd_per_mtok = 0.25, output_usd_per_mtok = 2.00 }}  # wins over the price table
# cap = {{ per_day_usd = 1.00 }}
# `efforts = ["low", "medium", "high"]` in place of reasoning_effort makes arms under one cap: {arm}:low to {arm}:high.

# An arm may be told how to answer. What it does not say it takes from the one that it is like.
# [[arms]]
# name = "careful"
# like = "{arm}"
# about = "questions of law and contracts"  # `scrimp route` says which arm's is nearest to a prompt
# system = "Weigh both sides before you answer."  # or "file:careful.md", a file beside this one
# prompt = "Think it through step by step.\\n\\n{{{{input}}}}"
"""
