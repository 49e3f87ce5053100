"""Hydra's options are read on every Python; .ci/without_torch runs this on all that it finds."""

from hydra._internal.utils import get_args_parser

from rlhf_sweeps.command_line.unformatted_help import accept_unformatted_help


def test_options_described_by_objects_are_accepted() -> None:
    accept_unformatted_help()
    assert get_args_parser().parse_args(["--cfg", "job"]).cfg == "job"
