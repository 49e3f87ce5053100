"""A sequence classifier as reward model.

A classifier with the policy's vocabulary and chat template reads the policy's tokens, with the turn completed. Any
other classifier reads the text, which its own tokenizer templates. Both ways give the same tokens for the same text.
"""

import copy
import logging
import sys
from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.reward_models import ClassifierConfig
from rlhf_sweeps.data import Messages
from rlhf_sweeps.models.loading import check_ids, describe_tokenizer, hash_model, list_weights, load
from rlhf_sweeps.ppo.agreement import check_agreement
from rlhf_sweeps.ppo.context_limits import check_positions
from rlhf_sweeps.ppo.language_model import ValueModel
from rlhf_sweeps.ppo.memory import BatchSize, require_memory
from rlhf_sweeps.ppo.packing import enable_packing, is_same, pack, reads_packed
from rlhf_sweeps.ppo.sampling import pad_right
from rlhf_sweeps.process.activity import Activity, report_activity
from rlhf_sweeps.reward_models.base import Exchanges, RewardModel
from rlhf_sweeps.reward_models.exchange_tokens import ExchangeReader, ExchangeTokens

# A tokenizer and the setting that names it.
HoldDate = Callable[[PreTrainedTokenizerBase, str], None]
log = logging.getLogger("rlhf_sweeps")


