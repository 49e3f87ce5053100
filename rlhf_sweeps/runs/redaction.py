"""What of a config is a secret, and how it is shown where configs are recorded, sent, printed or displayed: as ***.

A reference, ${oc.env:NAME}, holds no secret and stays as it is written. Where something is taken for a secret that is
none, too much is masked at worst: nothing that is computed with comes by here.
"""

import functools
import os
import re
import urllib.parse
from collections.abc import Iterable
from typing import Any

MASK = "***"  # as SQLAlchemy has it
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRETS = re.compile(r".*(password|passwd|passphrase|passcode|secret|secrets|credential|credentials|apikey|authtoken)")
_OTHERS = ("pwd", "auth", "authorization", "bearer", "cookie", "jwt")
# The last word of a name that says where a secret is, or what it is like.
_ABOUT = ("file", "path", "dir", "folder", "name", "column", "env", "variable", "length", "policy", "type", "hint")
# What stands before the token of a vocabulary, and the key of a mapping.
_OF_TEXT = (
    "pad", "padding", "eos", "bos", "unk", "mask", "sep", "cls", "stop", "start", "end", "begin", "image", "video",
    "audio", "special", "per", "new", "first", "last", "next", "previous", "prompt", "response", "think", "thinking",
)  # fmt: skip
_OF_DATA = (
    "prompt", "response", "chosen", "rejected", "text", "column", "sort", "primary", "foreign", "dict", "json", "data",
    "label", "score", "group", "row", "input", "output", "message", "messages", "content", "public", "cache", "swept",
)  # fmt: skip
# SCHEME://USER:PASSWORD@; where there are several @, the last one may be the place's.
_PASSWORD = re.compile(r"(://[^:/@\s]*:)([^@]*(?:@[^@\s,'\"]*(?=@))*)@")
_USER = re.compile(r"(?<=://)([^:/@\s${}]+)(?=@)")
_PARAMETER = re.compile(r"([?&;])([\w.%-]+)=([^&#;\s,'\"\]}]*)")
_ENTRY = re.compile(
    r"""(?P<name>[\w.-]+)(?P<sign>['"]?\s*:\s*)"""
    r"""(?P<value>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\{[^{}]*\}|\[[^\[\]]*\]|(?:\$\{[^}]*\}|[^,{}\[\]])+)"""
)
_OVERRIDE = re.compile(r"(?P<key>[-+~]*[\w./@:\[\]-]+)=(?P<value>.*)", re.DOTALL)
_REFERENCE = re.compile(r"(?<!\\)\$\{")
# A reference with a value for where there is no such variable.
_DEFAULT = re.compile(r"(?P<start>\$\{\s*oc\.env:\s*(?P<variable>[^,{}\s]+)\s*,)(?P<default>[^{}]*)(?=\})")
_VARIABLE = re.compile(r"\$\{\s*oc\.env:\s*([^,{}\s]+)")
NOTHING = ("", "null", "None", "true", "false", "''", '""', "{}", "[]")
# Variables of ours that hold what stood in the config itself; see references.py.
LIFTED = "RLHF_SWEEPS_SECRET_"
_LIFTED = re.compile(rf"\$\{{oc\.decode:\$\{{oc\.env:{LIFTED}\w+\}}\}}|\$\{{oc\.env:{LIFTED}\w+\}}")


@functools.lru_cache(maxsize=10_000)
def is_secret(name: str) -> bool:
    """Whether a key or a variable is named like a secret; names are read by whole words, in any case.

    These are secrets: password (also passwd, passphrase, db_password, PGPASSWORD), secret, credentials, auth,
    authorization; a token as the last word, unless the word before it belongs to a vocabulary (pad_token, eos_token,
    per_token); a key after another word (api_key, OPENAI_KEY, X-API-Key), unless that belongs to data (prompt_key,
    sort_key, public_key). These are none: tokens, max_new_tokens, token_mean, key, monkey, password_file, secret_name.
    """
    words = [word.lower() for word in _WORDS.findall(name)]
    if words[-1:] == ["value"]:
        words.pop()
    if not words or words[-1] in _ABOUT:
        return False
    if any(_SECRETS.fullmatch(word) for word in words) or words[-1] in _OTHERS or words in (["pass"], ["db", "pass"]):
        return True
    before = words[-2] if len(words) > 1 else ""
    if words[-1] == "token":
        return before not in _OF_TEXT
    return (words[-1] == "key" and before not in ("", *_OF_DATA)) or "api key" in " ".join(words)


