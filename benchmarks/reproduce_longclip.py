"""Long-CLIP in small: what each of its parts does, on the picture book.

    python benchmarks/reproduce_longclip.py [--seeds 3] [--steps 300] [--out runs/reproduce-longclip] [--json]

Six ways to fine-tune `picturebook-clip`, the same number of scenes each, from the same base and with the same settings:
stretching the table of positions by interpolating all rows or with knowledge preserved, matching long captions alone or
with primary components, and then what later work adds to the data. Measured on held-out scenes. A run that is cut off goes
on where it was; the table so far is printed after each arm. Prints a table, then one JSON line, and writes a figure.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.arms import Arm, draw_curves, format_table, run_arms
from longclip.evaluation.data import EvaluationSet, read_sets
from longclip.evaluation.measures import measure
from longclip.training.recipe import Recipe

BASE = "picturebook-clip"
COLUMNS = {
    "long t2i": "scenes long text to image R@1",
    "long i2t": "scenes long image to text R@1",
    "short t2i": "scenes short text to image R@1",
    "zero-shot": "scenes zero-shot accuracy",
    "hard families": "hard families long text to image R@1",
    "late families": "late families long text to image R@1",
    "effective length": "scenes effective length",
}
CURVE = "scenes text to image R@1 by tokens"


def arms(steps: int) -> list[Arm]:
    plain = Recipe(
        base=BASE,
        steps=steps,
        batch=64,
        learning_rate=3e-4,
        weight_decay=0.05,
        beta2=0.98,
        warmup=40,
        components=16,
        short_weight=0.5,
        smoothing=0.05,
        subjects=8,
        summary_drop=0.0,
        sentences="all",
        validate_on=0,
    )
    both = replace(plain, name="both")
    debias = replace(both, name="debias", summary_drop=0.7, sentences="sample")
    return [
        Arm("direct", "all rows interpolated, long captions alone", replace(plain, objective="contrastive", stretch="linear")),
        Arm("PCM only", "all rows interpolated, primary components", replace(plain, stretch="linear")),
        Arm("KPS only", "knowledge preserved, long captions alone", replace(plain, objective="contrastive")),
        Arm("both", "Long-CLIP", both),
        Arm("both, sampled", "its captions lose their summary and are sampled (DeBias-CLIP)", debias),
        Arm("both, families", "half of each batch in families of one summary", replace(both, family_share=0.5)),
    ]


def measure_model(encoder, sets: list[EvaluationSet]) -> dict:
    """The figures of a model by set and name."""
    figures = {}
    for data in sets:
        wanted = ("retrieval",) if data.families else ("retrieval", "zeroshot", "length")
        figures |= {f"{data.name} {name}": value for name, value in measure(encoder, data, wanted).items()}
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--scenes", type=int, default=1000)
    parser.add_argument("--families", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path("runs/reproduce-longclip"))
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    arguments = parser.parse_args()
    from longclip.encoder import load

    sets = read_sets("picturebook", 0, arguments.scenes, arguments.families)

    def measured(encoder) -> dict:
        return measure_model(encoder, sets)

    def show(found: dict) -> None:
        if not arguments.json:
            print("\n" + format_table(base | found, COLUMNS), flush=True)

    base = {"before": [measured(load(BASE))]}
    found = run_arms(arms(arguments.steps), range(arguments.seeds), arguments.out, measured, show)
    draw_curves(base | found, CURVE, "tokens kept", "text to image R@1, %", arguments.out / "length.html")
    print(json.dumps({"steps": arguments.steps, "arms": base | found}))


if __name__ == "__main__":
    main()
