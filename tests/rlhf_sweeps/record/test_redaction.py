"""What counts as a secret, and what is left of it: names by whole words, URLs as SQLAlchemy masks them, configs."""

import json
import logging
import sys

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from sqlalchemy import make_url

from rlhf_sweeps.config.fields import format_value
from rlhf_sweeps.record import (
    hide,
    hide_in_log,
    hide_in_summary,
    hide_in_tracebacks,
    hiding,
    mask_secrets,
    mask_url,
    mask_word,
    remember,
)
from rlhf_sweeps.record.redaction import (
    find_password_variables,
    find_passwords,
    is_masked,
    is_secret,
    is_secret_variable,
)
from rlhf_sweeps.wording import cut

SECRETS = (
    "password", "PASSWORD", "db_password", "dbPassword", "PGPASSWORD", "sslpassword", "passwd", "passphrase",
    "secret", "client_secret", "secrets", "pwd", "aws_secret_access_key", "api_key", "apiKey", "API-Key", "X-API-Key",
    "apikey", "api_key_2", "OPENAI_KEY", "OPENAI_API_KEY", "private_key", "token", "TOKEN", "hf_token",
    "HF_TOKEN", "authToken", "access_token", "token_value", "Authorization", "auth", "credentials", "bearer",
    "reward_model.arguments.api_key", "passwords", "api_keys", "access_tokens", "secretkey", "accesskey", "HFTOKEN",
    "cookie", "cookies", "credential", "password1", "github_token", "refresh_token", "MY_TOKEN", "ONE_KEY",
)  # fmt: skip
NONE = (
    "tokens", "max_new_tokens", "pad_token", "eos_token", "bos_token", "unk_token", "pad_token_id", "token_id",
    "token_mean", "per_token", "tokenizer", "token_budget", "key", "keys", "monkey", "keyboard", "prompt_key",
    "sort_key", "public_key", "password_file", "secret_name", "lr", "name", "author", "passes", "stop_strings",
    "bypass", "secretary", "yes_token", "no_token", "eot_token", "assistant_token", "YES_TOKEN", "answer_key",
    "search_key", "target_key",
)  # fmt: skip


@pytest.mark.parametrize("name", SECRETS)
def test_named_like_a_secret(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", NONE)
def test_not_named_like_a_secret(name: str) -> None:
    assert not is_secret(name)


def test_the_folder_of_a_shell_is_no_secret() -> None:
    assert [is_secret_variable(name) for name in ("PWD", "OLDPWD", "DB_PWD", "MY_TOKEN")] == [False, False, True, True]
    assert is_secret("PWD")  # as a config's key it may be a password
    assert mask_word("a.b='${oc.env:PWD,/data}'") == "a.b='${oc.env:PWD,/data}'"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@host/db",
        "postgresql+psycopg://me:hunter2@host:5432/db?sslmode=require",
        "mysql://me:h%40nter2@host/db",
        "redis://:hunter2@host",
        "sqlite:////folder/study.db",
        "postgresql://me@host/db",
    ],
)
def test_passwords_are_masked_as_sqlalchemy_does(url: str) -> None:
    assert mask_url(url) == make_url(url).render_as_string(hide_password=True)


