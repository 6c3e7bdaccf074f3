"""The log as the learner sees it: requests, labels, costs and logged distributions of one profile, as arrays."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from scrimp.profiles.rungs import reading_of
from scrimp.routing.ledger.duels import chances_of
from scrimp.routing.ledger.labels import labels_of_profile
from scrimp.routing.ledger.learning import audits_of
from scrimp.routing.ledger.outcomes import outcomes_of
from scrimp.routing.ledger.requests import features
from scrimp.routing.prompts.context import approx_tokens
from scrimp.routing.prompts.surface import FEATURE_NAMES, surface_features
from scrimp.routing.text.in_words import counted

from .decisions import Pool
from .labelled import JUDGES, RETOLD, SOURCES, WEAK, Labelled, empty

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from scrimp.profiles.schema import Profile
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.prices.price import ArmPrice
    from scrimp.routing.router.arms import ArmInfo

    Floats = NDArray[np.float64]

__all__ = ["make_pool", "read_log"]


class _Arm(msgspec.Struct, frozen=True):
    """What is read of an arm in a decision's trace."""

    name: str
    model: str | None = None
    propensity: float | None = None
    feasible: bool = True
    by_cap: bool = False


class _Trace(msgspec.Struct, frozen=True):
    """What is read of a decision's trace."""

    arms: list[_Arm]
    input_tokens: int = 0


def make_pool(profile: Profile, infos: Sequence[ArmInfo], prices: Sequence[ArmPrice | None]) -> Pool:
    """Return a profile's arms with their prices, for deciding many prompts at once."""

    def usd(value: Any) -> float:
        return float(value) / 1e9

    names = [info.name for info in infos]
    return Pool(
        arms=tuple(infos),
        input_usd=np.array([np.nan if price is None else usd(price.input) for price in prices]),
        output_usd=np.array([np.nan if price is None else usd(price.output) for price in prices]),
        request_usd=np.array([np.nan if price is None else usd(price.per_request) for price in prices]),
        wtp_usd=profile.policy.wtp,
        min_quality=profile.policy.min_quality,
        default=names.index(profile.default_arm) if profile.default_arm in names else None,
    )


LAST: Final = 50_000
"""Requests without labels that are read at most, the latest ones: some 6 kB of memory each."""


@dataclass(slots=True)
class _Reading:
    """What is being put together, a row a prompt."""

    arms: dict[str, int]
    models: tuple[str, ...]
    told: tuple[str | None, ...]
    by_model: bool = False
    ids: list[str] = field(default_factory=list)
    row_of: dict[str, int] = field(default_factory=dict)
    requests: list[dict[str, Any]] = field(default_factory=list)
    traces: list[_Trace | None] = field(default_factory=list)
    other_model: Counter[str] = field(default_factory=Counter)

    def arm_at(self, trace: _Trace | None, name: str | None) -> int | None:
        """Return which arm answers to a name in a decision; by model, it is the one of the model that it had then."""
        there = self.arms.get(name or "")
        if not self.by_model or reading_of(name or "") is not None:
            return there
        model = None if trace is None else next((arm.model for arm in trace.arms if arm.name == name), None)
        if model is None or (there is not None and self.models[there] == model):
            return there
        return self.models.index(model) if model in self.models else None


def read_log(
    ledger: Ledger | None,
    profile: str,
    arms: Sequence[ArmInfo],
    *,
    embedder_id: str,
    dim: int,
    embed: Callable[[Sequence[str]], NDArray[np.float32]] | None = None,
    labelled_only: bool = False,
    since: str | None = None,
    by_model: bool = False,
    probes: bool = True,
) -> Labelled:
    """Read what a profile's log knows of how good answers were.

    The order is that in which rows were written, whatever the clock said. Prompts that were asked again (`redo`,
    audits) are one row. What was embedded by another embedder is embedded anew where its text was kept, and left out
    where not.

    Parameters
    ----------
    embed
        Embeds texts by the embedder in use; None leaves out what would need it.
    labelled_only
        Only prompts with a label.
    since
        Only requests made at this instant or later.
    by_model
        Whether an answer is that of the arm whose model gave it, whatever it was called then.
    probes
        Whether prompts are among them that were only asked to place an arm.
    """
    if ledger is None:
        return empty([arm.name for arm in arms], dim, len(FEATURE_NAMES))
    reading = _Reading(
        {arm.name: j for j, arm in enumerate(arms)},
        tuple(arm.model for arm in arms),
        tuple(arm.instructions for arm in arms),
        by_model,
    )
    labels = labels_of_profile(ledger, profile)
    notes = _collect(reading, ledger, profile, labels, labelled_only=labelled_only, since=since, probes=probes)
    kept, embeddings, surface, more = _features(reading, embedder_id, dim, embed)
    notes += more
    return _arrays(reading, ledger, profile, labels, kept, embeddings, surface, notes)


