"""Rules that end running trials early, or let them wait, from the curves of their objectives.

The defaults of `Asha` (halving.py) were set with tests/benchmarks/pruning.py, which measures how often each rule ends
the trial that would have been the best, and how much time it saves. The defaults of the other rules are those of Optuna
or were chosen; nothing measured them."""
