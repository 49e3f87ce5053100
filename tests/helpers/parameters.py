"""Parameters as they were, and whether they still are."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def weights(module: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


def same(before: Sequence[Tensor], module: nn.Module) -> bool:
    return all(map(torch.equal, before, module.parameters()))
