"""The parts of a run: prompts, models, trainer and evaluator, loaded from a config, and restored from a checkpoint."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.references import redact_config
from rlhf_sweeps.config.schema import Config, value_model_config
from rlhf_sweeps.data import Encoded, batch_indices
from rlhf_sweeps.models import loading as models
from rlhf_sweeps.models.template_date import TemplateDate
from rlhf_sweeps.ppo.agreement import check_models
from rlhf_sweeps.ppo.language_model import ValueModel
from rlhf_sweeps.ppo.memory import BatchSize, keep_freed_memory, require_memory
from rlhf_sweeps.ppo.rollout import Responses
from rlhf_sweeps.ppo.seeds import make_generator
from rlhf_sweeps.ppo.trainer import PPOTrainer
from rlhf_sweeps.record import Run, Sweep
from rlhf_sweeps.reward_models.base import RewardModel
from rlhf_sweeps.reward_models.classifier import ClassifierRewardModel, load_classifier
from rlhf_sweeps.reward_models.load import Loader
from rlhf_sweeps.reward_models.scale import UNIT
from rlhf_sweeps.training import checkpoints
from rlhf_sweeps.training.base_policy import BasePolicy, list_sampling_settings, make_exchanges, make_responses
from rlhf_sweeps.training.evaluation import Evaluator
from rlhf_sweeps.training.prompt_record import load_encoded
from rlhf_sweeps.verdicts.objective import Evaluation, choose_kl_price

if TYPE_CHECKING:
    from peft import PeftModel

log = logging.getLogger("rlhf_sweeps")


@dataclass
class Session:
    """The parts of a run, and its state in addition to that of the trainer.

    Attributes:
        confirming: the prompts for the end of the run; perhaps none.
        policy_digest: a hash of the base policy's weights.
        adapter: the LoRA adapter, if one is trained in place of the policy's weights.
        best: the best evaluation within the KL budget so far.
        last: the newest evaluation.
        seconds: the time spent so far, also in earlier starts of the run.
        tokens: the number of tokens sampled, scored and optimized so far.
        checkpoint: the newest undamaged checkpoint; None until there is one.
    """

    config: Config
    run: Run
    trainer: PPOTrainer
    evaluator: Evaluator
    loader: Loader
    training: Encoded
    confirming: Encoded
    policy: PreTrainedModel
    policy_digest: str
    tokenizer: PreTrainedTokenizerBase
    adapter: "PeftModel | None" = None
    best: Evaluation | None = None
    last: Evaluation | None = None
    seconds: float = 0.0
    tokens: int = 0
    checkpoint: Path | None = None

    def go_on(self) -> None:
        """Restore the newest undamaged checkpoint, if there is one, and remove everything recorded after it."""
        unusable = []
        for folder in checkpoints.list_checkpoints(self.run.checkpoint):
            try:
                self._take_up(folder)
                break
            except checkpoints.DamagedError as error:
                unusable.append(str(error))
        for number, problem in enumerate(unusable, start=1):
            is_last = number == len(unusable)
            action = "begins again from its start" if self.checkpoint is None else "continues from an older checkpoint"
            log.warning("checkpoint %s%s", problem, f"; the run {action}" if is_last else "")
        if self.checkpoint is not None:
            log.info("continuing after update %d", self.trainer.update)
            if reason := self.run.find_gap(self.trainer.update, self.checkpoint):
                log.warning("%s, and the run continues without them", reason)
        for problem in self.run.rewind(self.trainer.update, self.checkpoint):
            log.warning("%s", problem)

    def _take_up(self, folder: Path) -> None:
        """Restore a checkpoint; if that fails, nothing is changed."""
        state = checkpoints.read_state(folder)
        try:
            update, trainer, scorers = int(state["update"]), state["trainer"], state["scorers"]
            read = (Evaluation(**state[key]) if state[key] else None for key in ("best", "last"))
            price = choose_kl_price(self.config.objective.metrics, self.config.objective.kl_price)
            best, last = (each and replace(each, kl_price=price) for each in read)  # the state may have another price
            seconds, tokens = float(state["seconds"]), int(state["tokens"])
        except (KeyError, TypeError, ValueError) as error:
            raise checkpoints.DamagedError(f"{folder.name}/state.json: damaged ({error!r})") from error
        checkpoints.load(folder, self.trainer.models, self.trainer.optimizer)
        self.trainer.update, self.trainer.state = update, trainer
        self.best, self.last, self.seconds, self.tokens = best, last, seconds, tokens
        for scorer, scorer_state in zip(self.loader.scorers, scorers, strict=True):
            scorer.state = scorer_state
        self.checkpoint = folder

    def ask_base_policy(self, sweep: Sweep | None) -> BasePolicy:
        """Compute the base policy's answers and the scales of the reward models, unless the record has them.

        Raises:
            RewardModelError: if a reward model fails.
        """
        config = self.config
        used = list_sampling_settings(config.model, self.policy_digest, config.device, config.ppo)
        record = self.run.base if sweep is None else sweep.base
        end_ids = self.trainer.sampler.stop_ids
        base_policy = BasePolicy(record, used, self._sample_base, self.tokenizer, self.training, end_ids)
        base_policy.scale_members(self.loader.scorers)
        scale = base_policy.scale(self.evaluator.scorer) if config.reward_model.normalize else UNIT
        answers, scores = self.evaluator.take_base(base_policy, scale)
        if self.trainer.update == 0:
            if config.ppo.value_model == "reward_model" and scale != UNIT:
                self.trainer.value_model.rescale(scale.mean, scale.deviation)
            self.trainer.start_values(make_responses(answers, self.evaluator.prompts, self.policy.device), scores)
        return base_policy

    def score(self, indices: Sequence[int], batch: Responses) -> Tensor:
        """One score each of the responses to these training prompts, (batch,)."""
        exchanges = make_exchanges(
            [self.training.messages[i] for i in indices],
            [self.training.ids[i] for i in indices],
            batch.response_lists(),
            batch.ended.tolist(),
            self.trainer.sampler.stop_ids,
            self.tokenizer,
        )
        return self.evaluator.score(exchanges).to(batch.logprobs.device)

    def _sample_base(self, prompts: Sequence[Sequence[int]], purpose: str, seed: int) -> Responses:
        with self.trainer.ref_policy() as policy:
            return self.trainer.sampler.sample(policy, prompts, make_generator(seed, purpose, 0, policy.device))

    def save(self) -> None:
        """Write a checkpoint, unless there is one of this update.

        Raises:
            DivergedError: if the policy's logits are not finite; the newest checkpoint stays.
        """
        update = self.trainer.update
        if self.checkpoint is not None and int(self.checkpoint.name) == update:
            return
        self.trainer.check()
        self.checkpoint = checkpoints.save(
            self.run.checkpoint,
            update,
            self.trainer.models,
            self.trainer.optimizer,
            state={
                "trainer": self.trainer.state,
                "best": asdict(self.best) if self.best else None,
                "last": asdict(self.last) if self.last else None,
                "seconds": self.seconds,
                "tokens": self.tokens,
                "scorers": [scorer.state for scorer in self.loader.scorers],
            },
            before=self.checkpoint,
            is_best=self.checkpoint is None or self.best is None or self.best.update >= update,
            records=self.run.row_files,
        )


def load_session(config: Config, run: Run, sweep: Sweep | None = None) -> Session:
    """Load prompts and models, and log what will run.

    Args:
        sweep: the sweep of the run, if it is a trial; the sweep's record holds what its trials share.

    Raises:
        ConfigError: if a model or data set cannot be used.
    """
    transformers_logging.disable_progress_bar()
    device = models.pick_device(config.device)
    if device.type == "cpu":
        keep_freed_memory()
    given, ppo, record = f"model.path={config.model.path}", config.ppo, run.base if sweep is None else sweep.base
    template_date = TemplateDate(record, _has_begun(run, sweep))
    tokenizer = models.load_tokenizer(config.model)
    template_date.hold(tokenizer, given)
    prompts = load_encoded(config, tokenizer, record)
    log.info("%s", prompts.line)
    training, held_out = prompts.training, prompts.held_out
    policy = models.load_policy(config.model, device, _count_longest(config))
    models.check_ids(policy, tokenizer, given)
    policy_digest = models.hash_model(policy)  # before training
    batch = BatchSize("ppo.rollout_batch_size", ppo.rollout_batch_size)
    messages = [*training.messages, *held_out.messages, *prompts.confirming.messages]
    loader = Loader(tokenizer, batch, device, config.dataset, ppo.complete_turn, messages, template_date.hold)
    scorer = loader.scorer(config.reward_model, "reward_model")
    judges = {judge.name: loader.scorer(judge, f"eval.judges[{n}]") for n, judge in enumerate(config.eval.judges)}
    # This copies the policy; with adapters and a shared trunk no copies are needed.
    with require_memory(given, "a smaller model, ppo.lora_rank or ppo.value_model=shared"):
        value_model = _load_value_model(config, policy, scorer.reward_model, loader)
        ref_policy, adapter = _prepare_training(config, policy, value_model)
    language_model = models.make_language_model(policy, ppo)
    sampler = models.make_sampler(policy, tokenizer, ppo, batch)
    ids = (*training.ids, *held_out.ids, *prompts.confirming.ids)
    check_models(ppo, language_model, value_model, sampler, ids, given)
    trainer = PPOTrainer(
        ppo,
        language_model,
        lambda: models.open_reference(ref_policy, adapter),
        value_model,
        sampler,
        training.ids,
        batch_indices=lambda update: _draw_prompts(config, len(training.ids), update),
        score=lambda indices, batch: session.score(indices, batch),
        seed=config.seed,
    )
    _announce(config, run, policy)
    evaluator = Evaluator(held_out, sampler, tokenizer, language_model, trainer.ref_policy, scorer, judges, config.seed)
    parts = (trainer, evaluator, loader, training, prompts.confirming, policy, policy_digest, tokenizer, adapter)
    return (session := Session(config, run, *parts))


def _has_begun(run: Run, sweep: Sweep | None) -> bool:
    """Whether the training of this run, or of another run of its sweep, has begun."""
    is_begun = sweep is not None and any(sweep.folder.glob("*/metrics.jsonl"))
    return is_begun or bool(checkpoints.list_checkpoints(run.checkpoint))


def _count_longest(config: Config) -> int:
    """The largest number of tokens of a sequence, with the padding token that ppo.trl_metrics adds."""
    return config.dataset.max_prompt_length + config.ppo.response_length + 1


def _draw_prompts(config: Config, num_prompts: int, update: int) -> list[int]:
    """The indices of an update's prompts, each repeated rollouts_per_prompt times."""
    indices = batch_indices(num_prompts, config.ppo.num_prompts, update, config.seed)
    return [index for index in indices for _ in range(config.ppo.rollouts_per_prompt)]


