"""Prompts and preference pairs: read from files or the hub, checked, split into training and held-out, mixed, encoded.

Loads no torch, and loads `datasets` and pyarrow only for files that are not plain text: a sweep checks its data before
it starts a process.
"""

from rlhf_sweeps.data.counts import Counts, SourceCounts, describe
from rlhf_sweeps.data.encoding import Encoded, encode, num_with_control, template_errors, template_fault, without_end
from rlhf_sweeps.data.messages import Messages, as_text
from rlhf_sweeps.data.pairs import Pair, Pairs, load_pairs
from rlhf_sweeps.data.places import files_of
from rlhf_sweeps.data.prompts import Prompts, batch_indices, load_prompts, read_ahead

__all__ = [
    "Counts",
    "Encoded",
    "Messages",
    "Pair",
    "Pairs",
    "Prompts",
    "SourceCounts",
    "as_text",
    "batch_indices",
    "describe",
    "encode",
    "files_of",
    "load_pairs",
    "load_prompts",
    "num_with_control",
    "read_ahead",
    "template_errors",
    "template_fault",
    "without_end",
]
