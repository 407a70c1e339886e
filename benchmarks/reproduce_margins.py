"""Chen et al. (arXiv 2310.00927) in small: what the positive-pair regulariser and the square loss do to a CLIP.

    python benchmarks/reproduce_margins.py [--seeds 3] [--steps 400] [--out runs/reproduce-margins] [--json]

Pre-training on the picture book's web-like captions with the contrastive loss and λ times the regulariser, and with the
square loss in its place; each from the same first stage (`picturebook-words`, trained first where it is not there) and
over the same scenes. Margins, zero-shot and linear probe, on held-out scenes of what was seen and of what was not (other
settings, other colours of a kind). Resumable like `reproduce_longclip.py`. Prints a table, then one JSON
line, and writes a figure.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.arms import Arm, draw_curves, format_table, run_arms
from longclip.evaluation.data import EvaluationSet, read_sets
from longclip.evaluation.measures import measure
from longclip.training.recipe import read_recipe

WORDS = "picturebook-words"
STRENGTHS = (0.0, 0.01, 0.1, 1.0)
SPLITS = {"seen": "held-out", "shifted": "shifted"}
COLUMNS = {
    f"{name}, {split}": f"{split} {figure}"
    for name, figure in (
        ("zero-shot", "zero-shot accuracy"),
        ("probe", "linear probe accuracy"),
        ("t2i R@1", "short text to image R@1"),
        ("margin", "margin text to image, mean"),
        ("negative cosine", "mean negative cosine"),
    )
    for split in SPLITS
}
CURVE = "seen negatives above S_ii − γ, text to image (%)"


def arms(steps: int, base: Path) -> list[Arm]:
    plain = read_recipe("picturebook-clip", base=base.as_posix(), steps=steps, validate_on=0, stored="fp32")
    regularised = [
        Arm(f"λ = {strength:g}", "contrastive + λ · regulariser", replace(plain, positive_pairs=strength))
        for strength in STRENGTHS
    ]
    return [*regularised, Arm("square loss", "in place of the contrastive one", replace(plain, objective="square"))]


def measure_model(encoder, sets: dict[str, EvaluationSet]) -> dict:
    figures = {}
    for name, scene_set in sets.items():
        short = replace(scene_set, long=scene_set.short)
        found = measure(encoder, scene_set, ("retrieval", "zeroshot", "probe")) | measure(encoder, short, ("alignment",))
        figures |= {f"{name} {figure}": value for figure, value in found.items()}
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--scenes", type=int, default=1000)
    parser.add_argument("--words", type=Path, default=Path("runs") / WORDS, help="folder of the first stage")
    parser.add_argument("--out", type=Path, default=Path("runs/reproduce-margins"))
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    arguments = parser.parse_args()
    from longclip.training.loop import train

    if not (arguments.words / "recipe.json").is_file():
        train(read_recipe(WORDS), arguments.words, command=f"python -m longclip train {WORDS}")

    drawn = {name: read_sets("picturebook", 0, arguments.scenes, 0, split)[0] for name, split in SPLITS.items()}
    sets = {name: replace(data, training=cache(data.training)) for name, data in drawn.items()}

    def show(found: dict) -> None:
        if not arguments.json:
            print("\n" + format_table(found, COLUMNS), flush=True)

    found = run_arms(
        arms(arguments.steps, arguments.words),
        range(arguments.seeds),
        arguments.out,
        lambda encoder: measure_model(encoder, sets),
        show,
    )
    draw_curves(found, CURVE, "γ", "negatives above S_ii − γ, %", arguments.out / "margins.html")
    print(json.dumps({"steps": arguments.steps, "arms": found}))


if __name__ == "__main__":
    main()
