"""The keys that differ between the runs, and the best run's command, config and versions."""

from collections import Counter
from collections.abc import Sequence

from analysis.output.parts import Cell, Column, Command, Part, Sentences, Table, make_text_cell
from analysis.records.bookkeeping import find_differing_keys
from analysis.records.runs import RunRecord
from analysis.results.results import Results
from analysis.wording.labels import label_values, write_exactly
from analysis.wording.statements import clip_text, format_count, join_words
from rlhf_sweeps.record import Run, natural_key, salvage_hydra, write_rerun

# Chosen by looking at drawings and lists.
_MAX_KEYS = 200  # rows
_MAX_VALUES = 8  # different values of a key


def config_view(results: Results) -> list[Part]:
    """Differences, the best run's command, its config, and the versions of its packages."""
    source, ranking = results.source, results.ranking
    best = ranking.best.run if ranking.best else None
    winners = [winner.run for winner in ranking.winners if winner.run is not None]
    with_config = [run for run in source.runs if run.config]
    if not with_config:
        return [Sentences(["no config is in this record"])]
    parts = _make_differences(with_config, best)
    for run in winners:
        if run.overrides:
            hydra = salvage_hydra(Run(run.folder), []) if run.folder else {}
            run_text = "the best run" if best is not None else f"run {run.name}, the best by its objective,"
            parts.append(Command(f"{run_text} again", write_rerun(hydra, run.overrides)))
    run = best or with_config[0]
    name = f"the best run, {run.name}" if best else f"run {run.name}"
    rows = [[Cell(key), make_text_cell(write_exactly(run.config[key]))] for key in sorted(run.config, key=natural_key)]
    columns = [Column("Key"), Column("Value")]
    parts.append(Table("config", f"The whole config of {name}", columns, rows, is_filterable=True))
    return [*parts, *_make_versions(run, name)]


def _make_differences(runs: Sequence[RunRecord], best: RunRecord | None) -> list[Part]:
    keys = find_differing_keys([run.config for run in runs])
    if not keys:
        is_single = len(runs) == 1
        text = "one run has a config" if is_single else "the config is the same in all runs, but for their seeds"
        return [Sentences([text])]
    rows = []
    for key in keys[:_MAX_KEYS]:
        values = label_values([run.config.get(key) for run in runs])
        counts = Counter(values)
        best_cell = [make_text_cell(values[runs.index(best)] if best in runs else None)] if best is not None else []
        rows.append([Cell(key), *best_cell, Cell(_write_counts(counts)), Cell(str(len(counts)), float(len(counts)))])
    columns = [Column("Key"), *([Column("Best run")] if best is not None else [])]
    columns += [
        Column("Values", False, "in brackets the number of runs that have it"),
        Column("Different values", True),
    ]
    caption = f"{format_count(len(keys), 'key')} that {'differs' if len(keys) == 1 else 'differ'} between the runs"
    parts: list[Part] = [Table("differences", caption, columns, rows, is_filterable=len(keys) > 10)]
    if len(keys) > _MAX_KEYS:
        parts.append(Sentences([f"the table has the first {_MAX_KEYS} keys"]))
    return parts


def _write_counts(counts: Counter[str]) -> str:
    """The values, most frequent first; many different numbers as their range."""
    if len(counts) > _MAX_VALUES:
        try:
            values = sorted(counts, key=float)
            return f"from {values[0]} to {values[-1]}"
        except ValueError:
            pass
    ordered = sorted(counts.items(), key=lambda item: (-item[1], natural_key(item[0])))
    return join_words([f"{clip_text(value, 60)} ({num})" for value, num in ordered], _MAX_VALUES)


def _make_versions(run: RunRecord, name: str) -> list[Part]:
    versions = run.summary.get("versions")
    if not isinstance(versions, dict) or not versions:
        return []
    rows = [[Cell(str(package)), Cell(str(version))] for package, version in versions.items()]
    device = run.summary.get("device")
    where = f", on {device}" if device else ""
    return [
        Table("versions", f"Versions of the packages of {name}{where}", [Column("Package"), Column("Version")], rows)
    ]
