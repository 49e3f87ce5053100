"""What a run works with: prompts, models, trainer and evaluator; loaded from a config, continued from a checkpoint."""

import logging
from dataclasses import asdict, dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from rlhf_sweeps import checkpoints, models
from rlhf_sweeps.config import Config
from rlhf_sweeps.data import batch_indices, encode, load_prompts
from rlhf_sweeps.evaluation import Evaluator
from rlhf_sweeps.objective import Evaluated
from rlhf_sweeps.ppo.rollout import Sampler
from rlhf_sweeps.ppo.trainer import PPOTrainer
from rlhf_sweeps.reward_models import load_reward_model
from rlhf_sweeps.runs import Run

log = logging.getLogger("rlhf_sweeps")


@dataclass
class Session:
    """The parts of a run, and what it carries from update to update beside the trainer's own state.

    Attributes:
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
            self.trainer.update = state["update"]
            self.best, self.last = (Evaluated(**state[key]) if state[key] else None for key in ("best", "last"))
            self.seconds, self.tokens = state["seconds"], state["tokens"]
            log.info("continuing after update %d", self.trainer.update)
        self.run.rewind(self.trainer.update)

    def save(self) -> None:
        """Write a checkpoint, unless the newest is of this very update."""
        root, update = self.run.checkpoint, self.trainer.update
        newest = checkpoints.latest(root)
        if newest is not None and checkpoints.read_state(newest)["update"] == update:
            return
        best_is_older = newest is not None and self.best is not None and self.best.update < update
        checkpoints.save(
            root,
            update,
            self.trainer.models,
            self.trainer.optimizer,
            state={
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
    prompts = load_prompts(config.dataset)
    tokenizer = models.load_tokenizer(config.model)
    training = encode(prompts.train, tokenizer, config.dataset.max_prompt_length)
    held_out = encode(prompts.held_out, tokenizer, config.dataset.max_prompt_length).first(config.eval.num_prompts)
    policy = models.load_policy(config.model, device)
    reward_model = load_reward_model(config.reward_model, tokenizer, config.ppo.rollout_batch_size, device)
    value_model = models.value_model(policy) if config.ppo.value_model == "policy" else reward_model.value_model()
    ref_policy = models.freeze(policy)
    stop_ids = models.stop_ids(policy, tokenizer)
    pad_id = stop_ids[0] if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    ppo = config.ppo
    sampler = Sampler(stop_ids, pad_id, ppo.response_length, ppo.temperature, ppo.rollout_batch_size)
    trainer = PPOTrainer(
        ppo,
        policy,
        ref_policy,
        value_model,
        sampler,
        training.ids,
        batch_indices=lambda update: batch_indices(len(training.ids), ppo.batch_size, update, config.seed),
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
    evaluator = Evaluator(held_out, sampler, tokenizer, ref_policy, reward_model, config.seed)
    return Session(config, run, trainer, evaluator, policy, tokenizer)


def _millions(model: PreTrainedModel) -> float:
    return sum(parameter.numel() for parameter in model.parameters()) / 1e6
