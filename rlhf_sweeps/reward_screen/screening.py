"""A screen from start to end: load, sample, score, compare, write, print."""

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.utils import logging as transformers_logging

from rlhf_sweeps.config.references import redact
from rlhf_sweeps.data import Encoded, as_text, describe_counts, encode, load_prompts
from rlhf_sweeps.models import loading as models
from rlhf_sweeps.models.template_date import TemplateDate
from rlhf_sweeps.ppo.agreement import check_reader
from rlhf_sweeps.ppo.memory import BatchSize, keep_freed_memory
from rlhf_sweeps.ppo.rollout import Responses
from rlhf_sweeps.ppo.seeds import make_generator
from rlhf_sweeps.process.activity import report_activity
from rlhf_sweeps.process.printed_commands import print_adapted
from rlhf_sweeps.record import BaseRecord, write_command, write_folder
from rlhf_sweeps.reward_models.load import Loader
from rlhf_sweeps.reward_models.scorer import Scorer
from rlhf_sweeps.reward_screen.config import RewardScreenConfig
from rlhf_sweeps.reward_screen.constants import ANSWERS_PER_PART, SCHEMA_VERSION_OF_SCREEN
from rlhf_sweeps.reward_screen.files import write_screen
from rlhf_sweeps.reward_screen.result import make_result
from rlhf_sweeps.reward_screen.result_text import write_text
from rlhf_sweeps.training.base_policy import BasePolicy, list_sampling_settings
from rlhf_sweeps.verdicts.student import Floats
from rlhf_sweeps.wording import display_path

log = logging.getLogger("rlhf_sweeps")


@dataclass(frozen=True)
class Screener:
    """What samples and scores.

    Attributes:
        prompts: the held-out prompts.
        scorers: of the reward models that are compared.
    """

    base_policy: BasePolicy
    prompts: Encoded
    scorers: Sequence[Scorer]


def screen(config: RewardScreenConfig, folder: Path) -> None:
    """Compare reward models by the best of n answers, write the result into the folder and print it.

    Answers and scores that the folder has from an earlier start are not computed again.

    Raises:
        ConfigError: if a model or data set cannot be used.
        RewardModelError: if a reward model fails.
        DivergedError: if the policy's logits are not finite.
    """
    transformers_logging.disable_progress_bar()
    screener = _load(config, BaseRecord(folder))
    rows = _list_answers(screener, config)
    names = [scorer.name for scorer in screener.scorers]
    scores = _arrange_scores(rows, names, len(screener.prompts.ids), config.num_answers)
    with report_activity(f"comparing {len(names)} reward models"):
        result = make_result(names, scores)
    settings = redact(dataclasses.asdict(config))
    write_screen(folder, {"schema_version": SCHEMA_VERSION_OF_SCREEN, "config": settings, **result}, rows)
    print(write_text(result))
    print_adapted(f"picture: {write_command('python', '-m', 'analysis', 'screen', write_folder(display_path(folder)))}")
    print(f"all in {display_path(folder)}")


