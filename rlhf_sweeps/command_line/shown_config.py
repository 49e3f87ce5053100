"""What Hydra prints of a config (--cfg, --info, --help, hydra.verbose): the secrets in there are masked."""

import contextlib
from collections.abc import Iterator
from typing import Any

from hydra._internal import hydra as printing
from hydra.errors import MissingConfigException
from omegaconf import OmegaConf

from rlhf_sweeps.command_line.composed_files import masked_hydra, plain
from rlhf_sweeps.config.fields import in_line
from rlhf_sweeps.config.literals import learn
from rlhf_sweeps.record import hide, masked, masked_word


@contextlib.contextmanager
def showing_masked(package: str | None) -> Iterator[None]:
    """Have Hydra mask what it prints.

    Args:
        package: the part of the config that is asked for; None: all of it.
    """
    path = (package or "").split(".")

    class Masking(OmegaConf):
        @staticmethod
        def to_yaml(cfg: Any, *, resolve: bool = False, sort_keys: bool = False) -> str:
            learn(plain(cfg))
            content: Any = OmegaConf.to_container(cfg, resolve=resolve, enum_to_str=True)
            shown = _part_of_hydra(cfg, path) if path[0] == "hydra" else _masked(content, path[-1])
            return OmegaConf.to_yaml(OmegaConf.create(_hidden(shown)), sort_keys=sort_keys)

        @staticmethod
        def select(cfg: Any, key: str, **options: Any) -> Any:
            found = OmegaConf.select(cfg, key, **options)
            if found is None:
                raise MissingConfigException(f"--package={in_line(key)}: there is no such key, or it is null")
            return found

        @staticmethod
        def resolve(cfg: Any) -> None:
            learn(plain(cfg))  # as long as it is to be seen what comes from where
            OmegaConf.resolve(cfg)

    def print_value(value: object) -> None:
        print(_hidden(masked_word(str(value)) if path[0] == "hydra" else masked(value, path[-1])))

    # In the module that prints, and nowhere else.
    own = vars(printing)
    own |= {"OmegaConf": Masking, "print": print_value}
    try:
        yield
    finally:
        own["OmegaConf"] = OmegaConf
        del own["print"]


def _masked(content: Any, name: str) -> Any:
    """A config, with Hydra's part or without, or a part of it that stands under a name."""
    whole = masked(content, name)
    if isinstance(content, dict) and "hydra" in content:
        whole["hydra"] = masked_hydra(content["hydra"])
    return whole


def _hidden(content: Any) -> Any:
    """Plain values without what is known to be secret: where a reference is resolved, nothing else tells it."""
    if isinstance(content, dict):
        return {key: _hidden(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_hidden(value) for value in content]
    return hide(content) if isinstance(content, str) else content


def _part_of_hydra(node: Any, path: list[str]) -> Any:
    """A part of Hydra's own part, whose overrides stand in several places."""
    part: Any = {"hydra": masked_hydra(plain(node._get_root())["hydra"])}
    for key in path:
        part = part[int(key)] if isinstance(part, list) else part[key]
    return part
