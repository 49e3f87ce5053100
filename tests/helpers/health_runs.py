"""Made-up PPO runs with a known truth: sound ones of many sizes and scales, and each sickness from some update on.

Levels and noise are those of recorded runs (health_records/README.md), widened: a score's noise is its deviation over
the root of the batch, the KL is off by 10 to 25 %, entropy by 5 to 12 %, length by 2 to 6 %, the policy's metrics are
log-normal (deviation 0.4 for the share clipped, 0.9 for approxkl), win rates are binomial.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.health.findings import Finding, diagnose_run
from analysis.records.runs import RunRecord

Floats = NDArray[np.float64]
UPDATES = np.arange(1.0, 101.0)
PROMPTS = 120
_FOLDER = Path(__file__).parent / "health_records"
RECORDS = sorted(_FOLDER.glob("*.json"))
# Of the embedded policy, to the held-out prompts of `python -m rlhf_sweeps seed=0`.
BASE_ANSWERS = (_FOLDER / "base_answers.txt").read_text(encoding="utf-8").splitlines()


def run(config: dict[str, Any] | None = None, **metrics: Floats | float) -> RunRecord:
    """Of 100 updates; `objective__kl` stands for `objective/kl`, which is 0 before the first step, as in every run."""
    columns = {name.replace("__", "/"): np.broadcast_to(values, 100) + 0.0 for name, values in metrics.items()}
    if "objective/kl" in columns:
        columns["objective/kl"][0] = 0.0
    return RunRecord("0", {"update": UPDATES} | columns, config or {})


def step(before: float, after: float, update: int) -> Floats:
    """A metric that changes at once, from an update on."""
    return np.where(update <= UPDATES, after, before)


def found(record: RunRecord) -> dict[str, Finding]:
    """Its findings by their kind."""
    return {finding.kind: finding for finding in diagnose_run(record)}


def recorded(path: Path) -> tuple[RunRecord, list[str]]:
    """A recorded run, and the findings that it should have."""
    content = json.loads(path.read_text(encoding="utf-8"))
    metrics = {name: np.array(values, dtype=float) for name, values in content["metrics"].items()}
    # Of the base policy's answers, only which signs they have is kept.
    samples = [{"update": 1, "base_response": signs} for signs in content["base_signs"].split()]
    run = RunRecord(path.stem, metrics, content["config"], content["state"], read_samples=lambda: samples)
    return run, content["expected"]


@dataclass
class Made:
    """A run in the making: its metrics by name, (updates,), evaluations nan between."""

    metrics: dict[str, Floats]
    config: dict[str, Any]
    rng: np.random.Generator
    scale: float
    batch: int

    @property
    def num(self) -> int:
        return len(self.metrics["update"])

    def record(self, name: str = "0") -> RunRecord:
        return RunRecord(name, self.metrics, self.config)


def sound(seed: int, num_updates: int | None = None) -> Made:
    """A run that learns and ends well: 10 to 1,000 updates, rewards of 0.01 to 100, KL of 0.05 to 10 nats."""
    rng = np.random.default_rng([seed, 7])
    n = num_updates or int(np.exp(rng.uniform(np.log(10), np.log(1000))))
    scale, batch = float(np.exp(rng.uniform(np.log(0.01), np.log(100)))), int(2 ** rng.integers(3, 10))
    made = Made({"update": np.arange(1, n + 1, dtype=float)}, {}, rng, scale, batch)
    time = np.arange(n) / max(n - 1, 1)
    progress = (1 - np.exp(-time / rng.uniform(0.1, 0.6))) / (1 - np.exp(-1 / rng.uniform(0.1, 0.6)))
    progress = np.minimum(progress, 1.0)
    _scores(made, progress)
    _policy(made, progress)
    _optimizer(made, time)
    _evaluations(made, progress)
    if rng.random() < 0.5:
        made.config = {"objective.kl_budget": 15.0, "eval.num_prompts": PROMPTS, **_settings(made, seed)}
    return made


def _settings(made: Made, seed: int) -> dict[str, Any]:
    """Settings as far from the usual ones as sound runs have them; a shared trunk has most of its gradient's norm."""
    rng = np.random.default_rng([seed, 8])
    value_model = str(rng.choice(["shared", "policy"]))
    if value_model == "shared":
        share = rng.uniform(0.02, 0.5)
        made.metrics["value/grad_norm"] = (
            share * made.metrics["policy/grad_norm"] * np.exp(0.3 * rng.normal(size=made.num))
        )
    return {
        "model.suggested_lr": 5e-4,
        "ppo.lr": 5e-4 * float(np.exp(rng.uniform(np.log(0.15), np.log(2.5)))),
        "ppo.lr_schedule": str(rng.choice(["linear", "constant"])),
        "ppo.kl_coef": 0.05 * made.scale,
        "ppo.clip_range": float(rng.uniform(0.1, 0.4)),
        "ppo.value_model": value_model,
        "ppo.vf_coef": float(rng.uniform(0.01, 0.5)),
        "ppo.max_grad_norm": 1.0,
        "ppo.entropy_coef": float(rng.choice([0.0, 0.01])),
        "ppo.gamma": float(rng.uniform(0.97, 1.0)),
        "ppo.temperature": float(rng.uniform(0.5, 1.4)),
        "ppo.num_ppo_epochs": int(rng.integers(1, 8)),
        "ppo.batch_size": made.batch,
        "ppo.gae_lambda": float(rng.uniform(0.8, 1.0)),
    }


