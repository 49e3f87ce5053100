"""Record the numbers anew: `python -m tests.golden [RECORD ...]`; the difference is for a person to read."""

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

    for name in names or RECORDS:
        with tempfile.TemporaryDirectory() as folder:
            place = RECORDS[name].write(Path(folder) / name)
            found = numbers_of(place, RECORDS[name].by, Path(folder) / "out")
        path = FOLDER / f"{name}.json"
        path.write_text(json.dumps(found, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{path.name}: {len(found)} numbers and words")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
