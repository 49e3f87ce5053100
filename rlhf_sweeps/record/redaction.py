"""Which parts of a config are secret; they appear as *** wherever a config is recorded, sent or printed.

A reference, ${oc.env:NAME}, contains no secret and stays as it is written. If a value is wrongly taken for a secret,
only its display is masked: nothing here changes a value that the code computes with.
"""

import functools
import itertools
import os
import re
import urllib.parse
from collections.abc import Iterable, Iterator
from typing import Any

MASK = "***"  # SQLAlchemy uses the same
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# Words before `token` or `key` that make the name of a key the name of a secret.
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
# A name that ends on one of these words tells where a secret is, or describes it.
_ABOUT = ("file", "path", "dir", "folder", "name", "column", "env", "variable", "length", "policy", "type", "hint")
# Words before `token` in names from a vocabulary, and words before `key` in names of data.
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


def _repeat(signs: str) -> str:
    """A pattern for any number of these characters and of references; a reference may contain any character."""
    return rf"(?:{_REF}|(?!{_REF})[{signs}])*"


_NAME, _REST = _repeat(r"^:/@\s"), _repeat(r"^@\s")
# SCHEME://USER:PASSWORD@; if there are several @, the last one may belong to the path.
_PASSWORD = re.compile(rf"(://{_NAME}:)({_repeat('^@')}(?:@[^@\s,'\"]*(?=@))*)@")
_USER = re.compile(rf"(?<=://)({_NAME})(?=@)")
_PARAMETER = re.compile(r"([?&;])([\w.%-]+)=(" + _repeat(r"""^&#;\s,'"\]}""") + ")")
# A text that is one URL, perhaps in quotes; a URL that lacks a slash; a port, which is no password.
_ONE = re.compile(r"""['"]?[\w+.-]+://[^\s'"]*['"]?""")
_PARAMETER_OF_ONE = re.compile(r"([?&;])([\w.%-]+)=(" + _repeat(r"""^&#\s'\"""") + ")")
_ALMOST = re.compile(rf"""^['"]?[A-Za-z][\w+.-]*:/?{_NAME}:({_REST})@""")
_PORT = re.compile(r"\d{1,5}[/?#]")
_ENTRY = re.compile(r"""([\w.-]+)['"]?\s*:(?!//)\s*""")
_OVERRIDE = re.compile(r"(?P<key>[-+~]*[\w./@:\[\]-]+)=(?P<value>.*)", re.DOTALL)
_ANY_REFERENCE = re.compile(_REF)
_ONE_REFERENCE = re.compile(r"(?<!\\)\$\{[^{}]*\}")
_SCHEMES = ("bearer", "basic", "token", "apikey", "api-key", "key", "digest")
# A reference with a default value, which stands in for a variable that is not set.
_DEFAULT = re.compile(r"(?P<start>\$\{\s*oc\.env:\s*(?P<variable>[^,{}\s]+)\s*,)(?P<default>[^{}]*)(?=\})")
_VARIABLE = re.compile(r"\$\{\s*oc\.env:\s*([^,{}\s]+)")
NOTHING = ("", "null", "None", "true", "false", "''", '""', "{}", "[]")
# The beginning of the names of our variables for secrets that stood in the config itself; see lifted_secrets.py.
LIFTED = "RLHF_SWEEPS_SECRET_"
# Passes the URL of a study to the report: any user of the machine could read it among the words of a command.
STORAGE = "RLHF_SWEEPS_STORAGE"
OF_DEFAULT = "__DEFAULT"  # the ending of such a name if the secret was the default value of a reference
WHOLE = re.compile(rf"\$\{{oc\.decode:\$\{{oc\.env:{LIFTED}\w+\}}\}}|\$\{{oc\.env:{LIFTED}\w+\}}")


@functools.lru_cache(maxsize=10_000)
def is_secret(name: str) -> bool:
    """Whether the name of a key or a variable is that of a secret; names are compared by whole words, in any case.

    Names of secrets: password (also passwords, passphrase, db_password, PGPASSWORD), secret, credentials, auth,
    authorization, cookies; token or key after a word such as access or api (access_token, api_key, X-API-Key); token
    alone. A name in capitals that ends with TOKEN or KEY is one, too (MY_TOKEN), unless the word before belongs to a
    vocabulary (PAD_TOKEN) or to data (SORT_KEY). No names of secrets: tokens, yes_token, max_new_tokens, token_mean,
    key, answer_key, monkey, password_file, secret_name.
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
    """Whether an environment variable has the name of a secret; PWD has not: it is the current folder of a shell."""
    return name != "PWD" and is_secret(name)


def is_plain_credential(name: str) -> bool:
    """Whether the value of a key can only be a credential, so that no result of a run depends on it."""
    return is_secret(name) and name.lower() not in ("token", "pass")


def is_masked(text: str) -> bool:
    """Whether a text contains a masked secret, and so cannot be used as a value."""
    if text == MASK or f"//{MASK}@" in text or re.search(r"=\*\*\*($|[&#;])", text):
        return True
    return any(MASK in text[start:end] for start, end in _locate_all_secrets(text))


def find_variables(text: str) -> list[str]:
    """The environment variables that a text refers to."""
    return _VARIABLE.findall(text)


def find_defaults(text: str) -> list[str]:
    """The default values of the references in a text."""
    return [match["default"].strip() for match in _DEFAULT.finditer(text)]


def locate_secrets(text: str) -> list[tuple[int, int]]:
    """The starts and ends of the secrets in the URLs of a text, from left to right, without overlaps.

    If a password mixes literal text and references, its literal parts are secret and its references are not.
    """
    spans = [part for start, end in _locate_all_secrets(text) for part in _locate_literals(text, start, end)]
    separate: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if start >= (separate[-1][1] if separate else 0):
            separate += [] if text[start:end] == MASK else [(start, end)]
    return separate


def _locate_all_secrets(text: str) -> list[tuple[int, int]]:
    """The starts and ends of the secrets in the URLs of a text, be they literals or references."""
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


def _locate_literals(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The starts and ends of the literal text in a part of a text: beside references, and in their default values."""
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


