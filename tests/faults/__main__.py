"""The fault plan by hand: `python -m tests.faults --profile smoke --database sqlite --seed 1 [--json]`."""

import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path

from tests.faults.plan import PROFILES
from tests.faults.run import run


def main() -> int:
    """Run, print the figures and what is wrong; 1 if anything is."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=(__doc__ or "").split(":")[0])
    parser.add_argument("--profile", choices=PROFILES, default="smoke")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bug", default="", help="plant one of the bugs of tests/killing/inside")
    parser.add_argument("--keep", type=Path, help="an empty folder for logs and truth, kept afterwards")
    parser.add_argument("--json", action="store_true", help="one JSON object and nothing else")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the house is left as after any other end
    with tempfile.TemporaryDirectory(prefix="durchwahl-faults-") as folder:
        verdict = run(
            PROFILES[options.profile],
            database=options.database,
            seed=options.seed,
            folder=options.keep or Path(folder),
            bug=options.bug,
        )
    if options.json:
        print(json.dumps({**verdict.figures, "wrong": verdict.wrong}, ensure_ascii=False))
    else:
        for name, figure in verdict.figures.items():
            print(f"{name.replace('_', ' '):>28}  {figure}")
        for fault in verdict.wrong:
            print(f"WRONG: {fault}")
    return 1 if verdict.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
