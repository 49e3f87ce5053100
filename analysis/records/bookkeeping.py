"""Which keys of a run's config describe its setting; the others say which run it was, when, where and by whom."""

from collections.abc import Iterable, Mapping
from typing import Any

from analysis.wording.labels import make_identity
from rlhf_sweeps.record import natural_key

_GROUPS = ("name", "run_name", "run_id", "output_dir", "seed", "tracking", "checkpoint", "device", "sweep")
# Columns of tables of runs, such as W&B's.
_COLUMNS = (
    "id", "uuid", "trial", "trial_id", "trial_number", "number", "created", "created_at", "createdat", "started",
    "started_at", "start_time", "end_time", "finished_at", "date", "timestamp", "time", "runtime", "duration", "host",
    "hostname", "user", "notes", "url", "state", "status",
)  # fmt: skip


def is_setting(key: str) -> bool:
    """Whether runs that differ in a key have different settings; a seed is no setting."""
    return key.partition(".")[0] not in _GROUPS and key.lower().replace(" ", "_").strip("_") not in _COLUMNS


def find_differing_keys(configs: Iterable[Mapping[str, Any]]) -> list[str]:
    """The keys whose values differ between configs, sorted; without seeds, names and the like."""
    configs = list(configs)
    keys = sorted({key for config in configs for key in config}, key=natural_key)
    setting_keys = [key for key in keys if is_setting(key)]
    return [key for key in setting_keys if len({make_identity(config.get(key)) for config in configs}) > 1]