def _collect(
    reading: _Reading,
    ledger: Ledger,
    profile: str,
    labels: list[dict[str, Any]],
    *,
    labelled_only: bool,
    since: str | None,
    probes: bool,
) -> list[str]:
    """Gather the rows: one a prompt, in the order of writing."""
    last = None if labelled_only else LAST
    rows = features(ledger, profile, since=since, labelled=labelled_only, last=last)
    root: dict[str, Any] = {}
    there = {row["id"] for row in rows}
    for row in rows:
        parent = row["redo_of"]
        root[row["id"]] = root.get(parent, parent) if parent in there else row["id"]
    wanted = {root[label["request_id"]] for label in labels if label["request_id"] in root}
    back = 0
    latest = ""
    for row in rows:
        back += row["created_at"] < latest
        latest = max(latest, row["created_at"])
        if root[row["id"]] != row["id"] or (labelled_only and row["id"] not in wanted):
            continue
        if row["command"] == "probe" and not probes:
            continue
        reading.row_of[row["id"]] = len(reading.requests)
        reading.requests.append(row)
        reading.ids.append(row["id"])
        reading.traces.append(_trace(row["decision"]))
    for child, parent in root.items():
        if parent in reading.row_of:
            reading.row_of.setdefault(child, reading.row_of[parent])
    notes = []
    if len(rows) == last:
        notes.append(f"only the latest {last:,} answered requests were looked at")
    if back:
        notes.append(
            f"the clock went back: {back:,} requests are dated before earlier ones; the order of the log is used"
        )
    return notes


def _trace(text: str | None) -> _Trace | None:
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=_Trace)
    except msgspec.DecodeError:
        return None


def _features(
    reading: _Reading, embedder_id: str, dim: int, embed: Callable[[Sequence[str]], NDArray[np.float32]] | None
) -> tuple[list[int], NDArray[np.float32], Floats, list[str]]:
    """Return which rows have features, `(n, dim)` embeddings and `(n, n_features)` surface features, and notes."""
    k = len(FEATURE_NAMES)
    kept: list[int] = []
    vectors: list[NDArray[np.float32]] = []
    surfaces: list[Floats] = []
    anew: list[int] = []
    lost: Counter[str] = Counter()
    for i, row in enumerate(reading.requests):
        blob, text = row["embedding"], row["prompt"]
        usable = blob if row["embedder_id"] == embedder_id and blob is not None and len(blob) == 4 * dim else None
        features = _surface(row["surface"], k)
        if usable is None and (text is None or embed is None):
            lost[
                "were logged without features" if blob is None else f"come from another embedder ({row['embedder_id']})"
            ] += 1
            continue
        if features is None:
            if text is None:
                lost["have features of another version"] += 1
                continue
            features = surface_features(text)
        if usable is not None:
            vectors.append(np.frombuffer(usable, dtype="<f4").astype(np.float32))
        else:
            anew.append(len(kept))
            vectors.append(np.zeros(dim, np.float32))
        kept.append(i)
        surfaces.append(features)
    if anew and embed is not None:
        fresh = embed([reading.requests[kept[j]]["prompt"] for j in anew])
        for j, vector in zip(anew, fresh, strict=True):
            vectors[j] = vector
    notes = [f"{count:,} prompts are left out: they {why}, and no text was kept" for why, count in lost.items()]
    embeddings = np.stack(vectors) if vectors else np.zeros((0, dim), np.float32)
    return kept, embeddings, np.stack(surfaces) if surfaces else np.zeros((0, k)), notes


def _surface(text: str | None, k: int) -> Floats | None:
    if text is None:
        return None
    try:
        values = np.array(msgspec.json.decode(text, type=list[float]))
    except msgspec.DecodeError:
        return None
    return values if len(values) == k and bool(np.isfinite(values).all()) else None


