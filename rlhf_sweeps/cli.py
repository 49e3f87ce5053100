"""The command line: Hydra composes the config, the config is checked, and a run or a sweep is trained.

Torch and Optuna are loaded only when they are needed, so that --help and --cfg answer at once.
"""

import contextlib
import functools
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from rlhf_sweeps import preflight
from rlhf_sweeps.command_line.carried import Carried
from rlhf_sweeps.command_line.command_options import read_options
from rlhf_sweeps.command_line.composed_files import (
    describe_unreadable,
    keep_config_of_job,
    mask_hydra,
    read_overrides_of_job,
    to_plain,
)
from rlhf_sweeps.command_line.destinations import find_destination, reserve
from rlhf_sweeps.command_line.explanation import explain, is_refusal
from rlhf_sweeps.command_line.hydra_answers import answer_from, as_job
from rlhf_sweeps.command_line.job_environment import set_job_environment
from rlhf_sweeps.command_line.masked_output import mask_printed_configs
from rlhf_sweeps.command_line.sweep_words import refuse_sweep_words
from rlhf_sweeps.command_line.unformatted_help import accept_unformatted_help
from rlhf_sweeps.config.differences import FREE_KEYS, flatten
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.lifted_secrets import learn, learn_words, lift
from rlhf_sweeps.config.reading import from_hydra
from rlhf_sweeps.config.resolvers import register_resolvers
from rlhf_sweeps.config.schema import Config
from rlhf_sweeps.platforms.output import tolerate
from rlhf_sweeps.process.activity import report_activity
from rlhf_sweeps.process.closed_output import tolerate_closed_output
from rlhf_sweeps.process.environment import find_repairable_fault
from rlhf_sweeps.process.exit_status import INTERRUPTED, WRONG_INPUT, choose_exit_status, name_folder_in_faults
from rlhf_sweeps.process.failures import DivergedError, RewardModelError
from rlhf_sweeps.process.interruption import end_at_once_on_signals
from rlhf_sweeps.process.printed_commands import adapt_commands, adapt_commands_in_log
from rlhf_sweeps.record import (
    NotOursError,
    Sweep,
    hide,
    hide_in_log,
    hide_in_tracebacks,
    mask_secrets,
    salvage_hydra,
    write_continuation,
)
from rlhf_sweeps.sweep import SweepFailedError, SweepInterruptedError
from rlhf_sweeps.sweep.settings import SweeperConfig
from rlhf_sweeps.versions import describe_versions
from rlhf_sweeps.wording import display_path

log = logging.getLogger("rlhf_sweeps")
OWN_SWEEPER = "hydra_plugins.rlhf_sweeps.Sweeper"


def conf_dir() -> str:
    """The config directory: inside an installed package, else beside it in a checkout."""
    packaged = Path(__file__).parent / "conf"
    return str(packaged if packaged.is_dir() else packaged.parents[1] / "conf")


def register() -> None:
    """Make our schemas, resolvers and sweeper known to Hydra."""
    ConfigStore.instance().store(name="schema", node=Config)
    ConfigStore.instance().store(group="hydra/sweeper", name="rlhf_sweeps_schema", node=SweeperConfig)
    register_resolvers()
    accept_unformatted_help()
    plugins = str(Path(__file__).parent / "plugin")
    if plugins not in sys.path:
        sys.path.append(plugins)


def main() -> None:
    """Entry point of `python -m rlhf_sweeps`."""
    register()
    run("config", _train)


def run(config_name: str, job: Callable[[DictConfig], Any]) -> None:
    """Run a job with the config that Hydra composes from conf/ and the command line; errors are printed in one line."""
    tolerate()
    hide_in_log()
    adapt_commands_in_log()
    hide_in_tracebacks()
    learn_words(sys.argv[1:])
    # With this, Hydra raises the exception instead of printing its own report of it.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    # Read when torch is loaded. By default torch's threads spin 300,000 times before they wait: another busy process
    # then makes a run on two cores 50 times slower. With 5000, two such processes made it 4 times slower, and a run
    # alone was as fast as before.
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    try:
        with end_at_once_on_signals(), tolerate_closed_output():
            _run_by_hydra(config_name, job)
    except ConfigError as error:
        refuse(error)
    except (DivergedError, RewardModelError, SweepFailedError) as error:
        refuse(error, status=choose_exit_status(error))
    except KeyboardInterrupt as interrupt:
        if isinstance(interrupt, SweepInterruptedError):
            folder = display_path(interrupt.folder.absolute())
            command = write_continuation(sys.argv[1:], "hydra.sweep.dir", folder)
            print(f"Continue with: {adapt_commands(command)}")
        elif interrupt.args:
            print(f"Continue with: {adapt_commands(str(interrupt))}")
        else:
            print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if is_refusal(error):
            refuse(error)
        if (place := describe_unreadable(error)) is not None:
            refuse(ConfigError(place))
        if (fault := find_repairable_fault(error)) is None:
            raise
        refuse(ConfigError(f"{fault}; once this is repaired, the same command continues in this folder"))


def _run_by_hydra(config_name: str, job: Callable[[DictConfig], Any]) -> None:
    @functools.wraps(job)
    def carry(composed: DictConfig) -> Any:
        try:
            return job(composed)
        except Exception as error:
            raise Carried(error) from error

    if "--version" in sys.argv[1:]:  # Hydra would give its own
        print(describe_versions())
        return
    sys.argv[1:], package = read_options(sys.argv[1:])
    try:
        with mask_printed_configs(package):
            hydra.main(version_base="1.3", config_path=conf_dir(), config_name=config_name)(carry)()
    except Carried as end:
        raise end.error  # noqa: B904 (the cause is the wrapped error itself)