class ClassifierRewardModel(RewardModel):
    """A frozen sequence classifier.

    Args:
        policy_tokenizer: None: exchanges never contain the policy's tokens.
        batch: the number of sequences scored at once.
        output: the index of the output that is the score.
        template: the template of the text that it reads; None: see ExchangeReader.
        max_length: the largest number of tokens; None: as many as the model can read.
        completes_turns: False: a classifier that reads the policy's tokens gets them as they were sampled, as in TRL,
            without the text that its chat template puts after an end token.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        policy_tokenizer: PreTrainedTokenizerBase | None,
        batch: BatchSize,
        output: int = 0,
        template: str | None = None,
        max_length: int | None = None,
        completes_turns: bool = True,
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.batch = batch
        self.output = output
        self.max_length = max_length or find_longest_input(model, tokenizer)
        self.completes_turns = completes_turns
        self.reader = ExchangeReader(tokenizer, template, self.max_length)
        self.reads_tokens = (
            policy_tokenizer is not None
            and template is None
            and tokenizer.get_vocab() == policy_tokenizer.get_vocab()
            and tokenizer.chat_template == policy_tokenizer.chat_template
        )
        self._known_ids = set(tokenizer.get_vocab().values())
        self._has_cut = False

    def score(self, exchanges: Exchanges) -> Tensor:
        """One score each, (batch,), float32 on the CPU."""
        tokens = [self._read(exchanges, row) for row in range(len(exchanges))]
        self._warn_of_cuts(tokens)
        with report_activity("reading them", sum(len(exchange.ids) for exchange in tokens)) as reading:
            return self.batch.run(lambda size: self._score_all(tokens, reading, size)).cpu()

    @torch.no_grad()
    def check(self, given: str) -> None:
        """Refuse a model whose scores of a batch of several lengths differ from those of plain forward passes.

        Args:
            given: key and value of the setting that names it.

        Raises:
            ConfigError: if they differ.
        """
        texts = [("How are you? " * num, "Fine. " * (num + 1)) for num in (1, 3, 40)]
        tokens = [self.reader.read([{"role": "user", "content": question}], answer) for question, answer in texts]

        def score_alone(exchange: ExchangeTokens) -> Tensor:
            if hasattr(self.model, "score"):  # transformers' own head would skip an end token that is the padding, too
                ids = torch.tensor([exchange.ids], device=self.model.device)
                outputs: Tensor = self.model.score(self.model.base_model(input_ids=ids).last_hidden_state[:, -1])
                return outputs[:, self.output]
            inputs = {"input_ids": exchange.ids} | ({"token_type_ids": exchange.types} if exchange.types else {})
            logits: Tensor = self.model(
                **{name: torch.tensor([ids], device=self.model.device) for name, ids in inputs.items()}
            ).logits
            return logits[:, self.output]

        def agrees() -> bool:
            expected = torch.cat([score_alone(exchange) for exchange in tokens])
            return is_same(self._score(tokens), expected, self.model.dtype)

        check_agreement(agrees, given, "scores texts of several lengths at once")

    def digest(self) -> str:
        """A text that identifies the model, the tokenizer and their settings."""
        settings = (self.reader.template, self.max_length, self.output, self.completes_turns, self.reads_tokens)
        return f"{self._digest_of_model} {settings}"

    @cached_property
    def _digest_of_model(self) -> str:
        return hash_model(self.model, describe_tokenizer(self.tokenizer))

    def value_model(self, key: str) -> ValueModel:
        """A value model that begins as a copy of this reward model; `key` is the setting that asked for it.

        Raises:
            ConfigError: if its tokens are not the policy's, or it has no linear head with one output on a trunk.
        """
        if not self.reads_tokens or not hasattr(self.model, "score") or self.model.config.num_labels != 1:
            raise ConfigError(
                f"{key}: must be a decoder with one output and the policy's tokenizer "
                "(or take ppo.value_model=shared or policy)"
            )
        # Trained weights are float32, so that small steps do not vanish.
        trunk, head = copy.deepcopy(self.model.base_model).float(), copy.deepcopy(self.model.score).float()
        return ValueModel(head, trunk).requires_grad_(True).eval()

    def _read(self, exchanges: Exchanges, row: int) -> ExchangeTokens:
        """The tokens of an exchange: the policy's own if this model can read them, else those of the text."""
        ended = exchanges.ended is None or exchanges.ended[row]
        closing = None
        sequence = exchanges.sequences[row] if self.reads_tokens and exchanges.sequences is not None else None
        # An embedding may have more rows than there are tokens. If the policy samples such an id, it has no text.
        if sequence is not None and self._known_ids.issuperset(sequence):
            ids = list(sequence)
            if exchanges.ended is None or not self.completes_turns:
                closing = ids[-1:] if ended and ids[-1] in exchanges.end_ids else []
            elif self.reader.writes_policy_prompt:
                ids = self.reader.complete(ids, ended, exchanges.end_ids)
            else:
                return self.reader.read(exchanges.prompts[row], exchanges.responses[row], ended)
            if len(ids) <= (self.max_length or len(ids)):
                return ExchangeTokens(ids, [])
        return self.reader.read(exchanges.prompts[row], exchanges.responses[row], ended, closing)

    def _warn_of_cuts(self, tokens: Sequence[ExchangeTokens]) -> None:
        if not self._has_cut and any(exchange.is_cut for exchange in tokens):
            self._has_cut = True
            log.warning(
                "the reward model reads %d tokens at most: in longer texts the prompt loses its beginning and the "
                "response its end, and each keeps at least half of the tokens or its whole length", self.max_length,
            )  # fmt: skip

    def _score_all(self, tokens: Sequence[ExchangeTokens], reading: Activity, size: int) -> Tensor:
        # Sorted by length, to save padding.
        order = sorted(range(len(tokens)), key=lambda i: len(tokens[i].ids))
        scores = torch.empty(len(tokens), device=self.model.device)
        reading.done = 0
        for start in range(0, len(order), size):
            part = order[start : start + size]
            scores[part] = self._score([tokens[i] for i in part])
            reading.done += sum(len(tokens[i].ids) for i in part)
        return scores

    @torch.no_grad()
    def _score(self, tokens: Sequence[ExchangeTokens]) -> Tensor:
        """The scores, read at the last token of each sequence, whatever the padding id of the model."""
        device, sequences = self.model.device, [exchange.ids for exchange in tokens]
        if reads_packed(self.model.base_model):
            packed = pack(sequences, device)
            last = [start + len(sequence) - 1 for start, sequence in zip(packed.starts, sequences, strict=True)]
            outputs: Tensor = self.model.score(packed.read(self.model.base_model)[last])
            return outputs[:, self.output].float()
        ids, mask = pad_right(sequences, self.tokenizer.pad_token_id or 0, device)
        type_ids = [exchange.types for exchange in tokens]
        types = {"token_type_ids": pad_right(type_ids, 0, device)[0]} if type_ids[0] else {}
        if hasattr(self.model, "score"):
            hidden = self.model.base_model(input_ids=ids, attention_mask=mask.long(), use_cache=False).last_hidden_state
            outputs = self.model.score(hidden[torch.arange(len(ids), device=device), mask.sum(-1) - 1])
        else:
            outputs = self.model(input_ids=ids, attention_mask=mask.long(), **types).logits
        return outputs[:, self.output].float()


def leave_date(tokenizer: PreTrainedTokenizerBase, given: str) -> None:
    """Leave a template's date as it is: that of the day."""


