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
# minute_usd = 0.05  # what a minute of waiting for an answer costs you; or `ask --fast`
# max_seconds = 20  # only arms that are expected to be done in time
# weights = {{ size = 0.0001, recency = 0.01, verbosity = 0.001, security = 0.002 }}  # held against an arm, in
#   USD: a billion parameters, a year of age, 1,000 tokens of answer, a call that leaves this machine

[guard]  # what is looked at before a prompt leaves
# private = "redact"  # off, warn, redact, local or refuse: keys, cards, e-mail, phone numbers ...
# names = ["Ada Lovelace", "Project Heron"]  # what else is private; or ["file:clients.txt"], a name a line
# risky = "warn"  # off, warn, ask, refuse or "arm:NAME": where even the best arm is likely wrong
# risk_below = 0.25
# scope = {{ examples = "scope.jsonl", outside = "refuse" }}  # what the arms are for; or "default", or "arm:NAME"
# unsafe = {{ use = "arm:{arm}" }}  # the arm that takes prompts which are like unsafe ones

# The first rule that fits a prompt says which arms may take it.
# [[rules]]
# when = {{ has = "code" }}  # match, language, has, tag, command: all that is said has to hold
# use = ["{arm}"]  # or never = [...]

[log]
# keep = "all"  # all, features (no text) or money (neither)
# retention_days = 365
# signals = "redo"  # weak labels from what you do: off, redo, or all (nearly the same asked within a minute, too)

[resident]
# start = "auto"  # auto: after a question at a terminal, keep a process that makes the next one instant; off: never

# An arm by the name of one above changes that one key by key; another name adds an arm.
# [[arms]]
# name = "{arm}"
# model = "{model}"
# max_output_tokens = 1024
# tier = "small"  # small, medium or large
# size = "8B"  # its parameters, and release = "2026-03", its month: for weights and `--need "size<=8B"`
# tags = ["eu"]  # what `--need eu` asks for: a region, a contract, anything
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
