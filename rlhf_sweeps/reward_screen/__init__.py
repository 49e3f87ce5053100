"""A screen of reward models before any training: each chooses the best of n answers, and the others judge."""
