"""Which keys of a run's config tell of its setting, and which only which run it was, when, where and by whom."""

_GROUPS = ("name", "run_name", "run_id", "output_dir", "seed", "tracking", "checkpoint", "device", "sweep")
# Columns of tables of runs, such as W&B's.
_COLUMNS = (
    "id", "uuid", "trial", "trial_id", "trial_number", "number", "created", "created_at", "createdat", "started",
    "started_at", "start_time", "end_time", "finished_at", "date", "timestamp", "time", "runtime", "duration", "host",
    "hostname", "user", "notes", "url", "state", "status",
)  # fmt: skip


def is_setting(key: str) -> bool:
    """Whether runs that differ in a key were told different things; seeds are none."""
    return key.partition(".")[0] not in _GROUPS and key.lower().replace(" ", "_").strip("_") not in _COLUMNS
