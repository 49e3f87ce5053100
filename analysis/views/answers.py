"""The first screen: which setting is best, by how much, whether that is more than noise, and what to do next."""

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from analysis.output.parts import Answers, Tiles
from analysis.records.constraints import write_constraint_sentences
from analysis.records.remarks import find_remark
from analysis.records.runs import RunRecord, Source
from analysis.results.entries import Entry
from analysis.results.ranking import SourceRanking
from analysis.sweep.analysis import select_front
from analysis.sweep.left_out import measure_view_left_out
from analysis.views.against_base import write_base_sentences
from analysis.views.counted import SCORE, write_counted_sentences
from analysis.views.likeness import explain_apart
from analysis.views.noise import is_lead_clear, measure_standing, write_noise_sentences
from analysis.views.problems import write_failure_sentence
from analysis.views.winner import write_lead_sentences, write_winner_sentences
from analysis.views.winner_steps import write_next_sentences
from analysis.wording.statements import capitalize, format_count, format_duration, join_words
from rlhf_sweeps.figures import format_number
from rlhf_sweeps.record.quantities import BEST_SCORE, OBJECTIVE
from rlhf_sweeps.record.trials import format_counts
from rlhf_sweeps.verdicts.error_rate import DECIDED, UNDECIDED
from rlhf_sweeps.verdicts.left_out_seeds import LeftOut, is_test_mean_to_report, write_left_out


def make_answers(
    source: Source, ranking: SourceRanking, noise: Sequence[str], advice: Sequence[str], is_decided: bool | None = None
) -> Answers:
    """The four questions, in sentences with numbers.

    Args:
        noise: whether the lead is more than noise.
        is_decided: whether it is; None: judged by the repetitions alone.
        advice: what to do next.
    """
    if ranking.apart:
        return _answer_by_objective(source, ranking, advice)
    question = "Which setting is best?" if len(ranking.entries) != 1 else "What came out?"
    if ranking.best is None:
        return Answers([(question, _explain_no_winner(source, ranking)), *_pair_question("What next?", advice)])
    if is_decided is None:
        is_decided = is_lead_clear(measure_standing(ranking))
    winner, lead = _describe_winner(ranking, is_decided), _describe_lead(ranking)
    comparison = ranking.comparison
    if comparison is not None:
        question, winner = "Which reward model is best?", write_winner_sentences(comparison, ranking)
        lead = write_lead_sentences(comparison)
        advice = [*write_next_sentences(comparison, source), *advice]
    return Answers(
        [
            (question, winner),
            *_pair_question("By how much?", lead),
            *_pair_question("Is that more than noise?", noise),
            *_pair_question("What next?", advice),
        ]
    )


def _answer_by_objective(source: Source, ranking: SourceRanking, advice: Sequence[str]) -> Answers:
    """The same questions for each objective, where runs have different ones."""
    intro = [f"None overall, since {reason}" for reason in explain_apart(source)]
    ranked = {run.name for part, _ in ranking.apart for run in part.runs}
    if silent := [run.name for run in source.runs if run.name not in ranked]:
        intro.append(f"The objective of {join_words(silent)} is unknown, so none of them can be called the best")
    questions: list[tuple[str, Sequence[str]]] = [("Which setting is best?", intro)]
    for part, own in ranking.apart:
        own_answers = make_answers(part, own, write_noise_sentences(own), []).answers
        for question, lines in own_answers:
            questions.append((f"{question.removesuffix('?')}, to {part.aim}?", lines))
    return Answers([*questions, *_pair_question("What next?", advice)])


