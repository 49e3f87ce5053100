"""References to variables: what a config knows of them, what is recorded, and what becomes of secrets in the config."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Compose
from omegaconf import OmegaConf

from rlhf_sweeps.command_line.hydra_answers import answer_questions
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.lifted_secrets import learn_words, lift, refuse_masked
from rlhf_sweeps.config.references import (
    attach_references,
    read_reference,
    read_with_references,
    redact,
    take_fingerprints,
)
from rlhf_sweeps.config.schema import as_dict
from rlhf_sweeps.record import hide, hiding
from rlhf_sweeps.record.redaction import LIFTED

CALLABLE = ("reward_model=callable", "reward_model.function=a.b")
KEY = "reward_model.arguments"


@pytest.fixture(autouse=True)
def nothing_lifted() -> Iterator[None]:
    yield
    for name in [name for name in os.environ if name.startswith(LIFTED)]:
        del os.environ[name]


def test_the_config_has_values_and_the_record_references(
    compose_config: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "FOLDER": "/data",
        "RATE": "3e-5",
        "COUNT": "4",
        "COLUMN": "prompt",
        "METRIC": "eval/kl",
    }.items():
        monkeypatch.setenv(name, value)
    config = compose_config(
        *CALLABLE,
        "dataset.path='${oc.env:FOLDER}/x.jsonl'",
        "dataset.prompt_column='${oc.env:COLUMN}'",
        "ppo.lr='${oc.env:RATE}'",
        "ppo.value_lr='${oc.decode:${oc.env:RATE}}'",
        "objective.metrics=['${oc.env:METRIC}']",
        f"+{KEY}.count='${{oc.decode:${{oc.env:COUNT}}}}'",
        f"+{KEY}.texts=['${{oc.env:COLUMN}}',plain]",
        "reward_model.timeout='${oc.env:COUNT}'",
        "eval.judges=[{reward_model: local, path: '${oc.env:FOLDER}'}]",
    )
    arguments: Any = config.reward_model
    assert (config.dataset.path, config.ppo.lr, arguments.arguments) == (
        "/data/x.jsonl", 3e-5, {"count": 4, "texts": ["prompt", "plain"]}
    )  # fmt: skip
    plain = as_dict(config)
    assert plain["dataset"]["path"] == "${oc.env:FOLDER}/x.jsonl"
    assert plain["dataset"]["prompt_column"] == "${oc.env:COLUMN}"
    assert plain["reward_model"]["arguments"] == {
        "count": "${oc.decode:${oc.env:COUNT}}",
        "texts": ["${oc.env:COLUMN}", "plain"],
    }
    assert plain["eval"]["judges"][0]["path"] == "${oc.env:FOLDER}"
    # Numbers and words of closed lists make the result what it is, and are no secrets.
    assert (plain["ppo"]["lr"], plain["ppo"]["value_lr"], plain["reward_model"]["timeout"]) == (3e-5, 3e-5, 4.0)
    assert plain["objective"]["metrics"] == ["eval/kl"]
    assert read_reference(config.dataset.path) == "${oc.env:FOLDER}/x.jsonl"
    assert read_reference(config.model.path) is None


def test_what_is_made_of_a_reference_is_one(compose_config: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIZE", "small")
    plain = as_dict(compose_config("model.name='m-${oc.env:SIZE}'", "dataset.subset='${model.name}-${oc.env:GONE,x}'"))
    assert plain["name"] == plain["model"]["name"] == "m-${oc.env:SIZE}"
    assert plain["dataset"]["subset"] == "m-${oc.env:SIZE}-${oc.env:GONE,x}"


def test_variables_resolve_as_before_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIZE", "small")
    node = OmegaConf.create({"a": "${oc.env:SIZE}", "b": "${oc.decode:${oc.env:SIZE}}", "c": "${oc.select:a}"})
    assert read_with_references(node) == {
        "a": "${oc.env:SIZE}",
        "b": "${oc.decode:${oc.env:SIZE}}",
        "c": "${oc.env:SIZE}",
    }
    assert OmegaConf.to_container(node, resolve=True) == {"a": "small", "b": "small", "c": "small"}


def test_an_answer_of_hydra_keeps_the_reference_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "variable-one")
    node = OmegaConf.create({"a": "${now:%%}/${oc.env:MY_TOKEN}/${oc.decode:${oc.env:MY_TOKEN}}"})
    OmegaConf.register_new_resolver("now", lambda pattern: pattern, replace=True)
    answer_questions(node)
    assert OmegaConf.to_container(node) == {"a": "%%/${oc.env:MY_TOKEN}/${oc.decode:${oc.env:MY_TOKEN}}"}


def test_secrets_become_references_that_give_them_again() -> None:
    secrets = {
        "arguments": {
            "api_key": "sk-\\${x}",
            "pin_token": 471,
            "auth": {"user": "me"},
            "url": "https://me:hunter2@host/?token=abcdef",
            "password": None,
            "pad_token": "<pad>",
            "secret": "${oc.env:GONE,fallback}",
        }
    }
    node = OmegaConf.create(secrets)
    before = OmegaConf.to_container(node, resolve=True)
    lift(node, {})
    text = OmegaConf.to_yaml(node)
    for secret in ("sk-", "471", ": me", "hunter2", "abcdef", "fallback"):
        assert secret not in text
    assert "<pad>" in text
    assert OmegaConf.to_container(node, resolve=True) == before
    assert redact(OmegaConf.to_container(node))["arguments"] == {
        "api_key": "***", "pin_token": "***", "auth": {"user": "***"}, "url": "https://me:***@host/?token=***",
        "password": None, "pad_token": "<pad>", "secret": "***",
    }  # fmt: skip


def test_a_literal_beside_a_reference_is_lifted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIZE", "small")
    node = OmegaConf.create({"api_key": "sk-abc-${oc.env:SIZE}", "auth": "Bearer ${oc.env:SIZE}"})
    lift(node, {})
    assert node.api_key == "sk-abc-small"
    assert OmegaConf.to_container(node) == {
        "api_key": f"${{oc.env:{LIFTED}API_KEY}}", "auth": "Bearer ${oc.env:SIZE}"
    }  # fmt: skip


def test_passwords_are_lifted_by_their_places() -> None:
    """Each of these stands in the reference that is put in another's place."""
    url = "https://me:env@host/?token=oc&password=RLHF&x=env"
    node = OmegaConf.create({"url": url})
    lift(node, {})
    assert node.url == url
    (text,) = OmegaConf.to_container(node).values()  # type: ignore[union-attr]
    assert redact({"url": text})["url"] == "https://me:***@host/?token=***&password=***&x=env"


