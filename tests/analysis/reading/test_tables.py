"""Tables of metrics under the names that people give them."""

import json
from pathlib import Path

import pandas as pd
import pytest
from helpers.written_cells import source_of

from analysis.reading.sources import read
from analysis.records.runs import RunRecord
from analysis.wording.errors import AnalysisError

PUBLISHED = "update,reward,cumulative_reward,policy_loss,entropy,kl\n0,1.5,1.5,2.8,1.7,0.07\n1,0.5,2.0,,1.6,0.06\n"


def test_the_published_columns(tmp_path: Path) -> None:
    path = tmp_path / "published.csv"
    path.write_text(PUBLISHED, encoding="utf-8")
    source = read(path)
    (run,) = source.runs
    assert (source.kind, run.name) == ("table", "published")
    assert run.updates.tolist() == [0, 1]
    assert run.select_points("objective/rlhf_reward")[1].tolist() == [1.5, 0.5]
    assert run.select_points("cumulative_reward")[1].tolist() == [1.5, 2.0]
    assert run.select_points("loss/policy_avg")[1].tolist() == [2.8]
    assert run.select_points("objective/entropy")[1].tolist() == [1.7, 1.6]
    assert run.select_points("objective/kl")[1].tolist() == [0.07, 0.06]


def test_other_spellings_and_our_own_names(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("Step\tPolicy Loss\tKL Divergence\teval/score\n2\t1\t3\t5\n1\t2\t4\t6\n", encoding="utf-8")
    (run,) = read(path).runs
    assert run.updates.tolist() == [1, 2]
    assert run.select_points("loss/policy_avg")[1].tolist() == [2, 1]
    assert run.select_points("objective/kl")[1].tolist() == [4, 3]
    assert run.select_points("eval/score")[1].tolist() == [6, 5]


def test_several_runs_in_one_table(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "reward_model.name": ["a"] * 4 + ["b"] * 2,
            "seed": [0, 0, 1, 1, 0, 0],
            "kl_coef": [0.1] * 4 + [0.2] * 2,
            "step": [0, 1] * 3,
            "reward": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            "constant": [7.0] * 6,
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    runs = read(tmp_path / "t.parquet").runs
    assert [(run.look_up("reward_model"), run.seed, run.look_up("kl_coef")) for run in runs] == [
        ("a", 0, 0.1), ("a", 1, 0.1), ("b", 0, 0.2),
    ]  # fmt: skip
    assert [run.select_points("objective/rlhf_reward")[1].tolist() for run in runs] == [[1, 2], [3, 4], [5, 6]]
    assert runs[0].select_points("constant")[1].tolist() == [7, 7]
    assert len({run.name for run in runs}) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "cannot be read as a table"),
        ("update,reward\n", "holds no row"),
        ("a,b\nx,y\n", r"no column holds numbers \(there are: a, b\)"),
        ("update\n1\n2\n", "no column but update holds numbers"),
    ],
)
def test_tables_that_hold_nothing(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(content, encoding="utf-8")
    with pytest.raises(AnalysisError, match=message):
        read(tmp_path / "t.csv")


def table_of(tmp_path: Path, text: str, encoding: str = "utf-8") -> list[RunRecord]:
    (tmp_path / "t.csv").write_text(text, encoding=encoding)
    return list(read(tmp_path / "t.csv").runs)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_spreadsheets_table(tmp_path: Path, encoding: str) -> None:
    text = "Update;KL;Clip Fraction;Größe\n1;0,5;12,5 %;-\n2;1;50%;3\n"
    (run,) = table_of(tmp_path, text, encoding)
    assert run.select_points("objective/kl")[1].tolist() == [0.5, 1.0]
    assert run.select_points("Clip Fraction")[1].tolist() == [0.125, 0.5]
    assert run.select_points("Größe")[0].tolist() == [2]


def test_points_stay_points_between_semicolons(tmp_path: Path) -> None:
    (run,) = table_of(tmp_path, "update;kl;reward\n1;0.5;1e-3\n2;1.25;-2\n")
    assert run.select_points("objective/kl")[1].tolist() == [0.5, 1.25]
    assert run.select_points("objective/rlhf_reward")[1].tolist() == [0.001, -2]


def test_what_a_chart_of_wandb_exports(tmp_path: Path) -> None:
    """The header as W&B writes it: Step, then for each run the value, the lowest and the highest."""
    names = [f'"{run} - {metric}{end}"' for run in ("a - b", "c") for metric in ("kl", "eval/score")
             for end in ("", "__MIN", "__MAX")]  # fmt: skip
    text = f'"Step",{",".join(names)}\n0,1,1,1,,,,5,5,5,,,\n10,2,0,9,7,7,7,,,,,,\n'
    first, second = table_of(tmp_path, text)
    assert (first.name, sorted(first.metrics)) == ("a - b", ["eval/score", "objective/kl", "update"])
    assert first.select_points("objective/kl")[1].tolist() == [1, 2]
    assert [values.tolist() for values in first.select_points("eval/score")] == [[10], [7]]
    assert (second.name, second.updates.tolist()) == ("c", [0])


def test_text_that_differs_from_row_to_row_names_no_run(tmp_path: Path) -> None:
    (run,) = table_of(tmp_path, "time,update,kl,model\n10:00,1,2,m\n10:05,2,3,m\n")
    assert (run.name, run.updates.tolist(), run.look_up("model")) == ("t", [1, 2], "m")


def test_a_comma_in_quotes_is_no_decimal_one(tmp_path: Path) -> None:
    (run,) = table_of(tmp_path, 'update,kl,tokens\n1,2,"1,500"\n2,3,"2,500"\n')
    assert run.select_points("tokens")[1].tolist() == [1500, 2500]


def test_text_within_a_named_run_does_not_split_it(tmp_path: Path) -> None:
    text = "run,update,kl,stage\na,1,2,warm\na,2,3,warm\na,3,4,hot\na,4,5,hot\n"
    assert [run.updates.tolist() for run in table_of(tmp_path, text)] == [[1, 2, 3, 4]]


def test_runs_of_one_seed_are_called_by_what_differs(tmp_path: Path) -> None:
    text = "seed,lr,update,kl\n0,0.1,1,2\n0,0.1,2,3\n0,0.2,1,4\n0,0.2,2,5\n"
    assert [run.name for run in table_of(tmp_path, text)] == ["seed 0 lr=0.1", "seed 0 lr=0.2"]


def per_run(settings: list[str], row: str, updates: int = 4) -> str:
    """Rows of several runs: what tells each of them, then `row`, in which {u} is the update."""
    return "".join(f"{own},{row.format(u=u)}\n" for own in settings for u in range(1, updates + 1))


def test_a_runs_own_name_is_no_setting(tmp_path: Path) -> None:
    """Two settings on three seeds each are just that, although every run has a name of its own."""
    settings = [f"{lr},{seed}" for lr in (0.1, 0.2) for seed in (1, 2, 3)]
    text = per_run([f"run{n},id{n},{own}" for n, own in enumerate(settings)], "{u},{u}.5")
    source = source_of(tmp_path, f"run,run_id,lr,seed,update,kl\n{text}")
    assert source.axes == ["lr"]
    assert [run.name for run in source.runs][:2] == ["run0 seed 1", "run1 seed 2"]
    assert [run.look_up("lr") for run in source.runs] == [0.1] * 3 + [0.2] * 3
    assert source.runs[0].look_up("run") == "run0 seed 1"


@pytest.mark.parametrize("column", ["run", "name", "run_name"])
@pytest.mark.parametrize("seeds", [["1", "2"], ["1"], [""]])
def test_a_name_that_runs_share_or_that_alone_tells_them_apart_is_a_setting(
    tmp_path: Path, column: str, seeds: list[str]
) -> None:
    names = ["ours", "theirs"]
    text = per_run([f"{name},{seed}" for name in names for seed in seeds], "{u},{u}.5")
    source = source_of(tmp_path, f"{column},{'seed' if seeds[0] else 'x'},update,kl\n{text}")
    assert source.axes == ["run"]
    assert [run.look_up("run") for run in source.runs] == [name for name in names for _ in seeds]


def test_where_names_and_seeds_differ_alike_the_runs_differ_in_seeds(tmp_path: Path) -> None:
    source = source_of(tmp_path, "run,seed,update,kl\n" + per_run(["a,1", "b,2", "c,3"], "{u},{u}.5"))
    assert source.axes == []


@pytest.mark.parametrize(
    ("column", "is_metric"),
    [
        ("eval/win_rate", True),
        ("judge/a/score", True),
        ("kl", True),
        ("train/reward", True),
        ("train/objective/kl", True),
        ("cumulative_reward", True),
        ("kl_coef", False),
        ("learning_rate", False),
        ("objective/kl_coef", False),
        ("eval_every", False),
    ],
)
def test_what_is_known_as_a_metric_is_one_although_each_run_has_one_value(
    tmp_path: Path, column: str, is_metric: bool
) -> None:
    source = source_of(tmp_path, f"seed,{column},update,x\n" + per_run(["0,1.0", "1,0.9"], "{u},{u}.5"))
    assert [len(run.metrics) == 3 for run in source.runs] == [is_metric] * 2
    assert (source.axes == []) == is_metric


@pytest.mark.parametrize(
    ("column", "values", "is_setting"),
    [
        ("lr", ["1e-5", "2e-5", "3e-5", "4e-5"], True),
        ("ppo.kl_coef", ["0.1", "0.2", "0.3", "0.4"], True),
        ("size", ["1", "1", "2", "2"], True),
        ("win_rate", ["0.5", "0.6", "0.7", "0.8"], False),
        ("kl", ["1", "1", "2", "2"], False),
        ("epoch", ["1", "1", "2", "2"], False),
        ("size", ["1", "1", "1", "1"], False),
    ],
)
def test_a_setting_where_each_run_has_one_row(tmp_path: Path, column: str, values: list[str], is_setting: bool) -> None:
    rows = "".join(f"run{n},{value},{n % 2},{n}.5\n" for n, value in enumerate(values))
    source = source_of(tmp_path, f"run,{column},seed,reward\n{rows}")
    assert (len(source.runs), source.axes) == (4, [column] if is_setting else [])
    assert [run.select_points("objective/rlhf_reward")[1].tolist() for run in source.runs] == [
        [0.5],
        [1.5],
        [2.5],
        [3.5],
    ]


def test_two_columns_of_one_metric_are_both_kept(tmp_path: Path) -> None:
    (run,) = table_of(tmp_path, ",update,KL,objective/kl\n0,1,5,6\n1,2,7,8\n")
    assert run.select_points("objective/kl")[1].tolist() == [6, 8]
    assert run.select_points("KL")[1].tolist() == [5, 7]
    assert set(run.metrics) == {"update", "KL", "objective/kl"}  # the rows' numbers are none
    (run,) = table_of(tmp_path, "update,reward,mean_reward\n1,5,6\n")
    assert set(run.metrics) == {"update", "objective/rlhf_reward", "mean_reward"}


HISTORY = [
    {"step": 10, "objective/kl": 0.5, "epoch": 0.1},
    {"step": 20, "objective/kl": 0.7, "epoch": 0.2},
    {"step": 20, "eval_score": 1.5, "epoch": 0.2},
    {"step": 20, "train_runtime": 9.0, "epoch": 0.2},
]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json"])
def test_the_history_of_a_trainer_with_several_rows_an_update(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"trainer_state.{kind}"
    if kind == "csv":
        pd.DataFrame(HISTORY).to_csv(path)
    elif kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, HISTORY)), encoding="utf-8")
    else:
        path.write_text(json.dumps({"global_step": 20, "log_history": HISTORY}), encoding="utf-8")
    (run,) = read(path).runs
    assert run.updates.tolist() == [10, 20]
    assert run.select_points("objective/kl")[1].tolist() == [0.5, 0.7]
    assert [values.tolist() for values in run.select_points("eval_score")] == [[20], [1.5]]


