"""The date that a chat template prints: that of the record, whenever it is rendered."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from helpers.chat_tokenizers import llama_3
from transformers import PreTrainedTokenizerBase

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.models import template_date
from rlhf_sweeps.models.template_date import TemplateDate, hold_date, prints_date
from rlhf_sweeps.record import BaseRecord

# As Llama 3.1's does.
HEAD = (
    "{%- if not date_string is defined %}{%- if strftime_now is defined %}{%- set date_string = "
    'strftime_now("%d %b %Y") %}{%- else %}{%- set date_string = "26 Jul 2024" %}{%- endif %}{%- endif %}'
    "Today Date: {{ date_string }}\n"
)
TALK = [{"role": "user", "content": "How are you?"}]


def dated(head: str = HEAD) -> PreTrainedTokenizerBase:
    tokenizer: Any = llama_3()
    tokenizer.chat_template = head + tokenizer.chat_template
    return tokenizer


def rendered(tokenizer: PreTrainedTokenizerBase) -> str:
    return str(tokenizer.apply_chat_template(TALK, tokenize=False))


@pytest.fixture
def today(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """What day it is is the last of these."""
    days = [datetime(2026, 3, 9, 23, 59)]

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return days[-1]

    monkeypatch.setattr(template_date, "datetime", Clock)
    return days


def test_a_record_keeps_the_date_of_its_first_day(today: list[datetime], tmp_path: Path) -> None:
    first, second, other = dated(), dated(), dated()
    TemplateDate(BaseRecord(tmp_path / "a")).hold(first, "model.path=x")
    today.append(datetime(2026, 3, 10, 0, 1))
    TemplateDate(BaseRecord(tmp_path / "a")).hold(second, "reward_model.path=y")
    TemplateDate(BaseRecord(tmp_path / "b")).hold(other, "model.path=x")
    assert rendered(first).startswith("Today Date: 09 Mar 2026\n<|begin_of_text|>")
    assert first.chat_template == second.chat_template
    assert rendered(other).startswith("Today Date: 10 Mar 2026\n")


def test_what_is_exported_prints_it_too(tmp_path: Path) -> None:
    tokenizer = dated()
    hold_date(tokenizer, datetime(2025, 12, 31), "x")
    tokenizer.save_pretrained(tmp_path)
    again = type(tokenizer).from_pretrained(tmp_path)
    assert not prints_date(again) or "strftime_now(" not in str(again.chat_template)
    assert rendered(again).startswith("Today Date: 31 Dec 2025\n")


def test_a_template_without_a_date_is_left_alone(tmp_path: Path) -> None:
    tokenizer = llama_3()
    before = tokenizer.chat_template
    TemplateDate(BaseRecord(tmp_path / "a")).hold(tokenizer, "x")
    assert tokenizer.chat_template == before
    assert not (tmp_path / "a").exists()
    tokenizer.chat_template = None
    TemplateDate(BaseRecord(tmp_path / "a")).hold(tokenizer, "x")


def test_each_of_several_templates_is_held() -> None:
    tokenizer = dated()
    tokenizer.chat_template = {"default": "{{ strftime_now('%Y') }}", "tool_use": '{{ strftime_now( "%m" ) }}!'}  # type: ignore[assignment]
    hold_date(tokenizer, datetime(2025, 12, 31), "x")
    assert tokenizer.chat_template == {"default": "{{ '2025' }}", "tool_use": "{{ '12' }}!"}


def test_a_space_before_the_format_changes_nothing() -> None:
    tokenizer = dated("{% if strftime_now is not defined %}x{% endif %}{{ strftime_now ('%d %b %Y') }}")
    hold_date(tokenizer, datetime(2025, 12, 31), "x")
    assert rendered(tokenizer).startswith("31 Dec 2025<|begin_of_text|>")


@pytest.mark.parametrize(
    "head",
    [
        "{% set f = '%Y' %}{{ strftime_now(f) }}",
        "{% set f = strftime_now %}{{ f('%Y') }}",
        "{{ strftime_now(format='%d') }}",
        "{% if strftime_now is defined %}{{ [strftime_now][0]('%Y') }}{% endif %}",
    ],
)
def test_a_date_in_another_way_is_refused(head: str) -> None:
    with pytest.raises(
        ConfigError, match=r"^model.path=x: its chat template must print the date as strftime_now\('...'\)"
    ):
        hold_date(dated(head), datetime(2025, 12, 31), "model.path=x")


def test_a_date_that_is_lost_once_something_is_trained_is_told(
    today: list[datetime], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    TemplateDate(BaseRecord(tmp_path)).hold(dated(), "model.path=x")
    TemplateDate(BaseRecord(tmp_path), has_begun=True).hold(dated(), "model.path=x")
    assert "lost" not in caplog.text
    (tmp_path / "base" / "date.jsonl").unlink()
    today.append(datetime(2026, 3, 10, 0, 1))
    TemplateDate(BaseRecord(tmp_path), has_begun=True).hold(dated(), "model.path=x")
    assert "base/date.jsonl: lost" in caplog.text
    assert "prints 2026-03-10 from now on" in caplog.text
