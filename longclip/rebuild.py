"""What ships in `assets/`, made in order of dependence, and the manifest that says which file came from which.

picturebook-clip -> picturebook-longclip -> the gallery with both models' embeddings, and the figures of both;
picturebook-clip -> picturebook-diffusion, which reads its prompts with it.
"""

from __future__ import annotations

import json
import shutil
from itertools import chain
from pathlib import Path

from .generation.specs import EMBEDDED as PIPELINE
from .manifest import MANIFEST, hash_files, hash_folder
from .picturebook.files import write_pages
from .picturebook.pages import draw_pages
from .registry import assets

MODELS = {"picturebook-clip": (), "picturebook-longclip": ("models/picturebook-clip",)}
GALLERY = "gallery"
EVALUATION = "evaluation"
STAGES = (*MODELS, GALLERY, EVALUATION, PIPELINE)
#: Gallery scenes: independent ones, then families of eight, ordinary and late. Seed 0 is what figures are measured on.
SCENES, HARD, LATE, SEED = 1000, 15, 15, 1
FIGURES = "evaluation.json"
#: What is trained first where a model needs it, in the work folder alone.
BEFORE = {"picturebook-clip": "picturebook-words", "picturebook-longclip": "picturebook-long"}
# What a run leaves behind for itself and nobody needs to load the model.
_OF_THE_RUN = ("state-*.pt", "log.jsonl", "tensorboard")


def rebuild(stages: tuple[str, ...], work: Path, workers: int = 1) -> dict:
    """Make the stages anew, in order, and bring the manifest up to date. Returns the manifest.

    Training runs in `work`, resumes there, and is only then copied to the assets. Raises ValueError for an unknown stage.
    """
    unknown = [stage for stage in stages if stage not in STAGES]
    if unknown:
        raise ValueError(f"stage {', '.join(unknown)} is unknown; there are {', '.join(STAGES)}")
    folder = assets()
    # What lies there and is not made anew is taken as it is.
    (folder / MANIFEST).write_text(json.dumps(manifest(folder), indent=1) + "\n", "utf-8")
    for stage in STAGES:
        if stage in stages:
            if stage == GALLERY:
                _make_gallery(folder / GALLERY)
            elif stage == EVALUATION:
                _evaluate(folder / FIGURES)
            elif stage == PIPELINE:
                _train_pipeline(folder / "models" / stage, work / stage, workers)
            else:
                _train(stage, folder / "models" / stage, work / stage, workers)
            # At once: what the next stage loads is compared with it.
            (folder / MANIFEST).write_text(json.dumps(manifest(folder), indent=1) + "\n", "utf-8")
    return manifest(folder)


def manifest(folder: Path) -> dict:
    """For each part of the assets that is there: a hash of its files, and the parts it was made from with theirs.

    Of a model also the hash of each file, for `manifest.check_model`.
    """
    sources = {f"models/{name}": made_from for name, made_from in MODELS.items()}
    sources |= dict.fromkeys((GALLERY, FIGURES), tuple(sources))
    sources[f"models/{PIPELINE}"] = ("models/picturebook-clip",)
    hashes = {part: hash_folder(folder / part) for part in sources if (folder / part).exists()}
    found = {part: {"sha256": hashes[part], "made_from": {name: hashes[name] for name in sources[part]}} for part in hashes}
    for part in found:
        if part.startswith("models/"):
            found[part]["files"] = hash_files(folder / part)
    return found


def _train(name: str, target: Path, work: Path, workers: int) -> None:
    from .training.loop import train
    from .training.recipe import read_recipe

    first = BEFORE.get(name)
    if first:
        train(read_recipe(first), work / first, workers, command=f"python -m longclip train {first}")
    recipe = read_recipe(name, base=(work / first).as_posix() if first else None)
    train(recipe, work / name, workers, command=f"python -m longclip train {name}")
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(work / name, target, ignore=shutil.ignore_patterns(*_OF_THE_RUN))


def _train_pipeline(target: Path, work: Path, workers: int) -> None:
    from .diffusion.recipe import read_recipe
    from .diffusion.stages import train

    made = train(read_recipe(PIPELINE), work / "stages", work / "out", workers)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(made, target)


def _make_gallery(folder: Path) -> None:
    from .encoder import load
    from .gallery import Gallery

    shutil.rmtree(folder, ignore_errors=True)
    pages = chain(
        draw_pages("held-out", SEED, SCENES),
        draw_pages("held-out", SEED, 8 * HARD, 8),
        draw_pages("held-out", SEED, 8 * LATE, 8, late=True),
    )
    write_pages(pages, folder, format="webp")
    gallery = Gallery.from_folder(folder)
    for name in MODELS:
        gallery.save_embeddings(load(name))


def _evaluate(path: Path) -> None:
    """What `python -m longclip evaluate --data picturebook --json` prints."""
    from .encoder import load
    from .evaluation import measure
    from .evaluation.data import read_sets

    encoders = {name: load(name) for name in MODELS}
    figures = {
        data.name: {name: measure(encoder, data) for name, encoder in encoders.items()} for data in read_sets("picturebook")
    }
    path.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