def test_what_sqlalchemy_does_not_mask() -> None:
    assert mask_url("mysql://h/db?user=me&password=hunter2&x=1") == "mysql://h/db?user=me&password=***&x=1"
    assert mask_url("postgresql://me:p@ss/w?rd@host:1/db") == "postgresql://me:***@host:1/db"
    assert mask_url("https://ghp_123@github.com/a/b") == "https://***@github.com/a/b"
    assert mask_url("https://host/x?access_token=abc#top") == "https://host/x?access_token=***#top"
    assert mask_url("postgresql://me:${oc.env:PW}@host/db") == "postgresql://me:${oc.env:PW}@host/db"
    assert mask_url("postgresql://me:hunter2${oc.env:PW}@host/db") == "postgresql://me:***${oc.env:PW}@host/db"
    assert mask_url("postgresql://me:${oc.env:PW}2@h/db?a=${oc.env:B}") == (
        "postgresql://me:${oc.env:PW}***@h/db?a=${oc.env:B}"
    )
    assert mask_url("db://h?password=a${oc.env:A}b${oc.env:B,'c@d'}") == (
        "db://h?password=***${oc.env:A}***${oc.env:B,'***'}"
    )
    assert mask_url("db://${oc.env:ME}:a@h, db://me:${oc.env:A,${oc.env:B,c}}@h") == (
        "db://${oc.env:ME}:***@h, db://me:${oc.env:A,${oc.env:B,***}}@h"
    )
    assert mask_url("https://a${oc.env:TOKEN}@h") == "https://***${oc.env:TOKEN}@h"
    assert mask_url("postgresql://me:a%40b%2fc@h/db?pass%77ord=x%26y") == "postgresql://me:***@h/db?pass%77ord=***"
    assert find_passwords("postgresql://me:a%40b%2fc@h") == ["a%40b%2fc", "a@b/c"]
    assert find_password_variables("db://${oc.env:ME}:a${oc.env:A}@h?token=${oc.env:B}&c=${oc.env:C}") == ["A", "B"]
    assert mask_url("postgresql:/me:hunter2@h/db") == "postgresql:/me:***@h/db"
    assert mask_url("postgresql:me:pw@h") == "postgresql:me:***@h"
    assert mask_url("mysql://h/db?password=p,hunter2&x=1") == "mysql://h/db?password=***&x=1"
    assert mask_url("https://h:8000/score?mail=me@x.org") == "https://h:8000/score?mail=me@x.org"
    assert mask_url("https://me:8000@h/x") == "https://me:***@h/x"
    assert find_passwords("mysql://me:h%40nter2@host/db") == ["h%40nter2", "h@nter2"]


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("hydra.sweeper.storage=postgresql://u:hunter2@h/db", "hydra.sweeper.storage=postgresql://u:***@h/db"),
        ("+m.arguments.api_key=sk-1", "+m.arguments.api_key=***"),
        ("m.arguments.secrets.a=3", "m.arguments.secrets.a=***"),
        ("m.arguments.api_key='a, b'", "m.arguments.api_key=***"),
        ("m.arguments.api_key=${oc.env:KEY}", "m.arguments.api_key=${oc.env:KEY}"),
        ("m.arguments.api_key=${oc.env:KEY,sk-1}", "m.arguments.api_key=${oc.env:KEY,***}"),
        ("m.note=${oc.env:HF_TOKEN,sk-1}", "m.note=${oc.env:HF_TOKEN,***}"),
        ("m.arguments.api_key=null", "m.arguments.api_key=null"),
        ("m.arguments={api_key: sk-1, max_new_tokens: 3}", "m.arguments={api_key: ***, max_new_tokens: 3}"),
        ('m.arguments={"api_key": "sk, 1"}', 'm.arguments={"api_key": ***}'),
        ("j=[{k: callable, a: {password: 'a, b', x: 1}}]", "j=[{k: callable, a: {password: ***, x: 1}}]"),
        (
            "m.a={headers: {Authorization: Bearer x}, u: 'http://u:p@h'}",
            "m.a={headers: {Authorization: ***}, u: 'http://u:***@h'}",
        ),
        (
            "+m.a={a:1,auth:{basic:{user:me,pin:hunter2x}},b:{c:{api_key:x,d:2}}}",
            "+m.a={a:1,auth:***,b:{c:{api_key:***,d:2}}}",
        ),
        (r"m.a={api_key: sk\,abc}", "m.a={api_key: ***}"),
        ("m.a={api_key:[x,{y:z}],b:1}", "m.a={api_key:***,b:1}"),
        ("m.a.api_key='sk-abc-${oc.env:HOME}'", "m.a.api_key=***"),
        ("m.a.api_key='Bearer ${oc.env:KEY}'", "m.a.api_key='Bearer ${oc.env:KEY}'"),
        ("m.a.auth='https://me:${oc.env:KEY}@h'", "m.a.auth='https://me:${oc.env:KEY}@h'"),
        ("m.u='http://h/x?token=p,hunter2'", "m.u='http://h/x?token=***'"),
        ("--storage=postgresql://u:p@h", "--storage=postgresql://u:***@h"),
        ("ppo.lr=1e-4,1e-5", "ppo.lr=1e-4,1e-5"),
        ("ppo.stop_strings=[a,b]", "ppo.stop_strings=[a,b]"),
    ],
)
def test_words_of_a_command_line(word: str, shown: str) -> None:
    assert mask_word(word) == shown
    assert mask_word(shown) == shown
    if not word.startswith("-") and '"' not in word:
        OverridesParser.create().parse_override(word)  # Hydra takes what is tested here


