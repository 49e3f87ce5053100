"""Values as JSON has them, and packed into the page."""

import base64
import gzip
import json
import math
import re

import numpy as np
from helpers.report_records import ATTACK

from analysis.output.embed import embed_json
from analysis.output.plain_values import convert_to_plain


def test_numbers_are_short_and_those_that_are_not_finite_are_null() -> None:
    value = {"a": [1 / 3, math.nan, math.inf, 2.0], "b": np.array([[1.23456789, 1e-9]]), 3: (True, None, np.int64(4))}
    assert convert_to_plain(value, 5) == {
        "a": [0.33333, None, None, 2],
        "b": [[1.2346, 1e-9]],
        "3": [True, None, 4],
    }
    assert convert_to_plain([1 / 3, np.float64(-math.inf)]) == [1 / 3, None]


def test_the_page_holds_letters_only() -> None:
    assert base64.b64decode(embed_json({"a": 1}))[4:8] == bytes(4)  # no time of day in gzip's head
    packed = embed_json({"text": f"{ATTACK} \ud800"})
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", packed)
    assert json.loads(gzip.decompress(base64.b64decode(packed)))["text"] == f"{ATTACK} ?"
