"""Autocast in which each weight is cast once, not at every use, while responses are sampled or read."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def compute_in(module: nn.Module, dtype: torch.dtype | None) -> Iterator[None]:
    """Autocast to `dtype` on the module's device; None: no autocast.

    Autocast caches the cast of a weight until its outermost context ends, but only if the weight requires a gradient;
    it casts a frozen weight again at every use. While no gradients are recorded, requires_grad has no other effect, so
    frozen weights get it until the context ends.
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
