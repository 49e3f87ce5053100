"""The command line for training a reward model; loads no torch before the checks are done."""

import os
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from rlhf_sweeps import cli
from rlhf_sweeps.command_line.composed_files import keep_config_of_job
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.lifted_secrets import lift
from rlhf_sweeps.data import load_pairs
from rlhf_sweeps.preflight import read_model_config
from rlhf_sweeps.process.activity import report_activity
from rlhf_sweeps.process.printed_commands import adapt_commands
from rlhf_sweeps.record import TRAININGS, InUseError, NotOursError, claim, refuse_foreign, write_command, write_override
from rlhf_sweeps.reward_training.config import RewardTrainingConfig, from_hydra, register
from rlhf_sweeps.reward_training.constants import MIN_HELD_OUT
from rlhf_sweeps.wording import display_path


def train_reward_model() -> None:
    """Entry point of `python -m rlhf_sweeps.reward_models train`; all words are for Hydra."""
    cli.register()
    register()
    cli.run("reward_model_training", _train)


class Preflight(cli.Preflight):
    """Checks the config of a training before it starts."""

    def check(self, task: DictConfig, folder: Path) -> None:
        """Check a training; raises ConfigError or OmegaConfBaseException."""
        check(from_hydra(task), folder)


def check(config: RewardTrainingConfig, folder: Path) -> None:
    """Check the folder for the reward model, its base model, and the pairs.

    Raises:
        ConfigError: naming the key, the given value and the allowed ones.
    """
    check_folder(folder)
    read_model_config(config.base, config.base_key)
    num_held_out = len(load_pairs(config.dataset).held_out)
    if num_held_out < MIN_HELD_OUT:
        raise ConfigError(
            f"dataset={config.dataset.name}: must have at least {MIN_HELD_OUT} held-out pairs to report on, has "
            f"{num_held_out} (dataset.eval_path=... names another file)"
        )


def check_folder(folder: Path) -> None:
    """Refuse a folder with other files: a training needs its own folder, since a tokenizer may have any file names.

    Raises:
        ConfigError: if the folder holds a model, or files that no earlier start of the training left.
    """
    if (folder / "config.json").exists():
        raise ConfigError(f"hydra.run.dir={folder}: holds a model already; choose another folder")
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    try:
        refuse_foreign(folder, names, None, folder / ".hydra" / "hydra.yaml", TRAININGS)
    except NotOursError as error:
        raise ConfigError(f"hydra.run.dir={folder}: {error}; choose another folder") from error


def _train(composed: DictConfig) -> float:
    """Train, and return the held-out accuracy."""
    # TRL would report every training to its developers.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    lift(composed, {})
    config = from_hydra(composed)
    folder = Path(HydraConfig.get().runtime.output_dir)
    show_one_gpu(config)
    with report_activity("loading torch and transformers", is_logged=False):
        from rlhf_sweeps.reward_training.training import train

    try:
        with claim(folder, "another process is training there"):
            check_folder(folder)
            keep_config_of_job(folder, composed)
            report = train(config, folder)
    except InUseError as error:
        raise ConfigError(f"hydra.run.dir={display_path(folder)}: {error}; choose another folder") from error
    words = ["reward_model=local", write_override("reward_model.path", display_path(folder))]
    print(f"Use it with: {adapt_commands(write_command('python', '-m', 'rlhf_sweeps', *words))}")
    return report.accuracy.value


def show_one_gpu(config: RewardTrainingConfig) -> None:
    """Hide all GPUs except the one in the config: TRL uses the first, and refuses to work if it sees several."""
    kind, _, number = config.device.partition(":")
    if kind not in ("auto", "cuda"):
        return
    visible, place = os.environ.get("CUDA_VISIBLE_DEVICES"), int(number or 0)
    selected = str(place) if visible is None else ",".join(visible.split(",")[place : place + 1])
    os.environ["CUDA_VISIBLE_DEVICES"] = selected
    config.device = kind
