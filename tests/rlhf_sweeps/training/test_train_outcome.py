"""What a run leaves: the best policy, its card, a summary over all its starts; by a run whose worth is scripted."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SMALL, Compose, composed
from safetensors.torch import load_file
from torch import Tensor

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.schema import Config
from rlhf_sweeps.models.card import write_model_card
from rlhf_sweeps.process.failures import DivergedError, RewardModelError
from rlhf_sweeps.record import Run
from rlhf_sweeps.training import train as train_module
from rlhf_sweeps.training.evaluation import Evaluator
from rlhf_sweeps.training.summary import describe_failure, measure_peak_memory
from rlhf_sweeps.training.train import train

# Five updates of 4 prompts that are answered twice; the last is evaluated although it is no second one.
OVERRIDES = (
    *SMALL, "ppo.total_episodes=40", "ppo.rollouts_per_prompt=2", "ppo.response_length=6", "ppo.lr=1e-3",
    "checkpoint.every=100", "reward_model=length", "objective.kl_budget=5", "name=scripted", "eval.judges=[]",
)  # fmt: skip
# Update -> held-out score and KL: the best is not the last, and what is better is beyond the budget.
WORTH = {2: (3.0, 1.0), 4: (9.0, 6.0), 5: (2.5, 4.0)}


@dataclass
class Scripted:
    """A run that was stopped after its third update and started again.

    Attributes:
        first, summary: of the first start and of the second.
        weights: of the policy at each evaluation.
        confirmed: the weights that were confirmed, each time.
        was_exported: whether the first start left a model.
    """

    run: Run
    config: Config
    first: dict[str, Any]
    summary: dict[str, Any]
    weights: dict[int, dict[str, Tensor]]
    confirmed: list[dict[str, Tensor]]
    was_exported: bool


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Scripted:
    config, run = composed(*OVERRIDES), Run(tmp_path_factory.mktemp("scripted"))
    weights: dict[int, dict[str, Tensor]] = {}
    confirmed: list[dict[str, Tensor]] = []
    evaluate, append = Evaluator.evaluate, Run.append_metrics
    updates = iter(WORTH)

    def scripted_evaluate(self: Evaluator, policy: Any) -> Any:
        metrics, rows = evaluate(self, policy)
        now = {name: tensor.clone() for name, tensor in policy.state_dict().items()}
        if self.purpose == "confirmation":
            confirmed.append(now)
            return metrics, rows
        update = next(updates)
        weights[update] = now
        score, kl = WORTH[update]
        return metrics | {"eval/score": score, "eval/kl": kl, "eval/kl_bound": kl}, rows

    def append_and_wait(self: Run, row: dict[str, Any]) -> None:
        append(self, row)
        if row["update"] == 3:
            self.ask_to_stop("waiting")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Evaluator, "evaluate", scripted_evaluate)
        patch.setattr(Run, "append_metrics", append_and_wait)
        first = train(config, run.folder)
        was_exported = run.model.exists()
        summary = train(config, run.folder)
    return Scripted(run, config, first, summary, weights, confirmed, was_exported)


def test_the_best_policy_within_the_budget_is_exported(scripted: Scripted) -> None:
    assert list(scripted.weights) == [2, 4, 5]
    assert (scripted.summary["best_update"], scripted.summary["objective"]) == (2, 3.0)
    exported = load_file(scripted.run.model / "model.safetensors")
    best, last = scripted.weights[2], scripted.weights[5]
    assert exported
    assert all(torch.equal(tensor, best[name]) for name, tensor in exported.items())
    assert not all(torch.equal(tensor, last[name]) for name, tensor in exported.items())


def test_a_net_score_exports_the_policy_that_is_worth_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 2 a nat: 3 - 2, 9 - 12 and 2.5 - 8. The score alone would choose update 4."""
    evaluate, updates = Evaluator.evaluate, iter(WORTH)

    def scripted_evaluate(self: Evaluator, policy: Any) -> Any:
        metrics, rows = evaluate(self, policy)
        if self.purpose == "confirmation":
            return metrics, rows
        score, kl = WORTH[next(updates)]
        return metrics | {"eval/score": score, "eval/kl": kl, "eval/kl_bound": kl}, rows

    monkeypatch.setattr(Evaluator, "evaluate", scripted_evaluate)
    net = ("objective.metrics=[eval/net_score]", "objective.kl_price=2", "objective.kl_budget=null")
    summary = train(composed(*OVERRIDES, *net), tmp_path)
    assert (summary["best_update"], summary["objective"], summary["confirmed"]["update"]) == (2, 1.0, 2)
    assert "after 2 of 5 PPO updates" in (Run(tmp_path).model / "README.md").read_text(encoding="utf-8")


