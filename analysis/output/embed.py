"""Data inside the page: numbers rounded, compressed, and safe between script tags."""

import base64
import gzip
import json
import math
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

# Significant digits that a plot can show.
_DIGITS = 5


def embedded(value: Any) -> str:
    """JSON, gzip and base64: a text of letters, digits, +, / and = only."""
    text = json.dumps(plain(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return _packed(text.encode("utf-8", errors="replace"))  # half of a surrogate pair is no text


@cache
def plotly_script() -> tuple[str, str]:
    """Plotly's script as the page carries it, and the sha256 that a content security policy names it by."""
    content = files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    return _packed(content), script_hash(content)


def script_hash(content: bytes) -> str:
    """The source expression of an inline script (https://www.w3.org/TR/CSP3/#grammardef-hash-source)."""
    import hashlib

    return f"'sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode('ascii')}'"


def plain(value: Any) -> Any:
    """A value as JSON has it: floats with 5 significant digits, what is no number as null, arrays as lists."""
    if isinstance(value, Mapping):
        if set(value) >= {"dtype", "bdata"}:  # how Plotly writes an array
            return plain(_array(value))
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _numbers(value) if value.dtype.kind in "fiu" else [plain(item) for item in value.tolist()]
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return _rounded(float(value))
    return str(value)


def _numbers(array: np.ndarray[Any, Any]) -> Any:
    if array.ndim > 1:
        return [_numbers(row) for row in array]
    return [_rounded(item) for item in array.tolist()]


def _rounded(value: float) -> float | int | None:
    if not math.isfinite(value):
        return None
    short = float(f"{value:.{_DIGITS}g}")
    return int(short) if short == int(short) and abs(short) < 1e15 else short


def _array(value: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    array = np.frombuffer(base64.b64decode(value["bdata"]), dtype=np.dtype(value["dtype"]))
    shape = value.get("shape")
    return array.reshape([int(size) for size in str(shape).split(",")]) if shape else array


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode("ascii")
