"""Data inside the page: numbers rounded, compressed, and safe between script tags."""

import base64
import gzip
import json
from functools import cache
from importlib.resources import files
from typing import Any

from analysis.output.plain_values import convert_to_plain

# Significant digits that a plot can show; chosen.
_DIGITS = 5


def embed_json(value: Any) -> str:
    """JSON, gzip and base64: a text of letters, digits, +, / and = only."""
    text = json.dumps(convert_to_plain(value, _DIGITS), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return _pack(text.encode("utf-8", errors="replace"))  # half of a surrogate pair is no text


@cache
def read_plotly_script() -> tuple[str, str]:
    """Plotly's script as the page carries it, and the sha256 that a content security policy names it by."""
    content = files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    return _pack(content), hash_script(content)


def hash_script(content: bytes) -> str:
    """The source expression of an inline script (https://www.w3.org/TR/CSP3/#grammardef-hash-source)."""
    import hashlib

    return f"'sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode('ascii')}'"


def _pack(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode("ascii")
