"""The names of the commands, for whatever has to know them before any is built."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["COMMANDS", "GROUPS"]

COMMANDS: Final[dict[str, str]] = {
    "ask": "Answer a prompt with the cheapest arm that will do the job.",
    "chat": "Talk, turn by turn: each routed, under one cap.",
    "route": "Show which arm would take a prompt, and why. Sends nothing.",
    "batch": "Answer a file of prompts under one budget. Resumable.",
    "serve": "An endpoint for other programs (OpenAI, Anthropic).",
    "run": "Run a command whose model calls go through scrimp.",
    "templates": "Prompts kept under a name: ask --save, ask -t.",
    "alias": "Your own names for arms and models, for -m.",
    "log": "What was asked, why an arm was chosen, what came of it.",
    "spend": "Show what was spent, and what the caps leave.",
    "budget": "Show, set or lift the caps that all profiles share.",
    "alerts": "What is told of caps, breaches and batches, and how.",
    "plans": "Plans of several calls: what each cost and brought.",
    "report": "Show how good the answers were, and what that cost.",
    "rate": "Record how good an answer was: good, bad, or 0 to 1.",
    "redo": "Ask a prompt again, of another arm.",
    "probe": "Place an arm that the router has not seen.",
    "duel": "Two arms, unnamed: which answer is better?",
    "learn": "Labels: what says how good answers were.",
    "refit": "Learn from your own outcomes; refuse what does not help.",
    "router": "Versions of the router: list, compare, promote, roll back.",
    "replay": "What-if over the log: which decisions would change.",
    "train": "Learn a router from files of outcomes.",
    "eval": "Measure routers on files of outcomes.",
    "models": "List a profile's arms: prices, limits, capabilities, keys.",
    "guard": "How well guards tell what is out of scope.",
    "demo": "A tour without a key: route, cap, cascade, refit.",
    "setup": "Find keys, ask what you want, write your profile.",
    "profile": "Arms, caps and a policy under one name.",
    "keys": "API keys: readable by you alone, never shown.",
    "resident": "The process that makes the next command instant.",
    "doctor": "Check everything scrimp stands on; say what to mend.",
    "completions": "Complete commands, options, arms and profiles.",
}
"""Every command, in the order of the help page, with its line there.
The module of the same name in this folder holds it, as `app`."""

GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "Asking": ("ask", "chat", "redo", "route", "batch", "serve", "run", "alias", "templates"),
    "Looking back": ("log", "report", "plans"),
    "Spending": ("spend", "budget", "alerts"),
    "Learning": ("rate", "duel", "learn", "probe", "refit", "router", "replay", "train", "eval"),
    "Set-up": ("setup", "demo", "profile", "keys", "models", "guard", "resident", "doctor", "completions"),
}
"""The headings of the help page, and which commands stand under each (those of them that there are)."""
