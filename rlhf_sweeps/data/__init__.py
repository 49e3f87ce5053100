"""Prompts and preference pairs: read from files or the hub, checked, split into training and held-out, mixed, encoded.

Loads no torch, and loads `datasets` and pyarrow only for files that are not plain text: a sweep checks its data before
it starts a process.
"""

from rlhf_sweeps.data.counts import Counts, SourceCounts, describe_counts
from rlhf_sweeps.data.encoding import (
    Encoded,
    count_with_control,
    drop_end,
    encode,
    find_template_fault,
    list_template_errors,
)
from rlhf_sweeps.data.locations import list_files
from rlhf_sweeps.data.messages import Messages, as_text
from rlhf_sweeps.data.pairs import PreferencePair, PreferencePairs, load_pairs
from rlhf_sweeps.data.prompts import Prompts, batch_indices, load_prompts, read_ahead

__all__ = [
    "Counts",
    "Encoded",
    "Messages",
    "PreferencePair",
    "PreferencePairs",
    "Prompts",
    "SourceCounts",
    "as_text",
    "batch_indices",
    "count_with_control",
    "describe_counts",
    "drop_end",
    "encode",
    "find_template_fault",
    "list_files",
    "list_template_errors",
    "load_pairs",
    "load_prompts",
    "read_ahead",
]
