"""Record numbers and sentences anew: `python -m tests.golden [RECORD ...]`; a person reads the difference."""

import json
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent


def main(names: list[str]) -> int:
    """Write the files of some records, by default of all; returns the exit status."""
    sys.path.insert(0, str(FOLDER.parent))  # where tests find each other
    from golden.made import RECORDS
    from golden.numbers import numbers_of
    from golden.sentences import sentences_of

    for name in names or RECORDS:
        with tempfile.TemporaryDirectory() as folder:
            place = RECORDS[name].write(Path(folder) / name)
            numbers = numbers_of(place, RECORDS[name].by, Path(folder) / "out")
            sentences = sentences_of(place, RECORDS[name].by)
        path = FOLDER / f"{name}.json"
        path.write_text(json.dumps(numbers, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
        for view, text in sentences.items():
            (FOLDER / "sentences" / f"{name}_{view}.txt").write_text(text, encoding="utf-8")
        print(f"{path.name}: {len(numbers)} numbers and words; sentences of {', '.join(sentences)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
