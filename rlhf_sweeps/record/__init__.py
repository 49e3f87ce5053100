"""The record: the only code that knows what a run's or a sweep's folder contains. Loads no torch.

No content of a file makes a reader raise an error. The code that writes a record reads it with `Run` and `Sweep`, and
mends it first. Code that looks at a record later uses `salvage` and `find_records`: they return all that can be
read, and a list of problems.
"""

from rlhf_sweeps.record.axes import Axis, describe_axes, read_axes
from rlhf_sweeps.record.base_record import BaseRecord
from rlhf_sweeps.record.checked_objects import digest_file, find_differences, name_aside, salvage_object, write_object
from rlhf_sweeps.record.commands import (
    fold_command,
    is_search,
    read_words,
    write_changed_sweep,
    write_command,
    write_continuation,
    write_folder,
    write_override,
    write_rerun,
)
from rlhf_sweeps.record.discovery import find_owner, find_records, is_run, is_sweep, list_runs
from rlhf_sweeps.record.files import (
    SCREEN,
    InUseError,
    Stamp,
    analysis_folder,
    claim,
    open_atomically,
    report_file,
    take_stamp,
    write_atomically,
)
from rlhf_sweeps.record.hiding import hide, hide_in_log, hide_in_summary, hide_in_tracebacks, remember
from rlhf_sweeps.record.natural_order import natural_key
from rlhf_sweeps.record.old_sweeps import convert_start
from rlhf_sweeps.record.ownership import SCREENS, TRAININGS, NotOursError, refuse_foreign
from rlhf_sweeps.record.reading import (
    MOST_FILE,
    as_mapping,
    name_kind,
    open_record,
    parse_object,
    read_bytes,
    salvage_yaml,
)
from rlhf_sweeps.record.redaction import (
    MASK,
    STORAGE,
    find_passwords,
    find_variables,
    is_masked,
    is_secret,
    is_secret_variable,
    mask_secrets,
    mask_url,
    mask_word,
    mask_words,
    read_lifted_variables,
)
from rlhf_sweeps.record.restarts import (
    as_update,
    describe_restart,
    find_restarts,
    find_steps_back,
    select_current,
    select_current_rows,
)
from rlhf_sweeps.record.rows import salvage_rows
from rlhf_sweeps.record.run import SCHEMA_VERSION, Run
from rlhf_sweeps.record.salvage import SalvagedRun, salvage, salvage_hydra, salvage_samples
from rlhf_sweeps.record.sweep import Sweep
from rlhf_sweeps.record.sweep_plan import SweepPlan, find_unread, is_compared, read_plan

__all__ = [
    "MASK",
    "MOST_FILE",
    "SCHEMA_VERSION",
    "SCREEN",
    "SCREENS",
    "STORAGE",
    "TRAININGS",
    "Axis",
    "BaseRecord",
    "InUseError",
    "NotOursError",
    "Run",
    "SalvagedRun",
    "Stamp",
    "Sweep",
    "SweepPlan",
    "analysis_folder",
    "as_mapping",
    "as_update",
    "claim",
    "convert_start",
    "describe_axes",
    "describe_restart",
    "digest_file",
    "find_differences",
    "find_owner",
    "find_passwords",
    "find_records",
    "find_restarts",
    "find_steps_back",
    "find_unread",
    "find_variables",
    "fold_command",
    "hide",
    "hide_in_log",
    "hide_in_summary",
    "hide_in_tracebacks",
    "is_compared",
    "is_masked",
    "is_run",
    "is_search",
    "is_secret",
    "is_secret_variable",
    "is_sweep",
    "list_runs",
    "mask_secrets",
    "mask_url",
    "mask_word",
    "mask_words",
    "name_aside",
    "name_kind",
    "natural_key",
    "open_atomically",
    "open_record",
    "parse_object",
    "read_axes",
    "read_bytes",
    "read_lifted_variables",
    "read_plan",
    "read_words",
    "refuse_foreign",
    "remember",
    "report_file",
    "salvage",
    "salvage_hydra",
    "salvage_object",
    "salvage_rows",
    "salvage_samples",
    "salvage_yaml",
    "select_current",
    "select_current_rows",
    "take_stamp",
    "write_atomically",
    "write_changed_sweep",
    "write_command",
    "write_continuation",
    "write_folder",
    "write_object",
    "write_override",
    "write_rerun",
]
