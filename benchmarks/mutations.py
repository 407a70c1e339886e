"""The share of small changes of the code that its tests notice, by file: mutation testing with mutmut (pip install mutmut).

    python benchmarks/mutations.py [--sample 60] [--seed 0] [FILE ...]

Files, tests and what is not changed (messages of errors) stand in pyproject.toml under [tool.mutmut]. Of a file with more
changes than the sample, so many are drawn with the seed; 0 tries all. Results are kept in `mutants/`: what was tried is not
tried again; remove the folder after a change of code or tests.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from pathlib import Path

MUTANTS = Path("mutants")
# Exit codes that mutmut keeps: 0 the tests passed, 33 no test runs this code; nothing where it was not tried; else noticed.
SURVIVED, UNTESTED = 0, 33


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", help="files to change; all that pyproject.toml names without")
    parser.add_argument("--sample", type=int, default=60, help="changes tried of each file at most; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    # The changes of one small file make mutmut write those of all, and learn which test runs what.
    run("longclip.sentences*")
    drawn = {}
    for file, results in read_results(options.files).items():
        names = sorted(results)
        few = options.sample and len(names) > options.sample
        drawn[file] = random.Random(options.seed).sample(names, options.sample) if few else names
    run(*[name for names in drawn.values() for name in names])
    print("file | changes | tried | noticed | share\n--- | ---: | ---: | ---: | ---:")
    survivors, tried, noticed = [], 0, 0
    for file, results in read_results(options.files).items():
        codes = {name: results[name] for name in drawn[file] if results[name] is not None}
        left = [name for name, code in codes.items() if code in (SURVIVED, UNTESTED)]
        tried, noticed, survivors = tried + len(codes), noticed + len(codes) - len(left), survivors + left
        share = f"{100 * (1 - len(left) / len(codes)):.1f} %" if codes else "–"
        print(f"{file} | {len(results)} | {len(codes)} | {len(codes) - len(left)} | {share}")
    print(f"\n{noticed} of {tried} noticed. Not noticed (see `mutmut show NAME`):", *survivors, sep="\n")
    return 0


def run(*names: str) -> None:
    """Tries these changes with two processes. PyTorch computes on one thread: it cannot be forked with several."""
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", "2", *names]
    subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False)


def read_results(files: list[str]) -> dict[str, dict[str, int | None]]:
    """Exit codes by the name of a change, by file."""
    found = {}
    for path in sorted(MUTANTS.rglob("*.py.meta")):
        file = str(path.relative_to(MUTANTS).with_suffix(""))
        results = json.loads(path.read_text())["exit_code_by_key"]
        if results and (not files or file in files):
            found[file] = results
    return found


if __name__ == "__main__":
    sys.exit(main())