def _arrays(
    reading: _Reading,
    ledger: Ledger,
    profile: str,
    labels: list[dict[str, Any]],
    kept: list[int],
    embeddings: NDArray[np.float32],
    surface: Floats,
    notes: list[str],
) -> Labelled:
    n, m = len(kept), len(reading.arms)
    place = {i: j for j, i in enumerate(kept)}
    row_of = {key: place[i] for key, i in reading.row_of.items() if i in place}
    requests = [reading.requests[i] for i in kept]
    traces = [reading.traces[i] for i in kept]
    chance, feasible = np.zeros((n, m)), np.ones((n, m), bool)
    same_model = np.ones((n, m), bool)
    propensity, chosen = np.full(n, np.nan), np.full(n, -1, np.intp)
    n_input = np.zeros(n)
    for i, (row, trace) in enumerate(zip(requests, traces, strict=True)):
        own = reading.arm_at(trace, row["arm"])
        chosen[i] = -1 if own is None else own
        drawn = row["propensity"] is not None
        if trace is None:
            n_input[i] = np.nan
            continue
        n_input[i] = trace.input_tokens
        for arm in trace.arms:
            a = reading.arm_at(trace, arm.name)
            if a is None:
                continue
            if arm.model is not None and arm.model != reading.models[a]:
                same_model[i, a] = False
                if chosen[i] == a:
                    chosen[i] = -1
                    reading.other_model[arm.name] += 1
                continue
            feasible[i, a] = arm.feasible or arm.by_cap
            if drawn:
                chance[i, a] = arm.propensity or 0.0
        if drawn and chosen[i] >= 0:
            propensity[i] = row["propensity"]
    tokens_out, cost = np.full((n, m), np.nan), np.full((n, m), np.nan)
    retold = np.zeros((n, m), bool)
    others = _paid(reading, ledger, row_of, traces, same_model, tokens_out, cost, n_input, retold)
    cells, opposed = _cells(labels, row_of, lambda i, name: reading.arm_at(traces[i], name), same_model, others)
    if opposed:
        notes.append(
            f"{counted(opposed, 'answer has', 'answers have')} labels that contradict one another; the newest "
            "of each source counts"
        )
    reward, weight, judged = np.full((n, m), np.nan), np.zeros((n, m)), np.full((n, m), np.nan)
    first, last = np.zeros(n, np.int64), np.zeros(n, np.int64)
    asked = _audited(ledger, profile, requests, chosen, reading.arms)
    duels = {row_of[key]: chances for key, chances in chances_of(ledger, profile).items() if key in row_of}
    for i, chances in duels.items():
        for name, p in chances.items():
            if (a := reading.arms.get(name)) is not None and same_model[i, a]:
                chance[i, a] = p
    for (i, a), found in cells.items():
        given = {source: value for source, value in found.items() if source not in WEAK}
        sources = given or found
        total = sum(weight_ for _, weight_, _ in sources.values())
        reward[i, a] = sum(r * w for r, w, _ in sources.values()) / total if total > 0 else np.nan
        weight[i, a] = min(total, 1.0)
        if retold[i, a]:
            weight[i, a] *= RETOLD
            continue
        strong = {source: value for source, value in sources.items() if source in JUDGES}
        free = any(source in {"import", "probe"} for source in strong)
        audit = "audit" in strong
        drawn_here = bool(strong) and chosen[i] == a and not np.isnan(propensity[i])
        if not (free or audit or drawn_here):
            continue
        judged[i, a] = float(np.mean([r for r, _, _ in strong.values()]))
        # A duel's arms were drawn, each with a chance that is on record, or named: then both were there for the asking.
        # With a check the prompt would have been labelled anyway and the audit was a draw; without, both came together.
        checked = chosen[i] >= 0 and any(s in {"check", "schema"} for s in cells.get((i, int(chosen[i])), {}))
        if free or (audit and not checked and i not in duels):
            chance[i, a] = 1.0
        elif audit and chosen[i] != a and i not in duels:
            chance[i, a] = chance[i, a] + (1.0 - chance[i, a]) * asked[i]
        numbers = [number for _, _, number in strong.values()]
        first[i] = min(numbers) if first[i] == 0 else min(int(first[i]), *numbers)
        last[i] = max(int(last[i]), *numbers)
    if n_read := sum(reading_of(row["arm"] or "") is not None for row in requests):
        notes.append(
            f"{counted(n_read, 'answer')} from long files left out: they tell how much to read, not who is able"
        )
    for name, count in reading.other_model.items():
        notes.append(f"{count:,} answers of arm {name} are left out: it was another model then")
    for i in np.flatnonzero(np.isnan(n_input)).tolist():
        if requests[i]["prompt"] is not None:
            n_input[i] = approx_tokens(requests[i]["prompt"])
    n_input = np.where(np.isnan(n_input), np.nanmedian(n_input) if (~np.isnan(n_input)).any() else 100.0, n_input)
    return Labelled(
        arms=tuple(reading.arms),
        ids=tuple(row["id"] for row in requests),
        position=np.array([row["n"] for row in requests], np.int64),
        embeddings=embeddings,
        surface=surface,
        reward=reward,
        weight=weight,
        judged=judged,
        chance=chance,
        first_label=first,
        last_label=last,
        chosen=chosen,
        propensity=propensity,
        input_tokens=n_input,
        output_tokens=tokens_out,
        cost_usd=cost,
        feasible=feasible,
        text_key=np.array([zlib.crc32(vector.tobytes()) for vector in embeddings], np.int64),
        notes=tuple(notes),
        asked_at=np.array([_seconds(row["created_at"]) for row in requests], np.float64),
        retold=retold,
    )