def noise(made: Made, size: float) -> Floats:
    """Student's t with 6 degrees of freedom, as prompts of a batch differ."""
    return made.rng.standard_t(6, made.num) * size


def _drift(made: Made, size: float) -> Floats:
    """A slow wave, since nothing learns along a smooth curve."""
    time = np.arange(made.num) / max(made.num - 1, 1)
    return size * np.sin(2 * np.pi * (time * made.rng.uniform(0.5, 3) + made.rng.random()))


def _scores(made: Made, progress: Floats) -> None:
    rng, scale = made.rng, made.scale
    spread = scale * (1 - (1 - rng.uniform(0.1, 1.0)) * progress)
    spread_seen = spread * np.exp(noise(made, 0.15))
    mean = scale * (rng.uniform(-3, 3) + rng.uniform(0.7, 3) * progress + _drift(made, rng.uniform(0, 0.1)))
    scores = mean + noise(made, 1.0) * spread / np.sqrt(made.batch)
    made.metrics |= {
        "objective/scores": scores,
        "objective/scores_std": spread_seen,
        "objective/rewards_std": spread_seen,
    }
    explained = np.minimum(1.0, np.arange(made.num) / 5) * rng.uniform(0.15, 0.8)
    # Of a batch whose scores differ little, less than nothing may be explained.
    unforeseen = (1 - explained) * (1 + 0.5 * np.maximum(0, (scale / spread_seen) ** 2 - 1) * rng.uniform(0, 0.3))
    made.metrics["val/explained_variance"] = 1 - unforeseen * np.exp(noise(made, 0.1))
    made.metrics["loss/value_avg"] = unforeseen * spread_seen**2 / 2 * np.exp(noise(made, 0.15))


def _policy(made: Made, progress: Floats) -> None:
    rng = made.rng
    length = np.exp(rng.uniform(np.log(8), np.log(400)))
    lengths = length * (1 + (rng.uniform(0.75, 1.6) - 1) * progress) * np.exp(noise(made, rng.uniform(0.02, 0.06)))
    kl_end = min(np.exp(rng.uniform(np.log(0.05), np.log(10))), 0.5 * length)
    kl = kl_end * (progress ** rng.uniform(0.8, 2.5) + _drift(made, 0.05)) * np.exp(noise(made, rng.uniform(0.08, 0.2)))
    kl += noise(made, 0.3 * np.sqrt(kl_end / made.batch))  # k1, which can be negative
    kl[0] = rng.normal(0, 1e-6)
    entropy = rng.uniform(0.1, 3.0) * (1 + (rng.uniform(0.35, 1.3) - 1) * progress)
    entropy *= np.exp(noise(made, rng.uniform(0.04, 0.1)))
    coefficient = 0.05 * made.scale
    made.metrics |= {
        "objective/kl": kl,
        "objective/entropy": entropy * lengths,
        "policy/entropy_avg": entropy,
        "objective/length": lengths,
        "objective/truncated_rate": rng.binomial(made.batch, rng.uniform(0, 0.15), made.num) / made.batch,
        "objective/rlhf_reward": made.metrics["objective/scores"] - coefficient * kl,
    }


