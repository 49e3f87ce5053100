"""Random generators that depend on the seed, their purpose and the update only.

No global generator is used, so a continued run needs no saved state, and the numbers of a trial do not depend on other
code in its process.
"""

import hashlib

import torch


def make_generator(seed: int, purpose: str, update: int, device: torch.device | None = None) -> torch.Generator:
    """A fresh generator; the same arguments give the same stream."""
    digest = hashlib.sha256(f"{seed} {purpose} {update}".encode()).digest()
    return torch.Generator(device or torch.device("cpu")).manual_seed(int.from_bytes(digest[:8], "big") >> 1)
