"""How often what is said about a sweep is false, and how often a better setting is named: over made-up sweeps.

    python tests/benchmarks/verdicts.py [--sweeps 400] [--first-seed 0]

First, sweeps in which no setting differs: any claim is false, and 5 % of sweeps may have one. Then sweeps in which one
setting is better by some standard deviations of a run: how often it is first, how often it is said to be the best, and
how often another one is. Standard errors are those of shares.
"""

import argparse
import math
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
from helpers.null_sweeps import NULLS, grid, list_claims

from analysis.sweep import importance
from analysis.sweep.analysis import analyse_sweep
from rlhf_sweeps.verdicts import estimates

# Name -> number of settings on each axis, seeds, effect, and the share of variance that a seed has in all settings.
PLANTED = {
    "16 settings, 3 seeds, 2 deviations": ((4, 4), 3, 2.0, 0.5),
    "16 settings, 3 seeds, 2 deviations, seeds share 0.7": ((4, 4), 3, 2.0, 0.7),
    "16 settings, 3 seeds, 2 deviations, seeds share nothing": ((4, 4), 3, 2.0, 0.0),
    "9 settings, 5 seeds, 1.5 deviations": ((3, 3), 5, 1.5, 0.5),
    "4 settings, 3 seeds, 2 deviations": ((4, 1), 3, 2.0, 0.5),
}


def spare_time() -> None:
    """Leave out what takes time and makes no claim: shares of importance, resampled intervals of groups."""
    importance._resample_shares = lambda *given: {}  # type: ignore[assignment]
    estimates.RESAMPLES = 100


def claim(kind: str, seed: int) -> set[str]:
    """The false claims about one sweep without differences."""
    spare_time()
    return list_claims(NULLS[kind](seed))


def find_planted(kind: str, seed: int) -> tuple[bool, bool]:
    """Whether the better setting is first, and whether the first one is said to be the best."""
    spare_time()
    shape, num_seeds, effect, shared = PLANTED[kind]
    source = grid(seed, shape, num_seeds, planted=effect, shared=shared)
    random = np.random.default_rng(seed)
    better = int(random.integers(math.prod(shape)))
    (analysis,) = analyse_sweep(source).views
    is_first = analysis.view.best is not None and analysis.view.settings.index(analysis.view.best) == better
    return is_first, analysis.lead is not None and bool(analysis.lead.is_clear)


def format_share(count: int, num: int) -> str:
    """`4.5 % (1.0)`, with the standard error."""
    share = count / num
    return f"{100 * share:.1f} % ({100 * math.sqrt(share * (1 - share) / num):.1f})"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sweeps", type=int, default=400, help="sweeps of each kind")
    parser.add_argument("--first-seed", type=int, default=0)
    arguments = parser.parse_args()
    num, seeds = arguments.sweeps, range(arguments.first_seed, arguments.first_seed + arguments.sweeps)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        print(f"no setting differs, {num} sweeps of each kind: sweeps with any claim, and with each kind of claim")
        for kind in NULLS:
            claims = list(pool.map(partial(claim, kind), seeds, chunksize=8))
            parts = Counter(name for each in claims for name in each)
            texts = ", ".join(f"{name} {100 * count / num:.1f} %" for name, count in sorted(parts.items()))
            print(f"  {kind}: {format_share(sum(map(bool, claims)), num)} {texts}", flush=True)
        print("one setting is better: it is first; it is said to be the best; another one is")
        for kind in PLANTED:
            outcomes = list(pool.map(partial(find_planted, kind), seeds, chunksize=8))
            first = sum(is_first for is_first, _ in outcomes)
            named, wrong = (
                sum(is_clear and is_first == right for is_first, is_clear in outcomes) for right in (True, False)
            )
            print(f"  {kind}: {', '.join(format_share(count, num) for count in (first, named, wrong))}", flush=True)


if __name__ == "__main__":
    main()
