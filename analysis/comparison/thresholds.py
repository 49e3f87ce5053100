"""The limits of comparisons, in one place; all chosen, none measured.

The limits that decide about pairs are in rlhf_sweeps/verdicts. tests/analysis/comparison/test_pair_false_alarms.py
counts how often a pair is called better where nothing differs.
"""

MAX_VALUES = 12  # values of a number, each with one run; more are taken together in ranges
MAX_RANGES = 4  # ranges
MIN_IN_RANGE = 3  # values of a range
KL_SHARES = (0.25, 0.5, 1.0)  # of the KL that nearly all groups reach
MAX_LEFT_OUT = 0.1  # of the groups, which may be left out for a higher KL
LAW_RESAMPLES = 4000  # runs resampled for the covariance of the law's constants
MIN_LAW_POINTS = 4  # points at different distances for a fit
MAX_KEYS = 6  # keys that a report compares runs by; their comparisons share one rate of false claims
