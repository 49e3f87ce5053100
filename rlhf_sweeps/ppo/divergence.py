"""The KL divergence of a policy from its reference, over the whole vocabulary at every token of sampled responses.

If responses are sampled from the whole distribution (ppo.top_p=1), its mean is the same as that of the estimates from
the sampled tokens alone (`kl_estimate`), with a far smaller variance: what the next token adds is computed, not sampled
(Amini et al., "Better estimation of the KL divergence between language models", arXiv 2504.10637). With a smaller top_p
both means differ, since the distributions here have all tokens, also those that are never sampled.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from rlhf_sweeps.ppo.equations import token_kl
from rlhf_sweeps.ppo.language_model import LanguageModel
from rlhf_sweeps.ppo.precision import compute_in
from rlhf_sweeps.ppo.rollout import Responses
from rlhf_sweeps.ppo.trainer import Reference


@torch.no_grad()
def measure_divergence(policy: LanguageModel, ref_policy: Reference, batch: Responses, size: int) -> Tensor:
    """The sum over each response's tokens, (batch,), in nats.

    Args:
        ref_policy: with adapters it turns off those of the policy, so that it is open only while the reference reads.
        size: the number of sequences read at once.
    """
    kl = torch.zeros(batch.response_ids.shape, device=batch.response_ids.device)
    # One context around all parts and chunks, so that the weights of both models are cast once.
    with compute_in(policy.model, policy.autocast):
        for part in batch.parts(size):
            _read_part(policy, ref_policy, batch, part, kl)
    return kl.sum(-1)


def _read_part(policy: LanguageModel, ref_policy: Reference, batch: Responses, part: list[int], kl: Tensor) -> None:
    """Fill in the KL (batch, response) at each token of the rows in `part`."""
    responses = batch.rows(part)
    features = policy.features(responses)
    index, (rows, positions) = features.places(responses.lengths)
    with ref_policy() as model:
        ref_features = replace(policy, model=model).features(responses)
    ref_index, _ = ref_features.places(responses.lengths)
    of_batch = torch.tensor(part, device=index.device)
    for half in _halve(policy.chunks(len(index)), len(index)):
        logits = policy.logits(features.values[index[half]])
        with ref_policy() as model:
            ref_logits = replace(policy, model=model).logits(ref_features.values[ref_index[half]])
        # Each entry is written once, so that the sum does not depend on the order in which a GPU adds.
        kl[of_batch[rows[half]], positions[half]] = token_kl(logits, ref_logits)


def _halve(chunks: Iterator[slice], num_tokens: int) -> Iterator[slice]:
    """Both halves of each chunk: two models' logits are in memory at once. Halves without a token are left out."""
    for chunk in chunks:
        middle = (chunk.start + chunk.stop + 1) // 2
        for half in (slice(chunk.start, middle), slice(middle, chunk.stop)):
            if half.start < min(half.stop, num_tokens):
                yield half