@pytest.mark.parametrize("text", ["{", '{"a": 1}', "[1, 2]", '[{"step": 1, "x": [1]}]'])
def test_json_that_is_no_table(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.json").write_text(text, encoding="utf-8")
    with pytest.raises(AnalysisError, match=r"cannot be read as a table|no column but step holds numbers"):
        read(tmp_path / "t.json")


def test_columns_of_lists_are_left_out(tmp_path: Path) -> None:
    frame = pd.DataFrame({"update": [1, 2], "kl": [0.1, 0.2], "answers": [["a"], ["b", "c"]]})
    frame.to_parquet(tmp_path / "t.parquet")
    (run,) = read(tmp_path / "t.parquet").runs
    assert run.select_points("objective/kl")[1].tolist() == [0.1, 0.2]


def test_runs_are_listed_in_the_order_in_which_people_count(tmp_path: Path) -> None:
    text = "run,seed,update,kl\n" + "".join(
        f"{run},{seed},{update},1\n" for run in ("run_10", "run_2") for seed in (1, 0) for update in (1, 2)
    )
    names = ["run_2 seed 1", "run_2 seed 0", "run_10 seed 1", "run_10 seed 0"]
    assert [run.name for run in source_of(tmp_path, text).runs] == names
    export = source_of(tmp_path, "Step,run_10 - kl,run_2 - kl\n1,5,6\n2,7,8\n")
    assert [run.name for run in export.runs] == ["run_2", "run_10"]
