"""Judge a folder of evidence: `python -m tests.judge FOLDER [--json] [--why]`.

Prints one figure a line, or one JSON object; ``--why`` names the case, the time and the reason of every finding.
"""

import argparse
import json
from pathlib import Path

from tests.judge.figures import weigh


def main() -> None:
    """Read the folder and print its figures."""
    options = argparse.ArgumentParser(prog="python -m tests.judge", description=__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("--json", action="store_true", help="one JSON object")
    options.add_argument("--why", action="store_true", help="every finding with its case and time")
    chosen = options.parse_args()
    verdict = weigh(chosen.folder)
    if chosen.why:
        for finding in verdict.findings:
            print(f"{finding.figure}  case {finding.case}  {finding.at:%Y-%m-%dT%H:%M:%SZ}  {finding.why}")
    if chosen.json:
        print(json.dumps(verdict.figures))
    elif not chosen.why:
        for name, value in verdict.figures.items():
            print(
                f"{name:<36} {value:>12,.1f}".replace(".0", "  ") if value == int(value) else f"{name:<36} {value:>12}"
            )


if __name__ == "__main__":
    main()
