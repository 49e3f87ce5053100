"""What of a config is a secret, and how it is shown where configs are recorded, sent, printed or displayed: as ***.

A reference, ${oc.env:NAME}, holds no secret and stays as it is written. Where something is taken for a secret that is
none, too much is masked at worst: nothing that is computed with comes by here.
"""

import functools
import itertools
import os
import re
import urllib.parse
from collections.abc import Iterable, Iterator
from typing import Any

MASK = "***"  # as SQLAlchemy has it
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# What a token or a key is a secret after, in the name of a config's key.
_MAKERS = (
    "api", "access", "auth", "oauth", "secret", "private", "bearer", "session", "refresh", "client", "service",
    "account", "deploy", "license", "subscription", "encryption", "signing", "ssh", "master", "admin", "app",
    "server", "login", "pin", "personal", "x", "my", "hf", "hub", "huggingface", "face", "openai", "anthropic",
    "wandb", "aws", "azure", "github", "gitlab", "google", "gemini", "cohere", "mistral", "together", "groq",
    "replicate", "slack", "id", "jwt", "csrf",
)  # fmt: skip
_SECRETS = re.compile(
    r".*(passwords?|passwd|passphrases?|passcodes?|secrets?|credentials?"
    r"|(api|access|auth|secret|private|hf|hub|openai|wandb|github|session)(key|token)s?)"
)
_OTHERS = ("pwd", "auth", "authorization", "bearer", "cookie", "cookies", "jwt")
# The last word of a name that says where a secret is, or what it is like.
_ABOUT = ("file", "path", "dir", "folder", "name", "column", "env", "variable", "length", "policy", "type", "hint")
# What stands before the token of a vocabulary, and the key of a mapping.
_OF_TEXT = (
    "pad", "padding", "eos", "bos", "unk", "mask", "sep", "cls", "stop", "start", "end", "begin", "image", "video",
    "audio", "special", "yes", "no", "eot", "assistant", "user", "system", "answer", "per", "new", "first", "last",
    "next", "previous", "prompt", "response", "think", "thinking",
)  # fmt: skip
_OF_DATA = (
    "prompt", "response", "chosen", "rejected", "text", "column", "sort", "primary", "foreign", "answer", "search",
    "target", "dict", "json", "data", "label", "score", "group", "row", "input", "output", "message", "messages",
    "content", "public", "cache", "swept",
)  # fmt: skip
_REF = r"\$\{(?:[^{}]|\{[^{}]*\})*\}"


def _run_of(signs: str) -> str:
    """Any number of these signs and of references, which may hold all others."""
    return rf"(?:{_REF}|(?!{_REF})[{signs}])*"


_NAME, _REST = _run_of(r"^:/@\s"), _run_of(r"^@\s")
# SCHEME://USER:PASSWORD@; where there are several @, the last one may be the place's.
_PASSWORD = re.compile(rf"(://{_NAME}:)({_run_of('^@')}(?:@[^@\s,'\"]*(?=@))*)@")
_USER = re.compile(rf"(?<=://)({_NAME})(?=@)")
_PARAMETER = re.compile(r"([?&;])([\w.%-]+)=(" + _run_of(r"""^&#;\s,'"\]}""") + ")")
# A text that is one URL, perhaps in quotes; what would be one, but for a slash; a port, which is no password.
_ONE = re.compile(r"""['"]?[\w+.-]+://[^\s'"]*['"]?""")
_PARAMETER_OF_ONE = re.compile(r"([?&;])([\w.%-]+)=(" + _run_of(r"""^&#\s'\"""") + ")")
_ALMOST = re.compile(rf"""^['"]?[A-Za-z][\w+.-]*:/?{_NAME}:({_REST})@""")
_PORT = re.compile(r"\d{1,5}[/?#]")
_ENTRY = re.compile(r"""([\w.-]+)['"]?\s*:(?!//)\s*""")
_OVERRIDE = re.compile(r"(?P<key>[-+~]*[\w./@:\[\]-]+)=(?P<value>.*)", re.DOTALL)
_ANY_REFERENCE = re.compile(_REF)
_ONE_REFERENCE = re.compile(r"(?<!\\)\$\{[^{}]*\}")
_SCHEMES = ("bearer", "basic", "token", "apikey", "api-key", "key", "digest")
# A reference with a value for where there is no such variable.
_DEFAULT = re.compile(r"(?P<start>\$\{\s*oc\.env:\s*(?P<variable>[^,{}\s]+)\s*,)(?P<default>[^{}]*)(?=\})")
_VARIABLE = re.compile(r"\$\{\s*oc\.env:\s*([^,{}\s]+)")
NOTHING = ("", "null", "None", "true", "false", "''", '""', "{}", "[]")
# Variables of ours that hold what stood in the config itself; see literals.py.
LIFTED = "RLHF_SWEEPS_SECRET_"
# Gives the report the URL of a study, which everybody could read in the words of its command.
STORAGE = "RLHF_SWEEPS_STORAGE"
OF_DEFAULT = "__DEFAULT"  # the end of the name where it stood in a reference
WHOLE = re.compile(rf"\$\{{oc\.decode:\$\{{oc\.env:{LIFTED}\w+\}}\}}|\$\{{oc\.env:{LIFTED}\w+\}}")


