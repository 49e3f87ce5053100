"""The metrics that TRL 1.12 averages in another way, by TRL's definitions; they are logged under trl_compat/.

TRL averages over microbatches, not over tokens, and some metrics include padding. It divides the sums of each minibatch
by the number of microbatches in a whole batch, so that its mean ratio is 0.5 with 2 minibatches.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from rlhf_sweeps.config.schema import PPOConfig
from rlhf_sweeps.ppo.metrics import STATE, TOKEN, Tally
from rlhf_sweeps.ppo.steps import split_into_microbatches


def trl_metrics(config: PPOConfig, tally: Tally, orders: Sequence[Sequence[int]]) -> dict[str, Tensor]:
    """The metrics of one update by name.

    Args:
        orders: the permutation of the rows for each epoch.
    """
    entries = [
        (epoch, part)
        for epoch, order in enumerate(orders)
        for minibatch in split_into_microbatches(config, order)
        for part in minibatch
    ]
    width = tally.rollout.response_ids.shape[1]
    stats: dict[str, Tensor] = {}
    for name in (*TOKEN, *STATE):
        sums = tally.sums[name]
        counts = tally.state_lengths if name in STATE else tally.lengths
        if name in ("policy/approxkl_avg", "policy/entropy_avg", "val/ratio"):
            counts = torch.full_like(counts, width)
        if name == "policy/entropy_avg":
            sums = sums + tally.sums["padding_entropy"]
        if name == "val/ratio":
            sums = sums + (width - tally.lengths)  # padding counts as a ratio of 1
        means = torch.stack([sums[epoch, part].sum() / counts[part].sum() for epoch, part in entries])
        stats[name] = torch.cat([means, means.new_zeros(config.trl_slots - len(means))])
    result = {name: stat.mean() for name, stat in stats.items()}
    if config.trl_slots > 1:
        result["val/ratio_var"] = stats["val/ratio"].var()
    result["val/num_eos_tokens"] = tally.rollout.ended.sum()
    return {f"trl_compat/{name}": value for name, value in result.items()}
