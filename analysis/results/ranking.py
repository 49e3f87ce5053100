"""What is ranked, best first: the trials of a sweep, or the runs where there is no sweep."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING

from analysis.comparison.run_values import OTHER_JUDGES
from analysis.records.constraints import ConstrainedSetting
from analysis.records.runs import COMPLETE, PRUNED, Source, TrialRecord
from analysis.results.entries import Entry, find_reward_model
from analysis.results.other_judges import find_rates_by_others, read_written_rates
from analysis.results.unswept import AT_END, RUN, SEED, treat_as_sweep
from analysis.sweep.settings import Setting, View, are_incomparable, make_views
from analysis.wording.labels import label_settings
from analysis.wording.statements import join_words
from rlhf_sweeps.record.quantities import OBJECTIVE, name_objectives

if TYPE_CHECKING:
    from analysis.comparison.compare import GroupComparison


@dataclass(frozen=True, eq=False)
class SourceRanking:
    """All entries of a source.

    Attributes:
        entries: in the order of the source.
        ranked: settings that have objectives and keep the constraints, best first (by the first objective; where reward
            models were compared, by their win rates under the other judges).
        metric: the metric of the first objective.
        name: the name of the first objective for readers.
        is_maximized: whether more of it is better.
        is_comparable: whether the objectives have one scale, which those of different reward models have not.
        word: trial or run.
        keys: of the settings.
        view: the settings behind `ranked`, where the objectives have one scale.
        comparison: of the reward models, where they have not and it has been made.
        measurement: suffix of the winner's sentence where there is no study, such as `, in its best evaluation`.
        held: names and violations of each setting that has objectives.
        settings: these settings, whether they are ranked or not, by their first trial's number.
        apart: sources and their rankings, where runs look for different things or are unlike; nothing is ranked over
            all of them then.
    """

    entries: Sequence[Entry]
    ranked: Sequence[Entry]
    metric: str
    is_maximized: bool
    is_comparable: bool
    word: str
    keys: Sequence[str]
    view: View | None = None
    comparison: "GroupComparison | None" = None
    measurement: str = ""
    held: Sequence[ConstrainedSetting] = ()
    settings: Sequence[Entry] = ()
    apart: "Sequence[tuple[Source, SourceRanking]]" = ()
    name: str = OBJECTIVE

    @property
    def best(self) -> Entry | None:
        """The first of those that are ranked."""
        return self.ranked[0] if self.ranked else None

    @property
    def leaders(self) -> Sequence[Entry]:
        """The ranked entries, best first; of several rankings the best of each, then the second of each."""
        if not self.apart:
            return self.ranked
        rows = zip_longest(*(ranking.ranked for _, ranking in self.apart))
        return [entry for row in rows for entry in row if entry is not None]

    @property
    def winners(self) -> Sequence[Entry]:
        """The best entry; of several rankings the best of each."""
        return [part.best for part in (self, *(ranking for _, ranking in self.apart)) if part.best is not None]

    @property
    def num_candidates(self) -> int:
        """The number of settings that the best was chosen from: those on test seeds, else all, with pruned ones."""
        tried = [entry.settings for entry in self.entries if entry.state in (COMPLETE, PRUNED)]
        settings = {tuple((key, value) for key, value in keys.items() if key != SEED) for keys in tried}
        return sum(map(self.is_tested, self.ranked)) or max(1, len(settings))

    def compute_difference(self, better: float, worse: float) -> float:
        """By how much one value is better than the other."""
        return better - worse if self.is_maximized else worse - better

    def is_tested(self, entry: Entry) -> bool:
        """Whether an entry is worth what it is on its test seeds, as with one objective only."""
        return entry.tested is not None and (self.view is None or self.view.is_single)

    def choose_value(self, entry: Entry) -> float:
        """An entry's value in the first objective, on the test seeds where `is_tested`; nan without an objective."""
        return entry.tested if self.is_tested(entry) and entry.tested is not None else entry.worth

    def compare_with_best(self, entry: Entry) -> tuple[float, float, bool]:
        """By how much the best is better than another entry, the other's objective, and whether both are on test seeds.

        They are compared on test seeds where `is_tested` holds for both.
        """
        best = self.ranked[0]
        if self.is_tested(best) and self.is_tested(entry) and best.tested is not None and entry.tested is not None:
            return self.compute_difference(best.tested, entry.tested), entry.tested, True
        return self.compute_difference(best.worth, entry.worth), entry.worth, False