def test_a_masked_setting_has_a_fingerprint_and_a_credential_has_none(compose_config: Compose) -> None:
    found = []
    for value in ("Yes", "No"):
        config = compose_config(
            *CALLABLE, f"+{KEY}.token={value}", f"+{KEY}.api_key={value}x", f"+{KEY}.auth.a={value}"
        )
        node = OmegaConf.create({"reward_model": {"arguments": config.reward_model.arguments}})
        lift(node, {})
        attach_references(config.reward_model, read_with_references(node)["reward_model"])
        found.append(take_fingerprints(config, "salt"))
    prefix = f"${{oc.env:{LIFTED}REWARD_MODEL_ARGUMENTS_"
    assert list(found[0]) == list(found[1]) == [f"{prefix}AUTH_A}}", f"{prefix}TOKEN}}"]
    assert not set(found[0].values()) & set(found[1].values())


@pytest.mark.parametrize(
    ("word", "secret"),
    [
        ("+m.arguments={a: {api_key: hunter2x}}", "hunter2x"),
        ("+m.arguments={api_key: hunter2x, oops", "hunter2x"),
        ("m.api_key='hunter2x','hunter3x'", "hunter3x"),
        ("model.path=https://me:hunter2x@h/x", "hunter2x"),
        ("m.api_key='${oc.env:PLAIN}'", "plain/x"),
        ("m.note='${oc.env:GONE_TOKEN,fall-back}'", "fall-back"),
        ("ppo.lr='${oc.env:HF_TOKEN}'", "hf-hunter2secret"),
        ("m.api_key='sk-abc-${oc.env:HOME}'", "sk-abc-"),
    ],
)
def test_secrets_of_the_command_line_are_known_at_once(word: str, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hiding, "_secrets", set())
    monkeypatch.setenv("PLAIN", "plain/x")
    monkeypatch.setenv("HF_TOKEN", "hf-hunter2secret")
    learn_words([word])
    assert hide(f"refused: {secret} and {KEY}") == f"refused: *** and {KEY}"


def test_three_asterisks_are_a_text_where_nothing_is_masked() -> None:
    refuse_masked({"ppo": {"stop_strings": ["***"]}})
    for content in ({"api_key": "***"}, {"reward_model": {"arguments": {"x": "***"}}}, {"url": "https://me:***@h"}):
        with pytest.raises(ConfigError, match="its secret is masked"):
            refuse_masked(content)


def test_one_key_has_one_secret_in_a_sweep() -> None:
    lifted: dict[str, str] = {}
    lift(OmegaConf.create({"api_key": "first"}), lifted)
    lift(OmegaConf.create({"api_key": "first"}), lifted)
    with pytest.raises(ConfigError, match=r"^api_key: has several secrets in this sweep") as told:
        lift(OmegaConf.create({"api_key": "second"}), lifted)
    assert "second" not in str(told.value)


def test_a_fingerprint_tells_values_apart_and_not_what_they_are(
    compose_config: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for value in ("one", "other", "one"):
        monkeypatch.setenv("MY_NOTE", value)
        config = compose_config(*CALLABLE, f"+{KEY}.note='${{oc.env:MY_NOTE}}'", f"+{KEY}.token='${{oc.env:MY_NOTE}}'")
        found.append(take_fingerprints(config, "salt")["${oc.env:MY_NOTE}"])
    assert found[0] == found[2] != found[1]
    assert take_fingerprints(config, "other salt")["${oc.env:MY_NOTE}"] != found[0]


def test_what_a_reference_gives_under_a_secrets_key_is_known(
    compose_config: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hiding, "_secrets", set())
    for name, value in {"A": "se/cr/et", "B": "pw12", "C": "[x-y-z,4711]", "D": "in/auth", "STAGE": "complete"}.items():
        monkeypatch.setenv(name, value)
    compose_config(
        *CALLABLE, f"+{KEY}.api_key='${{oc.env:A}}'", f"+{KEY}.password='${{oc.env:B}}'",
        f"+{KEY}.secret='${{oc.decode:${{oc.env:C}}}}'", f"+{KEY}.auth.basic=['${{oc.env:D}}']",
        "tracking.tags=['${oc.env:STAGE}']",
    )  # fmt: skip
    assert hide("se/cr/et pw12 x-y-z 4711 in/auth complete") == "*** *** *** *** *** complete"
