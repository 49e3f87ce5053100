"""The settings of a record and those of a command that continues it."""

from typing import Any

from conftest import Compose

from rlhf_sweeps.config.differences import LATER_KEYS, complete_settings, describe_changed_settings, flatten
from rlhf_sweeps.config.schema import as_dict

CONFIRM = "embedded:human_like_mini/confirm.jsonl"
EARLIER: dict[str, Any] = {
    "model": {"suggested_lr": 1e-5},
    "dataset": {"sources": [{}]},
    "objective": {"kl_budget": 15.0},
}
NOW: dict[str, Any] = {
    "model": {"suggested_lr": 1e-5, "suggested_kl_budget": 15.0},
    "dataset": {
        "suggested_judges": [],
        "confirm_path": CONFIRM,
        "sources": [{"confirm_path": None, "suggested_judges": []}],
    },
    "eval": {"num_confirming": 128},
    "objective": {"kl_budget": 15.0, "kl_price": 0.1},
}


def test_keys_that_a_record_could_not_have_do_not_differ() -> None:
    assert describe_changed_settings(EARLIER, NOW) == ""
    assert complete_settings(flatten(EARLIER), flatten(NOW)) == flatten(NOW)
    assert complete_settings({}, {"ppo.lr": 1.0}) == {}


def test_data_sets_deep_in_a_list_are_completed_too() -> None:
    before = {"eval": {"judges": [{"name": "m", "pairs": {"path": "a"}}, {"members": [{"pairs": {"path": "b"}}]}]}}
    later: dict[str, Any] = {"confirm_path": None, "confirm_split": None, "suggested_judges": []}
    now = {
        "eval": {
            "judges": [
                {"name": "m", "pairs": {"path": "a", **later}},
                {"members": [{"pairs": {"path": "b", **later}}]},
            ]
        }
    }
    assert describe_changed_settings(before, now) == ""


def test_a_later_key_has_its_default_in_the_record() -> None:
    dearer = {**NOW, "objective": {"kl_budget": 15.0, "kl_price": 0.5}}
    assert describe_changed_settings(EARLIER, dearer) == "objective.kl_price was 0.1, is 0.5"


def test_other_differences_are_named() -> None:
    changed = {**NOW, "model": {"suggested_lr": 1e-4, "suggested_kl_budget": 15.0}, "eval": {"every": 5}}
    own_file = {**NOW, "dataset": {**NOW["dataset"], "confirm_path": "mine.jsonl"}}
    assert describe_changed_settings(EARLIER, own_file) == "dataset.confirm_path was None, is mine.jsonl"
    other_source = {**NOW, "dataset": {**NOW["dataset"], "sources": [{"path": "c"}]}}
    assert describe_changed_settings(EARLIER, other_source) == "dataset.sources was [{}], is [{'path': 'c'}]"
    text = "eval.every was None, is 5, model.suggested_lr was 1e-05, is 0.0001"
    assert describe_changed_settings(EARLIER, changed) == text


def test_defaults_of_later_keys_are_those_of_the_config(compose_config: Compose) -> None:
    present = flatten(as_dict(compose_config()))
    assert {key: present[key] for key in LATER_KEYS} == LATER_KEYS
