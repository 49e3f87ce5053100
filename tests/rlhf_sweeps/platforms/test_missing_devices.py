"""A device that a machine lacks is known without torch; in doubt torch decides."""

import sys

import pytest

from rlhf_sweeps.platforms import devices
from rlhf_sweeps.platforms.devices import explain_missing_device, is_without

# The lines of torch/version.py in the builds for a CPU, for CUDA and for ROCm.
CPU = "cuda: Optional[str] = None\nhip: Optional[str] = None\n"
CUDA = "cuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n"
ROCM = "cuda: Optional[str] = None\nhip: Optional[str] = '7.0.51831'\n"


@pytest.mark.parametrize(
    ("device", "build", "has_driver", "reason"),
    [
        ("auto", CPU, False, None),
        ("cpu", CPU, False, None),
        ("cuda", CPU, True, "the installed torch is built without CUDA"),
        ("cuda:1", CPU, False, "the installed torch is built without CUDA"),
        ("cuda", CUDA, False, "there is no NVIDIA driver"),
        ("cuda", CUDA, True, None),
        ("cuda", ROCM, False, None),
        ("cuda", "", False, None),  # an unknown build
    ],
)
def test_a_missing_device_is_explained(
    device: str, build: str, has_driver: bool, reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(devices, "read_torch_build", lambda: build)
    monkeypatch.setattr(devices, "can_load", lambda library: has_driver)
    assert explain_missing_device(device) == reason


def test_hidden_cards_and_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "read_torch_build", lambda: CUDA)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert explain_missing_device("cuda") == "CUDA_VISIBLE_DEVICES= hides all cards"
    monkeypatch.setattr(sys, "platform", "linux")
    assert explain_missing_device("mps") == "only a Mac has it"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert explain_missing_device("mps") is None


def test_the_installed_torch_says_what_torch_itself_says() -> None:
    import torch

    build = devices.read_torch_build()
    assert (is_without(build, "cuda"), is_without(build, "hip")) == (
        torch.version.cuda is None,
        torch.version.hip is None,
    )
    if explain_missing_device("cuda") is not None:
        assert not torch.cuda.is_available()
