"""The limits of the live table, in one place; all chosen, none measured."""

SHARE_OF_HEALTH = 0.1  # of the time at most, for looking at the health of runs
MIN_WARNING_UPDATES = 5  # updates that a warning rests on
SHARE_OF_SEARCH = 0.1  # of the time at most, for looking for further runs and sweeps
RUN_SILENT_AFTER = 60.0  # seconds without a sign of a run, or as many updates as the next line has if these take longer
RUN_SILENT_UPDATES = 10  # updates
SILENT_AFTER = 60.0  # seconds without a sign of a sweeper, which notes every ten for how long it has run
GRACE = 15.0  # seconds that pass for a sweeper's before its next note
SHARE_OF_STUDY = 0.2  # of the time at most, for reading the study
NEWEST_UPDATES = 10  # updates that the speed is the mean of
MAX_JOBS = 10_000  # pieces of work that are given out one by one; for more, the mean is as good
MIN_BLOCK = 6  # lines of a sweep or run
LINES_BESIDE_ROWS = 2  # lines: column names, and how many more rows there are
MIN_PAUSE = 0.1  # seconds between looks
PLAIN_WIDTH = 120  # characters of a line where there is no terminal, and no COLUMNS
