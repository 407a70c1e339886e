"""From a recipe to the pipeline's folder, stage by stage; each is taken up where it was left."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor, nn
from tqdm import tqdm

from ..checkpoints.files import part_of
from ..devices import choose_device
from ..encoder import Encoder, load
from ..generation.pipelines import load_pipeline
from ..generation.text_models import clip_tokenizer, text_model
from ..generation.word_maps import record_attention
from ..recipes import differences
from ..training.batches import load_batches, workers_named
from ..training.journal import claim
from .autoencoder import FACTOR, autoencoder_losses, build_autoencoder, scale_latents
from .denoiser import build_scheduler, build_unet, denoiser_losses, read_evenly
from .detector import Detector, build_detector, detector_losses, load_detector
from .fitting import Fit, fit
from .grounding import Grounding
from .recipe import DiffusionRecipe
from .scenes import NO_KIND, Captions, Pictures, scaled

STAGES = ("autoencoder", "latents", "detector", "unet")
LATENTS, DETECTOR, MADE = "latents", "detector", "recipe.json"
#: No file of the pipeline is larger.
LARGEST_FILE = "9MB"
_LATENTS_A_FILE = 4096
_MADE_FROM = "made-from.json"
_PICTURES_A_CALL = 64
_CAPTIONS_MEASURED = 640
# Beginnings of the recipe's fields that the autoencoder depends on.
_OF_THE_AUTOENCODER = ("base", "size", "seed", "channels", "autoencoder", "divergence")


@dataclass(frozen=True)
class _Workshop:
    """Where the stages are made: the folder of their runs, the processes that draw scenes, the device."""

    folder: Path
    workers: int
    device: str

    def plan(self, recipe: DiffusionRecipe, name: str, steps: int, rate: float, average: float = 0.0) -> Fit:
        folder = self.folder / name
        return Fit(name, folder, steps, rate, recipe.warmup, recipe.save_every, recipe.seed, average, self.device)


def train(
    recipe: DiffusionRecipe,
    work: Path,
    out: Path,
    workers: int = 1,
    stages: Sequence[str] = STAGES,
    device: str | None = None,
) -> Path:
    """Train the stages in `work` and write the pipeline to `out`, with the detector in its folder `detector`. Returns `out`.

    What `work` already holds of a stage is not made again, a finished `out` of the same recipe is left as it is, and of a
    `recipe.base` the U-Net alone is trained. With only some of the `stages`, nothing is written to `out`. device: where they
    are trained; a GPU where there is one, if it is not said.
    Raises Interrupted after Ctrl-C or SIGTERM, ValueError for a base that does not fit, for an `out` that holds something
    else and a `work` that another run writes to, and what `fitting.fit` raises.
    """
    unknown = [stage for stage in stages if stage not in STAGES]
    if unknown:
        raise ValueError(f"stage {', '.join(unknown)} is unknown; there are {', '.join(STAGES)}")
    with claim(work), workers_named():
        return _train(recipe, _Workshop(work, workers, str(choose_device(device))), out, stages)


def _train(recipe: DiffusionRecipe, shop: _Workshop, out: Path, stages: Sequence[str]) -> Path:
    torch.manual_seed(recipe.seed)
    encoder = load(recipe.encoder, device=shop.device)
    whole = set(stages) == set(STAGES)
    if whole and _is_made(recipe, out, encoder):
        return out
    width = encoder.model.config["text_cfg"]["width"]
    if recipe.base is None:
        autoencoder, detector, unet = build_autoencoder(recipe), build_detector(recipe), build_unet(recipe, width)
        _train_autoencoder(recipe, shop, autoencoder)
        if "detector" in stages:
            _train_detector(recipe, shop, autoencoder, detector)
    else:
        autoencoder, detector, unet = _parts_of(recipe, width)
        autoencoder.to(shop.device)
    if "latents" in stages or "unet" in stages:
        latents, kinds = _make_latents(recipe, shop, autoencoder)
        if "unet" in stages:
            _train_unet(recipe, shop, unet, encoder, latents * autoencoder.config.scaling_factor, kinds)
    if whole:
        detector.save(out / DETECTOR)
        write_pipeline(recipe, out, autoencoder, unet, encoder)
    return out


def _is_made(recipe: DiffusionRecipe, out: Path, encoder: Encoder) -> bool:
    """Whether `out` holds the pipeline of this recipe. Raises ValueError where it holds something else."""
    if not out.exists() or not any(out.iterdir()) or not (out / MADE).is_file() and not (out / "model_index.json").exists():
        return False
    try:
        made = json.loads((out / MADE).read_text("utf-8"))
        found = differences(made["recipe"], asdict(recipe)) + differences(
            made, _made(recipe, encoder) | {"recipe": made["recipe"]}
        )
    except (OSError, ValueError, LookupError, TypeError):
        found = [f"its {MADE} cannot be read"]
    if found:
        raise ValueError(f"{out} holds another pipeline: {'; '.join(found)}. Choose another folder (--out), or remove it")
    return True


def _made(recipe: DiffusionRecipe, encoder: Encoder) -> dict[str, Any]:
    return {"recipe": asdict(recipe), "encoder": encoder.identity}


def write_pipeline(
    recipe: DiffusionRecipe, out: Path, autoencoder: AutoencoderKL, unet: UNet2DConditionModel, encoder: Encoder
) -> None:
    """A folder that `StableDiffusionPipeline.from_pretrained` loads; all but the text encoder in half precision."""
    pipeline = StableDiffusionPipeline(
        vae=autoencoder.cpu().half(),
        # Single precision: transformers takes the stored one, diffusers does not, and a pipeline of both cannot draw.
        text_encoder=text_model(encoder).cpu(),
        tokenizer=clip_tokenizer(encoder.tokenizer),
        unet=unet.cpu().half(),
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(out, safe_serialization=True, max_shard_size=LARGEST_FILE)
    (out / MADE).write_text(json.dumps(_made(recipe, encoder), indent=1) + "\n", "utf-8")


def _parts_of(recipe: DiffusionRecipe, text_width: int) -> tuple[AutoencoderKL, Detector, UNet2DConditionModel]:
    """Those of the recipe's base, in single precision."""
    pipeline = load_pipeline(recipe.base)
    folder, unet = Path(pipeline.config["_name_or_path"]), pipeline.unet
    found = (unet.config.sample_size * FACTOR, unet.config.in_channels, unet.config.cross_attention_dim)
    wanted = (recipe.size, recipe.channels, text_width)
    if found != wanted or not (folder / DETECTOR).is_dir():
        names = "pixels a side, channels and width of text states"
        detector = "" if (folder / DETECTOR).is_dir() else ", and no detector"
        raise ValueError(f"the base {recipe.base} has as {names} {found}{detector}; wanted {wanted}, and a detector")
    for part in (pipeline.vae, unet):
        part.register_to_config(_name_or_path=recipe.name)  # else the folder it lies in here would be passed on
    return pipeline.vae, load_detector(folder / DETECTOR), unet.requires_grad_(True)


