"""The first screen's answers, before and after: the prompt that improved most, the one in the middle, the least."""

import math
from collections.abc import Sequence

from analysis.output.parts import Cell, Column, Part, Table, make_number_cell
from analysis.results.results import Results
from analysis.views.samples import OWN, SamplePair, select_first_set
from analysis.wording.statements import clip_text

_MAX_TEXT = 400  # characters of a prompt or answer; chosen by looking at pages
_RANKS = ("most improved", "in the middle", "least improved")


def make_examples(results: Results) -> list[Part]:
    """A table of three prompts with both answers, chosen by the own score's change alone; empty without enough."""
    chosen = select_first_set(results)
    pairs = [pair for pair in chosen.pairs if not math.isnan(pair.gain)] if chosen else []
    if chosen is None or len(pairs) < len(_RANKS):
        return []
    picked = (pairs[0], pairs[len(pairs) // 2], pairs[-1])
    columns = [
        Column("Of all prompts"),
        Column("Prompt", is_whole=True),
        Column("Base policy's answer", is_whole=True),
        Column("Trained policy's answer", is_whole=True),
        Column("Score", True, "the own score of the base policy's answer"),
        Column("After", True, "the own score of the trained policy's answer"),
    ]
    rows = [_make_row(rank, pair) for rank, pair in zip(_RANKS, picked, strict=True)]
    return [Table("examples", f"Answers before and after: {chosen.title}", columns, rows)]


def _make_row(rank: str, pair: SamplePair) -> Sequence[Cell]:
    texts = [clip_text(text, _MAX_TEXT) for text in (pair.prompt, pair.base, pair.response)]
    base, policy = pair.scores[OWN]
    return [Cell(rank), *map(Cell, texts), make_number_cell(base), make_number_cell(policy)]
