"""Keys that reach a library as its arguments: W&B, the hub of models, load_dataset."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Compose
from helpers.followed_keys import TRACKED

from rlhf_sweeps.config.schema import TrackingConfig
from rlhf_sweeps.data.locations import locate_confirming_rows, locate_held_out_rows, locate_training_rows
from rlhf_sweeps.data.tables import load_by_name
from rlhf_sweeps.files.hub import fetch_config
from rlhf_sweeps.models import loading as models
from rlhf_sweeps.tracking import wandb_run as tracking


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What wandb.init is called with, in place of a real one."""
    found: dict[str, Any] = {}

    def init(**named: Any) -> Any:
        found.update(named)
        return SimpleNamespace(define_metric=lambda *a, **n: None, summary={}, offline=False)

    def setup(settings: Any) -> Any:
        return SimpleNamespace(settings=SimpleNamespace(mode="online" if settings is None else settings.mode))

    fake = SimpleNamespace(init=init, setup=setup, login=lambda **n: True, Settings=SimpleNamespace)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    return found


def started(config: TrackingConfig) -> Any:
    return tracking.start(
        config, run_dir=Path("run"), run_id="7", name="n", group="g", job_type="train", settings={"odd": 7}
    )


@pytest.mark.parametrize("key", TRACKED)
def test_keys_of_tracking(key: str, asked: dict[str, Any]) -> None:
    plain = TrackingConfig("online", "p", None, [], False, 30.0, 60.0)
    odd, heard = TRACKED[key]
    started(plain)
    assert heard(asked) != odd
    assert (asked["id"], asked["name"], asked["group"], asked["job_type"]) == ("7", "n", "g", "train")
    assert (asked["config"], asked["dir"], asked["tags"], asked["mode"]) == ({"odd": 7}, "run", None, "online")
    started(replace(plain, **{key: odd}))
    assert heard(asked) == odd


def test_modes_and_models_of_tracking(asked: dict[str, Any]) -> None:
    plain = TrackingConfig("offline", "p", None, [], False, 30.0, 60.0)
    assert not started(plain)._log_model
    assert asked["mode"] == "offline"
    assert started(replace(plain, log_model=True))._log_model
    asked.clear()
    started(replace(plain, mode="disabled"))
    assert asked == {}


def test_revisions_reach_the_hub(compose_config: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose_config("model=smollm2_135m", "model.revision=odd", "reward_model=ligaydima",
                            "reward_model.revision=odder")  # fmt: skip
    asked: list[Any] = []

    def download(path: str, name: str, revision: str | None, local_files_only: bool) -> str:
        asked.append((path, name, revision))
        return __file__

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    for model in (config.model, config.reward_model):
        fetch_config(model.path, model.revision, "given")
    assert asked == [(config.model.path, "config.json", "odd"), (config.reward_model.path, "config.json", "odder")]
    loaded: list[Any] = []
    monkeypatch.setattr(models, "refuse_foreign_parts", lambda path, _, **named: loaded.append((path, named)))
    auto = SimpleNamespace(__name__="Auto", from_pretrained=lambda path, **named: loaded.append((path, named)))
    models.load(auto, config.model, "model.path")
    options = {"revision": "odd"}
    assert loaded == [(config.model.path, options), (config.model.path, options | {"trust_remote_code": False})]


def test_what_load_dataset_is_asked_for(compose_config: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    given = ("dataset=human_like_dpo", "dataset.subset=odd", "dataset.split=part", "dataset.revision=7")
    asked: list[Any] = []
    monkeypatch.setattr("datasets.load_dataset", lambda *path, **named: asked.append((*path, named)) or "rows")  # type: ignore[func-returns-value]
    config = compose_config(*given)
    path = config.dataset.path
    assert load_by_name(locate_training_rows(config.dataset, "dataset")) == "rows"
    for more in ((), ("dataset.eval_split=held",), ("dataset.eval_path=other/data", "dataset.eval_split=held")):
        place = locate_held_out_rows(compose_config(*given, *more).dataset, "dataset")
        if place is not None:
            load_by_name(place)
    place = locate_confirming_rows(compose_config(*given, "dataset.confirm_split=last").dataset, "dataset")
    assert place is not None
    load_by_name(place)
    assert asked.pop() == (path, "odd", {"split": "last", "revision": "7"})
    assert asked == [
        (path, "odd", {"split": "part", "revision": "7"}),
        (path, "odd", {"split": "held", "revision": "7"}),
        ("other/data", "odd", {"split": "held", "revision": "7"}),
    ]


def test_the_columns_of_pairs(compose_config: Compose, tmp_path: Path) -> None:
    from rlhf_sweeps.data import load_pairs

    lines = "".join(f'{{"q": "Question {n}?", "yes": "good {n}", "no": "bad {n}"}}\n' for n in range(30))
    (tmp_path / "x.jsonl").write_text(lines, encoding="utf-8")
    given = ("prompt_column=q", "chosen_column=yes", "rejected_column=no")
    config = compose_config(
        "dataset=local", f"dataset.path={tmp_path / 'x.jsonl'}", *(f"dataset.{one}" for one in given)
    )
    pairs = load_pairs(config.dataset)
    texts = repr(pairs)
    assert "'good 3'" in texts
    assert "'bad 3'" in texts
    assert texts.index("'good 3'") < texts.index("'bad 3'")
