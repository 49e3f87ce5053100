"""Environment variables in a config, ${oc.env:NAME}: the code uses their values, the record holds the references."""

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

from rlhf_sweeps.record import find_variables, is_secret, is_secret_variable, mask_secrets, remember
from rlhf_sweeps.record.redaction import OF_DEFAULT, WHOLE, find_literals, is_plain_credential

Shown = TypeVar("Shown")
_NO_DEFAULT = object()
_ENV = "oc.env:"
# A variable's value is masked in messages, even if its name is not that of a secret, from so many characters on; plain
# words, paths and names are not masked, since messages are about them. Chosen, not measured.
_LONG = 8


class _WithReference:
    """A value with the reference that it comes from."""

    reference: str


class _Text(_WithReference, str):
    pass


class _Integer(_WithReference, int):
    pass


class _Float(_WithReference, float):
    pass


def read_with_references(node: DictConfig | ListConfig) -> Any:
    """Plain values, in which references stand in place of the values of environment variables.

    Values that are composed of others contain the references, too. Numbers and truth values are resolved. If a
    resolver cannot compute with a reference, the whole text stays as it is written.
    """
    with keep_references():
        return _as_plain(node)


@contextlib.contextmanager
def keep_references(mark: Callable[[str], str] = lambda reference: reference) -> Iterator[None]:
    """Within this context, environment variables resolve to references instead of their values.

    Args:
        mark: reference -> the text that stands for it.
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


def _as_plain(node: Any) -> Any:
    if isinstance(node, DictConfig):
        return None if node._is_none() else {key: _as_plain_value(node, key) for key in node}
    if isinstance(node, ListConfig):
        return None if node._is_none() else [_as_plain_value(node, index) for index in range(len(node))]
    return node


def _as_plain_value(node: Any, key: Any) -> Any:
    try:
        return _as_plain(node[key])
    except (OmegaConfBaseException, ValueError):  # a resolver needs the value
        return node._get_node(key)._value()


def attach_references(config: Any, plain: Any, is_of_secret: bool = False) -> None:
    """Attach references to the values of a config, in place; numbers and words of a fixed list get none.

    Args:
        config: a dataclass, a mapping or a list, nested.
        plain: its plain values with references, from `read_with_references`.
        is_of_secret: whether it stands under a key with the name of a secret.
    """
    if is_dataclass(config):
        for entry in fields(config):
            if isinstance(plain, dict) and entry.name in plain and not entry.metadata.get("is_closed"):
                value = getattr(config, entry.name)
                setattr(config, entry.name, _attach(value, plain[entry.name], is_of_secret or is_secret(entry.name)))
    elif isinstance(config, dict) and isinstance(plain, dict):
        for key in config.keys() & plain.keys():
            config[key] = _attach(config[key], plain[key], is_of_secret or is_secret(str(key)))
    elif isinstance(config, list) and isinstance(plain, list):
        for index, (value, plain_item) in enumerate(zip(config, plain, strict=False)):
            config[index] = _attach(value, plain_item, is_of_secret)


def _attach(value: Any, plain: Any, is_of_secret: bool) -> Any:
    if is_dataclass(value) or type(value) is type(plain) in (dict, list):
        attach_references(value, plain, is_of_secret)
        return value
    referred = find_variables(plain) if isinstance(plain, str) else []
    # If a secret is a part of a text, such as a URL, only the secret itself is masked.
    is_all = is_of_secret or (
        any(map(is_secret_variable, referred)) and "://" not in plain and not find_literals(plain)
    )
    if is_all:
        remember(*_list_texts(value))
    return _attach_reference(value, plain) if referred else value


def _list_texts(value: Any) -> Iterator[str]:
    """All texts and numbers in the value of a secret key, as text."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _list_texts(item)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _attach_reference(value: Any, reference: str) -> Any:
    """A value, or all values within it, with the reference attached."""
    if isinstance(value, list):
        return [_attach_reference(item, reference) for item in value]
    if isinstance(value, dict):
        return {key: _attach_reference(item, reference) for key, item in value.items()}
    kinds: dict[type, type] = {str: _Text, int: _Integer, float: _Float}
    if type(value) not in kinds:
        return value
    new = kinds[type(value)](value)
    new.reference = reference
    return new


def read_reference(value: Any) -> str | None:
    """The reference that a value of a config comes from; None if it comes from none."""
    return value.reference if isinstance(value, _WithReference) else None


def redact(content: Any) -> Any:
    """Plain values of a config for records, W&B and messages: references instead of values, and secrets masked."""
    return mask_secrets(restore_references(content))


def redact_config(config: Shown) -> Shown:
    """A copy of a nested dataclass whose texts are redacted in the same way, for display."""
    copied = copy.copy(config)
    for entry in fields(copied):  # type: ignore[arg-type]
        value = getattr(copied, entry.name)
        items = [redact_config(item) if is_dataclass(item) else redact(item) for item in _as_list(value)]
        if isinstance(value, list | str | dict) or is_dataclass(value):
            setattr(copied, entry.name, items if isinstance(value, list) else items[0])
    return copied


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def restore_references(content: Any) -> Any:
    """Plain values of a config for the config of another run: references instead of values."""
    if isinstance(content, dict):
        return {key: restore_references(value) for key, value in content.items()}
    if isinstance(content, list):
        return [restore_references(value) for value in content]
    return content.reference if isinstance(content, _WithReference) else content


def take_fingerprints(config: Any, salt: str) -> dict[str, str]:
    """Reference -> a fingerprint of its value, which shows whether the value has changed and nothing else.

    Credentials have no fingerprint: they may be renewed during a run or a sweep. A value under a secret key that may
    be a setting of the run has one.
    """
    fingerprint_of = {
        value.reference: _take_fingerprint(str(value), salt)
        for name, value in _list_referring_values(config, "")
        if not (is_secret(name) or any(map(is_secret_variable, find_variables(value.reference))))
        or _is_setting(name, value.reference)
    }
    return dict(sorted(fingerprint_of.items()))


def _is_setting(name: str, reference: str) -> bool:
    """Whether a masked text of the config may be more than a credential, so that results may depend on it."""
    is_literal = WHOLE.fullmatch(reference) is not None and not reference.rstrip("}").endswith(OF_DEFAULT)
    return is_literal and not is_plain_credential(name.rpartition(".")[2])


@functools.lru_cache(maxsize=1000)
def _take_fingerprint(value: str, salt: str) -> str:
    """A slow hash, so that nobody can find a short value by trying all."""
    return hashlib.scrypt(value.encode(), salt=salt.encode(), n=2**14, r=8, p=1, dklen=8).hex()


def _list_referring_values(node: Any, name: str) -> Iterator[tuple[str, _WithReference]]:
    if is_dataclass(node) and not isinstance(node, type):
        node = {entry.name: getattr(node, entry.name) for entry in fields(node)}
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _list_referring_values(value, f"{name}.{key}")
    elif isinstance(node, list):
        for value in node:
            yield from _list_referring_values(value, name)
    elif isinstance(node, _WithReference):
        yield name, node