def test_what_hydra_cannot_read_is_masked_to_its_end() -> None:
    assert mask_word("+m.a={api_key:hunter2") == "+m.a={api_key:***"
    assert mask_word("m.a={b:1,api_key:'hunter2,x}") == "m.a={b:1,api_key:***"


def test_values_nested_in_a_config() -> None:
    config = {
        "arguments": {"api_key": "sk-1", "pin": 7, "tokens": [1], "auth": {"user": "me", "code": 9}, "password": None},
        "url": "http://u:p@h",
        "list": [{"token": "t"}, "${oc.env:TOKEN,abc}"],
        "path": "${oc.env:HOME}/x",
    }
    assert mask_secrets(config) == {
        "arguments": {
            "api_key": "***",
            "pin": 7,
            "tokens": [1],
            "auth": {"user": "***", "code": "***"},
            "password": None,
        },
        "url": "http://u:***@h",
        "list": [{"token": "***"}, "${oc.env:TOKEN,***}"],
        "path": "${oc.env:HOME}/x",
    }
    assert mask_secrets(mask_secrets(config)) == mask_secrets(config)


def test_what_is_masked_is_known_for_it() -> None:
    assert all(
        map(
            is_masked,
            (
                "***",
                "postgresql://me:***@h/db",
                "https://***@h",
                "mysql://h/db?password=***&a=1",
                "db://me:***${oc.env:A}@h",
            ),
        )
    )
    assert not any(map(is_masked, ("**", "a***b", "postgresql://me:x@h", "text with *** in it")))


def test_texts_of_others_lose_what_the_process_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hiding, "_secrets", set())
    remember("hunter2", "hunter2-and-more", "abc", "true")
    assert hide("got hunter2-and-more, not hunter2; abc is true") == "got ***, not ***; abc is true"


def test_secrets_are_known_as_they_are_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hiding, "_secrets", set())
    key = "-----BEGIN KEY-----\nMIIEowIBAAKCAQEA\nq8+/Zw==\n-----END KEY-----\n"
    remember(key, "tab\there", "a b&c/dé")
    told = (repr({"k": key}), json.dumps({"k": key}), f"line: {'MIIEowIBAAKCAQEA'}", " ".join(key.split()))
    assert not any("MIIEow" in hide(text) or "q8+" in hide(text) for text in told)
    assert [hide(text) for text in (repr("tab\there"), json.dumps("tab\there"))] == ["'***'", '"***"']
    for text in ("a%20b%26c/d%C3%A9", "a%20b%26c%2Fd%C3%A9", "a+b%26c%2Fd%C3%A9", '"a b&c/d\\u00e9"', '"a b&c/dé"'):
        assert hide(text).strip('"') == "***"


def test_our_own_words_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose status was hidden would not be known as complete."""
    monkeypatch.setattr(hiding, "_secrets", set())
    remember("complete", "comp", "none", "Bearer")
    summary = {"status": "complete", "stop_reason": None, "versions": {"complete": "1"}, "message": "got complete"}
    assert hide_in_summary(summary) == {**summary, "message": "got ***"}
    assert hide("Bearer: none") == "Bearer: none"
    assert hide("comp is no part of compute, as in x=comp,1") == "*** is no part of compute, as in x=***,1"


def test_an_exception_that_nobody_catches_shows_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hiding, "_secrets", set())
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    remember("hunter2")
    hide_in_tracebacks()
    error = KeyError("hunter2")
    sys.excepthook(KeyError, error, None)
    assert capsys.readouterr().err == "KeyError: '***'\n"


def test_a_secret_is_hidden_before_a_text_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hiding, "_secrets", set())
    remember("hunter2")
    assert cut("12345 hunter2", 9) == "12345 ***"
    assert format_value("x" * 196 + "hunter2") == "x" * 196 + "***"
    record = logging.makeLogRecord({"msg": "got %s", "args": ("hunter2",)})
    hide_in_log()
    assert all(found(record) for found in logging.getLogger("rlhf_sweeps").filters)
    assert record.getMessage() == "got ***"
