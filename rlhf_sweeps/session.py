"""What a run works with: prompts, models, trainer and evaluator; loaded from a config, continued from a checkpoint."""

import hashlib
import logging
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from rlhf_sweeps import checkpoints, models
from rlhf_sweeps.config import Config, ConfigError
from rlhf_sweeps.data import batch_indices, encode, load_prompts
from rlhf_sweeps.evaluation import Evaluator
from rlhf_sweeps.objective import Evaluated
from rlhf_sweeps.ppo.language_model import ValueModel
from rlhf_sweeps.ppo.memory import Halving, keep_freed_memory
from rlhf_sweeps.ppo.sampling import Sampler
from rlhf_sweeps.ppo.trainer import PPOTrainer
from rlhf_sweeps.reward_models import RewardModel, load_reward_model
from rlhf_sweeps.runs import Run, Sweep

if TYPE_CHECKING:
    from peft import PeftModel

log = logging.getLogger("rlhf_sweeps")


@dataclass
class Session:
    """The parts of a run, and what it carries from update to update beside the trainer's own state.

    Attributes:
        adapter: what trains the policy in place of its weights, if anything does.
        best: the best evaluation within the KL budget so far.
        last: the newest evaluation.
        seconds: spent so far, also by earlier starts of the run.
        tokens: sampled, scored and optimized so far.
    """

    config: Config
    run: Run
    trainer: PPOTrainer
    evaluator: Evaluator
    policy: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    adapter: "PeftModel | None" = None
    best: Evaluated | None = None
    last: Evaluated | None = None
    seconds: float = 0.0
    tokens: int = 0

    def go_on(self) -> None:
        """Take up the last checkpoint, if there is one, and forget what was recorded after it."""
        folder = checkpoints.latest(self.run.checkpoint)
        if folder is not None:
            checkpoints.load(folder, self.trainer.models, self.trainer.optimizer)
            state = checkpoints.read_state(folder)
            self.trainer.update, self.trainer.state = state["update"], state["trainer"]
            self.best, self.last = (Evaluated(**state[key]) if state[key] else None for key in ("best", "last"))
            self.seconds, self.tokens = state["seconds"], state["tokens"]
            log.info("continuing after update %d", self.trainer.update)
        self.run.rewind(self.trainer.update)
        samples = self.run.samples()
        self.evaluator.remember([row for row in samples if row["update"] == samples[-1]["update"]])

    def share_base_answers(self, sweep: Sweep) -> None:
        """Take the base policy's answers from another trial of the sweep, or compute them for all."""
        config = self.config
        used = (config.model, config.reward_model, config.dataset, config.eval.num_prompts, config.seed, config.device,
                config.ppo.response_length, config.ppo.temperature, config.ppo.top_p, config.ppo.stop_strings,
                config.ppo.precision, torch.get_num_threads())  # fmt: skip
        key = hashlib.sha256(repr(used).encode()).hexdigest()[:12]
        if not self.evaluator.remember(sweep.base_answers(key)):
            sweep.share_base_answers(key, self.evaluator.base_rows())

    def save(self) -> None:
        """Write a checkpoint, unless the newest is of this very update.

        Raises:
            DivergedError: if the policy is not fit to be kept; the newest checkpoint stays.
        """
        root, update = self.run.checkpoint, self.trainer.update
        newest = checkpoints.latest(root)
        if newest is not None and checkpoints.read_state(newest)["update"] == update:
            return
        best_is_older = newest is not None and self.best is not None and self.best.update < update
        self.trainer.check()
        checkpoints.save(
            root,
            update,
            self.trainer.models,
            self.trainer.optimizer,
            state={
                "trainer": self.trainer.state,
                "best": asdict(self.best) if self.best else None,
                "last": asdict(self.last) if self.last else None,
                "seconds": self.seconds,
                "tokens": self.tokens,
            },
            best=newest / "best.safetensors" if newest and best_is_older else None,
        )


