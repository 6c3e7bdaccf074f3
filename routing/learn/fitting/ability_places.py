"""Where a model stands that no benchmark knows: a regression on its name, price and date, and its relatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from scrimp.routing.router.abilities import Known, expect, features
from scrimp.routing.router.model_names import parse_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from scrimp.routing.router.abilities import Expected

    Floats = NDArray[np.float64]

__all__ = ["Facts", "Places", "fit_places", "prior_mean", "regress", "rolled"]

_RIDGE: Final = 0.5
_MAKER_RIDGE: Final = 6.0
"""A maker's own level is drawn to 0 as by so many models."""

_RESIDUAL_VAR: Final = 0.15
_CUTS: Final = (2024.4, 2024.7, 2025.0, 2025.25, 2025.5)
"""Dates at which the past is made to predict the next eight months."""

_AHEAD: Final = 0.67
_PRIOR_SD: Final = 0.6
_PRIOR_N: Final = 8.0
_PRIOR_SHARE: Final = 2.0  # a relative's share is drawn to one half as by so much excess, squared
_MOST_SHARE: Final = 0.9
_LEAST_PAST: Final = 40
_SURE: Final = 0.6  # what is less sure than this tests nothing

KINDS: Final = ("follows", "precedes", "near", "alone")


@dataclass(frozen=True, slots=True)
class Places:
    """What places a model without scores.

    Attributes
    ----------
    coefficients
        Of `features`.
    weight
        By kind of relative: the share of its excess over its own expectation that carries over.
    sd
        By kind of relative, or `alone`: standard deviation of what comes out, from predicting later models.
    newest
        The newest model's date, a year with fraction.
    """

    coefficients: dict[str, float]
    weight: dict[str, float]
    sd: dict[str, float]
    newest: float


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a model besides its scores: its release, USD per million output tokens, whether it thinks."""

    released: float | None
    price: float | None
    thinks: bool


def prior_mean(facts: Mapping[str, Facts]) -> Callable[[Sequence[str], Floats, Floats], Floats]:
    """Return what `fit_scale` takes as prior: a ridge of abilities on what else is known, and relatives.

    It is fitted anew at each call.

    A model's prior is never moved by its own scores beyond its share in the coefficients: relatives' excess over
    their own expectation is carried over by kriging that leaves it out.
    """
    cache: dict[tuple[str, ...], tuple[Floats, Floats, list[tuple[NDArray[np.intp], Floats]]]] = {}

    def design(models: tuple[str, ...]) -> tuple[Floats, Floats, list[tuple[NDArray[np.intp], Floats]]]:
        values = []
        for key in models:
            fact = facts[key]
            found = features(parse_name(key), year=fact.released or 2025.0, price=fact.price, thinks=fact.thinks)
            values.append(found if fact.released is not None else found | {"undated": 1.0})
        columns = sorted({column for each in values for column in each})
        x = np.array([[each.get(column, 0.0) for column in columns] for each in values])
        return x, np.array([_penalty(column) for column in columns]), _families(models)

    def expected(models: Sequence[str], own: Floats, variance: Floats) -> Floats:
        key = tuple(models)
        if key not in cache:
            cache[key] = design(key)
        x, penalty, families = cache[key]
        w = _RESIDUAL_VAR / (_RESIDUAL_VAR + variance)
        found: Floats = x @ np.linalg.solve((x * w[:, None]).T @ x + np.diag(penalty), (x * w[:, None]).T @ own)
        excess, prior = own - found, found.copy()
        for rows, kin in families:
            inverse = np.linalg.inv(kin + np.diag(variance[rows]))
            left_out = excess[rows] - (inverse @ excess[rows]) / np.diag(inverse)
            prior[rows] += left_out
        return prior

    return expected


def _families(models: Sequence[str]) -> list[tuple[NDArray[np.intp], Floats]]:
    """Return each line's models by position, and the covariance of what the regression does not know of them."""
    lines: dict[tuple[str, str], list[int]] = {}
    for j, key in enumerate(models):
        name = parse_name(key)
        if name.maker and name.line:
            lines.setdefault((name.maker, name.line), []).append(j)
    found = []
    for rows in lines.values():
        if len(rows) > 1:
            sizes = [(parse_name(models[j]).size, parse_name(models[j]).params_b) for j in rows]
            kin = np.array([[_RESIDUAL_VAR * _kinship(a, b) for b in sizes] for a in sizes])
            found.append((np.array(rows), kin + 0.3 * _RESIDUAL_VAR * np.eye(len(rows))))
    return found