def _optimizer(made: Made, time: Floats) -> None:
    rng = made.rng
    slowing = 1 - 0.95 * time if rng.random() < 0.5 else np.ones(made.num)
    size = np.exp(rng.uniform(np.log(2e-4), np.log(0.06)))
    clipped = np.clip(0.02 + 0.3 * size, 0, 0.08) * slowing
    spikes = np.where(rng.random(made.num) < 0.01, 5.0, 1.0)
    made.metrics |= {
        "policy/approxkl_avg": size * slowing**2 * np.exp(noise(made, 0.7)),
        "policy/clipfrac_avg": np.minimum(clipped * np.exp(noise(made, 0.35)), 1.0),
        "policy/grad_norm": rng.uniform(0.1, 10)
        * (1 + rng.uniform(-0.5, 1.5) * time)
        * spikes
        * np.exp(noise(made, 0.3)),
        "value/grad_norm": rng.uniform(0.01, 10) * np.exp(noise(made, 0.3)),
        "val/ratio_max": 1 + np.exp(rng.normal(2, 2, made.num)),
        "val/ratio": 1 + noise(made, 0.01),
        "loss/policy_avg": -0.01 * rng.uniform(0.2, 3) * slowing * np.exp(noise(made, 0.3)),
    }


def _evaluations(made: Made, progress: Floats) -> None:
    rng, every = made.rng, 5
    is_there = (np.arange(1, made.num + 1) % every == 0) | (np.arange(1, made.num + 1) == made.num)
    own = rng.uniform(0.65, 0.95)
    rates = {"eval/win_rate": 0.5 + (own - 0.5) * progress}
    for judge in range(int(rng.integers(0, 3))):
        rates[f"judge/judge_{judge}/win_rate"] = 0.5 + (own - 0.5) * rng.uniform(0.1, 1) * progress
    for marker in ("exclamation", "question", "emoji"):
        rates[f"eval/{marker}_rate"] = np.clip(rng.uniform(0, 0.6) + rng.uniform(-0.4, 0.4) * progress, 0, 0.95)
    for name, rate in rates.items():
        made.metrics[name] = np.where(is_there, rng.binomial(PROMPTS, rate) / PROMPTS, np.nan)
    made.metrics["eval/kl"] = np.where(is_there, made.metrics["objective/kl"] * 1.05, np.nan)
    won = made.metrics["eval/win_rate"] - 0.5
    made.metrics["eval/score"] = np.where(is_there, made.scale * (3 * won + rng.normal(0, 0.05, made.num)), np.nan)


def as_trl(made: Made) -> Made:
    """The same run as TRL 1.12 or older logs it with 2 minibatches: halved, padding counted, no evaluations."""
    kept = ("update", "objective/kl", "objective/entropy", "objective/scores", "objective/rlhf_reward")
    old = {name: made.metrics[name] for name in kept}
    halved = ("policy/approxkl_avg", "policy/clipfrac_avg", "policy/entropy_avg", "loss/policy_avg", "loss/value_avg")
    old |= {name: made.metrics[name] / 2 for name in (*halved, "val/ratio")}
    padding = np.maximum(0.0, made.metrics["objective/length"].max() * 1.3 - made.metrics["objective/length"])
    old["objective/entropy"] = made.metrics["objective/entropy"] - padding
    old["val/num_eos_tokens"] = made.rng.integers(1, made.batch * 20, made.num).astype(float)
    return replace(made, metrics=old, config={})


def as_table(made: Made) -> Made:
    """Five columns, as a figure's numbers are handed on."""
    kept = ("update", "objective/rlhf_reward", "loss/policy_avg", "objective/entropy", "objective/kl")
    return replace(made, metrics={name: made.metrics[name] for name in kept}, config={})
