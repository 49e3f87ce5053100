"""The least change of a curve that counts as a trend."""

NO_TREND = "no trend"

TREND_CHANCE = 0.005  # the largest p value of a rise or a fall
LEAST_CHANGE = 0.1  # as a share of the curve's range; a smaller change is no trend
