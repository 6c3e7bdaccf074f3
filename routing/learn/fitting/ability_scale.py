"""One scale of ability for many models, from aggregate scores on many benchmarks.

A cell is one model's score on one benchmark. The logit y of a score, less what guessing gives, is taken to be

    y = slope_b (theta_m + offset_e + u_ms - difficulty_b) + noise_b

where e is the reasoning effort the model m was run at, and u_ms an error that all scores of one source s share: ten
cells of one leaderboard do not count as ten. The noise is Student's t. Fitted by EM: theta is normal around what is
expected of a model by what else is known of it (release, parameters, price, relatives).
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from scrimp.profiles.errors import DataError
from scrimp.routing.router.abilities import usual_effort
from scrimp.routing.router.model_names import parse_name, plain_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["EFFORTS", "Cell", "Scale", "fit_scale", "guess_rate", "read_cells", "usable"]

EFFORTS: Final = ("none", "low", "medium", "high", "xhigh")
"""Reasoning efforts in their order; a cell without one was measured at the model's own default."""

_EFFORT_OF: Final = {
    "none": "none", "no-thinking": "none", "no-think": "none", "minimal": "none", "non-reasoning": "none",
    "low": "low", "1k": "low", "2k": "low", "4k": "low",
    "medium": "medium", "8k": "medium", "12k": "medium",
    "high": "high", "thinking": "high", "think": "high", "reasoning": "high", "enabled": "high", "16k": "high",
    "thinking-16k": "high", "16k-thinking": "high", "reasoner": "high", "23k": "high", "24k-thinking": "high",
    "24k-think": "high", "high+thinking": "high", "default+thinking": "high", "default-think": "high", "27k": "high",
    "xhigh": "xhigh", "max": "xhigh", "32k": "xhigh", "59k": "xhigh", "64k": "xhigh", "thinking-32k": "xhigh",
    "32k-thinking": "xhigh", "32k-thinking-tokens": "xhigh", "32k-think": "xhigh", "max+xhigh": "xhigh",
}  # fmt: skip

_OTHER_ABILITY: Final = re.compile(
    r"(?:^|/)tau|tau-?bench|tau2|bfcl|^vectara|^bullshitbench|browsecomp|facts-grounding|factscore|os-world|agent-company|deepresearch"
)
"""Faithfulness, candour and tool use hardly go with the rest (correlations -.5 to .5): they do not count."""

_ENCODERS: Final = re.compile(r"bert|^baseline-|^hplt|^fastchat")

_GUESS: Final = (
    (re.compile(r"winogrande|piqa|boolq"), 0.5),
    (re.compile(r"mmlu-pro|supergpqa"), 0.1),
    (re.compile(r"lineage"), 0.2),
    (re.compile(r"simple-bench"), 1 / 6),
    (re.compile(r"mmlu|gpqa|arc-c|hellaswag|include|openbookqa"), 0.25),
)

_TURBO: Final = frozenset({"gpt-4", "qwen", "glm-5"})
_MOVING: Final = frozenset({"gemini-pro"})
"""Names that have meant one model after another."""

_NU: Final = 4.0
_LEAST_MODELS: Final = 6
_ITERATIONS: Final = 150
_SOURCE_PRIOR: Final = 20.0  # a source's own error is drawn to a variance of 0.1 as by so many models
_QUESTIONS: Final = 100.0
_CEILING: Final = {
    "euroeval-13-languages/mean": 0.84, "euroeval-en/linguistic-acceptability": 0.80,
    "euroeval-en/named-entity-recognition": 0.95, "euroeval-en/reading-comprehension": 0.95,
    "euroeval-en/sentiment-classification": 0.75, "euroeval-en/summarization": 0.48,
}  # fmt: skip
"""Where the ablest models level off, 3 to 5% above the best score: labels disagree, or the measure never gives 1."""

_LUCK: Final = 0.3  # what guessing gets right of EuroEval's questions, before its correction
_LEAST_SPREAD: Final = 0.35
"""What is known besides scores tells an ability to this sd at best, whatever it seems on the models fitted to."""

_LEAST_NOISE: Final = 0.15  # two runs of one model on one benchmark differ by as much, in logits


@dataclass(frozen=True, slots=True)
class Cell:
    """One score: 0 to 1; `effort` one of `EFFORTS` or empty; `released` a year with its fraction."""

    model: str
    effort: str
    benchmark: str
    score: float
    source: str
    licence: str
    released: float | None
    priced_as: str


