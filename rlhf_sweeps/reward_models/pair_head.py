"""The linear head on embeddings: its features, its fit to preference pairs, and its file.

The Bradley-Terry model with a linear score is logistic regression on the difference of two responses' features. With an
L2 penalty the loss is strictly convex, so the fit does not depend on where it starts. A bias would cancel.
"""

import hashlib
import json
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from scipy.optimize import minimize
from torch import Tensor

from rlhf_sweeps.data import PreferencePair
from rlhf_sweeps.files.cache import cache_dir
from rlhf_sweeps.process.activity import report_activity
from rlhf_sweeps.reward_models.constants import NUM_FOLDS, STRENGTHS

Array = NDArray[np.float64]
VERSION = 1  # of pooling, features and fit; a cached head of another version is not used
log = logging.getLogger("rlhf_sweeps")


def make_features(prompts: Tensor, responses: Tensor) -> Tensor:
    """The features of the head, (batch, 2 size), from unit vectors (batch, size).

    They are the response's vector, and its elementwise product with the prompt's: without the product, the answer to
    another question would score as high. The square root of the size gives both parts the same scale.
    """
    return torch.cat([responses, prompts * responses * responses.shape[-1] ** 0.5], dim=-1)


@dataclass(frozen=True)
class PairSample:
    """The pairs that a head is fitted to, and those that it is evaluated on."""

    train: Sequence[PreferencePair]
    held_out: Sequence[PreferencePair]

    @classmethod
    def of(cls, train: Sequence[PreferencePair], held_out: Sequence[PreferencePair], num_pairs: int) -> "PairSample":
        """A sample of at most `num_pairs` of each list, the same at every call."""
        return cls(_draw(train, num_pairs), _draw(held_out, num_pairs))


@dataclass(frozen=True)
class Head:
    """A fitted head.

    Attributes:
        weights: (features,), float64.
        strength: of the L2 penalty, chosen by cross-validation.
        num_pairs: the number of pairs that it was fitted to.
        accuracy: the share of held-out pairs that it ranks right, a tie counts half; nan without held-out pairs.
    """

    weights: Tensor
    strength: float
    num_pairs: int
    accuracy: float
    num_held_out: int

    def write(self, file: Path) -> Path:
        """Write the head into a file; returns the file."""
        about = {
            "strength": self.strength,
            "num_pairs": self.num_pairs,
            "accuracy": self.accuracy,
            "num_held_out": self.num_held_out,
        }
        save_file({"weights": self.weights}, file, metadata={"head": json.dumps(about)})
        return file

    @classmethod
    def read(cls, file: Path, num_features: int) -> "Head | None":
        """The head in a file; None if there is no file, or it cannot be used."""
        if not file.exists():
            return None
        try:
            with safe_open(file, "pt") as content:
                # Cloned, so that the weights do not depend on a mapped file that another process may replace.
                weights, about = content.get_tensor("weights").clone(), json.loads(content.metadata()["head"])
            if weights.shape != (num_features,) or not weights.isfinite().all():
                raise ValueError(f"its weights are {list(weights.shape)}")
            return cls(weights, **about)
        except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
            log.warning("%s: cannot be used and is made anew (%s)", file, error)
            return None


def locate_head(encoder: str, sample: PairSample) -> Path:
    """The cache file of an encoder's head on these pairs; `encoder` is the encoder's digest."""
    pairs = [[[pair.prompt, pair.chosen, pair.rejected] for pair in part] for part in (sample.train, sample.held_out)]
    content = json.dumps([VERSION, STRENGTHS, NUM_FOLDS, encoder, pairs])
    return cache_dir() / "heads" / f"{hashlib.sha256(content.encode()).hexdigest()[:32]}.safetensors"


def fit_head(train: Tensor, held_out: Tensor, groups: Sequence[str]) -> Head:
    """The head fitted to differences of features, (pairs, features): chosen minus rejected.

    Args:
        groups: the prompt of each training pair; cross-validation keeps pairs of one prompt in one fold.
    """
    rows = train.double().numpy()
    strength = choose_strength(rows, groups)
    weights = torch.from_numpy(fit_weights(rows, strength))
    margins = held_out.double() @ weights
    right = (margins > 0).double() + 0.5 * (margins == 0).double()
    return Head(weights, strength, len(rows), right.mean().item(), len(right))


def choose_strength(differences: Array, groups: Sequence[str]) -> float:
    """The L2 penalty with the smallest cross-validated loss; the strongest one if there is only one prompt."""
    names = sorted(set(groups))
    if len(names) < 2:
        return max(STRENGTHS)
    places = {name: place for place, name in enumerate(random.Random("folds").sample(names, len(names)))}
    folds = np.array([places[group] % NUM_FOLDS for group in groups])

    def loss_of(fold: int, strength: float) -> float:
        """The loss, summed over the pairs that were left out of one fit."""
        weights = fit_weights(differences[folds != fold], strength)
        validating.done += 1
        return float(np.logaddexp(0, -differences[folds == fold] @ weights).sum())

    all_folds = set(folds.tolist())
    with report_activity("cross-validation", len(STRENGTHS) * len(all_folds)) as validating:
        return min(STRENGTHS, key=lambda strength: sum(loss_of(fold, strength) for fold in all_folds))


def fit_weights(differences: Array, strength: float) -> Array:
    """Minimise mean(log(1 + exp(-differences @ weights))) + strength / 2 |weights|^2; (features,)."""

    def loss(weights: Array) -> tuple[float, Array]:
        margins = differences @ weights
        slope = -np.exp(-np.logaddexp(0, margins))  # of the logistic loss: minus the probability of the wrong order
        value = np.logaddexp(0, -margins).mean() + strength / 2 * weights @ weights
        return float(value), differences.T @ slope / len(differences) + strength * weights

    options: dict[str, Any] = {"maxiter": 5000, "maxcor": 20, "gtol": 1e-9, "ftol": 0.0}
    minimum: Array = minimize(loss, np.zeros(differences.shape[1]), jac=True, method="L-BFGS-B", options=options).x
    return minimum


def _draw(pairs: Sequence[PreferencePair], num: int) -> Sequence[PreferencePair]:
    if len(pairs) <= num:
        return pairs
    return [pairs[i] for i in sorted(random.Random("pairs").sample(range(len(pairs)), num))]
