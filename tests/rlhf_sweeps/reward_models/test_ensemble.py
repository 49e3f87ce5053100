"""Ensembles: Coste et al.'s three ways, worked out by hand."""

import json
import statistics
from pathlib import Path

import pytest
import torch
from conftest import SMALL, Compose
from torch import Tensor

from rlhf_sweeps.config.reward_models import VaderConfig
from rlhf_sweeps.record import Run
from rlhf_sweeps.reward_models.base import Exchanges
from rlhf_sweeps.reward_models.ensemble import EnsembleRewardModel, aggregate
from rlhf_sweeps.reward_models.scale import Scale
from rlhf_sweeps.reward_models.scorer import Scorer
from rlhf_sweeps.training.session import load_session

# Two responses under three members.
SCORES = torch.tensor([[1.0, 0.0], [2.0, 0.0], [6.0, 3.0]])


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        ("mean", [3.0, 1.0]),
        ("min", [1.0, 0.0]),
        # Variances (4 + 1 + 9) / 3 and (1 + 1 + 4) / 3.
        ("uncertainty_weighted", [3 - 0.5 * 14 / 3, 1 - 0.5 * 2]),
    ],
)
def test_the_members_are_taken_together(aggregation: str, expected: list[float]) -> None:
    assert aggregate(SCORES, aggregation, 0.5).tolist() == pytest.approx(expected)


class Constant:
    def __init__(self, score: float) -> None:
        self.value = score

    def score(self, exchanges: Exchanges) -> Tensor:
        return torch.full((len(exchanges),), self.value)


def test_members_are_brought_to_one_scale_first() -> None:
    members = [
        Scorer(VaderConfig(kind="vader", name=str(score), normalize=None), Constant(score)) for score in (110.0, -0.1)
    ]
    ensemble = EnsembleRewardModel(members, "min", 0.0)
    ensemble.scales = [Scale(100.0, 5.0, 9), Scale(0.0, 0.1, 9)]
    exchanges = Exchanges([[{"role": "user", "content": "q"}]], ["a"])
    assert ensemble.score(exchanges).tolist() == pytest.approx([-1.0])
    ensemble.aggregation = "mean"
    assert ensemble.score(exchanges).tolist() == pytest.approx([0.5])


def test_a_run_measures_each_member_on_the_base_policys_answers(compose_config: Compose, tmp_path: Path) -> None:
    words, characters = (
        "{reward_model: length, name: words, weight: 0.5}",
        "{reward_model: length, name: characters, unit: characters, weight: -2}",
    )
    members = f"reward_model.members=[{words},{characters}]"
    session = load_session(
        compose_config(*SMALL, "reward_model=ensemble", "reward_model.aggregation=mean", members), Run(tmp_path)
    )
    session.ask_base_policy(None)
    files = [path.read_text(encoding="utf-8").splitlines() for path in (tmp_path / "base").glob("responses_*")]
    answers = [json.loads(line)["tokens"] for line in max(files, key=len)[:-1]]  # 256 to measure by, 7 held-out ones
    texts = [session.tokenizer.decode(tokens, skip_special_tokens=True) for tokens in answers]
    columns = [[0.5 * len(text.split()) for text in texts], [-2.0 * len(text) for text in texts]]
    means, deviations = map(statistics.mean, columns), map(statistics.stdev, columns)
    (mean, other), (deviation, its) = means, deviations
    score = session.evaluator.score(Exchanges([[{"role": "user", "content": "q"}]], ["one two"]))
    assert score.tolist() == pytest.approx([((1.0 - mean) / deviation + (-14.0 - other) / its) / 2], rel=1e-4)