def _year(date: str) -> float | None:
    match = re.fullmatch(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?", date)
    return None if match is None else int(match[1]) + (int(match[2] or 7) - 1) / 12 + (int(match[3] or 15) - 1) / 365


def read_cells(path: Path) -> list[Cell]:
    """Return the cells of a CSV file (also gzipped) with columns model_key, effort, benchmark, score, ...

    Raises
    ------
    DataError
        If a column is missing or a score is not a number from 0 to 1.
    """
    data = path.read_bytes()
    text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()
    found = []
    reader = csv.DictReader(io.StringIO(text))
    wanted = {"model_key", "effort", "benchmark", "score", "source", "licence", "release_date"}
    if missing := sorted(wanted - set(reader.fieldnames or ())):
        raise DataError(f"{path.name}: no column {', '.join(missing)}")
    for row in reader:
        try:
            score = float(row["score"])
        except ValueError:
            score = float("nan")
        if not 0.0 <= score <= 1.0:
            raise DataError(f"{path.name}: line {reader.line_num}: score: expected 0 to 1, got {row['score']!r}")
        if row["effort"].startswith("base") or row["effort"].endswith("+base"):
            continue  # before it was taught to answer
        key, effort = row["model_key"].partition("@reasoning=")[0], _EFFORT_OF.get(row["effort"], "")
        if key in _TURBO and row.get("model", "").startswith(f"{key}-turbo"):
            key = f"{key}-turbo"  # another model, not a way of serving it
        if key in _MOVING:
            continue
        if (tail := re.search(r"(?<=o\d-mini)-(low|high)$", key)) is not None:
            key, effort = key[: tail.start()], tail[1]
        found.append(
            Cell(
                model=plain_name(key.partition(":")[0]),
                effort=effort,
                benchmark=row["benchmark"].replace("epoch/aider", "aider"),  # copied from there
                score=score,
                source=row["source"],
                licence=row["licence"],
                released=_year(row["release_date"]),
                priced_as=row.get("litellm_key", ""),
            )
        )
    return found


def guess_rate(benchmark: str) -> float:
    """Return the share that blind guessing gets right; 0 where the score is corrected for it already (EuroEval's)."""
    if benchmark.startswith("euroeval"):
        return 0.0
    return next((rate for pattern, rate in _GUESS if pattern.search(benchmark)), 0.0)


def usable(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells of what an ability is taken to be: no encoders, no faithfulness or tool use, no tiny benchmarks.

    Of the same model, effort and benchmark the mean stands.
    """
    groups: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        if not (_OTHER_ABILITY.search(cell.benchmark) or _ENCODERS.search(cell.model)):
            groups.setdefault((cell.model, cell.effort, cell.benchmark), []).append(cell)
    models: dict[str, set[str]] = {}
    for model, _, benchmark in groups:
        models.setdefault(benchmark, set()).add(model)
    return [
        replace(many[0], score=float(np.mean([cell.score for cell in many])))
        for key, many in sorted(groups.items())
        if len(models[key[2]]) >= _LEAST_MODELS
    ]


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """A fitted scale.

    Attributes
    ----------
    models, benchmarks
        Names, sorted.
    theta, sd
        `(n_models,)`: posterior mean and standard deviation of each ability, logit units.
    own
        `(n_models,)`: the abilities by their own cells alone.
    n_benchmarks
        `(n_models,)`: distinct benchmarks that each rests on.
    slope, difficulty, noise
        `(n_benchmarks,)`.
    offset
        By effort: what it adds to the ability of one that does not think; ascending.
    source_sd
        By source: what its scores of one model err by together, on the ability's scale.
    """

    models: tuple[str, ...]
    benchmarks: tuple[str, ...]
    theta: Floats
    sd: Floats
    own: Floats
    n_benchmarks: NDArray[np.int64]
    slope: Floats
    difficulty: Floats
    noise: Floats
    offset: dict[str, float]
    source_sd: dict[str, float]

    def predict(self, model: str, effort: str, benchmark: str) -> float:
        """Return the score expected of a model on a benchmark, 0 to 1."""
        m, b = self.models.index(model), self.benchmarks.index(benchmark)
        usual = usual_effort(parse_name(model))
        beside = self.offset.get(effort or usual, 0.0) - self.offset.get(usual, 0.0)
        ability = self.theta[m] + beside
        guess = guess_rate(benchmark)
        top = _CEILING.get(benchmark, 1.0)
        return float(guess + (top - guess) / (1 + np.exp(-self.slope[b] * (ability - self.difficulty[b]))))


def _logits(cells: Sequence[Cell]) -> tuple[Floats, Floats]:
    """Return the logits of scores above guessing, and how far a hundred questions leave each uncertain (variance).

    A score near that of guessing says little: what luck adds to it is large beside what is left.
    """
    guess = np.array([guess_rate(cell.benchmark) for cell in cells])
    luck = np.array([_LUCK if cell.benchmark.startswith("euroeval") else guess_rate(cell.benchmark) for cell in cells])
    ceiling = np.array([_CEILING.get(cell.benchmark, 1.0) for cell in cells])
    share = ((np.array([cell.score for cell in cells]) - guess) / (ceiling - guess)).clip(0.02, 0.98)
    right = luck + (1 - luck) * share
    variance = right * (1 - right) / (_QUESTIONS * ((1 - luck) * share * (1 - share)) ** 2)
    return np.log(share / (1 - share)), variance


def fit_scale(
    cells: Sequence[Cell], prior_mean: Callable[[Sequence[str], Floats, Floats], Floats] | None = None
) -> Scale:
    """Fit abilities, benchmarks and efforts to cells.

    Parameters
    ----------
    cells
        Of `usable`.
    prior_mean
        Given models, their abilities by their own cells and the variances of those, returns what each model is
        expected to have without its cells; None draws all to the common mean.
    """
    models = tuple(sorted({cell.model for cell in cells}))
    benchmarks = tuple(sorted({cell.benchmark for cell in cells}))
    at_model = {name: j for j, name in enumerate(models)}
    at_benchmark = {name: j for j, name in enumerate(benchmarks)}
    m = np.array([at_model[cell.model] for cell in cells])
    b = np.array([at_benchmark[cell.benchmark] for cell in cells])
    efforts = ("", *EFFORTS)
    usual = [usual_effort(parse_name(name)) for name in models]
    e = np.array([efforts.index(cell.effort or usual[at_model[cell.model]]) for cell in cells])
    e0 = np.array([efforts.index(usual[at_model[cell.model]]) for cell in cells])
    groups = sorted({(cell.model, cell.source) for cell in cells})
    at_group = {key: j for j, key in enumerate(groups)}
    g = np.array([at_group[cell.model, cell.source] for cell in cells])
    group_model = np.array([at_model[model] for model, _ in groups])
    sources = sorted({source for _, source in groups})
    group_source = np.array([sources.index(source) for _, source in groups])
    y, measured = _logits(cells)
    n_models, n_benchmarks, n_groups = len(models), len(benchmarks), len(groups)

    def total(index: NDArray[np.int64], values: Floats, size: int) -> Floats:
        found: Floats = np.bincount(index, weights=values, minlength=size).astype(np.float64)
        return found

    slope = np.ones(n_benchmarks)
    intercept = total(b, y, n_benchmarks) / total(b, np.ones(len(y)), n_benchmarks)
    noise = np.full(n_benchmarks, 0.5)
    theta = np.zeros(n_models)
    mean, spread, source_var = np.zeros(n_models), 2.0, np.full(len(sources), 0.1)
    offset = np.zeros(len(efforts))
    robust = np.ones(len(y))
    own, variance = theta, np.ones(n_models)
    group_effect = np.zeros(n_groups)
    for step in range(_ITERATIONS):
        var = noise[b] ** 2 + measured
        beside = offset[e] - offset[e0]
        w = robust / var
        # abilities: each source's estimate errs by source_var beside its cells' own noise
        information = total(g, w * slope[b] ** 2, n_groups) + 1e-9
        estimate = total(g, w * slope[b] * (y - intercept[b] - slope[b] * beside), n_groups) / information
        precision_g = 1.0 / (source_var[group_source] + 1.0 / information)
        precision = total(group_model, precision_g, n_models)
        own = total(group_model, precision_g * estimate, n_models) / precision
        if prior_mean is not None and step >= 20:
            mean = prior_mean(models, own, 1.0 / precision)
        else:
            mean = np.full(n_models, np.average(own, weights=1.0 / (spread**2 + 1.0 / precision)))
        variance = 1.0 / (precision + 1.0 / spread**2)
        theta = variance * (precision * own + mean / spread**2)
        spread = max(float(np.sqrt(np.mean((theta - mean) ** 2 + variance))), _LEAST_SPREAD)
        gap = estimate - theta[group_model]
        here = source_var[group_source]
        shrink = here / (here + 1.0 / information)
        square_g = shrink**2 * (gap**2 + variance[group_model]) + shrink / information
        beside_others = (np.bincount(group_model, minlength=n_models)[group_model] > 1).astype(float)
        n_g = total(group_source, beside_others, len(sources))
        source_var = (total(group_source, beside_others * square_g, len(sources)) + _SOURCE_PRIOR * 0.1) / (
            n_g + _SOURCE_PRIOR
        )
        group_effect = shrink * gap
        ability = theta[m] + group_effect[g] + beside
        spread_of = variance[m] * (1.0 - shrink[g]) ** 2 + shrink[g] / information[g]
        # efforts: shared by all models, in order, drawn to 0
        moved = e != e0
        room = w * slope[b] ** 2 * moved
        left = (y - intercept[b]) / slope[b] - (ability - beside)
        for k in range(1, len(efforts)):
            up, down = e == k, e0 == k
            pull = (room[up] * (left[up] + offset[e0[up]])).sum() - (room[down] * (left[down] - offset[e[down]])).sum()
            offset[k] = float(pull / (room[up].sum() + room[down].sum() + 20.0))
        mass = np.array([room[(e == k) | (e0 == k)].sum() + 1.0 for k in range(1, len(efforts))])
        offset[1:] = _ascending(offset[1:], mass)
        # benchmarks: a line drawn to the common slope
        ability = theta[m] + group_effect[g] + offset[e] - offset[e0]
        s0, s1 = total(b, w, n_benchmarks), total(b, w * ability, n_benchmarks)
        s2 = total(b, w * (ability**2 + spread_of), n_benchmarks)
        t0, t1 = total(b, w * y, n_benchmarks), total(b, w * ability * y, n_benchmarks)
        draw, common = 1.0 / 0.4**2, 1.0
        s2, t1 = s2 + draw, t1 + draw * common
        s0 = s0 + 1.0 / 3.0**2
        det = s0 * s2 - s1**2
        slope = ((s0 * t1 - s1 * t0) / det).clip(0.05, 4.0)
        intercept = (t0 - slope * s1) / s0
        residual = y - intercept[b] - slope[b] * ability
        square = residual**2 + slope[b] ** 2 * spread_of
        count = total(b, np.ones(len(y)), n_benchmarks)
        excess = total(b, robust * square - measured, n_benchmarks).clip(0.0)
        noise = np.sqrt((excess + 4.0 * 0.35**2) / (count + 4.0)).clip(_LEAST_NOISE)
        robust = (_NU + 1.0) / (_NU + square / (noise[b] ** 2 + measured))
        # the scale itself: mean slope 1 over cells, mean ability 0
        unit = float(np.average(slope, weights=count))
        shift = float(theta.mean())
        slope, theta, offset = slope / unit, (theta - shift) * unit, offset * unit
        intercept = intercept + slope * shift * unit
        own, variance, source_var, spread = (
            (own - shift) * unit,
            variance * unit**2,
            source_var * unit**2,
            spread * unit,
        )
    n_of = np.array([len({cell.benchmark for cell in cells if cell.model == name}) for name in models])
    return Scale(
        models=models,
        benchmarks=benchmarks,
        theta=theta,
        sd=np.sqrt(variance),
        own=own,
        n_benchmarks=n_of,
        slope=slope,
        difficulty=-intercept / slope,
        noise=noise,
        offset={effort: float(offset[k] - offset[1]) for k, effort in enumerate(efforts) if effort},
        source_sd={source: float(np.sqrt(v)) for source, v in zip(sources, source_var, strict=True)},
    )


def _ascending(values: Floats, weights: Floats) -> Floats:
    """Return the nearest ascending values (pool adjacent violators)."""
    blocks: list[list[float]] = []
    for value, weight in zip(values, weights, strict=True):
        blocks.append([value, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            b1, b0 = blocks.pop(), blocks.pop()
            w = b0[1] + b1[1]
            blocks.append([(b0[0] * b0[1] + b1[0] * b1[1]) / w, w, b0[2] + b1[2]])
    return np.concatenate([np.full(int(n), value) for value, _, n in blocks])
