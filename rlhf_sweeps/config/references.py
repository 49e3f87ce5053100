"""Environment variables in a config, ${oc.env:NAME}: values go to where they are used, references into the record."""

import contextlib
import copy
import functools
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from omegaconf import (
    BooleanNode,
    DictConfig,
    FloatNode,
    IntegerNode,
    ListConfig,
    Node,
    OmegaConf,
)
from omegaconf.errors import OmegaConfBaseException
from omegaconf.resolvers import oc

from rlhf_sweeps.record import is_secret, is_secret_variable, masked, remember, variables
from rlhf_sweeps.record.redaction import OF_DEFAULT, WHOLE, is_plain_credential, literals

Shown = TypeVar("Shown")
_NO_DEFAULT = object()
_ENV = "oc.env:"
# A value of a variable that is not named like a secret is hidden in messages from so many characters on, unless it is a
# plain word, a path or a part of one: those are what messages are about.
_LONG = 8


class _Referring:
    """A value that knows the reference by which it is written."""

    reference: str


class _Text(_Referring, str):
    pass


class _Integer(_Referring, int):
    pass


class _Float(_Referring, float):
    pass


def written(node: DictConfig | ListConfig) -> Any:
    """Plain values with references to variables in place of their values, also where others are made of them.

    What the schema wants to be a number or true or false is given as it is. Where nothing can be made of a reference,
    the whole text stays as it is written.
    """
    with keeping():
        return _plain(node)


@contextlib.contextmanager
def keeping(mark: Callable[[str], str] = lambda reference: reference) -> Iterator[None]:
    """Have variables resolve to references for a while.

    Args:
        mark: how a reference is to stand in the texts that are made of it.
    """

    def stand_in(name: str, default: Any = _NO_DEFAULT, *, _node_: Node) -> Any:
        given = () if default is _NO_DEFAULT else (default,)
        if isinstance(_node_, FloatNode | IntegerNode | BooleanNode):
            return oc.env(name, *given)
        value = os.environ.get(name, "")
        is_long = len(value) >= _LONG and os.sep not in value and not value.isalpha() and _node_._key() != "name"
        if is_secret_variable(name) or is_long:
            remember(value)
        return mark(f"${{oc.env:{','.join([name, *('null' if part is None else str(part) for part in given)])}}}")

    def stand_in_decoded(text: str | None, _parent_: Any, _node_: Node) -> Any:
        return mark(f"${{oc.decode:{text}}}") if _ENV in (text or "") else oc.decode(text, _parent_, _node_)

    OmegaConf.register_new_resolver("oc.env", stand_in, replace=True)
    OmegaConf.register_new_resolver("oc.decode", stand_in_decoded, replace=True)
    try:
        yield
    finally:
        OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)
        OmegaConf.register_new_resolver("oc.decode", oc.decode, replace=True)


def _plain(node: Any) -> Any:
    if isinstance(node, DictConfig):
        return None if node._is_none() else {key: _value(node, key) for key in node}
    if isinstance(node, ListConfig):
        return None if node._is_none() else [_value(node, index) for index in range(len(node))]
    return node


def _value(node: Any, key: Any) -> Any:
    try:
        return _plain(node[key])
    except (OmegaConfBaseException, ValueError):  # a resolver that wants the value
        return node._get_node(key)._value()


def refer(config: Any, plain: Any, is_of_secret: bool = False) -> None:
    """Have the values of a config know how they are written, in place; those with few choices are recorded as they are.

    Args:
        config: a dataclass, a mapping or a list, nested.
        plain: of it, as `written` gives it.
        is_of_secret: whether it stands under a key that is named like a secret.
    """
    if is_dataclass(config):
        for entry in fields(config):
            if isinstance(plain, dict) and entry.name in plain and not entry.metadata.get("is_closed"):
                value = getattr(config, entry.name)
                setattr(config, entry.name, _referring(value, plain[entry.name], is_of_secret or is_secret(entry.name)))
    elif isinstance(config, dict) and isinstance(plain, dict):
        for key in config.keys() & plain.keys():
            config[key] = _referring(config[key], plain[key], is_of_secret or is_secret(str(key)))
    elif isinstance(config, list) and isinstance(plain, list):
        for index, (value, plain_item) in enumerate(zip(config, plain, strict=False)):
            config[index] = _referring(value, plain_item, is_of_secret)


