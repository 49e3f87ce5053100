"""What a sweep's record says: curves, comparisons, health, a report. Needs no torch, no GPU, no network."""
