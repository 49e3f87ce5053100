"""What is said of the learning, right at the limits: levels and standard errors by hand."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.health_runs import UPDATES, Floats, found, run

# A noise of 0.2 / root 2 / 0.6745 x 1.04 = 0.218: 0.069 is the error of a difference of means over 20, 0.0975 over 10.
WOBBLE = np.tile([0.1, -0.1], 50)


def rising(size: float) -> Floats:
    return np.where(UPDATES <= 50, 0.0, size) + WOBBLE


@pytest.mark.parametrize(
    ("kl", "size", "config", "expected"),
    [
        (0.009, 0.0, {}, True),
        (0.011, 0.0, {}, False),
        (np.where(UPDATES <= 50, 0.5, 0.005), 0.0, {}, True),  # where it is since the middle counts
        (0.009, 0.27, {}, True),  # four standard errors are 0.276
        (0.009, 0.28, {}, False),
        (0.009, 0.0, {"ppo.lr_warmup_updates": 50}, True),
        (0.009, 0.0, {"ppo.lr_warmup_updates": 51}, False),  # half of the run, and more
        (0.009, 0.0, {"ppo.value_warmup_updates": 51}, False),
    ],
)
def test_what_stays_where_it_began_learns_nothing(
    kl: float, size: float, config: dict[str, object], expected: bool
) -> None:
    assert ("learns nothing" in found(run(config, objective__kl=kl, objective__scores=rising(size)))) is expected


@pytest.mark.parametrize(
    ("kl", "scores", "spread", "expected"),
    [
        (3.1, WOBBLE, 1.0, True),
        (2.9, WOBBLE, 1.0, False),
        # A tenth of the deviation of a batch is worth something, and so are two standard errors (0.138).
        (6.0, rising(0.09), 1.0, True),
        (6.0, rising(0.11), 1.0, False),
        (6.0, rising(0.13), 2.0, True),
        (6.0, rising(0.15), 2.0, False),
        (6.0, rising(0.01), None, False),
        # Its best stretch was four standard errors (0.276) above its beginning, though it is gone.
        (6.0, np.where(abs(UPDATES - 50.5) < 10, 0.27, 0.0) + WOBBLE, 1.0, True),
        (6.0, np.where(abs(UPDATES - 50.5) < 10, 0.28, 0.0) + WOBBLE, 1.0, False),
    ],
)
def test_kl_that_has_bought_no_score(kl: float, scores: Floats, spread: float | None, expected: bool) -> None:
    known = {} if spread is None else {"objective__scores_std": spread}
    assert ("KL without gain" in found(run(objective__kl=kl, objective__scores=scores, **known))) is expected


@pytest.mark.parametrize(
    ("top", "lost", "spread", "expected"),
    [
        # Five standard errors are 0.488, a quarter of a deviation of 2.2 is 0.55, two fifths of a gain of 2 are 0.8.
        (1.0, 0.48, None, False),
        (1.0, 0.5, None, True),
        (1.0, 0.54, 2.2, False),
        (1.0, 0.56, 2.2, True),
        (2.0, 0.79, None, False),
        (2.0, 0.81, None, True),
    ],
)
def test_a_score_falls_after_its_peak(top: float, lost: float, spread: float | None, expected: bool) -> None:
    scores = np.where(UPDATES <= 30, 0.0, np.where(UPDATES <= 60, top, top - lost)) + WOBBLE
    known = {} if spread is None else {"objective__scores_std": spread}
    assert ("score falls after its peak" in found(run(objective__scores=scores, **known))) is expected


def test_where_a_reward_peaks_and_where_it_falls() -> None:
    """The first ten updates at the top are 31 to 40, 36 in their middle; of 53 to 62 two have lost 0.5, so that their
    mean is within 1.5 standard errors (0.146) of the top, and of 54 to 63 not. 58 is in the middle."""
    top = 1.0 - 1e-5 * UPDATES  # so that the first of them are the highest
    scores = np.where(UPDATES <= 30, 0.0, np.where(UPDATES <= 60, top, 0.5)) + WOBBLE
    told = found(run(objective__rlhf_reward=scores))["score falls after its peak"]
    assert told.update == 58
    # The last five are 0.4, 0.6, 0.4, 0.6 and 0.4: their squared distances from 0.48 add up to 0.048.
    ending = "0.48 (mean of the last 5 updates, standard deviation 0.11)"
    assert told.text == f"the reward peaks about update 36 at 1, falls from 58 on, and ends at {ending}"
    assert told.evidence == pytest.approx({"peak": 1.0, "end": 0.48, "standard error of the fall": 0.09753}, rel=1e-3)


@pytest.mark.parametrize(("late", "expected"), [(0.0101, False), (0.0099, True)])
def test_scores_of_a_batch_come_to_be_the_same_at_a_hundredth_of_their_deviation(late: float, expected: bool) -> None:
    told = found(run(objective__scores_std=np.where(UPDATES <= 40, 1.0, late), objective__scores=3.0))
    assert ("constant scores" in told) is expected
    if expected:
        assert told["constant scores"].update == 41
        assert "their standard deviation falls from 1 to 0.0099" in told["constant scores"].text


@pytest.mark.parametrize(("deviation", "expected"), [(2.9e-6, True), (3.1e-6, False)])
def test_scores_are_constant_by_their_own_size(deviation: float, expected: bool) -> None:
    """A millionth of 3, to either side of zero."""
    told = found(run(objective__scores_std=deviation, objective__scores=np.tile([3.0, -3.0], 50)))
    assert ("constant scores" in told) is expected


def test_the_best_evaluation_is_not_advised_where_none_counted() -> None:
    """A run whose evaluations were all beyond the KL budget exports its last policy."""
    record = run(objective__scores=np.where(UPDATES <= 50, 5.0, 0.0) + np.tile([0.01, -0.01], 50))
    for summary, is_advised in (({}, True), ({"best": {"update": 50}}, True), ({"best": None}, False)):
        told = found(replace(record, summary=summary))["score falls after its peak"]
        assert ("model/ holds it" in told.advice) is is_advised
        assert "lower ppo.lr" in told.advice
