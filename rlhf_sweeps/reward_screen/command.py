"""The command line for a screen of reward models; loads no torch before the checks are done."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from rlhf_sweeps import cli
from rlhf_sweeps.command_line.composed_files import keep_config_of_job
from rlhf_sweeps.config.differences import describe_changed_settings
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.lifted_secrets import lift
from rlhf_sweeps.config.references import redact
from rlhf_sweeps.preflight import check_device, check_parts
from rlhf_sweeps.process.activity import report_activity
from rlhf_sweeps.record import (
    SCREEN,
    SCREENS,
    InUseError,
    NotOursError,
    claim,
    refuse_foreign,
    salvage_object,
    write_continuation,
)
from rlhf_sweeps.reward_screen.config import RewardScreenConfig, from_hydra, register
from rlhf_sweeps.reward_screen.files import RECORDED
from rlhf_sweeps.wording import display_path

# Keys that may change between two starts in one folder: answers and scores that are recorded there are used again.
FREE = ("name", "reward_models", "n")


def screen_reward_models() -> None:
    """Entry point of `python -m rlhf_sweeps.reward_models screen`; all words are for Hydra."""
    cli.register()
    register()
    cli.run("reward_model_screen", _screen)


class Preflight(cli.Preflight):
    """Checks the config of a screen before it starts."""

    def check(self, task: DictConfig, folder: Path) -> None:
        """Check a screen; raises ConfigError or OmegaConfBaseException."""
        config = from_hydra(task)
        check_folder(config, folder)
        check_device(config.device)
        check_parts(config.model, config.dataset, config.ppo, config.named_reward_models)


def check_folder(config: RewardScreenConfig, folder: Path) -> None:
    """Refuse a folder with files of others, or with a screen of other answers.

    Raises:
        ConfigError: naming the settings that differ, or the files that are not ours.
    """
    try:
        refuse_foreign(folder, RECORDED, None, folder / ".hydra" / "hydra.yaml", SCREENS)
    except NotOursError as error:
        raise ConfigError(f"hydra.run.dir={folder}: {error}; choose another folder") from error
    before = salvage_object(folder / SCREEN, []).get("config")
    if isinstance(before, dict) and (
        changed := describe_changed_settings(_select_fixed(before), list_settings(config))
    ):
        raise ConfigError(
            f"hydra.run.dir={folder}: holds a screen with other settings ({changed}); choose another folder"
        )


def list_settings(config: RewardScreenConfig) -> dict[str, Any]:
    """The settings that a screen must keep when it is started again in its folder, as plain values."""
    return _select_fixed(redact(dataclasses.asdict(config)))


def _select_fixed(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in FREE}


def _screen(composed: DictConfig) -> None:
    """Sample, score, compare and print; what is recorded in the folder is not computed again."""
    lift(composed, {})
    config = from_hydra(composed)
    folder = Path(HydraConfig.get().runtime.output_dir)
    with report_activity("loading torch and transformers", is_logged=False):
        from rlhf_sweeps.reward_screen.screening import screen

    try:
        with claim(folder, "another process is screening there"):
            check_folder(config, folder)
            keep_config_of_job(folder, composed)
            screen(config, folder)
    except InUseError as error:
        raise ConfigError(f"hydra.run.dir={display_path(folder)}: {error}; choose another folder") from error
    except KeyboardInterrupt as interrupt:
        program = ("rlhf_sweeps.reward_models", "screen")
        raise KeyboardInterrupt(
            write_continuation(sys.argv[1:], "hydra.run.dir", display_path(folder), program)
        ) from interrupt