def _announce(config: Config, run: Run, policy: PreTrainedModel) -> None:
    config = redact_config(config)
    ppo, judges = config.ppo, ", ".join(judge.name for judge in config.eval.judges)
    log.info(
        "policy %s (%.4g M parameters, %s on %s, %d threads), reward model %s%s",
        config.model.path, policy.num_parameters() / 1e6, config.model.dtype, policy.device, torch.get_num_threads(),
        config.reward_model.name, f", judges {judges}" if judges else "",
    )  # fmt: skip
    log.info(
        "%d updates of %d responses: lr %g, KL coefficient %g, clip range %g, seed %d, into %s",
        ppo.num_updates, ppo.batch_size, ppo.lr, ppo.kl_coef, ppo.clip_range, config.seed, run.folder,
    )  # fmt: skip


def _prepare_training(
    config: Config, policy: PreTrainedModel, value_model: ValueModel
) -> "tuple[PreTrainedModel, PeftModel | None]":
    """The reference policy and, with LoRA, the policy's adapter."""
    trunks = [policy] if value_model.trunk is None else [policy, value_model.trunk]
    ref_policy, adapters = policy, []
    if config.ppo.lora_rank is None:
        ref_policy = models.freeze(policy)
    else:
        adapters = [models.add_adapter(trunk, config.ppo, config.seed) for trunk in trunks]
    if config.ppo.gradient_checkpointing:
        for trunk in trunks:
            models.recompute_activations(trunk)
    return ref_policy, adapters[0] if adapters else None


def _load_value_model(config: Config, policy: PreTrainedModel, reward_model: RewardModel, loader: Loader) -> ValueModel:
    ppo = config.ppo
    if ppo.value_path is not None:
        source = value_model_config(config)
        classifier = load_classifier(
            source,
            loader.policy_tokenizer,
            loader.batch,
            policy.device,
            "ppo.value_path",
            hold_date=loader.hold_date,
            most=_count_longest(config),
        )
        return classifier.value_model(f"ppo.value_path={ppo.value_path}")
    if ppo.value_model == "reward_model":
        key = "ppo.value_model=reward_model: the reward model"
        if not isinstance(reward_model, ClassifierRewardModel):
            raise ConfigError(f"{key} must be a classifier, is of kind {config.reward_model.kind}")
        return reward_model.value_model(key)
    return models.make_value_model(policy, is_shared=ppo.value_model == "shared")
