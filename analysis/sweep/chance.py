"""A permutation test of whether a swept key matters more than by chance.

It tests each key on its own. It does not find keys that matter only together with each other, and not in the mean.
"""

from collections.abc import Sequence

import numpy as np

from analysis.records.runs import Floats
from analysis.sweep.thresholds import NUM_PERMUTATIONS, SETTINGS_PER_TERM
from rlhf_sweeps.record import Axis
from rlhf_sweeps.verdicts.error_rate import SHARE_OF_KEYS, share_p_values


def compute_p_values(axes: Sequence[Axis], positions: Floats, gains: Floats, share: float = 1.0) -> Floats:
    """For each axis the probability that permuted objectives make any axis look as important, (axes,).

    It is adjusted for the other claims about a sweep (see `error_rate`).

    The objectives' ranks are fitted by a parabola over an axis of numbers, by their means over a list; what is compared
    is the probability of the F statistic, smallest over the axes (the single-step min P of Westfall and Young 1993).
    A key that is active in some settings only is tested on these alone, since elsewhere another key decides.
    With enough settings the other axes are fitted, too: a search narrows all axes while it gets better, so that an
    axis which does not matter seems to matter beside one that does.

    Args:
        positions: nan where a key is not active, (settings, axes).
        gains: (settings,).
        share: of the rate of the keys' claims, where there are several views.
    """
    num = len(gains)
    random = np.random.default_rng(0)
    rows = np.stack([gains, *(random.permutation(gains) for _ in range(NUM_PERMUTATIONS))])
    terms = [_make_terms(axis, positions[:, index]) for index, axis in enumerate(axes)]
    num_terms = sum(columns.shape[1] for columns in terms)
    p_values = np.ones((len(axes), len(rows)))
    for index, own in enumerate(terms):
        is_active = np.isfinite(positions[:, index])
        is_partial = SETTINGS_PER_TERM * num_terms <= is_active.sum()
        others = [np.zeros((num, 0)), *(terms[:index] + terms[index + 1 :] if is_partial else [])]
        without = np.concatenate(others, axis=1)[is_active]
        full = np.concatenate([without, own[is_active]], axis=1)
        p_values[index] = _compute_tail(_make_basis(without), _make_basis(full), _rank_rows(rows[:, is_active]))
    smallest = p_values.min(axis=0)
    # The sweep as it is counts as one of the permutations; rounding must not tell it from its equals.
    shares = np.asarray([(smallest <= p_value * (1 + 1e-9)).mean() for p_value in p_values[:, 0]], dtype=np.float64)
    return share_p_values(shares, share * SHARE_OF_KEYS)


def _rank_rows(rows: Floats) -> Floats:
    """The ranks within each row, 0 in the mean, (rows, settings)."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(rows, axis=1) - (rows.shape[1] + 1) / 2, dtype=np.float64)


def _compute_tail(without: Floats, full: Floats, rows: Floats) -> Floats:
    """The probability of the F statistic for what one basis explains more than another, for each row, (rows,)."""
    from scipy.stats import f

    more, left = full.shape[1] - without.shape[1], rows.shape[1] - 1 - full.shape[1]
    total = (rows**2).sum(axis=1)
    if more <= 0 or left <= 0 or not total.all():
        return np.ones(len(rows))
    explained = ((rows @ full) ** 2).sum(axis=1) / total
    before = ((rows @ without) ** 2).sum(axis=1) / total
    statistic = np.clip(explained - before, 0, None) / more * left / np.clip(1 - explained, 1e-12, None)
    return np.asarray(f.sf(statistic, more, left), dtype=np.float64)


def _make_terms(axis: Axis, column: Floats) -> Floats:
    """What an axis can explain among the settings in which it is active, (settings, terms); 0 in all others."""
    is_active = np.isfinite(column)
    levels = np.unique(column[is_active])
    if axis.is_interval or (axis.is_numeric and len(levels) > 4):
        active = np.where(is_active, column, 0.0)
        return np.stack([active, active**2], axis=1)
    return np.asarray(column[:, None] == levels[None, 1:], dtype=np.float64)


def _make_basis(terms: Floats) -> Floats:
    """An orthonormal basis of some terms, without the constant, (settings, at most terms)."""
    if not terms.size:
        return np.zeros((len(terms), 0))
    vectors, values, _ = np.linalg.svd(terms - terms.mean(axis=0), full_matrices=False)
    return np.asarray(vectors[:, values > 1e-9 * max(1.0, float(values.max()))], dtype=np.float64)
