"""OmegaConf resolvers that the files in conf/ use; every process that reads a config registers them."""

from pathlib import Path

from omegaconf import OmegaConf


def register_resolvers() -> None:
    """Register the resolvers with OmegaConf."""
    # For ranges around a model's suggested learning rate: ${times:${model.suggested_lr},0.1}
    OmegaConf.register_new_resolver("times", lambda a, b: float(f"{a * b:.6g}"), replace=True)
    # Names after paths: ${basename:my/folder} is folder, ${extension:my.function} is function.
    OmegaConf.register_new_resolver("basename", lambda path: Path(path).name, replace=True)
    OmegaConf.register_new_resolver("extension", lambda path: path.rpartition(".")[2], replace=True)
