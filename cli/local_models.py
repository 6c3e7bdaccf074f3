"""`scrimp models --local`: how fast the arms of this machine are, what they take of it, and of its energy."""

from __future__ import annotations

from scrimp.routing.text.in_words import counted

from . import session
from .result import Column, Result, Table, emit

__all__ = ["show_local"]


def show_local(profile: str | None, *, as_json: bool) -> int:
    """Print a profile's arms that run in this process."""
    from scrimp.profiles.paths import paths
    from scrimp.routing.reports.local_models import local_models

    loaded = session.load(profile, quiet=as_json)
    models, rates = local_models(loaded.profile, paths(), session.ledger_to_read())
    data = {
        "schema_version": 1,
        "profile": loaded.profile.name,
        "machine": None
        if rates is None
        else {"flops": rates.flops, "bytes_per_s": rates.bytes_per_s, "watts": rates.watts},
        "arms": [each.to_dict() for each in models],
    }
    if not models:
        none = f'no arm of profile {loaded.profile.name} runs in this process (model = "local/...")'
        return emit(Result(data=data, blocks=(), messages=(none,)), as_json=as_json)
    table = Table(
        (
            Column("arm"), Column("tokens/s: read", "right"), Column("written", "right"), Column("seen", "right"),
            Column("memory", "right"), Column("window", "right"), Column("J per 1,000", "right"),
        ),
        [
            (
                each.name, _number(each.read_per_s), _number(each.write_per_s),
                "-" if each.seen_per_s is None else f"{each.seen_per_s:,.0f} ({counted(each.n_seen, 'call')})",
                "unknown" if each.memory_bytes is None else f"{each.memory_bytes / 1e6:,.0f} MB",
                _number(each.window), _number(each.joules_per_ktok),
            )
            for each in models
        ],
    )  # fmt: skip
    if rates is None:
        note = "The machine's speed cannot be measured: nothing is predicted."
    else:
        note = (
            f"Predicted from {rates.flops / 1e9:.0f} GFLOP/s and {rates.bytes_per_s / 1e9:.1f} GB/s of one core; seen: "
            "the median of streamed calls."
        )
        note += " Energy is unknown: no counter of it can be read." if rates.watts is None else ""
    return emit(Result(data=data, blocks=(table, note)), as_json=as_json)


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.0f}"
