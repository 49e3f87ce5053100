"""Every text is scored once, what is remembered survives a checkpoint, and scores are checked."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from rlhf_sweeps.config.reward_models import VaderConfig
from rlhf_sweeps.process.failures import RewardModelError
from rlhf_sweeps.reward_models import scorer as scorer_module
from rlhf_sweeps.reward_models.base import Exchanges
from rlhf_sweeps.reward_models.scale import Scale, measure
from rlhf_sweeps.reward_models.scorer import Scorer


class Lengths:
    """Counts characters, and notes what it was asked; a response "nan" has no score."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def score(self, exchanges: Exchanges) -> Tensor:
        self.asked.append(list(exchanges.responses))
        return torch.tensor([float("nan") if text == "nan" else float(len(text)) for text in exchanges.responses])


def exchanges(*responses: str, tokens: Sequence[Sequence[int]] | None = None, prompt: str = "q") -> Exchanges:
    return Exchanges([[{"role": "user", "content": prompt}]] * len(responses), responses, tokens)


def scorer() -> tuple[Scorer, Lengths]:
    model = Lengths()
    return Scorer(VaderConfig(kind="vader", name="lengths", normalize=None), model), model


def test_a_text_is_scored_once() -> None:
    found, model = scorer()
    assert found.score(exchanges("a", "bbb", "a")).tolist() == [1, 3, 1]
    assert found.score(exchanges("bbb", "cc")).tolist() == [3, 2]
    assert found.score(exchanges("a", prompt="another")).tolist() == [1]
    assert [sorted(batch) for batch in model.asked] == [["a", "bbb"], ["cc"], ["a"]]
    assert (found.cost.responses, found.cost.cached) == (6, 2)
    assert found.cost.seconds_per_1000 == pytest.approx(1000 * found.cost.seconds / 4)


def test_other_tokens_are_another_response_though_they_read_the_same() -> None:
    found, model = scorer()
    found.score(exchanges("a", "a", tokens=[[1, 2], [1, 3]]))
    found.score(exchanges("a", tokens=[[1, 2]]))
    assert model.asked == [["a", "a"]]


def test_the_same_tokens_cut_are_another_response_than_ended() -> None:
    found, model = scorer()
    for ended in (True, False, True):
        found.score(replace(exchanges("a", tokens=[[1, 2]]), ended=[ended]))
    assert model.asked == [["a"], ["a"]]


def test_what_is_known_survives_a_checkpoint() -> None:
    found, _ = scorer()
    found.score(exchanges("a", "bbb"))
    found.remember(exchanges("known"), [0.1])
    again, model = scorer()
    again.state = json.loads(json.dumps(found.state))
    assert torch.equal(again.score(exchanges("known", "bbb")), torch.tensor([0.1, 3]))
    assert model.asked == []
    assert again.cost.responses == 4


def test_a_digest_is_of_config_and_reward_model() -> None:
    def digest(name: str, of_model: str) -> str:
        model = Lengths()
        model.digest = lambda: of_model  # type: ignore[attr-defined]
        return Scorer(VaderConfig(kind="vader", name=name, normalize=None), model).digest()  # type: ignore[arg-type]

    assert digest("a", "x") == digest("a", "x")
    assert len({digest("a", "x"), digest("b", "x"), digest("a", "y")}) == 3


def test_the_oldest_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer_module, "MOST_REMEMBERED", 2)
    found, model = scorer()
    assert found.score(exchanges("a", "bb", "ccc")).tolist() == [1, 2, 3]
    found.score(exchanges("dddd"))
    found.score(exchanges("ccc", "a"))
    assert model.asked[1:] == [["dddd"], ["a"]]


def test_a_score_that_is_no_number_is_shown_with_its_text() -> None:
    found, _ = scorer()
    with pytest.raises(
        RewardModelError, match=r"reward model lengths: its score is nan for prompt 'q', response 'nan'$"
    ):
        found.score(exchanges("fine", "nan"))


def test_a_scale_is_mean_and_deviation() -> None:
    scale = measure("x", torch.tensor([1.0, 2.0, 3.0, 6.0]))
    assert scale == Scale(3.0, pytest.approx((14 / 3) ** 0.5), 4)
    assert scale.apply(torch.tensor([3.0, 3 + (14 / 3) ** 0.5])).tolist() == pytest.approx([0, 1])


@pytest.mark.parametrize("scores", [[2.0, 2.0], [1.0]])
def test_scores_that_are_all_the_same_have_no_scale(scores: list[float]) -> None:
    with pytest.raises(RewardModelError, match=r"x: gives all \d responses .*reward_model.normalize=false"):
        measure("x", torch.tensor(scores))