def _seconds(at: str) -> float:
    """Return an instant in seconds since 1970; NaN where it cannot be read."""
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError:
        return math.nan


def _cells(
    labels: list[dict[str, Any]],
    row_of: dict[str, int],
    arm_at: Callable[[int, str], int | None],
    same_model: NDArray[np.bool_],
    others: set[tuple[str, str]],
) -> tuple[dict[tuple[int, int], dict[str, tuple[float, float, int]]], int]:
    """Return for each labelled cell its newest label by source (reward, weight, id), and how many cells contradict.

    Parameters
    ----------
    arm_at
        Returns which arm answers to a name in a row.
    others
        Requests and arms whose answers do not count beside those that the arm gave as it is told now.
    """
    cells: dict[tuple[int, int], dict[str, tuple[float, float, int]]] = {}
    lowest: dict[tuple[int, int], float] = {}
    highest: dict[tuple[int, int], float] = {}
    for label in labels:
        i = row_of.get(label["request_id"])
        a = None if i is None else arm_at(i, label["arm"])
        factor = SOURCES.get(label["source"])
        if i is None or a is None or factor is None or not same_model[i, a]:
            continue
        if not 0.0 <= label["reward"] <= 1.0 or (label["request_id"], label["arm"]) in others:
            continue
        cells.setdefault((i, a), {})[label["source"]] = (label["reward"], factor * label["weight"], label["id"])
        lowest[i, a] = min(label["reward"], lowest.get((i, a), 1.0))
        highest[i, a] = max(label["reward"], highest.get((i, a), 0.0))
    return cells, sum(highest[key] - lowest[key] > 0.5 for key in cells)


def _paid(
    reading: _Reading,
    ledger: Ledger,
    row_of: dict[str, int],
    traces: list[_Trace | None],
    same_model: NDArray[np.bool_],
    tokens_out: Floats,
    cost: Floats,
    n_input: Floats,
    retold: NDArray[np.bool_],
) -> set[tuple[str, str]]:
    """Fill in tokens and costs as they were observed: of calls made, and of imports.

    Where an arm answered at its present instructions, only that counts; where it did so at others alone, `retold` says
    so. Imports do not tell what an arm was told: they count as its own.

    Returns
    -------
    set
        Requests and arms whose answers do not count, since there are others of the same prompt that do.
    """
    rows = []
    now: set[tuple[int, int]] = set()
    before: set[tuple[int, int]] = set()
    for row in outcomes_of(ledger, row_of):
        i = row_of.get(row["request_id"])
        a = None if i is None else reading.arm_at(traces[i], row["arm"])
        if i is None or a is None or not same_model[i, a]:
            continue
        as_told = not row["called"] or row["instructions"] == reading.told[a]
        (now if as_told else before).add((i, a))
        rows.append((row, i, a, as_told))
    others = {(row["request_id"], row["arm"]) for row, i, a, as_told in rows if not as_told and (i, a) in now}
    for i, a in before - now:
        retold[i, a] = True
    for row, i, a, as_told in rows:
        if not as_told and (i, a) in now:
            continue
        if row["output_tokens"] is not None:
            tokens_out[i, a] = row["output_tokens"]
        if row["cost_nano"] is not None:
            cost[i, a] = row["cost_nano"] / 1e9
        if row["input_tokens"] is not None and np.isnan(n_input[i]):
            n_input[i] = row["input_tokens"]
    return others


def _audited(
    ledger: Ledger, profile: str, requests: list[dict[str, Any]], chosen: NDArray[np.intp], arms: dict[str, int]
) -> Floats:
    """Return `(n,)` the chance that an audit asked the best arm too, of prompts that went to another one."""
    missed = np.ones(len(requests))
    position = np.array([row["n"] for row in requests], np.int64)
    for audit in audits_of(ledger, profile):
        inside = (position >= audit["first_n"]) & (position <= audit["last_n"])
        inside &= chosen != arms.get(audit["arm"], -1)
        missed[inside] *= 1.0 - audit["n_sampled"] / max(audit["n_pool"], 1)
    return 1.0 - missed
