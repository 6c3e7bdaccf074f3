"""Rows of the log for a request and an attempt."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from scrimp.routing.ledger.documents import MAX_KEPT
from scrimp.routing.ledger.store import instant
from scrimp.routing.prompts.chat_log import columns

from .call_options import logged

if TYPE_CHECKING:
    from scrimp.routing.calls.call import Reply
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.prices.usage import Usage
    from scrimp.routing.prompts.context import Context
    from scrimp.routing.prompts.prompt import Prompt

    from .request import Ask

__all__ = ["attempt_row", "request_row"]


def request_row(ask: Ask, decision: Decision, context: Context | None, now: float) -> dict[str, object]:
    """Return the log's row for a request, with as much of it as the profile keeps (`documents.write_request`).

    Parameters
    ----------
    context
        The prompt's features; None where nothing was embedded, since there was nothing to choose.
    now
        POSIX time.
    """
    prompt = ask.prompt
    trace = decision.to_dict()
    if ask.keep == "all" and (options := logged(ask.params, ask.output_limit)):
        trace["options"] = options
    row: dict[str, object] = {
        "id": decision.id,
        "created_at": instant(now),
        "command": ask.command,
        "profile": decision.profile,
        "conversation_id": ask.conversation_id or decision.id,
        "redo_of": ask.redo_of,
        "embedding": None if context is None else context.embedding.astype("<f4").tobytes(),
        "surface": None if context is None else json.dumps([round(float(value), 6) for value in context.surface]),
        "embedder_id": None if context is None else decision.embedder_id,
        "router_version": decision.router_version,
        "decision": json.dumps(trace),
        "arm": decision.arm,
        "propensity": decision.choice.propensity,
        "status": "pending",
        "tag": ask.tag,
    }
    if prompt.sources:
        row |= _files(prompt, keep=ask.keep)
    if ask.recalled is not None:
        row["memory"] = json.dumps(ask.recalled.to_dict())
    if ask.hint is not None:
        row |= ask.hint.columns()
    if ask.keep == "all" and prompt.chat is not None:
        row |= {**columns(prompt.chat, ask.after, prompt.own_format), "schema": prompt.schema_text or None}
    elif ask.keep == "all":
        row |= {
            "system": prompt.system,
            "prompt": prompt.text,
            "attachments": json.dumps([each.describe() for each in prompt.attachments]) if prompt.attachments else None,
            "schema": prompt.schema_text or None,
            "messages": json.dumps([[turn.prompt, turn.answer] for turn in prompt.history]) if prompt.history else None,
        }
    return row


def _files(prompt: Prompt, *, keep: str) -> dict[str, object]:
    """Return what the log keeps of a prompt's files: names, paths and texts only where it keeps text at all.

    Texts (`documents`) of more than `MAX_KEPT` characters together are not kept: they are read again where they are.
    """
    everything = keep == "all"
    own = ("name", "sha256", "n_chars", "n_tokens", "path") if everything else ("sha256", "n_chars", "n_tokens")
    files = [{name: value for name, value in each.to_dict().items() if name in own} for each in prompt.sources]
    texts = {}
    if everything and sum(len(each.text) for each in prompt.sources) <= MAX_KEPT:
        texts = {each.sha256: each.text for each in prompt.sources}
    return {
        "sources": json.dumps(files),
        "readings": None if prompt.readings is None else json.dumps(prompt.readings.to_dict()),
        "documents": texts,
    }


def attempt_row(reply: Reply, usage: Usage | None, usage_status: str, cost: int | None) -> dict[str, object]:
    """Return the columns of `attempts` that a reply fills; `cost` is in nano-USD, None where it is not known."""
    return {
        "served_model": reply.served_model,
        "input_tokens": None if usage is None else usage.input_tokens,
        "cached_tokens": None if usage is None else usage.cached_tokens,
        "cache_write_tokens": None if usage is None else usage.cache_write_tokens,
        "output_tokens": None if usage is None else usage.output_tokens,
        "reasoning_tokens": None if usage is None else usage.reasoning_tokens,
        "usage_status": usage_status,
        # What cannot be true is kept as it was claimed: the columns above hold only what is believed.
        "usage": None if reply.usage is None or usage is not None else json.dumps(asdict(reply.usage)),
        "cost_nano": cost,
        "latency_s": reply.latency_s,
        "ttft_s": reply.ttft_s,
        "finish_reason": reply.finish_reason,
        "reply_id": reply.reply_id,
        "trace_id": reply.request_id,
    }
