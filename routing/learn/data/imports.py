"""Outcomes from elsewhere into the log: outcome files, exported answers, and the logs of simonw/llm."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from scrimp.profiles.errors import DataError, UsageError
from scrimp.profiles.money import nano_from_usd
from scrimp.routing.ledger.documents import insert_request
from scrimp.routing.ledger.labels import add_label, newest
from scrimp.routing.ledger.outcomes import put_outcome
from scrimp.routing.ledger.requests import by_id
from scrimp.routing.ledger.store import instant
from scrimp.routing.prompts.surface import surface_features

from .exported import is_exported, read_exported
from .llm_log import is_sqlite, read_llm_log
from .outcomes import read_outcomes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from scrimp.profiles.schema import Profile
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.prompts.context import TextEmbedder

    from .outcomes import Outcomes

__all__ = ["Imported", "import_file", "match_arms"]

_CHUNK: Final = 256


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import brought.

    Attributes
    ----------
    matched
        Which name of the file stands for which arm.
    unmatched
        Names of the file that fit no arm; their outcomes were left out.
    """

    kind: str
    n_prompts: int
    n_new: int
    n_labels: int
    matched: dict[str, str]
    unmatched: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "schema_version": 1, "kind": self.kind, "n_prompts": self.n_prompts, "n_new": self.n_new,
            "n_labels": self.n_labels, "matched": self.matched, "unmatched": list(self.unmatched),
        }  # fmt: skip


def match_arms(names: Iterable[str], profile: Profile) -> dict[str, str]:
    """Return which names stand for which arm: an arm's name, then its model id, with or without the provider.

    An arm is taken once, by the first name that fits it best.
    """
    matched: dict[str, str] = {}
    taken: set[str] = set()
    listed = list(names)
    rules: tuple[Callable[[str, Any], bool], ...] = (
        lambda name, arm: bool(arm.name == name),
        lambda name, arm: bool(arm.model == name),
        lambda name, arm: bool(arm.model.rpartition("/")[2] == name.rpartition("/")[2]),
    )
    for rule in rules:
        for name in listed:
            if name in matched:
                continue
            arm = next((each for each in profile.arms if each.name not in taken and rule(name, each)), None)
            if arm is not None:
                matched[name] = arm.name
                taken.add(arm.name)
    return matched


@dataclass(frozen=True, slots=True)
class _Cell:
    arm: str
    score: float | None
    input_tokens: int | None
    output_tokens: int | None
    cost_nano: int | None


@dataclass(frozen=True, slots=True)
class _Row:
    """One prompt with what is known of it."""

    key: str
    prompt: str
    tag: str
    cells: tuple[_Cell, ...]
    system: str | None = None
    answer: str | None = None
    arm: str | None = None