def load_session(config: Config, run: Run) -> Session:
    """Read prompts and models, and say what will run.

    Raises:
        ConfigError: if a model or data set cannot be used.
    """
    transformers_logging.disable_progress_bar()
    device = models.pick_device(config.device)
    if device.type == "cpu":
        keep_freed_memory()
    prompts = load_prompts(config.dataset)
    tokenizer = models.load_tokenizer(config.model)
    training = encode(prompts.train, tokenizer, config.dataset.max_prompt_length)
    held_out = encode(prompts.held_out, tokenizer, config.dataset.max_prompt_length).first(config.eval.num_prompts)
    policy = models.load_policy(config.model, device)
    batch = Halving("ppo.rollout_batch_size", config.ppo.rollout_batch_size)
    reward_model = load_reward_model(config.reward_model, tokenizer, batch, device)
    value_model = _load_value_model(config, policy, reward_model)
    ref_policy, adapter = _prepare_training(config, policy, value_model)
    language_model = models.language_model(policy, config.ppo)
    if value_model.trunk is None and not language_model.has_plain_head:
        raise ConfigError(
            f"ppo.value_model=shared: model.path={config.model.path} does more to its logits than its output layer, "
            "which hides its features (allowed: policy, reward_model, path)"
        )
    ppo = config.ppo
    sampler = make_sampler(config, policy, tokenizer, batch)
    trainer = PPOTrainer(
        ppo,
        language_model,
        lambda: models.reference(ref_policy, adapter),
        value_model,
        sampler,
        training.ids,
        batch_indices=lambda update: [
            index
            for index in batch_indices(len(training.ids), ppo.num_prompts, update, config.seed)
            for _ in range(ppo.rollouts_per_prompt)
        ],
        score=lambda indices, batch: reward_model.score([training.messages[i] for i in indices], batch),
        seed=config.seed,
    )
    log.info(
        "policy %s (%.4g M parameters, %s on %s, %d threads), reward model %s (reads %s)",
        config.model.path, _millions(policy), config.model.dtype, device, torch.get_num_threads(),
        config.reward_model.path, "tokens" if reward_model.reads_tokens else "text",
    )  # fmt: skip
    log.info(
        "prompts: %d to train on, %d held out; left out: %d too long, %d duplicates",
        len(training.ids), len(held_out.ids), training.num_too_long, prompts.num_duplicates,
    )  # fmt: skip
    log.info(
        "%d updates of %d responses: lr %g, KL coefficient %g, clip range %g, seed %d, into %s",
        ppo.num_updates, ppo.batch_size, ppo.lr, ppo.kl_coef, ppo.clip_range, config.seed, run.folder,
    )  # fmt: skip
    evaluator = Evaluator(held_out, sampler, tokenizer, language_model, trainer.ref_policy, reward_model, config.seed)
    return Session(config, run, trainer, evaluator, policy, tokenizer, adapter)


def _prepare_training(
    config: Config, policy: PreTrainedModel, value_model: ValueModel
) -> "tuple[PreTrainedModel, PeftModel | None]":
    """The reference policy and, if adapters are to be trained, the policy's."""
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


def _load_value_model(config: Config, policy: PreTrainedModel, reward_model: RewardModel) -> ValueModel:
    ppo = config.ppo
    if ppo.value_model == "reward_model":
        return reward_model.value_model("ppo.value_model=reward_model: the reward model")
    if ppo.value_path is not None:
        source = replace(config.reward_model, path=ppo.value_path, revision=None)
        classifier = load_reward_model(
            source, reward_model.policy_tokenizer, reward_model.batch, policy.device, "ppo.value_path"
        )
        return classifier.value_model(f"ppo.value_path={ppo.value_path}")
    return models.value_model(policy, is_shared=ppo.value_model == "shared")


def make_sampler(
    config: Config, policy: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch: Halving
) -> Sampler:
    """How the config wants responses to be sampled."""
    stop_ids = models.stop_ids(policy, tokenizer)
    return Sampler(
        stop_ids,
        stop_ids[0] if tokenizer.pad_token_id is None else tokenizer.pad_token_id,
        config.ppo.response_length,
        config.ppo.temperature,
        batch,
        top_p=config.ppo.top_p,
        stop_strings=tuple(config.ppo.stop_strings),
        decode=lambda ids: str(tokenizer.decode(ids, skip_special_tokens=True)),
        autocast=models.autocast(config.ppo, policy.device),
        is_static=config.ppo.static_decoding,
    )


def _millions(model: PreTrainedModel) -> float:
    return sum(parameter.numel() for parameter in model.parameters()) / 1e6