def rank_source(
    source: Source,
    made_views: Sequence[View] | None = None,
    compared: "Callable[[], GroupComparison | None] | None" = None,
) -> SourceRanking:
    """The entries of a source and their order: that of the sweep's views, and of reward models what judges prefer.

    Runs with different objectives are ranked apart.

    Args:
        made_views: the views of the source's trials, where they have been made before.
        compared: gives the comparison of its reward models, asked only where these have no common scale; without it
            they are in the same order, and the ranking holds no comparison.
    """
    if len(source.apart) > 1:
        return rank_beside(source, [(part, rank_source(part)) for part in source.apart])
    swept, measurement = (source, "") if source.trials else treat_as_sweep(source)
    word = "trial" if source.trials else "run"
    is_maximized = swept.directions[0] == "maximize"
    entries = _label_entries([_make_entry(trial, word, swept) for trial in swept.trials])
    by_number = {entry.numbers[0]: entry for entry in entries}
    made_views = make_views(swept) if made_views is None or not source.trials else made_views
    settings = [setting for view in made_views for setting in view.ranked]
    is_comparable = not are_incomparable(swept)
    comparison = None if is_comparable or compared is None else compared()
    merged = {
        setting.numbers: _merge_entries(setting, [by_number[number] for number in setting.numbers], word)
        for view in made_views
        for setting in view.settings
    }
    ranked = [merged[setting.numbers] for setting in settings]
    if not is_comparable:
        ranked.sort(key=_make_judge_key(source, comparison))
    keys = list(dict.fromkeys(key for entry in entries for key in entry.settings))
    view = made_views[0] if is_comparable and made_views else None
    metric = str(swept.metrics[0])
    held = [
        ([by_number[number].name for number in setting.numbers], setting.violations)
        for view in made_views
        for setting in view.settings
    ]
    name = metric if measurement.startswith(AT_END) else name_objectives(swept.metrics)[0]
    worthy = sorted(merged.values(), key=lambda entry: entry.numbers[0])
    return SourceRanking(
        entries,
        ranked,
        metric,
        is_maximized,
        is_comparable,
        word,
        keys,
        view,
        comparison,
        measurement,
        held,
        worthy,
        name=name,
    )


def list_leaders(source: Source) -> tuple[list[str], str, bool]:
    """The best run of each setting, the best setting first; the value that ranks them; whether a setting has several.

    There is no run without a ranking.
    """
    ranking = rank_source(source)
    by = "each objective" if ranking.apart else ranking.name if ranking.is_comparable else "other judges"
    names = [entry.run.name for entry in ranking.leaders if entry.run is not None]
    return names, by, any(len(entry.runs) > 1 for entry in ranking.leaders)


def rank_beside(source: Source, apart: Sequence[tuple[Source, SourceRanking]]) -> SourceRanking:
    """Several rankings as one without an order, with the runs whose objective is unknown."""
    ranked = {run.name for part, _ in apart for run in part.runs}
    silent = [run for run in source.runs if run.name not in ranked]
    entries_apart = [entry for _, ranking in apart for entry in ranking.entries]
    unknown = Source("others", "folder", silent, metrics=[OBJECTIVE])
    own = {run.name: run.objectives for run in silent}
    trials = [replace(trial, objectives=own[trial.runs[0].name]) for trial in treat_as_sweep(unknown)[0].trials]
    entries = _label_entries([*entries_apart, *(_make_entry(trial, "run", unknown) for trial in trials)])
    keys = list(dict.fromkeys(key for entry in entries for key in entry.settings))
    return SourceRanking(entries, [], OBJECTIVE, True, False, "run", keys, apart=apart)


def _make_judge_key(source: Source, comparison: "GroupComparison | None") -> Callable[[Entry], float]:
    """A sort key: the win rate under the other judges of an entry's reward model; within one the order stays."""
    if comparison is None:
        rates = find_rates_by_others(source)
    elif comparison.measure.name == OTHER_JUDGES:
        rates = {group.label: 1 / group.place for group in comparison.groups if group.place}
    else:
        rates = read_written_rates(source)
    return lambda entry: -rates.get(find_reward_model(entry), -1.0)


def _merge_entries(setting: Setting, group: Sequence[Entry], word: str) -> Entry:
    """The entries of one setting as one, worth what the setting is."""
    worth = [float(value) for value in setting.objectives]
    if len(group) == 1:
        return replace(group[0], objectives=worth)
    names = [entry.name for entry in group]
    return replace(
        group[0],
        title=f"{word.capitalize()}s {join_words(names)}",
        names=names,
        numbers=setting.numbers,
        settings={key: value for key, value in group[0].settings.items() if key != SEED},
        labels={key: label for key, label in group[0].labels.items() if key != SEED},
        objectives=worth,
        runs=[run for entry in group for run in entry.runs],
        tests=[run for entry in group for run in entry.tests],
        seconds=sum(entry.seconds for entry in group),
    )


def _make_entry(trial: TrialRecord, word: str, source: Source) -> Entry:
    name = str(trial.number) if word == "trial" else trial.runs[0].name
    return Entry(
        f"{word.capitalize()} {name}",
        [name],
        (trial.number,),
        trial.state if word == "trial" else trial.runs[0].state,
        {key.lstrip("+"): value for key, value in trial.settings.items() if key != RUN},
        trial.objectives,
        trial.runs,
        trial.tests,
        trial.seconds,
        trial.cause,
        trial.message,
        trial.violations,
        tuple(source.metrics),
        source.directions[0] == "maximize",
    )


def _label_entries(entries: Sequence[Entry]) -> list[Entry]:
    """The entries with labels; different settings have different labels."""
    texts: dict[str, list[str]] = {}
    for entry in entries:
        for key, text in entry.settings.items():
            texts.setdefault(key, []).append(text)
    named = {key: label_settings(key_texts) for key, key_texts in texts.items()}
    return [replace(entry, labels={key: named[key][text] for key, text in entry.settings.items()}) for entry in entries]
