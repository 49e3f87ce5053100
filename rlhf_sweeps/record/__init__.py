"""The record: the only code that knows what a run's or a sweep's folder contains. Loads no torch.

No content of a file makes a reader raise an error. The code that writes a record reads it with `Run` and `Sweep`, and
mends it first. Code that looks at a record later uses `salvage` and `found`: they return all that can be
read, and a list of problems.
"""

from rlhf_sweeps.record.axes import Axis, describe, read_axes
from rlhf_sweeps.record.base_record import BaseRecord
from rlhf_sweeps.record.commands import command, folded, go_on, override, place, run_again, words_of
from rlhf_sweeps.record.discovery import found, is_run, is_sweep, owner, runs_of
from rlhf_sweeps.record.files import (
    InUseError,
    Stamp,
    analysis_folder,
    claim,
    open_atomically,
    report_file,
    stamp,
    write_atomically,
)
from rlhf_sweeps.record.hiding import hidden, hide, hide_in_log, hide_in_tracebacks, remember
from rlhf_sweeps.record.natural_order import natural
from rlhf_sweeps.record.old_sweeps import in_new_form
from rlhf_sweeps.record.ownership import TRAININGS, NotOursError, refuse_foreign
from rlhf_sweeps.record.reading import (
    MOST_FILE,
    as_mapping,
    kind_of,
    open_record,
    parse_object,
    read_bytes,
    salvage_yaml,
)
from rlhf_sweeps.record.redaction import (
    MASK,
    STORAGE,
    is_masked,
    is_secret,
    is_secret_variable,
    lifted_variables,
    masked,
    masked_url,
    masked_word,
    masked_words,
    passwords,
    variables,
)
from rlhf_sweeps.record.restarts import alive, as_update, continued, going_on, restarts, returns
from rlhf_sweeps.record.rows import salvage_rows
from rlhf_sweeps.record.run import SCHEMA_VERSION, Run
from rlhf_sweeps.record.salvage import Salvaged, salvage, salvage_hydra, salvage_samples
from rlhf_sweeps.record.sealed import differing, digest_of, name_aside, salvage_object, write_object
from rlhf_sweeps.record.sweep import Sweep
from rlhf_sweeps.record.sweep_plan import SweepPlan, is_compared, read_plan, unread

__all__ = [
    "MASK",
    "MOST_FILE",
    "SCHEMA_VERSION",
    "STORAGE",
    "TRAININGS",
    "Axis",
    "BaseRecord",
    "InUseError",
    "NotOursError",
    "Run",
    "Salvaged",
    "Stamp",
    "Sweep",
    "SweepPlan",
    "alive",
    "analysis_folder",
    "as_mapping",
    "as_update",
    "claim",
    "command",
    "continued",
    "describe",
    "differing",
    "digest_of",
    "folded",
    "found",
    "go_on",
    "going_on",
    "hidden",
    "hide",
    "hide_in_log",
    "hide_in_tracebacks",
    "in_new_form",
    "is_compared",
    "is_masked",
    "is_run",
    "is_secret",
    "is_secret_variable",
    "is_sweep",
    "kind_of",
    "lifted_variables",
    "masked",
    "masked_url",
    "masked_word",
    "masked_words",
    "name_aside",
    "natural",
    "open_atomically",
    "open_record",
    "override",
    "owner",
    "parse_object",
    "passwords",
    "place",
    "read_axes",
    "read_bytes",
    "read_plan",
    "refuse_foreign",
    "remember",
    "report_file",
    "restarts",
    "returns",
    "run_again",
    "runs_of",
    "salvage",
    "salvage_hydra",
    "salvage_object",
    "salvage_rows",
    "salvage_samples",
    "salvage_yaml",
    "stamp",
    "unread",
    "variables",
    "words_of",
    "write_atomically",
    "write_object",
]