def find_passwords(text: str) -> list[str]:
    """The secrets in the URLs of a text, as they are written and URL-decoded."""
    literal_passwords = [text[start:end] for start, end in locate_secrets(text)]
    return list(dict.fromkeys([*literal_passwords, *map(urllib.parse.unquote, literal_passwords)]))


def find_password_variables(text: str) -> list[str]:
    """The environment variables that the secrets in the URLs of a text refer to."""
    return [name for start, end in _locate_all_secrets(text) for name in find_variables(text[start:end])]


def mask_url(text: str) -> str:
    """The text with the secrets of its URLs masked: users' passwords, and parameters with names of secrets."""
    for start, end in reversed(locate_secrets(text)):
        text = f"{text[:start]}{MASK}{text[end:]}"
    return text


def mask_secrets(content: Any, name: str = "") -> Any:
    """Plain nested values with all secrets masked.

    Args:
        name: the key of the values.
    """
    if isinstance(content, dict):
        return {key: mask_secrets(value, name if is_secret(name) else str(key)) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [mask_secrets(value, name) for value in content]
    if isinstance(content, str):
        content = WHOLE.sub(MASK, content)
    if is_secret(name) and not isinstance(content, bool) and content is not None and not _is_open(str(content)):
        return MASK
    return _mask_text(content, is_secret(name)) if isinstance(content, str) else content


def mask_word(word: str) -> str:
    """A word of a command line with its secrets masked: an override of Hydra, or an option with its value."""
    word = WHOLE.sub(MASK, word)
    match = _OVERRIDE.fullmatch(word)
    if match is None or "://" in match["key"]:
        return _mask_text(word, is_of_secret=False)
    key, value = match["key"], match["value"]
    is_of_secret = any(is_secret(part) for part in re.split(r"[.@:\[\]]", key))
    if is_of_secret and not _is_open(value):
        return f"{key}={MASK}"
    return f"{key}={_mask_text(_mask_entries(value), is_of_secret)}"


def mask_words(words: Iterable[str]) -> list[str]:
    """The words of a command line with their secrets masked."""
    return [mask_word(word) for word in words]


def _mask_entries(text: str) -> str:
    """A value in Hydra's grammar with the secrets in its mappings masked, at any depth."""
    masked_text, done = "", 0
    for start, end in locate_secret_values(text):
        value = text[start:end]
        masked_text += text[done:start] + (_mask_text(value, is_of_secret=True) if _is_open(value.strip()) else MASK)
        done = end
    return masked_text + text[done:]


def locate_secret_values(text: str) -> Iterator[tuple[int, int]]:
    """Starts and ends of the values of secret keys in a text of Hydra's grammar; an open value ends with the text."""
    at = 0
    while (match := _ENTRY.search(text, at)) is not None:
        at = match.end()
        if is_secret(match[1]):
            start, at = at, _find_end_of_value(text, at)
            yield start, at


def _find_end_of_value(text: str, start: int) -> int:
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


def _mask_text(text: str, is_of_secret: bool) -> str:
    """The text with the secrets of its URLs masked, and the default values of references to secrets."""

    def mask_default(match: re.Match[str]) -> str:
        is_plain = match["default"].strip() in NOTHING or not (is_of_secret or is_secret_variable(match["variable"]))
        return match[0] if is_plain else f"{match['start']}{MASK}"

    return mask_url(_DEFAULT.sub(mask_default, text))


def _is_open(value: str) -> bool:
    """Whether the value of a secret key reveals nothing: it is a reference, or empty."""
    return value in NOTHING or not find_literals(value)


def find_literals(value: str) -> list[str]:
    """The literal texts in the value of a secret key beside references, without a header's scheme such as Bearer.

    In a URL only the password is secret: a URL with a reference in place of its password has no such text.
    """
    without_references, count = value, 1
    while count:
        without_references, count = _ONE_REFERENCE.subn("\0", without_references)
    if "\0" in without_references and "://" in without_references:
        return find_passwords(value)
    parts = [part.strip(" '\"") for part in without_references.split("\0")]
    return [part for part in parts if part and not ("\0" in without_references and part.lower() in _SCHEMES)]


def read_lifted_variables() -> dict[str, str]:
    """The environment variables for secrets of configs, to be passed to processes that do not inherit them."""
    return {name: value for name, value in os.environ.items() if name.startswith(LIFTED)}
