"""Whether the lead of the best setting is more than what seeds alone make of it, in words."""

import math
from collections.abc import Mapping, Sequence

from analysis.comparison.compare import GroupComparison
from analysis.comparison.run_values import OBJECTIVE
from analysis.results.entries import Entry
from analysis.results.ranking import SourceRanking
from analysis.sweep.analysis import SweepAnalysis
from analysis.sweep.margin import Lead, measure_lead
from analysis.sweep.settings import Setting
from analysis.views.comparison_sentences import write_comparison_answer
from analysis.views.sweep_sentences import name_noise_source
from analysis.wording.intervals import format_probability
from analysis.wording.statements import format_count, join_words
from rlhf_sweeps.figures import compare_p_value, format_number
from rlhf_sweeps.verdicts.pairs import BETTER, NOISE, UNKNOWN, WORSE, GroupPair

Entries = Mapping[tuple[int, ...], Entry]  # by the numbers of a setting's trials

# Chosen by looking at drawings and lists.
_MOST_NAMES = 6  # of settings whose lead is unknown
_MOST_OF_NOISE = 0.5  # the share of the variance above which prompts are spoken of
_USUAL_SEEDS = (3, 5, 10, 20)  # numbers of seeds that people run; the first that is twice as many is spoken of


def write_noise_sentences(ranking: SourceRanking, analysis: SweepAnalysis | None = None) -> list[str]:
    """An answer that begins with yes, probably, no or unknown; nothing where there is no lead.

    Args:
        analysis: of the sweep, whose fitted surface says more about the noise than repetitions alone.
    """
    if len(ranking.ranked) < 2:
        return []
    if ranking.comparison is not None and ranking.comparison.measure.name != OBJECTIVE:
        return _answer_for_reward_models(ranking.comparison)
    if ranking.view is None:
        return ["Unknown: there is no common scale to compare by"]
    standing = measure_standing(ranking, analysis)
    if standing is None:
        return []
    entries = {entry.numbers: entry for entry in ranking.ranked}
    if standing.pairs is not None:
        return _answer_by_seeds(standing, standing.pairs, entries)
    return _answer_by_noise(standing, entries)


def measure_standing(ranking: SourceRanking, analysis: SweepAnalysis | None = None) -> Lead | None:
    """The best setting against the others; None where there are none, or no common scale."""
    if analysis is not None and len(analysis.views) == 1:
        return analysis.views[0].lead
    return None if ranking.view is None else measure_lead(ranking.view, ranking.view.estimate_noise())


def is_lead_clear(standing: Lead | None) -> bool:
    """Whether it is decided that the best setting is better than all others."""
    return standing is not None and standing.is_decided


def _answer_for_reward_models(comparison: GroupComparison) -> list[str]:
    verdicts = {pair.verdict for pair in comparison.pairs if pair.first == comparison.groups[0].label}
    word = "Yes" if comparison.winner else "No" if verdicts & {NOISE, WORSE} else "Unknown"
    return [f"{word}: {write_comparison_answer(comparison).text}"]


def _answer_by_seeds(standing: Lead, pairs: Sequence[GroupPair], entries: Entries) -> list[str]:
    """For settings that ran on several seeds each: the best one compared with every other."""
    if standing.is_clear is None:
        return [_explain_unknown(standing)]
    second = pairs[0]
    chance = second.probability if second.first == "0" else second.probability.reversed
    chance_text = f"a run of the best beats a run of the second with probability {format_probability(chance)}"
    if standing.is_clear:
        title, verb = entries[standing.best.numbers].title, _conjugate_be([standing.best])
        rivals = [pair for pair, is_contender in zip(pairs, standing.are_contenders, strict=False) if is_contender]
        noise = "seeds" if any(pair.prompt_share is None for pair in rivals) else "seeds and prompts"
        others = "every other that ran on test seeds" if any(standing.are_tested[1:]) else "every other"
        return [
            f"Yes: {title} {verb} better than {others} by more than {noise} differ, with "
            f"{compare_p_value(second.p_value)} against the second; {chance_text}"
        ]
    within_noise, beaten, unknown = (
        [setting for setting, pair in zip(standing.ranked[1:], pairs, strict=False) if pair.verdict == verdict]
        for verdict in (NOISE, BETTER, UNKNOWN)
    )
    lines = []
    if within_noise:
        names, best = _list_entries(within_noise, entries), entries[standing.best.numbers].inline_title
        start = "Not against all" if beaten else "No"
        lines.append(f"{start}: {names} {_conjugate_be(within_noise)} within noise of {best}; {chance_text}")
        lines += _describe_power(standing, pairs[0])
    if unknown:
        start = "" if within_noise else "Not against all: "
        subject = _list_entries(unknown, entries) if len(unknown) <= _MOST_NAMES else f"{len(unknown)} other settings"
        lines.append(f"{start}{'too' if start else 'Too'} few seeds to judge {subject}")
    return [*lines, *([f"It beats {_list_entries(beaten, entries)} by more than noise"] if beaten else [])]