def _referring(value: Any, plain: Any, is_of_secret: bool) -> Any:
    if is_dataclass(value) or type(value) is type(plain) in (dict, list):
        refer(value, plain, is_of_secret)
        return value
    referred = variables(plain) if isinstance(plain, str) else []
    # Where a secret is a part of a text, as of a URL, it is known for itself, and the rest may be told.
    is_all = is_of_secret or (any(map(is_secret_variable, referred)) and "://" not in plain and not literals(plain))
    if is_all:
        remember(*_texts(value))
    return _with_reference(value, plain) if referred else value


def _texts(value: Any) -> Iterator[str]:
    """All that stands in a secret; numbers as they are printed."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _with_reference(value: Any, reference: str) -> Any:
    """The value, or all within it, with the reference."""
    if isinstance(value, list):
        return [_with_reference(item, reference) for item in value]
    if isinstance(value, dict):
        return {key: _with_reference(item, reference) for key, item in value.items()}
    kinds: dict[type, type] = {str: _Text, int: _Integer, float: _Float}
    if type(value) not in kinds:
        return value
    new = kinds[type(value)](value)
    new.reference = reference
    return new


def reference_of(value: Any) -> str | None:
    """How a value of a config is written, where that is a reference."""
    return value.reference if isinstance(value, _Referring) else None


def recorded(content: Any) -> Any:
    """Plain values of a config as they are recorded, sent and shown: references in place of values, secrets masked."""
    return masked(unresolved(content))


def as_recorded(config: Shown) -> Shown:
    """A copy of a dataclass, nested, whose texts stand as they are recorded, for what is shown of it."""
    copied = copy.copy(config)
    for entry in fields(copied):  # type: ignore[arg-type]
        value = getattr(copied, entry.name)
        items = [as_recorded(item) if is_dataclass(item) else recorded(item) for item in _as_list(value)]
        if isinstance(value, list | str | dict) or is_dataclass(value):
            setattr(copied, entry.name, items if isinstance(value, list) else items[0])
    return copied


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def unresolved(content: Any) -> Any:
    """Plain values of a config as a config of another run can hold them: references in place of values."""
    if isinstance(content, dict):
        return {key: unresolved(value) for key, value in content.items()}
    if isinstance(content, list):
        return [unresolved(value) for value in content]
    return content.reference if isinstance(content, _Referring) else content


def fingerprints(config: Any, salt: str) -> dict[str, str]:
    """Reference -> what tells another value of its variables from this one, and nothing else.

    Of secrets there is none: they may be renewed while a run or a sweep is under way. What is only taken for one, as it
    stands under a secret's key, has one.
    """
    fingerprint_of = {
        value.reference: _fingerprint(str(value), salt)
        for name, value in _referring_values(config, "")
        if not (is_secret(name) or any(map(is_secret_variable, variables(value.reference))))
        or _is_setting(name, value.reference)
    }
    return dict(sorted(fingerprint_of.items()))


def _is_setting(name: str, reference: str) -> bool:
    """Whether a text of the config is masked and yet no plain credential, so that numbers may depend on it."""
    is_literal = WHOLE.fullmatch(reference) is not None and not reference.rstrip("}").endswith(OF_DEFAULT)
    return is_literal and not is_plain_credential(name.rpartition(".")[2])


@functools.lru_cache(maxsize=1000)
def _fingerprint(value: str, salt: str) -> str:
    """Slow, so that short values cannot be found by trying."""
    return hashlib.scrypt(value.encode(), salt=salt.encode(), n=2**14, r=8, p=1, dklen=8).hex()


def _referring_values(node: Any, name: str) -> Iterator[tuple[str, _Referring]]:
    if is_dataclass(node) and not isinstance(node, type):
        node = {entry.name: getattr(node, entry.name) for entry in fields(node)}
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _referring_values(value, f"{name}.{key}")
    elif isinstance(node, list):
        for value in node:
            yield from _referring_values(value, name)
    elif isinstance(node, _Referring):
        yield name, node