@functools.lru_cache(maxsize=10_000)
def is_secret(name: str) -> bool:
    """Whether a key or a variable is named like a secret; names are read by whole words, in any case.

    These are secrets: password (also passwords, passphrase, db_password, PGPASSWORD), secret, credentials, auth,
    authorization, cookies; a token or a key after a word that makes one (access_token, api_key, X-API-Key); a token
    alone. A variable, in capitals, that ends with TOKEN or KEY is one (MY_TOKEN), unless the word before it belongs to
    a vocabulary (PAD_TOKEN) or to data (SORT_KEY). These are none: tokens, yes_token, max_new_tokens, token_mean, key,
    answer_key, monkey, password_file, secret_name.
    """
    words = [word.lower() for word in _WORDS.findall(name)]
    if words[-1:] == ["value"]:
        words.pop()
    if not words or words[-1] in _ABOUT:
        return False
    if any(_SECRETS.fullmatch(word) for word in words) or words[-1] in _OTHERS or words in (["pass"], ["db", "pass"]):
        return True
    if any(first == "api" and second in ("key", "keys") for first, second in itertools.pairwise(words)):
        return True
    before = words[-2] if len(words) > 1 else ""
    if words[-1] in ("token", "tokens", "key", "keys") and before in _MAKERS:
        return True
    if words[-1] == "token":
        return before == "" or (name.isupper() and before not in _OF_TEXT)
    return words[-1] == "key" and name.isupper() and before not in ("", *_OF_DATA)


def is_secret_variable(name: str) -> bool:
    """Whether a variable of the environment is named like a secret; PWD is the folder that a shell is in."""
    return name != "PWD" and is_secret(name)


def is_plain_credential(name: str) -> bool:
    """Whether what a secret's key holds only opens a door, so that no number depends on it."""
    return is_secret(name) and name.lower() not in ("token", "pass")


def is_masked(text: str) -> bool:
    """Whether a text stands where something was masked, and so cannot be used."""
    if text == MASK or f"//{MASK}@" in text or re.search(r"=\*\*\*($|[&#;])", text):
        return True
    return any(MASK in text[start:end] for start, end in _spans(text))


def variables(text: str) -> list[str]:
    """The environment variables that a text refers to."""
    return _VARIABLE.findall(text)


def defaults(text: str) -> list[str]:
    """What a text gives where there is no such variable."""
    return [match["default"].strip() for match in _DEFAULT.finditer(text)]


def places(text: str) -> list[tuple[int, int]]:
    """Where in the URLs of a text something is secret, from left to right: starts and ends, none within another.

    Of a password that mixes both, what stands there itself is, and its references are not.
    """
    spans = [part for start, end in _spans(text) for part in _literal_parts(text, start, end)]
    separate: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if start >= (separate[-1][1] if separate else 0):
            separate += [] if text[start:end] == MASK else [(start, end)]
    return separate


def _spans(text: str) -> list[tuple[int, int]]:
    """Where secrets stand in the URLs of a text, as literals or as references."""
    spans = [match.span(1) for match in _ALMOST.finditer(text)]
    for match in _PASSWORD.finditer(text):
        is_port = text[: match.start()].endswith(("http", "https")) and _PORT.match(match[2])
        spans += [] if is_port else [match.span(2)]
    if text.lstrip("'\"").startswith(("http://", "https://", "git+")):
        spans += [match.span(1) for match in _USER.finditer(text)]
    if "://" in text:
        # In a text that is one URL, a parameter ends where the next begins; in others, with the URL.
        parameters = _PARAMETER_OF_ONE if _ONE.fullmatch(text) else _PARAMETER
        spans += [match.span(3) for match in parameters.finditer(text) if is_secret(urllib.parse.unquote(match[2]))]
    return spans