def _load(config: RewardScreenConfig, record: BaseRecord) -> Screener:
    """Load the policy and the reward models as a run does, and encode the prompts."""
    device, ppo, given = models.pick_device(config.device), config.ppo, f"model.path={config.model.path}"
    if device.type == "cpu":
        keep_freed_memory()
    template_date = TemplateDate(record)
    tokenizer = models.load_tokenizer(config.model)
    template_date.hold(tokenizer, given)
    with report_activity("reading and tokenizing the prompts"):
        prompts = load_prompts(config.dataset)
        lengths = (config.dataset.max_prompt_length, config.dataset.min_prompt_length)
        training = encode(prompts.train, tokenizer, *lengths)
        held_out = encode(prompts.held_out, tokenizer, *lengths, most=config.num_prompts, noun="held-out prompt")
    log.info("%s", describe_counts(prompts, training, held_out))
    policy = models.load_policy(config.model, device, config.dataset.max_prompt_length + ppo.response_length)
    models.check_ids(policy, tokenizer, given)
    batch = BatchSize("ppo.rollout_batch_size", ppo.rollout_batch_size)
    messages = [*training.messages, *held_out.messages]
    loader = Loader(tokenizer, batch, device, config.dataset, ppo.complete_turn, messages, template_date.hold)
    scorers = [loader.scorer(reward_model, key) for reward_model, key in config.named_reward_models]
    sampler = models.make_sampler(policy, tokenizer, ppo, batch)
    longest = max([*training.ids, *held_out.ids], key=len)
    remedy = "ppo.response_length or dataset.max_prompt_length makes it shorter"
    check_reader(models.make_language_model(policy, ppo), sampler, longest, given, remedy)

    def sample(prompts: Sequence[Sequence[int]], purpose: str, seed: int) -> Responses:
        return sampler.sample(policy, prompts, make_generator(seed, purpose, 0, device))

    settings = list_sampling_settings(config.model, models.hash_model(policy), config.device, ppo)
    base_policy = BasePolicy(record, settings, sample, tokenizer, training, sampler.stop_ids)
    base_policy.scale_members(loader.scorers)
    log.info(
        "policy %s (%.4g M parameters, %s on %s, %d threads)",
        config.model.path, policy.num_parameters() / 1e6, config.model.dtype, device, torch.get_num_threads(),
    )  # fmt: skip
    return Screener(base_policy, held_out, scorers)


def _list_answers(screener: Screener, config: RewardScreenConfig) -> list[dict[str, Any]]:
    """A row for each answer: prompt_number, prompt, answer_number, response, ended, and scores by name."""
    num_prompts, num_scorers = len(screener.prompts.ids), len(screener.scorers)
    total = num_prompts * config.num_answers
    log.info(
        "%d answers to each of %d held-out prompts, %d in all, scored by %d reward models",
        config.num_answers, num_prompts, total, num_scorers,
    )  # fmt: skip
    if num_prompts < config.num_prompts:
        log.info("all held-out prompts are used, fewer than num_prompts=%d", config.num_prompts)
    per_part = max(1, ANSWERS_PER_PART // num_prompts)  # answers to each prompt
    rows: list[dict[str, Any]] = []
    with report_activity(f"sampling {total} answers and scoring them", total) as activity:
        for part, first in enumerate(range(0, config.num_answers, per_part)):
            numbers = range(first, min(first + per_part, config.num_answers))
            rows += _list_part(screener, config.seed, part, numbers)
            activity.done = len(rows)
    return rows


def _list_part(screener: Screener, seed: int, part: int, numbers: range) -> Iterator[dict[str, Any]]:
    """Yield the rows of the answers with these numbers, of all prompts."""
    places = [(place, number) for number in numbers for place in range(len(screener.prompts.ids))]
    prompts = screener.prompts.rows([place for place, _ in places])
    answers = screener.base_policy.answers(prompts, f"screen {part}", seed)
    scores = {scorer.name: screener.base_policy.scores(answers, scorer).tolist() for scorer in screener.scorers}
    exchanges = answers.exchanges
    for row, (place, number) in enumerate(places):
        yield {
            "prompt_number": place,
            "prompt": as_text(exchanges.prompts[row]),
            "answer_number": number,
            "response": exchanges.responses[row],
            "ended": bool(exchanges.ended[row]) if exchanges.ended is not None else None,
            "scores": {name: own[row] for name, own in scores.items()},
        }


def _arrange_scores(rows: Sequence[dict[str, Any]], names: Sequence[str], num_prompts: int, num_answers: int) -> Floats:
    """(reward models, prompts, answers)."""
    scores = np.empty((len(names), num_prompts, num_answers))
    for row in rows:
        scores[:, row["prompt_number"], row["answer_number"]] = [row["scores"][name] for name in names]
    return scores
