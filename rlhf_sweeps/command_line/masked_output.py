"""Mask secrets in configs that Hydra prints (--cfg, --info, --help, hydra.verbose)."""

import contextlib
from collections.abc import Iterator
from typing import Any

from hydra._internal import hydra as printing
from hydra.errors import MissingConfigException
from omegaconf import OmegaConf

from rlhf_sweeps.command_line.composed_files import mask_hydra, to_plain
from rlhf_sweeps.config.fields import format_value
from rlhf_sweeps.config.lifted_secrets import learn
from rlhf_sweeps.process.printed_commands import adapt_commands
from rlhf_sweeps.record import hide, mask_secrets, mask_word


@contextlib.contextmanager
def mask_printed_configs(package: str | None) -> Iterator[None]:
    """Let Hydra mask the secrets that it prints.

    Args:
        package: the part of the config that the user asks for; None: all of it.
    """
    path = (package or "").split(".")

    class Masking(OmegaConf):
        @staticmethod
        def to_yaml(cfg: Any, *, resolve: bool = False, sort_keys: bool = False) -> str:
            learn(to_plain(cfg))
            content: Any = OmegaConf.to_container(cfg, resolve=resolve, enum_to_str=True)
            content = _select_part_of_hydra(cfg, path) if path[0] == "hydra" else _mask_by_name(content, path[-1])
            return OmegaConf.to_yaml(OmegaConf.create(_hide_known_secrets(content)), sort_keys=sort_keys)

        @staticmethod
        def select(cfg: Any, key: str, **options: Any) -> Any:
            part = OmegaConf.select(cfg, key, **options)
            if part is None:
                raise MissingConfigException(f"--package={format_value(key)}: there is no such key, or it is null")
            return part

        @staticmethod
        def resolve(cfg: Any) -> None:
            learn(to_plain(cfg))  # before resolving, which removes the references
            OmegaConf.resolve(cfg)

    def print_value(value: object) -> None:
        masked = mask_word(str(value)) if path[0] == "hydra" else mask_secrets(value, path[-1])
        printed = _hide_known_secrets(masked)
        print(adapt_commands(printed) if isinstance(printed, str) else printed)

    # Only the module that prints gets these two names.
    own = vars(printing)
    own |= {"OmegaConf": Masking, "print": print_value}
    try:
        yield
    finally:
        own["OmegaConf"] = OmegaConf
        del own["print"]


def _mask_by_name(content: Any, name: str) -> Any:
    """Mask a config, with Hydra's part or without, or the part of it with this name."""
    whole = mask_secrets(content, name)
    if isinstance(content, dict) and "hydra" in content:
        whole["hydra"] = mask_hydra(content["hydra"])
    return whole


def _hide_known_secrets(content: Any) -> Any:
    """Mask known secrets in plain values: a resolved reference shows a secret under any name."""
    if isinstance(content, dict):
        return {key: _hide_known_secrets(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_hide_known_secrets(value) for value in content]
    return hide(content) if isinstance(content, str) else content


def _select_part_of_hydra(node: Any, path: list[str]) -> Any:
    """Mask Hydra's own part and select a part of it; overrides occur there at several places."""
    part: Any = {"hydra": mask_hydra(to_plain(node._get_root())["hydra"])}
    for key in path:
        part = part[int(key)] if isinstance(part, list) else part[key]
    return part
