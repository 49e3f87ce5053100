"""Whether the lead of the best setting is more than what seeds alone make of it, in words."""

from collections.abc import Mapping, Sequence

from analysis.comparison.compare import GroupComparison
from analysis.comparison.run_values import OBJECTIVE
from analysis.results.ranking import Ranking
from analysis.sweep.analysis import SweepAnalysis
from analysis.sweep.lead import Lead, lead
from analysis.sweep.sentences import noise_source
from analysis.sweep.settings import Setting
from analysis.views.comparison_sentences import answer
from analysis.wording.intervals import probability_text
from analysis.wording.statements import counted, listed, number
from rlhf_sweeps.verdicts.pairs import BETTER, NOISE, UNKNOWN, WORSE, Pair

_MOST_NAMES = 6  # of settings that nothing is known of


def noise_sentences(ranking: Ranking, found: SweepAnalysis | None = None) -> list[str]:
    """An answer that begins with yes, no or unknown; nothing where there is no lead.

    Args:
        found: what is known of the sweep, whose fitted surface tells more of the noise than repetitions alone.
    """
    if len(ranking.ranked) < 2:
        return []
    if ranking.comparison is not None and ranking.comparison.measure.name != OBJECTIVE:
        return _of_reward_models(ranking.comparison)
    if ranking.view is None:
        return ["Unknown: there is no common scale to compare by"]
    is_same = found is not None and len(found.views) == 1
    won = found.views[0].lead if found is not None and is_same else lead(ranking.view, ranking.view.noise())
    if won is None:
        return []
    titles = {entry.numbers: entry.title for entry in ranking.ranked}
    if won.pairs is not None:
        return _of_seeds(won, won.pairs, titles)
    return _of_noise(won, titles)


def _of_reward_models(comparison: GroupComparison) -> list[str]:
    verdicts = {pair.verdict for pair in comparison.pairs if pair.first == comparison.groups[0].label}
    word = "Yes" if comparison.winner else "No" if verdicts & {NOISE, WORSE} else "Unknown"
    return [f"{word}: {answer(comparison).text}"]


def _of_seeds(won: Lead, pairs: Sequence[Pair], titles: Mapping[tuple[int, ...], str]) -> list[str]:
    """Settings ran on several seeds, so that the best was compared with every other."""
    if won.is_clear is None:
        return [_why_unknown(won)]
    second = pairs[0]
    chance = second.probability if second.first == "0" else second.probability.reversed
    told = f"a run of it beats one of the second with probability {probability_text(chance)}"
    if won.is_clear:
        return [
            f"Yes: {titles[won.best.numbers]} {_be([won.best])} better than every other by more than seeds differ, "
            f"with p = {number(second.p_value, 2)} against the second; {told}"
        ]
    near, beaten, unknown = (
        [one for one, pair in zip(won.ranked[1:], pairs, strict=False) if pair.verdict == verdict]
        for verdict in (NOISE, BETTER, UNKNOWN)
    )
    lines = []
    if near:
        lines.append(f"Not against all: {_listed(near, titles)} {_be(near)} within noise of it; {told}")
    if unknown:
        start = "" if near else "Not against all: "
        which = _listed(unknown, titles) if len(unknown) <= _MOST_NAMES else f"{len(unknown)} other settings"
        lines.append(f"{start}{'nothing' if start else 'Nothing'} can be said about {which}: too few seeds")
    return [*lines, *([f"It beats {_listed(beaten, titles)} by more than noise"] if beaten else [])]


def _listed(settings: Sequence[Setting], titles: Mapping[tuple[int, ...], str]) -> str:
    return listed([titles[one.numbers] for one in settings])


def _be(settings: Sequence[Setting]) -> str:
    """`is` of one trial, `are` of several, which may be one setting's."""
    return "is" if sum(len(one.numbers) for one in settings) == 1 else "are"


def _why_unknown(won: Lead) -> str:
    num_runs = [won.sizes[0][0], *(other for _, other in won.sizes)]
    if num_runs[0] > 1 and max(num_runs[1:]) > 1:
        return "Unknown: the seeds of a setting are all alike"
    which = "the best setting" if num_runs[0] == 1 else "every other setting"
    return f"Unknown: {which} ran on one seed, so nothing can be said about noise; sweep.seeds=3 shows it"


def _of_noise(won: Lead, titles: Mapping[tuple[int, ...], str]) -> list[str]:
    """Few settings, or only the best ones on test seeds, ran more than once: one noise stands for all."""
    noise = won.noise
    if not noise.is_known:
        return [
            "Unknown: every setting ran on one seed, so nothing tells how much seeds differ; "
            "sweep.seeds=3 or sweep.test_seeds=3 shows it"
            if not noise.repetitions
            else "Unknown: the seeds of a setting are all alike"
        ]
    freedom = f"{'about ' * noise.is_fitted}{counted(round(noise.freedom), 'degree')} of freedom"
    basis = (
        f"equal settings differ by {number(noise.deviation)} from seed to seed (standard deviation, "
        f"from {noise_source(noise)}, {freedom}), so a lead of {number(won.limit)} takes more than noise"
    )
    if won.is_clear:
        return [f"Yes, as far as {noise_source(noise)} can tell: {basis}, and it leads by {number(won.gaps[1])}"]
    num = len(won.rivals)
    second = titles[won.rivals[0].numbers]
    return [
        f"No: {basis}, and {num} other {'setting is' if num == 1 else 'settings are'} closer than that; "
        f"{second[0].lower()}{second[1:]} could as well be the best"
    ]
