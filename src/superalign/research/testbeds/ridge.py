"""Ridge logistic regression by Newton's method (iteratively re-weighted least squares), made for thousands of fits.

A campaign on `w2s-micro` is thousands of fits of 2,500 rows and 106 columns, so the time of one fit decides what a
laptop can search. Measured on one core, a step of 2,500 rows: the Gram matrix takes 0.84 ms in float64 and 0.41 in
float32, everything else together 0.3 and 0.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit

if TYPE_CHECKING:
    from superalign.core.ports import Floats

STEPS = 7
_SETTLED = 1e-3  # Newton's error squares at every step: one that moves no coefficient by this much leaves some 1e-6
_FLAT = 1e-6  # of the intercept, which is not penalised; keeps the matrix positive where all labels are one class


def design(x: Floats) -> Floats:
    """The features (n, d) and a last column of ones for the intercept: (n, d + 1) float32.

    Float32 halves the time of the Gram matrix and moved no P(y = 1) by more than 4e-6 in 728 fits of random methods,
    against Newton in float64 run to the end: the ridge bounds the matrix from below, and each step corrects the last.
    """
    return np.column_stack([x, np.ones(len(x))]).astype(np.float32)


def fit(x: Floats, y: Floats, l2: float, weights: Floats | None = None, start: Floats | None = None) -> Floats:
    """The coefficients (d + 1,) that minimise sum(weights * cross-entropy) + l2 / 2 * |all but the intercept|^2.

    `x` (n, d + 1) is a design, `y` (n,) are labels or probabilities. `start` changes the time and not the result
    (the loss is strictly convex): a student refitted on slightly other labels settles in 2 or 3 steps, not 5 or 6.
    At most 7 steps.
    """
    penalty = np.full(x.shape[1], l2, np.float32)
    penalty[-1] = _FLAT
    y = np.asarray(y, np.float32)
    weights = np.ones(len(x), np.float32) if weights is None else np.asarray(weights, np.float32)
    beta = np.zeros(x.shape[1], np.float32) if start is None else start
    for _ in range(STEPS):
        p = expit(x @ beta)
        scaled = x * np.sqrt(weights * p * (1 - p))[:, None]
        curvature = scaled.T @ scaled  # one array on both sides: numpy computes one triangle, 0.41 ms instead of 0.65
        curvature[np.diag_indices_from(curvature)] += penalty
        slope = (weights * (y - p)) @ x - penalty * beta
        step = cho_solve(cho_factor(curvature, check_finite=False), slope, check_finite=False)
        beta = beta + step
        if np.abs(step).max() < _SETTLED:
            break
    return beta


def probability(x: Floats, beta: Floats) -> Floats:
    """P(y = 1) of the rows of a design, (n,)."""
    p: Floats = expit(x @ beta)
    return p
