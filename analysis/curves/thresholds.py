"""The limits behind the sentences and figures of curves, in one place.

Measured with these limits on simulated curves without any phase, 120 each of 10, 30, 90 and 250 values: phases were
found in 0 to 4 % of those with normal noise, in 1 to 8 % where the noise has an autocorrelation of 0.5, in 2 to 4 %
where it grows fivefold on the way, and in 4 to 14 % where it quadruples at 70 % of the curve.
tests/analysis/curves/test_phases.py counts a part of that again. `PENALTY` was set by such curves; the other limits
were chosen. The limits on a trend are in rlhf_sweeps/verdicts/trend.py.
"""

# Pieces of a curve.
MAX_PIECES = 6  # pieces
MAX_CUT_POINTS = 250  # points that are cut; longer curves are averaged down to as many, for speed
MIN_PIECE_POINTS = 3  # points of a piece
MIN_PIECE_SHARE = 0.04  # of the curve's points, in a piece
PENALTY = 1.3  # times that of the Bayesian information criterion, which does not count that cuts are searched for
CHI_SQUARED = 3.84  # 95 % point of the chi-squared distribution with one degree of freedom
AUTOCORRELATION_POINTS = (
    20  # the autocorrelation of n points is at most n / (n + 20), since few points cannot show more
)
CHANCE_LOCAL_NOISE = 1.25  # times the usual noise, by which a stretch differs by chance
MAX_LOCAL_NOISE = 4.0  # times the usual noise, which no stretch counts for more than

# Spikes.
SPIKE = 6  # times the noise by which a single value is a spike
BURST = 10  # times the noise by which two or three in a row are one, and from which a sentence names a spike
MIN_SPIKE_SHARE = 0.05  # of the range, for a single value
MIN_BURST_SHARE = 0.25  # of the range, for two or three in a row, and at either end
MIN_BURST_POINTS = 40  # values from which two or three in a row may be a spike; in shorter curves they are a course
END_RATIO = 8  # times the largest of the steps beside it, which the step at an end exceeds
STEPS_BESIDE_END = 5  # steps beside an end that are looked at

# Phases.
FEWEST_LEVEL = 10  # values of a curve that may be said to have no trend: of fewer, hardly any trend is certain; chosen
MIN_POINTS = 4  # values of a curve with phases: a line cannot be told from its noise with fewer
MIN_SUM_CHANGE = 0.05  # of a running sum's range, by which it changes in a phase
MIN_SUM_SLOPE = 0.07  # of the sum's mean slope over the whole curve, where that is less
MAX_RANK_POINTS = 30  # points up to which ranks find a rise that is no straight line
RANK_DEVIATIONS = 2.576  # standard deviations: 99 % of a normal distribution are within
LINE_ENDS = 12  # over n: the variance of the difference of a fitted line's ends, in variances of independent noise
RANDOM_WALK = 1.2  # times n: the same for a random walk, in variances of a step
MIN_NOISE_POINTS = 15  # points of a phase from which its noise is its own
JUMP_ERRORS = 5  # standard errors of a jump, since it is looked for where the gap is largest
JUMP_GAIN = 12  # variances of the noise by which a jump fits better than a bend (chi-squared: 0.05 %)
SURE_JUMP_GAIN = 36  # the same where a jump is less than so many standard errors
MIN_JUMP_SHARE = 0.25  # of the range that a jump covers at least
FEWEST_LAST = 3  # values after a sharp change at the end: fewer may be a spike
MOST_LAST = 8  # values after such a change; more of them are a piece of their own
MOST_LAST_SHARE = 0.15  # of the curve's values, after such a change
FEWEST_CALM = 8  # values before such a change that are calm; twice as many as after it, if these are more
CALM_SHARE = 0.25  # of the change, by which the halves of the calm differ at most
LEAST_NOISE = 0.7  # of the whole curve's noise, which the few values beside the change have at least
LEAST_STEP = 0.5  # of the change, which one step makes
MIN_LEVEL_SHARE = 0.08  # of the updates that a level stretch covers at least
MIN_LEVEL_STEPS = 5  # recorded updates that a level stretch covers at least

# Words.
TIGHT = 0.03  # of the updates: a turn whose 95 % confidence interval is no wider is at an update
CLEAR = 0.2  # of the updates: no wider, it is at about an update; wider, between two
MOST_OF_CHANGE = 0.8  # of a change: where most of it is done
SOON = 0.6  # of the updates, in which most of a change is done at most to be named
WANDERS = 0.6  # autocorrelation of the noise from which a level curve is said to wander
MAX_COMPARED = 30  # runs of a group whose phases are looked for one by one
SAME_LEVEL = 0.25  # of a run's range: net change up to which it ends about where it starts
MAX_STRETCHES = 3  # above, within or below another curve that a sentence lists; more are counted
LATE_RISE = 0.15  # of the KL's range, by which it rises in its last third if it still rises
ENTROPY_LOW = 0.3  # of the entropy at the start
ENTROPY_GROWN = 1.5  # times the entropy at the start
MAX_NAMED_RUNS = 3  # runs that a clause names

# Figures.
DEFAULT_SHARE = 0.1  # of a run's length: the window of smoothing
MIN_QUARTILE_RUNS = 5  # runs of a group from which quartiles are drawn
MAX_LINES = 12  # lines with a name of their own
NUM_BEST = 5  # of the best runs, which have a name where not all can have one
NUM_WORST = 3  # of the worst runs, which then have a name, too
MAX_POINTS = 200_000  # points of all lines of all panels
MAX_LINE_POINTS = 2_000  # points of a line
MAX_LABEL = 44  # letters of a legend entry