def load_classifier(
    config: ClassifierConfig,
    policy_tokenizer: PreTrainedTokenizerBase | None,
    batch: BatchSize,
    device: torch.device,
    key: str = "reward_model.path",
    completes_turns: bool = True,
    prompts: Sequence[Messages] = (),
    hold_date: HoldDate = leave_date,
    most: int | None = None,
) -> ClassifierRewardModel:
    """The classifier that a config names; from safetensors only, and without code from the model's files.

    Args:
        batch: the number of sequences scored at once.
        key: the key of its path.
        completes_turns: see ClassifierRewardModel.
        prompts: the prompts whose responses it will score.
        hold_date: see Loader.
        most: the largest number of tokens of its inputs, if that is known.

    Raises:
        ConfigError: if it cannot be loaded, has no weights for its head, or has several outputs and no `label`.
    """
    given = f"{key}={config.path}"
    model = _load_model(config, key)
    tokenizer = load(AutoTokenizer, config, key)
    hold_date(tokenizer, given)
    check_ids(model, tokenizer, given)
    longest = find_longest_input(model, tokenizer)
    if config.max_length is not None and longest is not None and config.max_length > longest:
        raise ConfigError(
            f"{key.removesuffix('path')}max_length={config.max_length}: must be at most {longest}, "
            f"the tokens that {config.path} reads"
        )
    torch.nn.Module.to(model, device)
    output = 0 if config.label is None else _find_output(model, config.label, key)
    reward_model = ClassifierRewardModel(
        model, tokenizer, policy_tokenizer, batch, output, config.template, config.max_length, completes_turns
    )
    if fault := reward_model.reader.fault(prompts):
        raise ConfigError(f"{given}: its chat template {fault}")
    max_length = f"{key.removesuffix('path')}max_length={config.max_length}"
    reward_model.reader.check_room(given if config.max_length is None else max_length)
    read = min((limit for limit in (most, reward_model.max_length) if limit is not None), default=None)
    lever = f"{key.removesuffix('path')}max_length" if most is None else "ppo.response_length"
    check_positions(model, read, given, f"{lever} makes it shorter")
    with require_memory(given, "a smaller model"):
        if hasattr(model, "score"):
            enable_packing(model.base_model, reward_model.max_length)
        reward_model.check(given)
    return reward_model


def _load_model(config: ClassifierConfig, key: str) -> PreTrainedModel:
    """The classifier, with trained weights for its head; raises as `load_classifier`."""
    given, label = f"{key}={config.path}", f"{key.removesuffix('path')}label"
    outputs = {} if config.label is not None else {"num_labels": 1}
    model, info = load(
        AutoModelForSequenceClassification,
        config,
        key,
        dtype=getattr(torch, config.dtype),
        output_loading_info=True,
        use_safetensors=True,
        ignore_mismatched_sizes=True,
        **outputs,
    )
    if other := {name: (list(has), list(wanted)) for name, has, wanted in sorted(info["mismatched_keys"])}:
        name, (has, wanted) = next(iter(other.items()))
        if any(name.startswith(f"{model.base_model_prefix}.") for name in other):
            raise ConfigError(f"{given}: its {name} must have the shape of its config.json, {wanted}, has {has}")
        wish = "one output" if config.label is None else f"the outputs that {label}={config.label} is one of"
        raise ConfigError(
            f"{given}: must have {wish}, its weights have {has[0]}; {label} chooses one of several (LABEL_0, LABEL_1, "
            "... where its config.json names none)"
        )
    if missing := sorted(info["missing_keys"]):
        # transformers fills them with random numbers and only warns: a language model would give random scores.
        raise ConfigError(f"{given}: not a trained reward model, its weights lack {list_weights(missing)}")
    loaded: PreTrainedModel = model
    return loaded


def find_longest_input(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The number of tokens that a model can read, by its config and its tokenizer (1e30: no limit); None: unknown."""
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    table = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    if positions is not None and padding is not None:
        positions -= padding + 1  # RoBERTa and similar models number their positions from there
    limits = [positions, tokenizer.model_max_length]
    return min((length for length in limits if length is not None and 0 < length < sys.maxsize), default=None)


def _find_output(model: PreTrainedModel, label: str, key: str) -> int:
    """The index of a label's output."""
    labels = model.config.id2label or {}
    for number, name in labels.items():
        if label in (name, str(number)):
            return int(number)
    raise ConfigError(f"{key.removesuffix('path')}label={label}: must be one of {', '.join(map(str, labels.values()))}")
