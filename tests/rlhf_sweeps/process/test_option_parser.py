"""A word that an option parser refuses is answered in one line."""

import pytest

from rlhf_sweeps.process.exit_status import WRONG_INPUT
from rlhf_sweeps.process.option_parser import OptionParser, parse_count, parse_positive, parse_whole

USAGE, ALLOWED = "(see --help)", "(allowed: --help, --count, --share)"


def refuse(words: list[str], capsys: pytest.CaptureFixture[str], is_mixed: bool = False) -> str:
    parser = OptionParser()
    parser.add_argument("--seed", type=parse_whole)
    parser.add_argument("--axis", choices=("updates", "episodes"))
    if is_mixed:
        parser.add_argument("words", nargs="*")
    else:
        draw = parser.add_subparsers(required=True, metavar="COMMAND").add_parser("draw")
        draw.add_argument("--count", type=parse_count)
        draw.add_argument("--share", type=parse_positive)
        draw.add_argument("place", metavar="PLACE")
    with pytest.raises(SystemExit) as end:
        parser.parse_intermixed_args(words) if is_mixed else parser.parse_args(words)
    assert end.value.code == WRONG_INPUT
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            "draw x --cuont 3",
            f"--cuont: there is no such option; did you mean --count? {ALLOWED}",
        ),
        ("draw x --zzz=secret", f"--zzz: there is no such option {ALLOWED}"),
        ("draw x --count 0", "--count=0: must be a whole number, 1 or more"),
        ("draw x --count a", "--count=a: must be a whole number, 1 or more"),
        ("draw x --share inf", "--share=inf: must be a number above 0"),
        ("draw x --count", "--count: must be followed by a value"),
        ("draw x y", f"y: one word too many {USAGE}"),
        ("draw", f"PLACE: must be given {USAGE}"),
        ("", f"COMMAND: must be given {USAGE}"),
        ("--seed 1.5 draw x", "--seed=1.5: must be a whole number"),
        ("--axis tokens draw x", "--axis=tokens: must be one of updates, episodes"),
    ],
)
def test_a_refusal_is_one_line_with_option_given_and_allowed(
    words: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refuse(words.split(), capsys) == f"error: {line}"


def test_options_among_words_are_refused_likewise(capsys: pytest.CaptureFixture[str]) -> None:
    line = "error: --sed: there is no such option; did you mean --seed? (allowed: --help, --seed, --axis)"
    assert refuse(["a", "--sed", "3", "b"], capsys, is_mixed=True) == line
