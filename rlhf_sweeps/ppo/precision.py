"""Computing at a lower precision than the weights', each weight cast once where responses are sampled or read."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def compute_in(module: nn.Module, dtype: torch.dtype | None) -> Iterator[None]:
    """Autocast for the module's device; dtype None: the weights' own.

    Autocast keeps a weight's cast until its outermost context ends, but only where the weight requires grad: a frozen
    one it casts anew at every use. Where no gradients are recorded, requiring them changes nothing else, so there the
    frozen weights do until the end.
    """
    frozen = [] if dtype is None or torch.is_grad_enabled() else [p for p in module.parameters() if _is_frozen(p)]
    try:
        for parameter in frozen:
            parameter.requires_grad_(True)
        with torch.autocast(next(module.parameters()).device.type, dtype=dtype, enabled=dtype is not None):
            yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)


def _is_frozen(parameter: nn.Parameter) -> bool:
    return not parameter.requires_grad and parameter.is_floating_point()