def test_the_exported_policy_is_confirmed_once_on_prompts_that_chose_nothing(scripted: Scripted) -> None:
    (weights,) = scripted.confirmed
    assert all(torch.equal(tensor, scripted.weights[2][name]) for name, tensor in weights.items())
    told, rows = scripted.summary["confirmed"], scripted.run.confirmation()
    assert (told["update"], {row["update"] for row in rows}) == (2, {2})
    assert told["num_prompts"] == len({row["prompt"] for row in rows}) == 5
    assert not {row["prompt"] for row in rows} & {row["prompt"] for row in scripted.run.samples()}
    assert told["eval/score"] == pytest.approx(sum(row["score"] for row in rows) / 5)
    assert scripted.summary["against_base"]["num_prompts"] == 5
    difference = sum(row["score"] - row["base_score"] for row in rows) / 5
    assert scripted.summary["against_base"]["mean"] == pytest.approx(difference)
    assert scripted.first["confirmed"] is None
    assert "confirmation.jsonl" in (scripted.run.summary() or {})["files"]


def test_the_card_is_that_of_the_best_policy(scripted: Scripted) -> None:
    card = (scripted.run.model / "README.md").read_text(encoding="utf-8")
    assert "`embedded:tiny_policy` after 2 of 5 PPO updates" in card
    assert "| eval/score | 3 |" in card
    assert "| eval/kl | 1 |" in card
    rows = scripted.run.metrics()
    first, last = (f"{rows[place]['objective/entropy']:.3g}" for place in (0, -1))
    assert first != last
    assert f"| objective/entropy | {first} | {last} |" in card
    assert "| seed | 7 |" in card
    assert "| KL budget | 5.0 |" in card
    confirmed = scripted.summary["confirmed"]
    assert "On 5 confirming prompts, which had no part in choosing this policy:" in card
    assert f"| eval/score | {confirmed['eval/score']:.3g} |" in card.partition("no part in choosing")[2]
    assert "40 episodes" in card
    assert "base_model" not in card


def test_who_waits_is_not_exported(scripted: Scripted) -> None:
    assert (scripted.first["status"], scripted.first["stop_reason"], scripted.first["updates"]) == (
        "stopped",
        "waiting",
        3,
    )
    assert not scripted.was_exported


def test_a_summary_counts_over_all_starts(scripted: Scripted) -> None:
    rows, summary = scripted.run.metrics(), scripted.summary
    assert [row["update"] for row in rows] == [1, 2, 3, 4, 5]
    assert (summary["status"], summary["updates"], summary["episodes"]) == ("complete", 5, 40)
    assert summary["seconds"] == pytest.approx(sum(row["perf/update_seconds"] for row in rows))
    phases = [f"tokens/{phase}" for phase in ("sample", "score", "optimize")]
    assert summary["tokens"] == sum(row[name] for row in rows for name in phases)
    assert summary["last"] == {"update": 5, "score": 2.5, "kl": 4.0, "kl_bound": 4.0, "kl_price": 0.0}
    assert summary["best"] == {"update": 2, "score": 3.0, "kl": 1.0, "kl_bound": 1.0, "kl_price": 0.0}
    assert (summary["updates_within_budget"], summary["kls_within_budget"]) == ([2, 5], [1.0, 4.0])
    # The base policy's answers, which the second start finds, those of five updates and three evaluations; and both
    # policies' answers to the confirming prompts.
    (scoring,) = summary["scoring"].values()
    assert scoring["responses"] == 7 + 5 * 8 + 3 * 7 + 2 * 5