def _describe_power(standing: Lead, second: GroupPair) -> list[str]:
    """What this number of seeds can decide, and what more of them could."""
    smallest, num_seeds = second.margin, min(standing.sizes[0])
    if math.isnan(smallest):
        return []
    text = f"{format_count(num_seeds, 'seed')} a setting cannot decide a lead below {format_number(smallest)}; "
    if (second.prompt_share or 0.0) > _MOST_OF_NOISE:
        return [
            f"{text}more seeds help little, since most of this noise comes from the prompts: raise eval.num_prompts"
        ]
    more = next((number for number in _USUAL_SEEDS if number >= 2 * num_seeds), 2 * num_seeds)
    return [f"{text}about {format_number(second.scale_margin(more / num_seeds))} would be enough with {more}"]


def _list_entries(settings: Sequence[Setting], entries: Entries) -> str:
    """`trials 5, 2 and 3`; settings of several trials apart, as `trials 1 and 2 and trial 3`."""
    several = [entries[setting.numbers] for setting in settings]
    if len(several) == 1 or any(len(entry.names) > 1 for entry in several):
        return join_words([entry.inline_title for entry in several])
    word = several[0].inline_title.removesuffix(f" {several[0].name}")
    return f"{word}s {join_words([entry.name for entry in several])}"


def _conjugate_be(settings: Sequence[Setting]) -> str:
    """`is` of one trial, `are` of several, which may be one setting's."""
    return "is" if sum(len(setting.numbers) for setting in settings) == 1 else "are"


def _explain_unknown(standing: Lead) -> str:
    num_runs = [standing.sizes[0][0], *(num for _, num in standing.sizes)]
    if num_runs[0] > 1 and max(num_runs[1:]) > 1:
        return "Unknown: the seeds of a setting are all alike"
    subject = "the best setting" if num_runs[0] == 1 else "every other setting"
    return f"Unknown: {subject} ran on one seed, so the noise is unknown; sweep.seeds=3 measures it"


def _answer_by_noise(standing: Lead, entries: Entries) -> list[str]:
    """For settings of which few ran more than once: the same noise is assumed for all of them."""
    noise = standing.noise
    if not noise.is_known:
        return [
            "Unknown: every setting ran on one seed, so the noise is unknown; "
            "sweep.seeds=3 or sweep.test_seeds=3 measures it"
            if not noise.repetitions
            else "Unknown: the seeds of a setting are all alike"
        ]
    freedom = f"{'about ' * noise.is_fitted}{format_count(round(noise.freedom), 'degree')} of freedom"
    basis = (
        f"runs of one setting differ by {format_number(noise.deviation)} from seed to seed (standard deviation, "
        f"from {name_noise_source(noise)}, {freedom}), so only a lead above {format_number(standing.limit)} is "
        "more than noise"
    )
    if standing.is_clear:
        return [
            f"Probably: {basis}, and the lead is {format_number(standing.gaps[1])}; only runs of both on several seeds "
            "decide it"
        ]
    num = sum(gap <= standing.limit for gap in standing.gaps[1:])
    second = entries[standing.rivals[0].numbers]
    return [
        f"No: {basis}, and {num} other {'setting is' if num == 1 else 'settings are'} closer than that; "
        f"{second.inline_title} could also be the best"
    ]
