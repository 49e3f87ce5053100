"""How often what is said about a sweep is false, and how often a better setting is named: over made-up sweeps.

    python tests/benchmarks/verdicts.py [--sweeps 400] [--first-seed 0] [--kinds WORD] [--workers 2]

First, sweeps in which no setting differs: any claim is false, and 5 % of sweeps may have one. Then comparisons of
groups that do not differ, which have 5 % of their own. Then sweeps in which one setting is better by some standard
deviations of a run: how often it is first, how often it is said to be the best, and how often another one is. Last the
winner's curse: by how much the figure of the best setting is too high where no setting differs, and by how much the
figure to report is. Standard errors are those of shares and means.
"""

import argparse
import math
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import optuna
from helpers.null_comparisons import COMPARED
from helpers.null_sweeps import CURSED, NULLS, grid, list_claims, measure_best

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
    """The false claims about one sweep without differences, or in one comparison."""
    spare_time()
    return list_claims(NULLS[kind](seed)) if kind in NULLS else COMPARED[kind](seed)


def measure_bias(kind: str, seed: int) -> tuple[float, float]:
    """The figure of the best setting and the one to report, less the truth, in standard deviations of a run."""
    return measure_best(CURSED[kind](seed))


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


def format_mean(values: Sequence[float]) -> str:
    """`+1.74 (0.03)`, with the standard error; sweeps without a value are left out and counted."""
    finite = np.array([value for value in values if math.isfinite(value)])
    if not len(finite):
        return "none"
    error = f" ({finite.std(ddof=1) / math.sqrt(len(finite)):.2f})" if len(finite) > 1 else ""
    return f"{finite.mean():+.2f}{error}" + (f" of {len(finite)}" if len(finite) < len(values) else "")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sweeps", type=int, default=400, help="sweeps of each kind")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--kinds", default="", help="only the kinds whose names hold this word")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    arguments = parser.parse_args()
    num, seeds = arguments.sweeps, range(arguments.first_seed, arguments.first_seed + arguments.sweeps)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    nulls, planted, cursed = (
        [kind for kind in kinds if arguments.kinds in kind] for kinds in ((*NULLS, *COMPARED), PLANTED, CURSED)
    )
    with ProcessPoolExecutor(arguments.workers) as pool:
        print(f"no setting differs, {num} sweeps of each kind: sweeps with any claim, and with each kind of claim")
        for kind in nulls:
            claims = list(pool.map(partial(claim, kind), seeds, chunksize=8))
            parts = Counter(name for each in claims for name in each)
            texts = ", ".join(f"{name} {100 * count / num:.1f} %" for name, count in sorted(parts.items()))
            print(f"  {kind}: {format_share(sum(map(bool, claims)), num)} {texts}", flush=True)
        print("one setting is better: it is first; it is said to be the best; another one is")
        for kind in planted:
            outcomes = list(pool.map(partial(find_planted, kind), seeds, chunksize=8))
            first = sum(is_first for is_first, _ in outcomes)
            named, wrong = (
                sum(is_clear and is_first == right for is_first, is_clear in outcomes) for right in (True, False)
            )
            print(f"  {kind}: {', '.join(format_share(count, num) for count in (first, named, wrong))}", flush=True)
        print("winner's curse, no setting differs: the best setting's figure, and the one to report, less the truth")
        for kind in cursed:
            pairs = list(pool.map(partial(measure_bias, kind), seeds, chunksize=8))
            texts = (format_mean(values) for values in zip(*pairs, strict=True))
            print(f"  {kind}: {', '.join(texts)} standard deviations of a run", flush=True)


if __name__ == "__main__":
    main()