def test_a_card_names_a_base_that_the_hub_has(scripted: Scripted) -> None:
    def card(**changes: Any) -> str:
        config = replace(scripted.config, model=replace(scripted.config.model, **changes))
        return write_model_card(config, scripted.summary, scripted.run.metrics())

    assert "base_model: owner/name\n" in card(path="owner/name")
    for changes in ({"path": "embedded:a/b"}, {"path": "owner/x.gguf", "pypi_wheel": "x==1"}, {"path": "a/b/c"}):
        assert "base_model" not in card(**changes)


def test_memory_is_counted_in_mebibytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("rlhf_sweeps.training.summary.system.peak_memory", lambda: 3 * 2**20)
    assert measure_peak_memory() == 3.0


def test_a_run_asked_to_stop_at_its_last_update_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, append = Run(tmp_path), Run.append_metrics

    def append_and_stop(self: Run, row: dict[str, Any]) -> None:
        append(self, row)
        self.ask_to_stop("budget")

    monkeypatch.setattr(Run, "append_metrics", append_and_stop)
    summary = train(composed(*OVERRIDES, "ppo.total_episodes=8", "objective.kl_budget=null"), run.folder)
    assert (summary["status"], summary["stop_reason"], summary["updates"]) == ("complete", None, 1)
    assert run.model.is_dir()


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DivergedError("loss is nan"), {"status": "diverged", "message": "DivergedError: loss is nan"}),
        (RewardModelError("no score"), {"status": "failed", "cause": "reward_model"}),
        (MemoryError("full"), {"status": "failed", "cause": "out_of_memory", "message": "MemoryError: full"}),
        (torch.OutOfMemoryError("full"), {"cause": "out_of_memory"}),
        (caused(RewardModelError("no score"), torch.OutOfMemoryError("full")), {"cause": "out_of_memory"}),
        (caused(RewardModelError("no score"), ValueError("odd")), {"cause": "reward_model"}),
        (RuntimeError("odd"), {"status": "failed", "cause": "error", "message": "RuntimeError: odd"}),
    ],
)
def test_failures_are_told_apart(error: Exception, expected: dict[str, str]) -> None:
    found = describe_failure(error, 17)
    assert (found["update"], found["objective"]) == (17, None)
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ((), "scripted,seed=7"),
        (("ppo.kl_coef=0.01", "seed=3", "tracking=offline"), "kl_coef=0.01,seed=7"),
        (("ppo.lr=1e-4", "reward_model=length", "tracking.project=x"), "lr=1e-4,reward_model=length,seed=7"),
    ],
)
def test_a_run_is_named_by_what_was_changed(overrides: tuple[str, ...], name: str, scripted: Scripted) -> None:
    assert train_module._name_run(scripted.config, overrides) == name


def test_a_failed_run_ends_badly_in_wandb(
    compose_config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[tuple[int, Any]] = []
    tracker = train_module.tracking.Tracker
    monkeypatch.setattr(tracker, "finish", lambda _, exit_code, summary, **__: ends.append((exit_code, summary)))
    monkeypatch.setattr(train_module, "_loop", _refuse)
    with pytest.raises(ConfigError):
        train(compose_config(*OVERRIDES), tmp_path)
    ((exit_code, summary),) = ends
    assert exit_code == 2
    assert summary["status"] == "failed"


def _refuse(*_: object) -> None:
    raise ConfigError("dataset.path: gone")
