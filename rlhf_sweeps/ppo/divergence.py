"""The KL divergence of a policy from its reference, over the whole vocabulary at every token of sampled responses.

Its mean is the same as that of the estimates from the sampled tokens alone (`kl_estimate`), with a far smaller
variance: what the next token adds is computed, not sampled (Amini et al., "Better estimation of the KL divergence
between language models", arXiv 2504.10637).
"""

from dataclasses import replace

import torch
from torch import Tensor

from rlhf_sweeps.ppo.equations import token_kl
from rlhf_sweeps.ppo.language_model import LanguageModel
from rlhf_sweeps.ppo.rollout import Responses
from rlhf_sweeps.ppo.trainer import Reference


@torch.no_grad()
def measure_divergence(policy: LanguageModel, ref_policy: Reference, batch: Responses, size: int) -> Tensor:
    """The sum over each response's tokens, (batch,), in nats.

    Args:
        ref_policy: with adapters it turns off those of the policy, so that it is open only while the reference reads.
        size: the number of sequences read at once.
    """
    sums = torch.zeros(len(batch.lengths), device=batch.response_ids.device)
    for part in batch.parts(size):
        responses = batch.rows(part)
        features = policy.features(responses)
        index, (rows, _) = features.places(responses.lengths)
        with ref_policy() as model:
            ref_features = replace(policy, model=model).features(responses)
        ref_index, _ = ref_features.places(responses.lengths)
        of_batch = torch.tensor(part, device=index.device)
        for chunk in policy.chunks(len(index)):
            logits = policy.logits(features.values[index[chunk]])
            with ref_policy() as model:
                ref_logits = replace(policy, model=model).logits(ref_features.values[ref_index[chunk]])
            sums.index_add_(0, of_batch[rows[chunk]], token_kl(logits, ref_logits))
    return sums
