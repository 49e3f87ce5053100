"""The limits behind the statements about a sweep, in one place.

All were chosen. Where a comment says what was measured, it was measured with these limits on simulated searches; the
test in tests/analysis/sweep that is named runs a part of these again.
"""

import numpy as np

# Importance against chance. SIGNIFICANCE_LEVEL is the limit of its p values.
NUM_PERMUTATIONS = 999  # of the objectives
SETTINGS_PER_TERM = 2.5  # settings for each term of the model, from which it holds all axes at once

# Importance. Measured on searches over three keys of which one matters, with the worst noise: fANOVA ranks it first in
# 93 of 100 or more from 12 settings on, in 82 from 10, in 77 from 8. With a second key it takes a few more settings
# (test_importance.py).
MIN_IMPORTANCE_SETTINGS = 12  # settings
MAX_CHOICES = 8  # choices of a list that Optuna gets as choices, since a tree tries each at every node
MAX_IMPORTANCE_SETTINGS = 150  # settings, since fANOVA takes time with their square
NUM_RESAMPLES = 10  # sweeps resampled for the range of a share
NUM_TREES = 32  # of fANOVA
NUM_TREES_RESAMPLED = 6  # of fANOVA, for a resampled sweep
NUM_BEST = 5  # settings among the best for PED-ANOVA, as Optuna's documentation has it
SHARE_BEST = 0.1  # of the settings, among the best for PED-ANOVA

# The surface: priors of logarithms as means and standard deviations, for standardized objectives over axes of length 1.
LENGTH_SCALE_PRIOR = (np.log(0.7), 1.0)  # of an axis
SIGNAL_PRIOR = (0.0, 1.0)  # variance of the surface
NOISE_PRIOR = (np.log(0.05), 1.5)  # variance of the noise
MEAN_VARIANCE = 1.0  # of the constant that the surface varies about
JITTER = 1e-8  # variance that keeps the matrix positive definite
THETA_STEP = 1e-3  # of a logarithm, for differences of gradients
MISSING_POSITION = 0.5  # of an axis, beside which a setting lies in which the key is not active

# The optimum. Measured on parabolas over three keys, from 9 settings on: the range that is not ruled out holds the true
# optimum in 99 of 100 searches, the range that is likely within noise in 82 or more (test_optimum.py).
MIN_SETTINGS = 6  # complete settings
MIN_SETTINGS_PER_AXIS = 1  # settings more for each axis
MAX_SETTINGS = 250  # settings, for speed
FLOOR_DEPTH = 2.0  # differences of best and median, by which the floor lies below the median
NUM_DRAWS = 400  # surfaces drawn
NUM_POINTS = 81  # positions on an interval
BAND = 1.645  # standard deviations on either side of the mean that hold 90 % of a normal distribution
MIN_EXPLAINED = (
    0.7  # share of the variance predicted, where no key is clear; 1 of 20 sweeps of noise had it (no test repeats it)
)
LIKELY = 0.5  # probability from which a value counts as within noise of the best
POSSIBLE = 0.1  # probability from which a value is not ruled out
FLAT = 0.6  # probability from which, over all of an axis, the key does not matter

# Edges. Measured on searches whose optimum lies inside of all axes: at most 3 of 200 had any edge (test_next_steps.py).
SURE_EDGE = 0.95  # probability that the surface of a key that matters still rises towards the edge
MOSTLY_AT_EDGE = 0.5  # of the surfaces drawn, whose highest point lies at the edge
OUTER = 0.1  # of an interval: from there to its edge the objective must rise
KEPT_BESIDE_EDGE = 0.3  # of an interval, next to the edge, that a wider search keeps
LARGE_FACTOR = 4  # between the last two numbers of a list, from which the next ones are proposed closer together
NEAR_EDGE = 0.25  # of an axis: so near to its edge the best setting must lie

# Next steps.
SURE_CHOICE = 0.95  # probability from which a choice is the best
NARROW = 0.5  # of an axis: up to so much of it is worth searching on its own
GAP = 0.25  # of an axis without any setting
MIN_COMPLETE_TRIALS = 9  # complete trials, of which the last third is compared with the others
MAX_SEEDS = 10  # seeds that are proposed at most

# Pruned trials. Measured on searches with a median pruner: what is not ruled out holds the optimum in 94 of 100 or more
# (no test repeats it).
GAIN_UNKNOWN = 0.5  # of the gain still to come, as its standard deviation
MIN_COMPLETE = 3  # complete trials; fewer show too little of what is gained at the end
DEVIATION_PER_MAD = 1.4826  # standard deviation of a normal distribution over its median absolute deviation

# Others.
MAX_PAIRED = 30  # of the best settings, that are compared seed by seed
REGION_CHANCE = 0.05  # p value, corrected for axes, kinds and views, up to which failures lie in one part of an axis
MIN_IN_BIN = 4  # settings of a bin
MAX_BINS = 8  # bins of an interval
LABEL_DIGITS = 3  # digits of a label
MAX_LISTED = 8  # different numbers of a list; more were drawn from an interval that the record does not name
LOG_FACTOR = 10.0  # between the ends of a list of numbers from which its axis is logarithmic, as for learning rates
SAME_POSITION = 1e-6  # of an axis, up to which positions are the same