def _train_autoencoder(recipe: DiffusionRecipe, shop: _Workshop, model: AutoencoderKL) -> None:
    def losses(batch: tuple[Tensor, ...], rng: torch.Generator) -> dict[str, Tensor]:
        return autoencoder_losses(model, batch[0], recipe.divergence, rng)

    batches = Pictures(recipe, recipe.autoencoder_batch)
    plan = shop.plan(recipe, "autoencoder", recipe.autoencoder_steps, recipe.autoencoder_rate)
    fit(plan, model, batches, losses, shop.workers, _key(recipe, *_OF_THE_AUTOENCODER))
    scale_latents(model, torch.cat([batches[step][0] for step in range(-(-512 // recipe.autoencoder_batch))]))


def _train_detector(recipe: DiffusionRecipe, shop: _Workshop, autoencoder: AutoencoderKL, detector: Detector) -> None:
    plan = shop.plan(recipe, "detector", recipe.detector_steps, recipe.detector_rate)
    losses = partial(detector_losses, detector, autoencoder)
    batches = Pictures(recipe, recipe.detector_batch, mapped=True)
    fit(plan, detector, batches, losses, shop.workers, _key(recipe, "size", "seed", "autoencoder", "detector"))


def _train_unet(
    recipe: DiffusionRecipe, shop: _Workshop, unet: UNet2DConditionModel, encoder: Encoder, latents: Tensor, kinds: Tensor
) -> None:
    scheduler, captions = build_scheduler(), Captions(recipe, encoder.tokenizer)
    record_attention(unet)
    if recipe.base is None:
        read_evenly(unet, _word_states(recipe, encoder, captions).cpu())
    latents, kinds = latents.to(shop.device), kinds.to(shop.device)

    def losses(batch: tuple[list[int], list[str], Tensor, Tensor], rng: torch.Generator) -> dict[str, Tensor]:
        rows, _, ids, told = batch
        with torch.no_grad():
            states = encoder.model.text_states(ids)
        shown = kinds[rows]
        weights = torch.where(shown != NO_KIND, recipe.things, 1.0)
        velocity, grounding = denoiser_losses(
            unet, scheduler, latents[rows].float(), weights, states, Grounding(shown, told), rng
        )
        return {"velocity": velocity, "grounding": recipe.grounding * grounding}

    plan = shop.plan(recipe, "unet", recipe.steps, recipe.learning_rate, recipe.average)
    rest = [entry.name for entry in fields(recipe) if not entry.name.startswith("detector")]
    # Not only by its name: a U-Net trained on with another encoder of the name would read neither.
    key = json.loads(_key(recipe, *rest)) | {"weights of the encoder": encoder.identity}
    fit(plan, unet, captions, losses, shop.workers, json.dumps(key))


@torch.no_grad()
def _word_states(recipe: DiffusionRecipe, encoder: Encoder, captions: Captions) -> Tensor:
    """States [n, width] of the words of some captions that come after those of the training, pads left out."""
    batches = -(-_CAPTIONS_MEASURED // recipe.batch)
    texts = [text for step in range(recipe.steps, recipe.steps + batches) for text in captions[step][1]]
    ids = encoder.tokenizer.filled(texts).to(encoder.device)
    words = (ids != encoder.tokenizer.start_id) & (ids != encoder.tokenizer.end_id)
    return encoder.model.text_states(ids)[words]


@torch.inference_mode()
def _make_latents(recipe: DiffusionRecipe, shop: _Workshop, autoencoder: nn.Module) -> tuple[Tensor, Tensor]:
    """Latents of `recipe.scenes` scenes, float16 [n, channels, side, side], not scaled, and the kind that each place
    shows, uint8 [n, side, side]; kept in files of a few thousand.

    Raises ValueError for a folder with those of another recipe.
    """
    folder = shop.folder / LATENTS
    folder.mkdir(parents=True, exist_ok=True)
    made_from, key = folder / _MADE_FROM, _key(recipe, *_OF_THE_AUTOENCODER, "scenes")
    if not made_from.is_file():
        made_from.write_text(key, "utf-8")
    elif made_from.read_text("utf-8") != key:
        other = differences(json.loads(made_from.read_text("utf-8")), json.loads(key))
        raise ValueError(
            f"{folder} holds latents of another recipe: {'; '.join(other)}. Choose another folder (--work), or remove this one"
        )
    calls = -(-recipe.scenes // _PICTURES_A_CALL)
    a_file = _LATENTS_A_FILE // _PICTURES_A_CALL
    files = {first: folder / f"{first:06d}.npz" for first in range(0, calls, a_file)}
    missing = [first for first, file in files.items() if not file.is_file()]
    batches = Pictures(recipe, _PICTURES_A_CALL, mapped=True)
    for first in tqdm(missing, desc="latents", mininterval=5):
        latents, kinds = [], []
        for images, cells, _ in load_batches(batches, range(first, min(calls, first + a_file)), shop.workers):
            latents.append(autoencoder.encode(scaled(images.to(shop.device))).latent_dist.mean.half().cpu().numpy())
            kinds.append(cells.numpy().astype(np.uint8))
        with part_of(files[first]) as part, part.open("wb") as file:
            np.savez(file, latents=np.concatenate(latents), kinds=np.concatenate(kinds))
    kept = [np.load(file) for file in files.values()]
    latents, kinds = (np.concatenate([file[name] for file in kept])[: recipe.scenes] for name in ("latents", "kinds"))
    return torch.from_numpy(latents), torch.from_numpy(kinds)


def _key(recipe: DiffusionRecipe, *beginnings: str) -> str:
    """The part of a recipe that a stage depends on."""
    return json.dumps({name: value for name, value in asdict(recipe).items() if name.startswith(beginnings)})