def _literal_parts(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where in a part of a text something stands beside references, or in one, for where there is no variable."""
    for reference in _ANY_REFERENCE.finditer(text, start, end):
        if start < reference.start():
            yield start, reference.start()
        for default in _DEFAULT.finditer(text, *reference.span()):
            value = default["default"].strip(" '\"")
            if value not in (*NOTHING, MASK):
                yield (first := text.index(value, default.start("default"))), first + len(value)
        start = reference.end()
    if start < end:
        yield start, end


def passwords(text: str) -> list[str]:
    """What is secret in the URLs of a text: as it is written, and decoded."""
    literal_passwords = [text[start:end] for start, end in places(text)]
    return list(dict.fromkeys([*literal_passwords, *map(urllib.parse.unquote, literal_passwords)]))


def password_variables(text: str) -> list[str]:
    """The environment variables that the secrets in the URLs of a text refer to."""
    return [name for start, end in _spans(text) for name in variables(text[start:end])]


def masked_url(text: str) -> str:
    """A text with the passwords of its URLs masked: of the user, and in parameters that are named like secrets."""
    for start, end in reversed(places(text)):
        text = f"{text[:start]}{MASK}{text[end:]}"
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
        content = WHOLE.sub(MASK, content)
    if is_secret(name) and not isinstance(content, bool) and content is not None and not _is_open(str(content)):
        return MASK
    return _masked_text(content, is_secret(name)) if isinstance(content, str) else content


def masked_word(word: str) -> str:
    """A word of a command line: an override of Hydra's, or an option with its value."""
    word = WHOLE.sub(MASK, word)
    match = _OVERRIDE.fullmatch(word)
    if match is None or "://" in match["key"]:
        return _masked_text(word, is_of_secret=False)
    key, value = match["key"], match["value"]
    is_of_secret = any(is_secret(part) for part in re.split(r"[.@:\[\]]", key))
    if is_of_secret and not _is_open(value):
        return f"{key}={MASK}"
    return f"{key}={_masked_text(_masked_entries(value), is_of_secret)}"


def masked_words(words: Iterable[str]) -> list[str]:
    """Those of a command line."""
    return [masked_word(word) for word in words]


def _masked_entries(text: str) -> str:
    """A value in Hydra's grammar with the secrets masked in its mappings, however deep."""
    masked_text, done = "", 0
    for start, end in entries(text):
        value = text[start:end]
        masked_text += text[done:start] + (_masked_text(value, is_of_secret=True) if _is_open(value.strip()) else MASK)
        done = end
    return masked_text + text[done:]


def entries(text: str) -> Iterator[tuple[int, int]]:
    """Where the values of secrets' keys stand in a text of Hydra's grammar; what does not end goes to the end."""
    at = 0
    while (match := _ENTRY.search(text, at)) is not None:
        at = match.end()
        if is_secret(match[1]):
            start, at = at, _end_of_value(text, at)
            yield start, at


def _end_of_value(text: str, start: int) -> int:
    at, depth, quote = start, 0, ""
    while at < len(text):
        sign = text[at]
        if sign == "\\":
            at += 1
        elif quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in "{[(":
            depth += 1
        elif sign in ",}])" and depth == 0:
            return at
        elif sign in "}])":
            depth -= 1
        at += 1
    return len(text)


def _masked_text(text: str, is_of_secret: bool) -> str:
    """A text with the passwords of its URLs masked, and what references to secrets give where there is no variable."""

    def mask_default(match: re.Match[str]) -> str:
        is_plain = match["default"].strip() in NOTHING or not (is_of_secret or is_secret_variable(match["variable"]))
        return match[0] if is_plain else f"{match['start']}{MASK}"

    return masked_url(_DEFAULT.sub(mask_default, text))


def _is_open(value: str) -> bool:
    """Whether a value of a secret's key gives nothing away: it is a reference, or there is none."""
    return value in NOTHING or not literals(value)


def literals(value: str) -> list[str]:
    """What stands in the value of a secret's key beside references; the word before a token in a header is none.

    Of a URL only the password is secret, so that one with a reference in its place has none.
    """
    without_references, count = value, 1
    while count:
        without_references, count = _ONE_REFERENCE.subn("\0", without_references)
    if "\0" in without_references and "://" in without_references:
        return passwords(value)
    parts = [part.strip(" '\"") for part in without_references.split("\0")]
    return [part for part in parts if part and not ("\0" in without_references and part.lower() in _SCHEMES)]


def lifted_variables() -> dict[str, str]:
    """The variables of this process that hold secrets of configs, for processes that do not inherit them."""
    return {name: value for name, value in os.environ.items() if name.startswith(LIFTED)}
