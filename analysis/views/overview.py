"""The first screen: the answers, a few numbers, and a picture of all trials."""

from collections.abc import Sequence

from analysis.output.parts import Part, Sentences
from analysis.records.runs import Source
from analysis.results.ranking import SourceRanking
from analysis.views.answers import make_answers, make_sweep_tiles
from analysis.views.problems import write_failure_sentence, write_problem_sentences
from analysis.views.trial_charts import make_history_chart

# Chosen by looking at drawings and lists.
_FEWEST = 3  # settings that a picture is worth


def make_overview_parts(
    source: Source,
    ranking: SourceRanking,
    noise: Sequence[str],
    advice: Sequence[str],
    health: Sequence[str],
    course: Sequence[Part] = (),
    examples: Sequence[Part] = (),
    is_decided: bool | None = None,
) -> list[Part]:
    """What a reader who stops after one screen should know.

    Args:
        noise: whether the lead is more than noise; advice: what to do next; health: what is wrong with the runs.
        course: what the best run did: in sentences, or the curves of a run that is alone.
        examples: answers before and after.
        is_decided: whether the lead is more than noise; None: judged by the repetitions alone.
    """
    parts: list[Part] = [make_answers(source, ranking, noise, advice, is_decided), make_sweep_tiles(source, ranking)]
    if sum(bool(entry.objectives) for entry in ranking.settings) >= _FEWEST:
        history = make_history_chart(ranking, ranking.view)
        parts += [history] if history is not None else []
    parts += course
    parts += examples
    problems = write_problem_sentences(source, ranking)
    if problems:
        parts.append(Sentences(problems, "Problems", "bad" if write_failure_sentence(ranking) else "warn"))
    if health:
        parts.append(Sentences(list(health), "Health"))
    return parts
