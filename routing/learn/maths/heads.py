"""The fit that heads are made of, logistic and drawn towards a prior, and the calibration of logits; numpy only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["map_logistic", "platt", "sigmoid"]


def sigmoid(z: Floats) -> Floats:
    """Return 1 / (1 + exp(-z)) without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * z))


def map_logistic(
    features: Floats,
    target: Floats,
    *,
    precision: Floats,
    offset: Floats | None = None,
    weight: Floats | None = None,
    prior: Floats | None = None,
    max_iterations: int = 50,
    tolerance: float = 1e-7,
) -> Floats:
    """Fit a logistic head by maximum a posteriori: coefficients are drawn towards a prior, not towards zero.

    Minimises sum_i weight_i * [log(1 + exp(z_i)) - target_i * z_i] + 1/2 sum_j precision_j * (w_j - prior_j)^2 with
    z = offset + features @ w, by Newton's method with step halving.

    Parameters
    ----------
    features
        `(n, p)`.
    target
        `(n,)` in [0, 1]; fractions are fine.
    precision
        `(p,)`, the inverse variance of each coefficient's Gaussian prior; 0 leaves it free.
    offset
        `(n,)` logits that are added as they are; zero unless given.
    weight
        `(n,)` weights of the rows; one unless given.
    prior
        `(p,)` means of the coefficients' priors; zero unless given.

    Returns
    -------
    `(p,) float64` coefficients.
    """
    n, p = features.shape
    offset = np.zeros(n) if offset is None else offset
    weight = np.ones(n) if weight is None else weight
    prior = np.zeros(p) if prior is None else prior
    coefficients = prior.copy()

    def loss(w: Floats) -> float:
        z = offset + features @ w
        return float(weight @ (np.logaddexp(0.0, z) - target * z) + 0.5 * precision @ (w - prior) ** 2)

    current = loss(coefficients)
    for _ in range(max_iterations):
        p_right = sigmoid(offset + features @ coefficients)
        gradient = features.T @ (weight * (p_right - target)) + precision * (coefficients - prior)
        curvature = weight * np.maximum(p_right * (1.0 - p_right), 1e-6)
        hessian = (features * curvature[:, None]).T @ features + np.diag(precision + 1e-9)
        step = np.linalg.solve(hessian, gradient)
        scale = 1.0
        while scale > 1e-4 and loss(coefficients - scale * step) > current:
            scale /= 2.0
        coefficients = coefficients - scale * step
        previous, current = current, loss(coefficients)
        if previous - current <= tolerance * max(1.0, abs(previous)):
            break
    return coefficients


def platt(logit: Floats, target: Floats, weight: Floats | None = None) -> tuple[float, float]:
    """Return (slope, intercept) of Platt's calibration, sigmoid(slope * logit + intercept), near (1, 0) on few rows."""
    features = np.column_stack([logit, np.ones(len(logit))])
    slope, intercept = map_logistic(
        features, target, weight=weight, precision=np.array([1.0, 0.1]), prior=np.array([1.0, 0.0])
    )
    return float(slope), float(intercept)