def make_sweep_tiles(source: Source, ranking: SourceRanking) -> Tiles:
    """The sweep in a few numbers."""
    entries = ranking.entries
    items = [(f"{ranking.word.capitalize()}s", f"{len(entries):,}", _count_states(entries))]
    best = ranking.best
    left_out = measure_view_left_out(ranking.view) if ranking.view is not None else None
    if best is not None and left_out is not None:
        items.append(_make_left_out_tile(ranking, left_out))
    elif best is not None and ranking.is_comparable:
        base = best.average_summary("base_score")
        hint = f"base policy: {format_number(base)}" if base is not None and ranking.metric == SCORE else ranking.metric
        where = f", on {format_count(len(best.tested_runs), 'test seed')}" if ranking.is_tested(best) else ""
        items.append((f"Best {ranking.name}", format_number(ranking.choose_value(best)), hint + where))
    num_runs = len(source.runs)
    if num_runs != len(entries):
        tests = sum(run.is_test for run in source.runs)
        items.append(("Runs", f"{num_runs:,}", f"{tests} of them on test seeds" if tests else "several seeds a trial"))
    updates = sum(run.num_updates for run in source.runs)
    items.append(("Updates", f"{updates:,}", "in all runs"))
    if source.seconds:
        items.append(("Took", format_duration(source.seconds), "from start to end"))
    return Tiles(items)


def _make_left_out_tile(ranking: SourceRanking, left_out: LeftOut) -> tuple[str, str, str]:
    name = ranking.name if left_out.num_prompts is None else "score"
    return f"{capitalize(name)} to report", format_number(left_out.mean), left_out.basis


def _count_states(entries: Sequence[Entry]) -> str:
    return format_counts((entry.state, find_remark(entry.state, entry.cause, entry.runs)) for entry in entries)


def _pair_question(question: str, sentences: Sequence[str]) -> list[tuple[str, Sequence[str]]]:
    return [(question, sentences)] if sentences else []


def _explain_no_winner(source: Source, ranking: SourceRanking) -> list[str]:
    if not source.runs:
        return ["None: there is no run in this record", *source.problems[:3]]
    why = f"None yet: no {ranking.word} has an objective"
    if any(entry.objectives for entry in ranking.entries):
        why = f"None: no {ranking.word} with an objective is known to keep objective.constraints"
    lines = [f"{why} ({_count_states(ranking.entries)})", *_describe_left_out(ranking)]
    failures = write_failure_sentence(ranking)
    return [*lines, *([failures] if failures else [])]


def _describe_winner(ranking: SourceRanking, is_decided: bool) -> list[str]:
    best = ranking.best
    assert best is not None
    with_settings = f" with {best.settings_text}" if best.settings else ""
    is_single = ranking.view is None or ranking.view.is_single
    won = ""
    if len(ranking.ranked) > 1:
        won = _write_standing(len(best.names) > 1, is_decided) if is_single else f" has the best {ranking.name}"
    mean = f", the mean over {format_count(len(best.runs), 'seed')}" if len(best.runs) > 1 else ""
    chosen = f"{format_number(best.worth)}{mean}{ranking.measurement}"
    values = [f"its {ranking.name} is {chosen}"]
    left_out = measure_view_left_out(ranking.view) if ranking.view is not None else None
    if ranking.is_tested(best):
        alone = " that had no part in choosing it: this is the number to report"
        num_tested = sum(map(ranking.is_tested, ranking.ranked))
        is_to_report = is_test_mean_to_report(num_tested, len(best.objectives or ()))
        quoted = _describe_test_result(best) + (alone if is_to_report else ", which chose it among those tested")
        values = [f"its {ranking.name} is {quoted}", f"It was chosen by {chosen}"]
    elif best.tested is not None:
        values.append(
            f"Its {ranking.name} on test seeds is {_describe_test_result(best)}; with several objectives, "
            "test seeds do not change the order"
        )
    lines = [] if is_single else _describe_front(ranking)
    lines += [f"{best.title}{won}{with_settings}: {values[0]}", *values[1:], *write_counted_sentences(best)]
    if left_out is not None:  # after the sentences that say of the values above how "this" was measured
        lines.append(capitalize(write_left_out(left_out, ranking.name)))
    run = best.runs[0] if best.runs else None
    if ranking.metric == SCORE and ranking.name == OBJECTIVE and run is not None and _takes_best(run):
        lines.append(f"The {OBJECTIVE} is the {BEST_SCORE}")
    base = best.average_summary("base_score")
    if base is not None and ranking.metric == SCORE:
        lines.append(f"The base policy scores {format_number(base)} on the same held-out prompts")
    if len(ranking.entries) == 1:
        lines += write_base_sentences(ranking, best)
    return [*lines, *_describe_left_out(ranking)]


