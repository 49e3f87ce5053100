"""What a curve must change by to have a trend."""

NO_TREND = "no trend"

CHANCE = 0.005  # how likely pure noise may be taken for a rise or a fall
LEAST_CHANGE = 0.1  # share of the curve's range below which a change is none
