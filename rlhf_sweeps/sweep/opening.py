"""Open a sweep: its description in its folder, and the study of its trials; another sweep's folder is refused."""

import logging
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from rlhf_sweeps.command_line.composed_files import mask_hydra, to_plain
from rlhf_sweeps.config.differences import flatten
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.references import take_fingerprints
from rlhf_sweeps.config.schema import as_dict
from rlhf_sweeps.preflight import describe_changed_values
from rlhf_sweeps.record import Sweep, as_mapping, mask_secrets, mask_words, read_words
from rlhf_sweeps.sweep.configurations import KEYS, Configurations, describe_changes, read_start
from rlhf_sweeps.sweep.plan import Plan
from rlhf_sweeps.sweep.retries import Wanted, choose_failed_trials, open_again
from rlhf_sweeps.sweep.study.owners import ForeignStudyError, refuse_taken
from rlhf_sweeps.sweep.study.storage import make_file_url, open_storage, refuse_strays
from rlhf_sweeps.sweep.study.study import Study

log = logging.getLogger("rlhf_sweeps")


def describe(sweep: Sweep, plan: Plan, hydra: Mapping[str, Any]) -> tuple[dict[str, Any], Configurations]:
    """Describe the sweep for its record; refuse a folder that holds another sweep. Nothing is written.

    Args:
        hydra: Hydra's own part of the sweep's config, as plain values.

    Raises:
        ConfigError: if the folder holds another sweep, or the description is lost.
    """
    start = read_start(sweep)
    records: list[dict[str, Any]] = []
    recorded = plan.recorded(["-m", *mask_words(read_words(hydra))]).as_data()
    new = {key: recorded[key] for key in ("axes", "directions", "seeds")}
    new |= {"config": flatten(as_dict(plan.config)), "fixed": mask_words(plan.fixed)}
    study_name = plan.settings.study_name or sweep.folder.absolute().name
    if start is None:
        start = {"id": uuid.uuid4().hex[:12], "study_name": study_name, "seconds": 0.0}
    elif changed := describe_changed_values(start, plan.config):
        raise ConfigError(f"hydra.sweep.dir={sweep.folder}: holds another sweep ({changed}); choose another folder")
    else:
        records = start.get("configurations") or [{key: start[key] for key in KEYS}]
        if changed := describe_changes(start, new):
            if not plan.settings.accept_changes:
                raise ConfigError(
                    f"hydra.sweep.dir={sweep.folder}: holds another sweep ({changed}); choose another folder, or "
                    "accept the changes for the trials to come with hydra.sweeper.accept_changes=true"
                )
            if start["directions"] != plan.directions:
                raise ConfigError(
                    f"objective.directions={plan.directions}: the study in hydra.sweep.dir={sweep.folder} keeps "
                    f"{start['directions']}; choose another folder"
                )
            log.info("accepted changes: %s", changed)
    configurations = Configurations(records, new)
    entries = {"configurations": configurations.records, "compared": configurations.compared}
    entries["references"] = {**take_fingerprints(plan.config, start["id"]), **as_mapping(start.get("references"))}
    return {**start, **recorded, **new, **entries}, configurations


def open_study(
    sweep: Sweep,
    plan: Plan,
    start: dict[str, Any],
    configurations: Configurations,
    master: DictConfig,
    retry_failed: Wanted,
) -> Study:
    """Open the study and write the sweep's description; if the study is refused, an existing sweep is not changed.

    Args:
        start, configurations: the result of `describe`; the study's name is set in `start`.
        retry_failed: the failed trials that are opened again.

    Raises:
        ConfigError: if the study cannot be opened.
    """
    settings = plan.settings
    if settings.storage is None and not sweep.study.exists():
        refuse_strays(sweep, num_trials=0)
    url = settings.storage or make_file_url(sweep.study)

    def open_as(name: str, is_new: bool) -> Study:
        if is_new:
            if settings.storage is None:  # a given storage may still be refused
                sweep.begin(_as_yaml(master))
            refuse_taken(open_storage(url), name, start["id"])
            # Written before the study is made, so that after a kill at any point the study is recognised as this
            # sweep's.
            sweep.begin(_as_yaml(master))
            sweep.write_start({**start, "study_name": name})
        return Study(
            url,
            name,
            plan.config.objective.metrics,
            plan.directions,
            plan.sampler,
            is_compared=lambda notes: configurations[notes.get("configuration", 0)].is_compared,
            num_updates=plan.config.ppo.num_updates,
            owner=start["id"],
            is_known=not is_new,
            folder=None if settings.storage is None else sweep.folder,
        )

    if sweep.start() is not None:
        study = open_as(start["study_name"], is_new=False)
    else:
        choose_failed_trials([], retry_failed)
        study = _begin_study(sweep, start, open_as, is_named=settings.study_name is not None)
    refuse_strays(sweep, len(study.trials()))
    failed = choose_failed_trials(study.trials(), retry_failed)
    sweep.begin(_as_yaml(master))
    study.move_to(plan.space.parameters)
    open_again(failed, study, sweep)
    start["study_name"] = study.name
    start["seconds"] = (sweep.start() or start)["seconds"]  # an earlier opening in this start may have counted more
    sweep.write_start(start)
    return study


def _as_yaml(master: DictConfig) -> str:
    """The config of the sweep for its folder, with secrets masked."""
    content = to_plain(master)
    return OmegaConf.to_yaml(OmegaConf.create({**mask_secrets(content), "hydra": mask_hydra(content["hydra"])}))


def _begin_study(
    sweep: Sweep, start: Mapping[str, Any], open_as: Callable[[str, bool], Study], is_named: bool
) -> Study:
    """Make the study of a new sweep, with the user's name, else with its folder's, else with that and the sweep's id.

    Raises:
        ConfigError: if it cannot be made, or if the user's name belongs to another sweep's study.
    """
    wanted: str = start["study_name"]
    try:
        return open_as(wanted, True)
    except ConfigError as error:
        if is_named or not isinstance(error, ForeignStudyError):
            sweep.forget_start()
            raise
    name = f"{wanted}-{start['id']}"
    log.warning("the study %s in hydra.sweeper.storage is another sweep's; this sweep's is called %s", wanted, name)
    return open_as(name, True)