def _write_standing(is_plural: bool, is_decided: bool) -> str:
    """` leads (not decided)` or ` is the best (decided at 95 %)`."""
    if is_decided:
        return f" {'are' if is_plural else 'is'} the best ({DECIDED})"
    return f" {'lead' if is_plural else 'leads'} ({UNDECIDED})"


def _takes_best(run: RunRecord) -> bool:
    """Whether the run's config says that its best evaluation counts."""
    return run.config.get("objective.reduction") == "best"


def _describe_left_out(ranking: SourceRanking) -> list[str]:
    """Which cannot win, since they break constraints."""
    return write_constraint_sentences(ranking.held, ranking.word)


def _describe_front(ranking: SourceRanking) -> list[str]:
    if ranking.view is None:
        return []
    titles = {entry.numbers: entry.title for entry in ranking.ranked}
    names = [titles[setting.numbers] for setting in select_front(ranking.view)]
    metrics = join_words(ranking.view.metrics)
    if len(names) == 1:
        return [f"{names[0]} is the best in {metrics} at once"]
    on_front = f"{len(names)} are on the Pareto front, where no other beats them in all: {join_words(names)}"
    return [f"By {metrics} there is no single best one; {on_front}"]


def _describe_lead(ranking: SourceRanking) -> list[str]:
    best = ranking.best
    assert best is not None
    lines = []
    if len(ranking.ranked) > 1:
        second = ranking.ranked[1]
        by = f"By {ranking.name} alone: " if len(best.objectives or ()) > 1 else ""
        lines.append(by + _describe_gap(ranking, f"the second, {second.inline_title}", second))
    if len(ranking.ranked) > 3:
        middle, last = ranking.ranked[len(ranking.ranked) // 2], ranking.ranked[-1]
        lines += [_describe_gap(ranking, "the middle one", middle), _describe_gap(ranking, "the worst", last)]
    return lines + (write_base_sentences(ranking, best) if len(ranking.entries) > 1 else [])


def _describe_gap(ranking: SourceRanking, rank_name: str, entry: Entry) -> str:
    """`0.3 better than the second, trial 2 (1.1 on the test seeds)`."""
    best = ranking.best
    assert best is not None
    gain, worth, is_tested = ranking.compare_with_best(entry)
    gap = f"{format_number(abs(gain))} {'worse' if gain < 0 else 'better'}"
    if ranking.is_tested(best) and not is_tested:
        # The value that stands first is of other seeds, so that the gap alone would seem to be one to that value.
        subject = f"{best.inline_title} {'is' if len(best.names) == 1 else 'are'}"
        values = format_number(best.worth), format_number(worth)
        return f"By the seeds that choose, {subject} {gap} ({values[0]}) than {rank_name} ({values[1]})"
    return f"{gap} than {rank_name} ({format_number(worth)}{' on the test seeds' if is_tested else ''})"


def _describe_test_result(best: Entry) -> str:
    """`1.1 ± 0.1 (standard error) on 3 seeds`: what it is worth on the test seeds."""
    values = [run.objectives[0] for run in best.tested_runs if run.objectives]
    do_differ = len(set(values)) > 1  # seeds that are all alike do not show how much others would differ
    error = f" ± {format_number(stdev(values) / math.sqrt(len(values)))} (standard error)" if do_differ else ""
    return f"{format_number(fmean(values))}{error} on {format_count(len(values), 'seed')}"
