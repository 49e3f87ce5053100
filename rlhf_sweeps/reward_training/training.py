"""Training of a reward model from start to end: load pairs and base model, train, save, report."""

import json
import logging
import shutil
import time
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.references import redact
from rlhf_sweeps.config.reward_models import make_plain_classifier
from rlhf_sweeps.data import Messages, PreferencePair, PreferencePairs, count_with_control, describe_counts, load_pairs
from rlhf_sweeps.files.placing import move_into
from rlhf_sweeps.models import loading as models
from rlhf_sweeps.models.template_date import hold_date
from rlhf_sweeps.ppo.context_limits import check_positions
from rlhf_sweeps.ppo.memory import BatchSize, give_back_memory, keep_nothing
from rlhf_sweeps.process.activity import report_activity
from rlhf_sweeps.reward_models.base import Exchanges
from rlhf_sweeps.reward_models.classifier import ClassifierRewardModel, find_longest_input, load_classifier
from rlhf_sweeps.reward_models.exchange_tokens import ExchangeReader
from rlhf_sweeps.reward_models.surface_rules import fit_rules
from rlhf_sweeps.reward_training.config import RewardTrainingConfig
from rlhf_sweeps.reward_training.fitting import fit
from rlhf_sweeps.reward_training.pair_tokens import encode_pairs, set_pad_token
from rlhf_sweeps.reward_training.report import Report, make_report
from rlhf_sweeps.reward_training.report_text import format_report, write_reward_model_card

log = logging.getLogger("rlhf_sweeps")


def train(config: RewardTrainingConfig, folder: Path) -> Report:
    """Train a reward model, and write it with its report into the folder: both, or neither if anything fails.

    Raises:
        ConfigError: if base model, data or device cannot be used; only a lack of memory may show after the start.
        DivergedError: if the loss is not finite.
    """
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()  # it would report the new head as a fault
    device = models.pick_device(config.device)
    if device.type == "cpu":
        keep_nothing()  # until a step has shown that memory suffices
    with report_activity("reading the pairs"):
        pairs = load_pairs(config.dataset)
    made = folder / "model.unfinished"
    shutil.rmtree(made, ignore_errors=True)
    try:
        figures = _fit(config, pairs, made, device)
        # The trained model is loaded again for the report; its memory is freed first.
        give_back_memory()
        with report_activity(f"scoring the {len(pairs.held_out)} held-out pairs"):
            report = evaluate(made, pairs, 2 * config.reward_model.microbatch_size, device)
        _record(config, report, figures, made)
        move_into(folder, made, last="config.json")
    finally:
        shutil.rmtree(made, ignore_errors=True)
    print(format_report(report))
    return report


def _fit(config: RewardTrainingConfig, pairs: PreferencePairs, folder: Path, device: torch.device) -> dict[str, object]:
    """Train on the pairs and save the model into the folder; returns the figures of the training."""
    with report_activity("loading the base model"):
        model, tokenizer = _load_base(config)
    limit = find_longest_input(model, tokenizer)
    max_length = min(config.reward_model.max_length, limit or config.reward_model.max_length)
    reader = ExchangeReader(tokenizer, template=None, max_length=max_length)
    reader.check_room(f"reward_model.max_length={max_length}")
    given = f"{config.base_key}={config.base.path}"
    check_positions(model, max_length, given, "reward_model.max_length makes it shorter")
    with report_activity(f"tokenizing {len(pairs.train)} pairs"):
        rows, num_cut = encode_pairs(pairs.train, reader)
    num_controlling = count_with_control(list(map(_join_messages, [*pairs.train, *pairs.held_out])), tokenizer)
    if set_pad_token(tokenizer, rows):
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    # The trained model will be checked when it is loaded. It must not be refused then, so the base is checked now.
    ClassifierRewardModel(model, tokenizer, None, BatchSize(given, 1), max_length=max_length).check(given)
    log.info("%s", describe_counts(pairs, num_with_control=num_controlling))
    log.info("%d answers are cut, to %d tokens with their prompts", num_cut, max_length)
    start = time.perf_counter()
    trained, num_steps = fit(config, model.requires_grad_(True), tokenizer, rows, folder, device)
    seconds = round(time.perf_counter() - start, 1)
    trained.config.use_cache = True  # the trainer may have turned it off
    with report_activity("writing the reward model"):
        trained.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return {
        "training pairs": len(pairs.train),
        "answers cut": num_cut,
        "pairs with control tokens in their text": num_controlling,
        "tokens at most": max_length,
        "steps": num_steps,
        "seconds": seconds,
        "device": str(device),
    }


def _join_messages(pair: PreferencePair) -> Messages:
    """All messages of a pair: its prompt and both answers."""
    return [*pair.prompt, *({"role": "assistant", "content": answer} for answer in (pair.chosen, pair.rejected))]


def evaluate(folder: Path, pairs: PreferencePairs, batch_size: int, device: torch.device) -> Report:
    """The report on the reward model in a folder, loaded in the same way as in a run.

    Args:
        batch_size: the number of sequences scored at once.
    """
    config = make_plain_classifier(str(folder), folder.name, "float32")
    batch = BatchSize("reward_model.microbatch_size", batch_size)
    reward_model = load_classifier(config, None, batch, device)
    prompts = [pair.prompt for pair in pairs.held_out]
    chosen = reward_model.score(Exchanges(prompts, [pair.chosen for pair in pairs.held_out]))
    rejected = reward_model.score(Exchanges(prompts, [pair.rejected for pair in pairs.held_out]))
    return make_report((chosen - rejected).tolist(), pairs.held_out, fit_rules(pairs.train))


def _load_base(config: RewardTrainingConfig) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The base model with one output, and its tokenizer."""
    base, key = config.base, config.base_key
    tokenizer: PreTrainedTokenizerBase = models.load(AutoTokenizer, base, key)
    hold_date(tokenizer, datetime.now(), f"{key}={base.path}")  # training and scoring must see the same date
    torch.manual_seed(config.seed)  # for the new head
    model, info = models.load(
        AutoModelForSequenceClassification,
        base,
        key,
        dtype=getattr(torch, base.dtype),
        num_labels=1,
        output_loading_info=True,
        use_safetensors=True,
        ignore_mismatched_sizes=True,
    )
    for name, has, wanted in sorted(info["mismatched_keys"]):
        raise ConfigError(
            f"{key}={base.path}: must be a language model or a classifier with one output (its {name} has the shape "
            f"{list(has)}, must have {list(wanted)})"
        )
    trunk = f"{model.base_model_prefix}."
    if lacking := sorted(name for name in info["missing_keys"] if name.startswith(trunk) and "pooler" not in name):
        raise ConfigError(f"{key}={base.path}: not a trained model, its weights lack {models.list_weights(lacking)}")
    models.check_ids(model, tokenizer, f"{key}={base.path}")
    if info["missing_keys"]:
        log.info("new weights: %s", ", ".join(sorted(info["missing_keys"])))
    return model, tokenizer


def _record(config: RewardTrainingConfig, report: Report, figures: dict[str, object], folder: Path) -> None:
    """Write report.json and README.md."""
    content = {**asdict(report), "training": figures, "config": redact(asdict(config))}
    (folder / "report.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(write_reward_model_card(config, report, figures), encoding="utf-8")
