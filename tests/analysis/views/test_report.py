"""The report as a file: it needs nothing else, nothing in a record can harm it, and it stays small."""

import base64
import gzip
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.page_reader import Reader
from helpers.report_records import ATTACK, large, run, sweep

from analysis.records.runs import UNFINISHED, Source
from analysis.views.report import LIMIT, make_report_page, write_report


@pytest.fixture(scope="module")
def text() -> str:
    return make_report_page(sweep())


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
    x, y = view["metrics"]["objective/entropy"][names.index("3 (lr=0.0005012, kl_coef=0.02), the best")]
    assert x == list(range(1, 41))
    assert y[0] == 11.95
    assert "history-0" in data["figures"]


def test_a_part_that_cannot_be_made_is_named(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("a hole")

    monkeypatch.setattr("analysis.views.config.config_view", broken)
    shown = Reader(make_report_page(sweep())).text
    assert (
        shown.count("The tab Config could not be made (ValueError: a hole).") == 2
    )  # in its place, and among the problems
    assert "Trial 3 leads (not decided)" in shown
    assert "a hole" in caplog.text


def test_a_run_alone_has_no_comparison() -> None:
    one = replace(run(0), trial=None)
    read = Reader(make_report_page(Source("alone", "run", [one])))
    tabs = [attributes["aria-controls"] for _, attributes in read.tags if attributes.get("role") == "tab"]
    assert "compare" not in tabs
    assert "sweep" not in tabs
    assert "Run 0: its objective is 1." in read.text


def test_the_first_screen_of_a_run_alone_has_its_curves() -> None:
    """The five panels and the held-out score, each once; an unfinished run says how far it came."""
    one = replace(run(0), trial=None)
    data = json.loads(gzip.decompress(base64.b64decode(Reader(make_report_page(Source("s", "run", [one]))).scripts[0])))
    assert "curves-0" in data["figures"]
    begun = replace(one, config={**one.config, "ppo.total_episodes": 320, "ppo.batch_size": 4}, state=UNFINISHED)
    first_screen = Reader(make_report_page(Source("s", "run", [begun]))).text.partition("Smoothed over")[0]
    assert "A run, 40 of 80 updates" in first_screen
    for panel in ("Step reward", "Cumulative reward", "Policy loss", "Entropy", "KL divergence", "eval/score"):
        assert panel in first_screen
    assert " to 3.8 (mean of the last 5 updates, standard deviation 0.158)" in first_screen  # 3.6 to 4


def test_many_runs_fit() -> None:
    source = large(120, 400)
    text = make_report_page(source)
    assert len(text.encode()) < LIMIT
    data = json.loads(gzip.decompress(base64.b64decode(Reader(text).scripts[0])))
    (view,) = [view for view in data["curves"]["views"] if view["title"] == "single runs"]
    assert view["note"] == "named: the 5 best and the 3 worst by objective; grey: 24 of the 112 other runs"
    assert max(len(line[0]) for lines in view["metrics"].values() for line in lines if line) <= 200


def test_what_does_not_fit_is_made_smaller(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = large(20, 300)
    whole = len(make_report_page(source).encode())
    monkeypatch.setattr("analysis.views.report.LIMIT", whole - 1)
    smaller = write_report(source, tmp_path / "report.html").read_bytes()
    assert len(smaller) < whole


@pytest.mark.slow
def test_a_thousand_runs_of_a_thousand_updates_fit() -> None:
    assert len(make_report_page(large(1000, 1000)).encode()) < 5_000_000