def import_file(
    path: Path,
    ledger: Ledger,
    profile: Profile,
    embedder: TextEmbedder,
    *,
    now: float,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Imported:
    """Read a file of outcomes into the log; what was imported before is brought up to date, not doubled.

    A file is checked whole before anything is written. File order is time.

    Parameters
    ----------
    progress
        Told after each part how many prompts of how many are in.

    Raises
    ------
    DataError
        If the file is not one that can be read.
    UsageError
        If none of its names fits an arm, or the profile keeps no features.
    """
    if profile.log.keep == "money":
        raise UsageError(
            f'profile {profile.name} has log.keep = "money": without features nothing can be learnt',
            hint='Set log.keep to "features" or "all".',
        )
    if is_sqlite(path):
        kind, rows, names = "llm log", *_llm_rows(path, profile)
    elif is_exported(path):
        kind, rows, names = "exported answers", *_exported_rows(path, profile)
    else:
        outcomes = read_outcomes([path])
        kind, rows, names = "outcome file", *_outcome_rows(outcomes, profile, path.name)
    matched = match_arms(names, profile)
    n_new = n_labels = 0
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        new, labels = _store(ledger, profile, embedder, part, now=now)
        n_new, n_labels = n_new + new, n_labels + labels
        progress(min(start + _CHUNK, len(rows)), len(rows))
    unmatched = tuple(name for name in names if name not in matched)
    return Imported(kind, len(rows), n_new, n_labels, matched, unmatched)


def _none_fits(names: Sequence[str], profile: Profile) -> UsageError:
    shown = ", ".join(list(names)[:8]) + (", ..." if len(names) > 8 else "")
    arms = ", ".join(f"{arm.name} ({arm.model})" for arm in profile.arms)
    return UsageError(
        f"none of the file's names ({shown}) is an arm of profile {profile.name}, or its model",
        hint=f"The profile has: {arms}.",
    )


def _outcome_rows(outcomes: Outcomes, profile: Profile, tag: str) -> tuple[list[_Row], tuple[str, ...]]:
    matched = match_arms(outcomes.models, profile)
    if not matched:
        raise _none_fits(outcomes.models, profile)
    columns = [(j, matched[name]) for j, name in enumerate(outcomes.models) if name in matched]

    def count(value: float) -> int | None:
        return None if np.isnan(value) else int(value)

    rows = []
    for i, prompt in enumerate(outcomes.prompts):
        cells = tuple(
            _Cell(
                arm,
                None if np.isnan(outcomes.score[i, j]) else float(outcomes.score[i, j]),
                count(outcomes.input_tokens[i, j]),
                count(outcomes.output_tokens[i, j]),
                None if np.isnan(outcomes.cost_usd[i, j]) else nano_from_usd(float(outcomes.cost_usd[i, j])),
            )
            for j, arm in columns
            if not (np.isnan(outcomes.score[i, j]) and np.isnan(outcomes.output_tokens[i, j]))
        )
        if cells:
            rows.append(_Row(outcomes.ids[i], prompt, tag, cells))
    return rows, outcomes.models


def _llm_rows(path: Path, profile: Profile) -> tuple[list[_Row], tuple[str, ...]]:
    """Read the turns of an `llm` log: prompts, answers and tokens, no scores."""
    found = read_llm_log(path)
    if not found:
        raise DataError(f"{path}: the log of llm holds no prompts")
    names = tuple(dict.fromkeys(turn.model for turn in found))
    matched = match_arms(names, profile)
    if not matched:
        raise _none_fits(names, profile)
    rows = []
    for turn in found:
        arm = matched.get(turn.model)
        if arm is not None:
            cell = _Cell(arm, None, turn.input_tokens, turn.output_tokens, None)
            rows.append(_Row(f"llm:{turn.id}", turn.prompt, path.name, (cell,), turn.system, turn.answer, arm))
    return rows, names


def _exported_rows(path: Path, profile: Profile) -> tuple[list[_Row], tuple[str, ...]]:
    """Read what `learn export` wrote: of each prompt its answers together, an arm's second one as a prompt anew."""
    prompts = read_exported(path)
    names = tuple(dict.fromkeys(answer.name for prompt in prompts for answer in prompt.answers))
    matched = match_arms(names, profile)
    if not matched:
        raise _none_fits(names, profile)
    rows = []
    for prompt in prompts:
        known = [answer for answer in prompt.answers if answer.name in matched]
        first: dict[str, _Cell] = {}
        for answer in known:
            cell = _Cell(matched[answer.name], answer.reward, None, None, None)
            if first.setdefault(cell.arm, cell) is not cell:
                rows.append(_Row(f"{prompt.id}:{answer.id}", prompt.text, path.name, (cell,), prompt.system))
        if first:
            rows.append(_Row(prompt.id, prompt.text, path.name, tuple(first.values()), prompt.system))
    return rows, names


def _id(profile: str, row: _Row) -> str:
    digest = hashlib.sha256(f"{profile}\0{row.key}\0{row.prompt}".encode("utf-8", "replace")).hexdigest()
    return f"i{digest[:25]}"


def _store(
    ledger: Ledger, profile: Profile, embedder: TextEmbedder, rows: Sequence[_Row], *, now: float
) -> tuple[int, int]:
    """Write a part of an import in one transaction; return how many prompts and labels were new."""
    ids = [_id(profile.name, row) for row in rows]
    known, scores = by_id(ledger, ids), newest(ledger, ids, "import")
    fresh = [i for i, key in enumerate(ids) if key not in known]
    vectors = dict(zip(fresh, embedder.embed([rows[i].prompt for i in fresh]), strict=True)) if fresh else {}
    models = {arm.name: arm.model for arm in profile.arms}
    at = instant(now)
    n_labels = 0
    with ledger.transaction():
        for i, (key, row) in enumerate(zip(ids, rows, strict=True)):
            if i in vectors:
                text = {"prompt": row.prompt, "system": row.system, "answer": row.answer}
                insert_request(
                    ledger,
                    {
                        "id": key, "created_at": at, "command": "import", "profile": profile.name,
                        "conversation_id": key, "embedding": vectors[i].astype("<f4").tobytes(),
                        "surface": json.dumps([round(float(value), 6) for value in surface_features(row.prompt)]),
                        "embedder_id": embedder.id, "arm": row.arm, "status": "ok", "tag": row.tag,
                        **(text if profile.log.keep == "all" else {}),
                    },
                )  # fmt: skip
            for cell in row.cells:
                if cell.score is not None and scores.get((key, cell.arm)) != cell.score:
                    add_label(ledger, request_id=key, arm=cell.arm, reward=cell.score, source="import", at=at)
                    n_labels += 1
                put_outcome(
                    ledger, request_id=key, arm=cell.arm, model=models[cell.arm], input_tokens=cell.input_tokens,
                    output_tokens=cell.output_tokens, cost_nano=cell.cost_nano,
                )  # fmt: skip
    return len(fresh), n_labels
