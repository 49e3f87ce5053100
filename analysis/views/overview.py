"""The first screen: the answers, a few numbers, and a picture of all trials."""

from collections.abc import Sequence
from typing import Any

from analysis.output.colors import COLORS
from analysis.output.parts import Figure, Part, Sentences, plain_label
from analysis.records.runs import Source
from analysis.results.entries import Entry
from analysis.results.ranking import Ranking
from analysis.views.answers import answers, tiles
from analysis.views.problems import failure_sentence, problem_sentences
from analysis.wording.short_labels import shorten_apart
from analysis.wording.statements import number

_MAX_POINTS = 2000
_MAX_NAMES = 20


def overview_parts(
    source: Source,
    ranking: Ranking,
    noise: Sequence[str],
    advice: Sequence[str],
    health: Sequence[str],
    phases: Sequence[Part] = (),
) -> list[Part]:
    """What a reader who stops after one screen should know.

    Args:
        noise: whether the lead is more than noise; advice: what to do next; health: what is wrong with the runs.
        phases: what the best run did.
    """
    parts: list[Part] = [answers(source, ranking, noise, advice), tiles(source, ranking)]
    figure = history(ranking)
    if figure is not None:
        parts.append(figure)
    parts += phases
    problems = problem_sentences(source, ranking)
    if problems:
        parts.append(Sentences(problems, "Problems", "bad" if failure_sentence(ranking) else "warn"))
    if health:
        parts.append(Sentences(list(health), "Health"))
    return parts


def history(ranking: Ranking) -> Figure | None:
    """What each setting is worth, by its first trial, and the best so far; None for fewer than three."""
    entries = ranking.entries[:_MAX_POINTS]
    done = [(entry.numbers[0], entry) for entry in ranking.settings[:_MAX_POINTS] if entry.objectives]
    if len(done) < 3 or not ranking.is_comparable:
        return None
    data = [_points(done, ranking), *_best_so_far(done, ranking), *_ended(entries, ranking)]
    layout = {
        "xaxis": {"title": {"text": ranking.word}, **_names(entries, ranking.word)},
        "yaxis": {"title": {"text": ranking.metric}},
        "legend": {"orientation": "h"},
        "margin": {"l": 56, "r": 12, "t": 8, "b": 40},
    }
    title = f"{ranking.metric} of every {_noun(ranking)}"
    tests = "; those that ran on test seeds stand at their mean over these"
    caption = "Point at one to see its settings" + tests * any(ranking.is_tested(entry) for _, entry in done)
    return Figure("history", title, data, layout, caption, 340)


def _noun(ranking: Ranking) -> str:
    """What a point is: a setting, where several trials or runs are one."""
    return "setting" if any(len(entry.names) > 1 for entry in ranking.settings) else ranking.word


def _names(entries: Sequence[Entry], word: str) -> dict[str, Any]:
    """Below the axis, the runs' names where there is room; trials have numbers."""
    if word == "trial" or len(entries) > _MAX_NAMES:
        return {} if word == "trial" else {"title": {"text": "run, in the order of the table"}}
    names = shorten_apart([entry.name for entry in entries], 16)
    return {"tickvals": [entry.numbers[0] for entry in entries], "ticktext": [plain_label(name) for name in names]}


def _points(done: Sequence[tuple[int, Entry]], ranking: Ranking) -> dict[str, Any]:
    best = set(ranking.best.names) if ranking.best else set()
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "complete",
        "x": [place for place, _ in done],
        "y": [ranking.headline(entry) for _, entry in done],
        "text": [_label(entry, ranking) for _, entry in done],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {
            "size": [13 if entry.name in best else 8 for _, entry in done],
            "symbol": ["star" if entry.name in best else "circle" for _, entry in done],
            "color": [COLORS[1] if entry.name in best else COLORS[0] for _, entry in done],
        },
    }


def _best_so_far(done: Sequence[tuple[int, Entry]], ranking: Ranking) -> list[dict[str, Any]]:
    """The best of the settings up to each, in the order of the ranking: its last one is the winner's."""
    places = {entry.numbers: place for place, entry in enumerate(ranking.ranked)}
    allowed = [(place, entry) for place, entry in done if entry.numbers in places]
    best: list[Entry] = []
    for _, entry in allowed:
        best.append(min([*best[-1:], entry], key=lambda one: places[one.numbers]))
    line = {"color": COLORS[1], "width": 1.5, "shape": "hv"}
    x = [place for place, _ in allowed]
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "best so far",
            "x": x,
            "y": [ranking.headline(entry) for entry in best],
            "line": line,
            "hoverinfo": "skip",
        }
    ]


def _ended(entries: Sequence[Entry], ranking: Ranking) -> list[dict[str, Any]]:
    """Those without an objective as marks at the bottom."""
    symbols = {"pruned": "line-ns-open", "failed": "x"}
    worths = [ranking.headline(entry) for entry in ranking.settings if entry.objectives]
    bottom = min(worths) - 0.06 * ((max(worths) - min(worths)) or 1.0)
    traces = []
    for state, symbol in symbols.items():
        found = [(entry.numbers[0], entry) for entry in entries if entry.state == state and not entry.objectives]
        if found:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": state,
                    "x": [place for place, _ in found],
                    "y": [bottom] * len(found),
                    "text": [_label(entry, ranking) for _, entry in found],
                    "hovertemplate": "%{text}<extra></extra>",
                    "marker": {"symbol": symbol, "size": 9, "color": COLORS[3 if state == "pruned" else 6]},
                }
            )
    return traces


def _label(entry: Entry, ranking: Ranking) -> str:
    """What is shown at a point; Plotly reads a few HTML tags in it, so that < may not stand in a record's own words."""
    worth = f": {number(ranking.headline(entry))}" if entry.objectives else f": {entry.state}"
    lines = [entry.title + worth, *[f"{key}={value}" for key, value in list(entry.labels.items())[:12]]]
    return "<br>".join(plain_label(line) for line in lines)
