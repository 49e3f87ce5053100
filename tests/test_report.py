"""The report as a file: what it says, and that nothing in a record can harm it. The browser has its own file."""

import base64
import gzip
import hashlib
import json
import math
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_records import ATTACK, compared, large, run, samples, sweep

from analysis.ranking import rank
from analysis.records import STOPPED, UNFINISHED, RunRecord, Source, Trial
from analysis.report.answer import answers
from analysis.report.config import config_parts
from analysis.report.cost import cost_parts
from analysis.report.embed import embedded, plain
from analysis.report.lines import averaged, thinned
from analysis.report.noise import noise_sentences
from analysis.report.parallel import parallel
from analysis.report.parts import Table
from analysis.report.problems import failure_sentence
from analysis.report.report import LIMIT, report, write_report
from analysis.report.samples import sample_parts
from analysis.report.sweep import converted
from analysis.report.trials import trial_table
from analysis.statements import duration
from analysis.sweep.ledger import ledger


class Reader(HTMLParser):
    """What a browser would make of the file: tags with attributes, texts, scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.text += data


@pytest.fixture(scope="module")
def text() -> str:
    return report(sweep())


@pytest.fixture(scope="module")
def page(text: str) -> Reader:
    return Reader(text)


def test_same_source_same_bytes(text: str, tmp_path: Path) -> None:
    path = write_report(sweep(), tmp_path / "new" / "report.html")
    assert path.read_bytes() == text.encode()


def test_needs_nothing_but_itself(page: Reader, text: str) -> None:
    references = [
        (tag, name, value)
        for tag, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "data", "poster", "background", "ping")
    ]
    assert references == [("a", "href", "#main")]
    assert not {tag for tag, _ in page.tags} & {"link", "iframe", "img", "object", "embed", "base", "form"}
    assert not re.search(r"url\(|@import", text.partition("</style>")[0])
    assert "https://" not in text


def test_only_the_scripts_of_the_page_may_run(page: Reader, text: str) -> None:
    (policy,) = [a["content"] or "" for tag, a in page.tags if tag == "meta" and "http-equiv" in a]
    plotly, own = page.scripts[1], page.scripts[2]
    for script in (gzip.decompress(base64.b64decode(plotly)), own.encode()):
        assert f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]


def test_what_a_record_says_stays_text(page: Reader) -> None:
    assert len(page.scripts) == 3
    assert not [a for _, a in page.tags if any(name.startswith("on") for name in a)]
    assert page.text.count(ATTACK) >= 4  # a prompt, an answer, a failure's message, a problem
    assert "{{7*7}}" in page.text


def test_data_in_the_page_are_the_curves(page: Reader) -> None:
    data = json.loads(gzip.decompress(base64.b64decode(page.scripts[0])))
    (view,) = [view for view in data["curves"]["views"] if view["title"] == "single runs"]
    names = [line["name"] for line in view["lines"]]
    x, y = view["metrics"]["objective/entropy"][names.index("3 (the best)")]
    assert x == list(range(1, 41))
    assert y[0] == 11.95
    assert "history" in data["figures"]


def test_the_first_screen_says_that_constraints_are_broken() -> None:
    source = sweep()
    broken = [replace(trial, violations={"eval/length<=10": 2.0}) for trial in source.trials]
    source = replace(source, trials=broken)
    won = dict(answers(source, rank(source), [], []).answers)["Which settings won?"]
    assert won[0].startswith("None: no trial with an objective is known to keep objective.constraints (")


def test_the_first_screen_answers_in_numbers() -> None:
    source = sweep()
    ranking = rank(source)
    questions = dict(answers(source, ranking, noise_sentences(ranking), ["do this"]).answers)
    assert list(questions) == ["Which settings won?", "By how much?", "Is that more than noise?", "What next?"]
    assert questions["Which settings won?"] == [
        "Trial 3 won with ppo.lr=0.0005012, ppo.kl_coef=0.02: its eval/score is 1.5",
        "That is after update 40, at a KL of 4 nats to the base policy",
        "The base policy scores 0.25 on the same held-out prompts",
    ]
    # 8 complete trials: 1.5, 1.25, 0.5, 0.499, 0.498, 0.491, 0.49, 0.489; the middle one is the fifth.
    assert questions["By how much?"] == [
        "0.25 better than the second, trial 4 (1.25)",
        "1 better than the middle one (0.498), 1.01 better than the worst (0.489)",
        "1.25 better than the base policy",
    ]
    assert questions["Is that more than noise?"][0].startswith("Unknown: every setting ran on one seed")


def with_seeds(worths: list[list[float]], is_test: bool = False) -> Source:
    """A trial for each list, a run for each number; the first number alone chooses if the others are tests."""
    runs, trials = [], []
    for number, values in enumerate(worths):
        records = [
            replace(run(number, value, seed=seed, **{"ppo.lr": 10.0**-number}), name=f"{number}/seed_{seed}")
            for seed, value in enumerate(values)
        ]
        chosen, tests = (records[:1], records[1:]) if is_test else (records, [])
        tests = [replace(record, is_test=True) for record in tests]
        runs += [*chosen, *tests]
        worth = [float(np.mean([record.objectives for record in chosen]))]
        trials.append(Trial(number, "complete", {"ppo.lr": f"1e-{number}"}, worth, runs=chosen, tests=tests))
    return Source("seeds", "sweep", runs, trials, space={"ppo.lr": "choice(1,0.1)"})


@pytest.mark.parametrize(
    ("worths", "start"),
    [
        ([[1.0, 1.01, 0.99], [0.5, 0.51, 0.49]], "Yes: Trial 0 is better than every other"),
        ([[1.0, 0.2, 0.6], [0.9, 0.3, 0.5]], "Not against all: Trial 1 is within noise of it"),
        ([[0.5], [0.4]], "Unknown: every setting ran on one seed"),
    ],
)
def test_seeds_tell_noise(worths: list[list[float]], start: str) -> None:
    source = with_seeds(worths)
    assert noise_sentences(rank(source))[0].startswith(start)


def test_test_seeds_tell_noise_and_give_the_number_to_quote() -> None:
    # Test seeds 0.8 and 1.0: deviation 0.1414 with 1 degree of freedom; t of 97.5 % is 12.706, so the limit for the
    # difference of two single runs is 12.706 x 0.1414 x sqrt(2) = 2.541.
    near, far = with_seeds([[1.0, 0.8, 1.0], [0.9]], True), with_seeds([[4.0, 0.8, 1.0], [0.9]], True)
    said = noise_sentences(rank(near))[0]
    assert said.startswith("No: equal settings differ by 0.141 from seed to seed")
    assert "a lead of 2.54 takes more than noise" in said
    assert noise_sentences(rank(far))[0].startswith("Yes, as far as 1 repetition on other seeds can tell")
    told = dict(answers(near, rank(near), [], []).answers)["Which settings won?"]
    quoted = "is 0.9 ± 0.1 (standard error) on 2 seeds that had no part in choosing it: that is the number to quote"
    assert told[0].endswith(quoted)
    assert told[1].startswith("It was chosen by 1")


def test_a_test_run_that_waits_is_not_quoted_and_equal_ones_are_not_certain() -> None:
    def quoted(source: Source) -> str:
        return dict(answers(source, rank(source), [], []).answers)["Which settings won?"][0]

    made = with_seeds([[1.0, 0.75, 0.75, 9.0], [0.9]], is_test=True)
    best, other = made.trials
    waiting = replace(best.tests[2], state=STOPPED, summary={**best.tests[2].summary, "stop_reason": "waiting"})
    source = replace(made, trials=[replace(best, tests=[*best.tests[:2], waiting]), other])
    assert "is 0.75 on 2 seeds that had no part in choosing it: that is the number" in quoted(source)
    assert noise_sentences(rank(source))[0] == "Unknown: the seeds of a setting are all alike"


def test_what_is_minimized_is_won_by_the_lowest() -> None:
    source = replace(sweep(), directions=("minimize",))
    ranking = rank(source)
    assert ranking.best is not None
    assert ranking.best.name == "11"
    assert "0.001 better than the second" in dict(answers(source, ranking, [], []).answers)["By how much?"][0]


def test_a_trial_that_breaks_a_constraint_does_not_win() -> None:
    source = sweep()
    trials = [replace(t, violations={"eval/length<=40": 2.0}) if t.number == 3 else t for t in source.trials]
    ranking = rank(replace(source, trials=trials))
    assert ranking.best is not None
    assert ranking.best.name == "4"


def test_several_objectives_have_a_front() -> None:
    points = {0: (1.0, 5.0), 1: (0.5, 1.0), 2: (0.4, 2.0)}  # score up, KL down: 2 is worse than 1 in both
    trials = [Trial(i, "complete", {"ppo.lr": str(i)}, values, runs=[run(i)]) for i, values in points.items()]
    source = Source(
        "two", "sweep", [r for t in trials for r in t.runs], trials, ("eval/score", "eval/kl"), ("maximize", "minimize")
    )
    (said,) = [
        line for line in dict(answers(source, rank(source), [], []).answers)["Which settings won?"] if "By " in line
    ]
    assert "2 are not beaten in all at once: Trial 0 and Trial 1" in said


def test_trials_that_differ_in_their_seed_only_are_one_setting() -> None:
    runs = [run(i, worth, seed=i % 2) for i, worth in enumerate((1.0, 0.0, 0.7, 0.6))]
    trials = [
        Trial(i, "complete", {"ppo.lr": "1" if i < 2 else "2", "seed": str(i % 2)}, r.objectives, runs=[r])
        for i, r in enumerate(runs)
    ]
    ranking = rank(Source("seeds", "sweep", runs, trials, space={"ppo.lr": "choice(1,2)", "seed": "choice(0,1)"}))
    assert [(entry.title, entry.worth) for entry in ranking.ranked] == [
        ("Trials 2 and 3", pytest.approx(0.65)),
        ("Trials 0 and 1", 0.5),
    ]


def test_a_reward_model_wins_by_other_judges_not_by_its_own_score() -> None:
    source = compared()
    ranking = rank(source)
    assert ranking.best is not None
    assert ranking.best.settings == {"reward_model": "judged"}
    assert not ranking.is_comparable
    assert "Who likes whose policy?" in report(source)


def test_every_problem_and_failure_is_told() -> None:
    source = sweep()
    runs = [replace(r, problems=(f"metrics.jsonl: line {r.name} is damaged",)) for r in source.runs]
    shown = Reader(report(replace(source, runs=runs))).text
    for record in runs:
        assert f"line {record.name} is damaged" in shown
    assert source.problems[0] in shown
    assert failure_sentence(rank(source)) == "1 trial of 12 failed: 1 error"
    assert "Trial 7: traceback" in shown
    assert "1 trial did not finish, or had not yet: 8" in shown


def test_the_end_of_a_log_stands_for_a_missing_traceback(tmp_path: Path) -> None:
    lines = [f"line {i}" for i in range(1000)]
    (tmp_path / "rlhf_sweeps.log").write_text("\n".join(lines), encoding="utf-8")
    bare = run(7, None, "failed")
    summary = {key: value for key, value in bare.summary.items() if key != "traceback"}
    failed = replace(bare, folder=tmp_path, summary=summary)
    shown = Reader(report(Source("one", "run", [failed]))).text
    assert "Run 7: the end of its log" in shown
    assert "line 999" in shown
    assert "line 959\n" not in shown  # 40 lines


def tables(parts: Any) -> dict[str, Table]:
    return {part.id: part for part in parts if isinstance(part, Table)}


def test_config_differences_and_what_the_best_has() -> None:
    source = sweep()
    found = tables(config_parts(source, rank(source)))["differences"]
    assert [column.label for column in found.columns] == ["Key", "Best run", "Values", "Different values"]
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in found.rows}
    assert rows["ppo.kl_coef"] == ["0.02", "0.02 (6) and 0.1 (6)", "2"]
    assert rows["ppo.lr"] == ["0.0005012", "from 7.943e-05 to 0.001", "12"]


def test_settings_that_are_texts_are_no_column_of_numbers() -> None:
    source = sweep()
    for index, trial in enumerate(source.trials):
        trial.settings["model.path"] = f"a/long/path/{index}"  # type: ignore[index]
    columns = {column.label: column for column in trial_table(source, rank(source)).columns}
    assert columns["ppo.lr"].is_number
    assert not columns["model.path"].is_number


def test_the_table_of_trials_has_a_row_for_each() -> None:
    source = sweep()
    found = trial_table(source, rank(source))
    labels = [column.label for column in found.columns]
    rows = {row[0].text.strip("★ "): dict(zip(labels, row, strict=True)) for row in found.rows}
    assert list(rows) == [str(i) for i in range(12)]
    assert rows["3"]["Trial"].text == "★ 3"
    assert (rows["4"]["eval/score"].text, rows["4"]["eval/score"].value) == ("1.25", 1.25)
    assert rows["5"]["eval/score"].text == "-"
    assert rows["7"]["Cause"].text.startswith("error: ValueError")
    assert rows["0"]["ppo.lr"].value == 1e-3
    assert found.states == ["complete", "failed", "pruned", "unfinished"]


def test_samples_say_who_liked_what() -> None:
    source = sweep()
    (block,) = sample_parts(source, rank(source))
    (found,) = block.content  # type: ignore[union-attr]
    # Own gains are i - 2 for i = 0 .. 7: five up, two down, one the same, 1.5 on average; the judge's are 2 - i.
    assert found.sentences[:2] == [
        "Its own score: higher than the base policy's for 5 of 8 prompts, lower for 2, the same for 1; "
        "1.5 more on average",
        "Judge vader: higher than the base policy's for 2 of 8 prompts, lower for 5, the same for 1; "
        "-1.5 more on average",
    ]
    assert [pair.position for pair in found.pairs] == [7, 6, 5, 4, 3, 2, 1, 0]
    assert found.pairs[0].earlier == [(20, f"answer 7 at 20 {ATTACK}")]


def test_of_many_samples_the_ends_are_kept() -> None:
    many = replace(run(0), read_samples=lambda: samples(100))
    source = Source("one", "run", [many])
    (block,) = sample_parts(source, rank(source), most=10)
    (found,) = block.content  # type: ignore[union-attr]
    assert [pair.position for pair in found.pairs] == [99, 98, 97, 96, 95, 4, 3, 2, 1, 0]
    assert found.sentences[-1] == "Shown are the 5 prompts that improved most and least, of 100"


def test_lines_are_thinned_without_losing_a_peak() -> None:
    updates = np.arange(1000.0)
    values = np.zeros(1000)
    values[137], values[613] = 5.0, -3.0
    x, y = thinned(updates, values, 50)
    assert len(x) <= 50
    assert (x[0], x[-1]) == (0, 999)
    assert dict(zip(x.tolist(), y.tolist(), strict=True))[137.0] == 5.0
    assert y.min() == -3.0
    assert thinned(updates[:50], values[:50], 50)[0].tolist() == updates[:50].tolist()


def test_bands_are_averaged_together() -> None:
    updates, mean = averaged(np.arange(6.0), np.array([1.0, 3.0, 5.0, 7.0, 9.0, 11.0]), most=3)
    assert updates.tolist() == [0.5, 2.5, 4.5]
    assert mean.tolist() == [2.0, 6.0, 10.0]


def test_numbers_are_short_and_what_is_no_number_is_null() -> None:
    typed = {"dtype": "f8", "bdata": base64.b64encode(np.array([1.0, np.nan]).tobytes()).decode()}
    value = {"a": [1 / 3, math.nan, math.inf, 2.0], "b": np.array([[1.23456789, 1e-9]]), "c": typed, "d": (True, None)}
    assert plain(value) == {"a": [0.33333, None, None, 2], "b": [[1.2346, 1e-9]], "c": [1, None], "d": [True, None]}
    assert base64.b64decode(embedded(value))[4:8] == bytes(4)  # no time of day in gzip's head
    packed = embedded({"text": f"{ATTACK} \ud800"})
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", packed)
    assert json.loads(gzip.decompress(base64.b64decode(packed)))["text"] == f"{ATTACK} ?"


def test_durations() -> None:
    assert [duration(s) for s in (35.4, 600, 9000)] == ["35 s", "10 min", "2.5 h"]


def empty(name: str = "0", **changed: Any) -> RunRecord:
    return RunRecord(name, {"update": np.empty(0)}, **changed)


HOSTILE: dict[str, Source] = {
    "no runs": Source("x", "sweep", [], problems=("nothing there",)),
    "no updates": Source("x", "run", [empty()]),
    "unfinished without updates": Source("x", "sweep", [empty(state=UNFINISHED)], [Trial(0, "unfinished", {})]),
    "one update": Source("x", "run", [RunRecord("0", {"update": np.array([1.0]), "objective/kl": np.array([0.5])})]),
    "nan only": Source("x", "run", [RunRecord("0", {"update": np.arange(5.0), "a": np.full(5, np.nan)})]),
    "infinite": Source(
        "x",
        "run",
        [RunRecord("0", {"update": np.arange(5.0), "objective/kl": np.array([1, np.inf, -np.inf, 1e308, 2])})],
    ),
    "all equal": Source(
        "x", "folder", [RunRecord(str(i), {"update": np.arange(9.0), "eval/score": np.ones(9)}) for i in range(4)]
    ),
    "wrong types": Source(
        "x",
        "folder",
        [
            replace(
                run(i),
                trial=None,
                config={
                    "seed": "a",
                    "ppo.lr": [1, {"a": None}],
                    "reward_model": 3,
                    "x": i,
                    "ppo": None,
                    "\ud800": ATTACK,
                },
                summary={"objectives": "no", "best": 3, "seconds": "long", "versions": [1], "best_update": {}},
            )
            for i in range(3)
        ],
    ),
    "odd samples": Source(
        "x",
        "run",
        [replace(run(0), read_samples=lambda: [{}, {"update": "a"}, {"update": 40, "score": None, "prompt": 7}])],
    ),
    "attacking names": Source(
        ATTACK,
        "folder",
        [replace(run(i), name=f"{ATTACK}{i}", config={ATTACK: i}) for i in range(3)],
        problems=(ATTACK,),
    ),
    "trials without runs": Source(
        "x", "sweep", [], [Trial(i, "complete", {"a": str(i)}, [float(i)]) for i in range(3)]
    ),
    "failed only": Source("x", "sweep", [empty(state="failed")], [Trial(0, "failed", {}, None, "error", "no")]),
    "three objectives": Source(
        "x",
        "sweep",
        [],
        [Trial(i, "complete", {"a": str(i)}, [1.0 * i, 2.0, -1.0 * i]) for i in range(6)],
        ("a", "b", "c"),
        ("maximize", "minimize", "maximize"),
    ),
    "enormous": Source(
        "x",
        "folder",
        [
            replace(
                run(i, 1e306),
                metrics={"update": np.arange(4.0), "objective/rlhf_reward": np.array([1e308, -1e308, 1e308, 1e308])},
                read_samples=lambda: [
                    {"update": 1, "prompt": str(j), "score": value, "base_score": -value}
                    for j, value in enumerate((1e308, math.inf, math.nan, 1.0))
                ],
            )
            for i in range(3)
        ],
    ),
    "many keys": Source(
        "x", "folder", [replace(run(i), config={f"k{j}": i * j for j in range(300)}) for i in range(3)]
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_record_is_too_odd(name: str, caplog: pytest.LogCaptureFixture) -> None:
    source = HOSTILE[name]
    read = Reader(report(source))
    assert "could not be made" not in read.text
    assert caplog.records == []
    assert len(read.scripts) == 3
    ids = Counter(attributes["id"] for _, attributes in read.tags if "id" in attributes)
    assert {one: count for one, count in ids.items() if count > 1} == {}
    for problem in source.problems:
        assert problem[1:] in read.text  # a sentence begins with a capital letter


def test_no_runs_are_said_to_be_none() -> None:
    assert "None: there is no run in this record." in Reader(report(HOSTILE["no runs"])).text


def test_a_part_that_cannot_be_made_is_named(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("a hole")

    monkeypatch.setattr("analysis.report.config.config_parts", broken)
    shown = Reader(report(sweep())).text
    assert (
        shown.count("The tab Config could not be made (ValueError: a hole).") == 2
    )  # in its place, and among the problems
    assert "Trial 3 won" in shown
    assert "a hole" in caplog.text


def test_a_run_alone_has_no_comparison() -> None:
    one = replace(run(0), trial=None)
    read = Reader(report(Source("alone", "run", [one])))
    tabs = [attributes["aria-controls"] for _, attributes in read.tags if attributes.get("role") == "tab"]
    assert "compare" not in tabs
    assert "sweep" not in tabs
    assert "Run 0: its eval/score is 1." in read.text


def test_many_runs_fit() -> None:
    source = large(120, 400)
    text = report(source)
    assert len(text.encode()) < LIMIT
    data = json.loads(gzip.decompress(base64.b64decode(Reader(text).scripts[0])))
    (view,) = [view for view in data["curves"]["views"] if view["title"] == "single runs"]
    assert view["note"].startswith("Shown are the 6 best and the 3 worst of 120 runs")
    assert max(len(line[0]) for lines in view["metrics"].values() for line in lines if line) <= 200


def test_what_does_not_fit_is_made_smaller(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = large(20, 300)
    whole = len(report(source).encode())
    monkeypatch.setattr("analysis.report.report.LIMIT", whole - 1)
    smaller = write_report(source, tmp_path / "report.html").read_bytes()
    assert len(smaller) < whole


@pytest.mark.slow
def test_a_thousand_runs_of_a_thousand_updates_fit() -> None:
    assert len(report(large(1000, 1000)).encode()) < 5_000_000


def test_parallel_coordinates_are_lines_in_fifths() -> None:
    values = [float(i) for i in range(10)]
    trace = {
        "dimensions": [
            {"label": "eval/score", "values": values},
            {"label": "lr", "values": [0.5] * 10, "range": [0, 1], "tickvals": [0, 1], "ticktext": ["<b>", "1"]},
        ]
    }
    data, layout = parallel(trace)
    assert [line["name"] for line in data[:5]] == ["0 to 1", "2 to 3", "4 to 5", "6 to 7", "8 to 9"]
    assert data[4]["y"] == [pytest.approx(8 / 9), 0.5, None, 1.0, 0.5, None]
    assert layout["xaxis"]["ticktext"] == ["eval/score", "lr"]
    assert "&lt;b&gt;" in data[5]["text"]
    lower = parallel({**trace, "line": {"reversescale": True}})[0]
    assert lower[4]["name"] == "0 to 1"  # the best on top


def test_cost_is_told_by_state() -> None:
    source = sweep()
    found = tables(cost_parts(ledger(source)))["ledger"]
    rows = {row[0].text: [cell.text for cell in row[1:4]] for row in found.rows}
    # 20 seconds a run; the unfinished one has 40 updates of 0.5 seconds.
    assert rows["complete"] == ["8", "160", "67 %"]
    assert rows["pruned"] == ["2", "40", "17 %"]
    assert rows["total"] == ["12", "240", "100 %"]


def test_a_sweep_shows_its_figures_without_links() -> None:
    import plotly.graph_objects as go

    figure = go.Figure(go.Scatter(x=np.array([1.0, 2.0]), y=[1, 2], text=['<a href="https://x.org">x</a>'] * 2))
    figure.update_layout(title="A <b>title</b>", width=900, height=300)
    found = converted("sweep-0", "slice", figure)
    assert (found.title.split(), found.height) == (["A", "title"], 300)
    assert not {"template", "title", "width", "height"} & set(found.layout)
    assert "<a" not in json.dumps(plain(found.data))
    tabs = Reader(report(sweep()))
    titles = [a["aria-label"] or "" for _, a in tabs.tags if a.get("class") == "plot"]
    assert any(title.startswith("All settings") for title in titles)