def _kinship(a: tuple[str, float | None], b: tuple[str, float | None]) -> float:
    return 0.7 if a == b else 0.4


def _penalty(column: str) -> float:
    return 0.01 if column == "one" else _MAKER_RIDGE if column.startswith("maker ") else _RIDGE


def regress(rows: Mapping[str, Known]) -> dict[str, float]:
    """Return the coefficients of a ridge of abilities on `features`, models weighted by how well they are known."""
    values, target, weight = [], [], []
    for key, row in rows.items():
        if row.released is None:
            continue
        name = parse_name(key)
        values.append(features(name, year=row.released, price=row.price, thinks=row.thinks))
        target.append(row.ability)
        weight.append(1.0 / (_RESIDUAL_VAR + row.sd**2))
    columns = sorted({column for each in values for column in each})
    x = np.array([[each.get(column, 0.0) for column in columns] for each in values])
    w = np.array(weight) * _RESIDUAL_VAR
    y = np.array(target)
    penalty = np.array([_penalty(column) for column in columns])
    solved = np.linalg.solve((x * w[:, None]).T @ x + np.diag(penalty), (x * w[:, None]).T @ y)
    return {column: float(value) for column, value in zip(columns, solved, strict=True)}


def _by_maker(rows: Mapping[str, Known]) -> dict[str, dict[str, Known]]:
    found: dict[str, dict[str, Known]] = {}
    for key, row in rows.items():
        found.setdefault(parse_name(key).maker, {})[key] = row
    return found


def rolled(rows: Mapping[str, Known]) -> list[tuple[Expected, float]]:
    """Return models with what was expected of them by those that came before a cut, and what they have."""
    found = []
    for cut in _CUTS:
        past = {key: row for key, row in rows.items() if row.released is not None and row.released < cut}
        if len(past) < _LEAST_PAST:
            continue
        coefficients, by_maker = regress(past), _by_maker(past)
        newest = max(row.released or 0.0 for row in past.values())
        for key, row in rows.items():
            if row.released is not None and cut <= row.released < cut + _AHEAD and row.sd < _SURE:
                name = parse_name(key)
                others = by_maker.get(name.maker, {})
                expected = expect(name, others, coefficients, newest, price=row.price, thinks=row.thinks)
                found.append((expected, row.ability))
    return found


def fit_places(rows: Mapping[str, Known]) -> Places:
    """Return what places models without scores, its weights and errors from predicting later models by earlier ones."""
    trials = rolled(rows)
    weight, sd = {}, {}
    for kind in KINDS:
        mine = [(each, truth) for each, truth in trials if each.kind == kind]
        base, excess, floor = (
            np.array([getattr(each, field) for each, _ in mine]) for field in ("base", "excess", "floor")
        )
        truth = np.array([truth for _, truth in mine])
        share = float((excess @ (truth - base) + 0.5 * _PRIOR_SHARE) / (excess @ excess + _PRIOR_SHARE))
        weight[kind] = 0.0 if kind == "alone" else min(max(share, 0.0), _MOST_SHARE)
        error = truth - np.maximum(base + weight[kind] * excess, floor)
        sd[kind] = float(np.sqrt((error @ error + _PRIOR_N * _PRIOR_SD**2) / (len(mine) + _PRIOR_N)))
    newest = max(row.released or 0.0 for row in rows.values())
    return Places(regress(rows), weight, sd, newest)