class Preflight(Callback):
    """Checks a run before it starts; our sweeper itself checks the runs of a sweep.

    It ends the process if something is wrong, since Hydra hides a callback's exceptions.
    """

    def check(self, task: DictConfig, folder: Path) -> None:
        """Check a run; raises ConfigError or OmegaConfBaseException."""
        preflight.check(from_hydra(task), folder)

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check a run on its own, before it has a folder."""
        learn(to_plain(config))
        try:
            with set_job_environment(config, is_sweep=False), answer_as_run(config) as folder:
                refuse_sweep_words(config, sys.argv[1:])
                task = select_task(config)
                lift(task, {})
                with report_activity("checking the config"):
                    self.check(task, folder)
            with answer_from(config):
                reserve(config, "hydra.run.dir")
        except (ConfigError, OmegaConfBaseException) as error:
            refuse(error)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check the folder of a sweep by Hydra's own sweeper, before it writes there; our sweeper checks it itself."""
        learn(to_plain(config))
        if config.hydra.sweeper._target_ == OWN_SWEEPER:
            return
        try:
            _refuse_secrets(config)
            with answer_from(as_job(config, Path(), number=0)):
                sweep = Sweep(find_destination(config, "hydra.sweep.dir"))
                sweep.refuse_foreign()
                _refuse_another(sweep, config)
                reserve(config, "hydra.sweep.dir")
        except NotOursError as error:
            refuse(ConfigError(f"hydra.sweep.dir={config.hydra.sweep.dir}: {error}; choose another folder"))
        except (ConfigError, OmegaConfBaseException) as error:
            refuse(error)

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check a run of Hydra's own sweeper."""
        job = HydraConfig.get()
        if job.mode == RunMode.MULTIRUN:
            try:
                self.check(select_task(config), Path(job.runtime.output_dir))
            except (ConfigError, OmegaConfBaseException) as error:
                refuse(error)


def _refuse_another(sweep: Sweep, config: DictConfig) -> None:
    """Refuse to continue a folder of Hydra's own sweeper with another sweeper or other overrides.

    Raises:
        ConfigError: if these differ.
    """
    before: Any = OmegaConf.create({"hydra": salvage_hydra(sweep, [])})
    for key in ("hydra.sweeper._target_", "hydra.overrides.task"):
        old, new = (_select_fixed(OmegaConf.select(composed, key)) for composed in (before, config))
        if old is not None and old != new:
            where = f"hydra.sweep.dir={sweep.folder}: holds another sweep"
            raise ConfigError(f"{where} ({key} was {old}, is {new}); choose another folder")


def _select_fixed(value: Any) -> Any:
    """The part of a value that must not change between starts: of overrides, those that affect a run's numbers."""
    if not isinstance(value, ListConfig):
        return value
    keys = {word: word.lstrip("+~").partition("=")[0] for word in map(str, value)}
    return [word for word, key in keys.items() if not f"{key}.".startswith(FREE_KEYS)]


def _refuse_secrets(config: DictConfig) -> None:
    """Refuse secrets in a sweep by Hydra's own sweeper, which writes configs unmasked."""
    content = to_plain(config)
    masked_config = mask_secrets({**content, "hydra": {**mask_hydra(content["hydra"])}})
    given = flatten(content)
    for key, value in sorted(flatten(masked_config).items(), key=lambda entry: entry[0].startswith("hydra.")):
        if given.get(key) != value and not key.startswith("hydra.job.override_dirname"):
            recorder = config.hydra.sweeper._target_
            raise ConfigError(f"{key}: {recorder} would record this secret; write ${{oc.env:NAME}} in its place")


@contextlib.contextmanager
def answer_as_run(composed: DictConfig) -> Iterator[Path]:
    """Let Hydra answer as if the job of this config ran already; yields the job's folder."""
    with answer_from(composed):
        folder = find_destination(composed, "hydra.run.dir")
    with answer_from(as_job(composed, folder)):
        yield folder


def _train(composed: DictConfig) -> float | None:
    """Train one job and return its objective."""
    lift(composed, {})
    config = from_hydra(composed)
    with report_activity("loading torch and transformers", is_logged=False):
        from rlhf_sweeps.training.train import train

    job = HydraConfig.get()
    folder = Path(job.runtime.output_dir)

    def begin() -> None:
        # Another process may have begun here since the first check.
        preflight.check_folder(config, folder)
        keep_config_of_job(folder, composed)

    is_alone = job.mode == RunMode.RUN
    number = None if is_alone else int(job.job.num)
    with name_folder_in_faults("hydra.run.dir", folder):
        summary = train(config, folder, overrides=read_overrides_of_job(), begin=begin, number=number)
    if summary["status"] == "stopped" and summary["stop_reason"] == "interrupted":
        # A job of a sweep gets here only if Hydra's own sweeper runs it.
        key, place = ("hydra.run.dir", folder) if is_alone else ("hydra.sweep.dir", Path(job.sweep.dir).absolute())
        raise KeyboardInterrupt(write_continuation(sys.argv[1:], key, display_path(place)))
    objective: float | None = summary["objective"]
    return objective


def select_task(composed: DictConfig) -> DictConfig:
    """The composed config without Hydra's own part."""
    task = composed.copy()
    with open_dict(task):
        del task["hydra"]
    return task


def refuse(error: Exception, status: int = WRONG_INPUT) -> None:
    """Print the problems, a line each, and end the process; by default with the status of wrong input."""
    text = explain(error, sys.argv[1:]) if is_refusal(error) else str(error)
    for line in adapt_commands(hide(text)).splitlines():
        print(f"error: {line}", file=sys.stderr)
    sys.exit(status)