def is_masked(text: str) -> bool:
    """Whether a text stands where something was masked, and so cannot be used."""
    return text == MASK or f":{MASK}@" in text or f"//{MASK}@" in text or bool(re.search(r"=\*\*\*($|[&#;])", text))


def variables(text: str) -> list[str]:
    """The environment variables that a text refers to."""
    return _VARIABLE.findall(text)


def passwords(text: str) -> list[str]:
    """What is secret in the URLs of a text: as it is written, and decoded."""
    found = [match[2] for match in _PASSWORD.finditer(text)]
    if text.startswith(("http://", "https://", "git+")):
        found += [match[1] for match in _USER.finditer(text)]
    found += [match[3] for match in _PARAMETER.finditer(text) if "://" in text and is_secret(match[2])]
    found = [one for one in found if one and not _REFERENCE.search(one) and one != MASK]
    return list(dict.fromkeys([*found, *map(urllib.parse.unquote, found)]))


def masked_url(text: str) -> str:
    """A text with the passwords of its URLs masked: of the user, and in parameters that are named like secrets."""
    if "://" not in text:
        return text
    for secret in sorted(passwords(text), key=len, reverse=True):
        for before, after in ((":", "@"), ("//", "@"), ("=", "")):
            text = text.replace(f"{before}{secret}{after}", f"{before}{MASK}{after}")
    return text


def masked(content: Any, name: str = "") -> Any:
    """Plain values, nested, with the secrets among them masked.

    Args:
        name: the key that they stand under.
    """
    if isinstance(content, dict):
        return {key: masked(value, name if is_secret(name) else str(key)) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [masked(value, name) for value in content]
    if isinstance(content, str):
        content = _LIFTED.sub(MASK, content)
    if is_secret(name) and not isinstance(content, bool) and content is not None and not _is_open(str(content)):
        return MASK
    return _masked_text(content, is_secret(name)) if isinstance(content, str) else content


def masked_word(word: str) -> str:
    """A word of a command line: an override of Hydra's, or an option with its value."""
    word = _LIFTED.sub(MASK, word)
    found = _OVERRIDE.fullmatch(word)
    if found is None or "://" in found["key"]:
        return _masked_text(word, is_of_secret=False)
    key, value = found["key"], found["value"]
    is_of_secret = any(is_secret(part) for part in re.split(r"[.@:\[\]]", key))
    if is_of_secret and not _is_open(value):
        return f"{key}={MASK}"
    return f"{key}={_masked_text(_ENTRY.sub(_masked_entry, value), is_of_secret)}"


def masked_words(words: Iterable[str]) -> list[str]:
    """Those of a command line."""
    return [masked_word(word) for word in words]


def _masked_entry(entry: re.Match[str]) -> str:
    value = entry["value"]
    if value.startswith("//"):  # of a URL
        return entry[0]
    if is_secret(entry["name"]):
        shown = _masked_text(value, is_of_secret=True) if _is_open(value.strip()) else MASK
        return f"{entry['name']}{entry['sign']}{shown}"
    return f"{entry['name']}{entry['sign']}{_ENTRY.sub(_masked_entry, value)}"


def _masked_text(text: str, is_of_secret: bool) -> str:
    """A text with the passwords of its URLs masked, and what references to secrets give where there is no variable."""

    def mask_default(found: re.Match[str]) -> str:
        is_plain = found["default"].strip() in NOTHING or not (is_of_secret or is_secret(found["variable"]))
        return found[0] if is_plain else f"{found['start']}{MASK}"

    return masked_url(_DEFAULT.sub(mask_default, text))


def _is_open(value: str) -> bool:
    """Whether a value of a secret's key gives nothing away: it is a reference, or there is none."""
    return value in NOTHING or bool(_REFERENCE.search(value))


def lifted_variables() -> dict[str, str]:
    """The variables of this process that hold secrets of configs, for processes that do not inherit them."""
    return {name: value for name, value in os.environ.items() if name.startswith(LIFTED)}
