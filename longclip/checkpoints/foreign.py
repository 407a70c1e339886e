"""What a file is, by its first bytes, and what weights are of, by their names: so that what is not read here has a name."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

SAFETENSORS, TORCH = "safetensors", "a file of torch.save"
_STARTS = (  # of files that are often met with a checkpoint's name
    (b"version https://git-lfs", "a pointer of Git LFS in place of the weights: fetch them with `git lfs pull`"),
    (b"GGUF", "a GGUF file"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras and TensorFlow write"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"\x1f\x8b", "a gzip archive: unpack it"),
    (b"7z\xbc\xaf", "a 7z archive: unpack it"),
    (b"Rar!", "a RAR archive: unpack it"),
    (b"PAR1", "a Parquet table"),
)
_ENDINGS = {
    ".onnx": "an ONNX graph",
    ".msgpack": "Flax's weights in msgpack",
    ".tflite": "a TensorFlow Lite model",
    ".pb": "a TensorFlow graph",
    ".mlmodel": "a Core ML model",
}
_NO_CLIP = (  # names that no CLIP has, whatever else there is; the first that fits
    (r"lora_(up|down|A|B|te|unet)|\.lora\.|hada_w1|lokr_w1", "a LoRA, which changes another model's weights"),
    (r"^(string_to_param|emb_params|<.*>|clip_[lg])$", "an embedding of textual inversion, which adds a word to a text tower"),
    (r"^(model\.diffusion_model|cond_stage_model|conditioner)\.", "a whole diffusion model in one file"),
    (r"^(first_stage_model\.|(module\.)?(encoder|decoder)\.(down|up|down_blocks|up_blocks|mid_block)\.)", "a VAE"),
    (r"^control(_model|net_)", "a ControlNet"),
    (r"^(down_blocks|up_blocks|mid_block|input_blocks|output_blocks)\.", "a diffusion model's U-Net"),
    (r"^(double_blocks|single_blocks|joint_blocks|transformer_blocks)\.", "a diffusion transformer"),
    (r"(^|\.)(text_decoder|multimodal_decoder)\.", "a CoCa, wanted a plain CLIP"),
    (r"(^|\.)(vision_model\.head\.|text_model\.head\.)", "a SigLIP, wanted a plain CLIP"),
    (r"^bert\.embeddings\.", "a Chinese-CLIP or a BERT, wanted a plain CLIP"),
)
_NO_TOWER = (  # names of what has neither of CLIP's towers
    (r"(^|\.)visual_encoder\.", "a BLIP or an ALBEF, wanted a plain CLIP"),
    (r"(^|\.)(language_model|lm_head|qformer)\b|^(model\.)?layers\.\d+\.|^transformer\.h\.", "a language model"),
    (r"^(embeddings|encoder\.layer)\.", "a transformer of another kind, such as a BERT or a ViT of transformers"),
    (r"^(patch_embed\.proj|blocks\.\d+|stages\.\d+|stem\.|layer1\.0\.|features\.\d+)", "an image model without a text tower"),
)


def name_format(path: Path) -> str:
    """How a file is written, by its content: `SAFETENSORS`, `TORCH`, or what else it is."""
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        return "an empty file"
    if start.startswith(b"PK"):
        return _name_archive(path)
    if path.suffix.lower() in _ENDINGS:
        return _ENDINGS[path.suffix.lower()]
    for beginning, kind in _STARTS:
        if start.startswith(beginning):
            return kind
    if start[4:8] == b"TFL3":
        return _ENDINGS[".tflite"]
    if start[257:262] == b"ustar":
        return "a tar archive: unpack it"
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 100_000_000:
        return SAFETENSORS
    if start[:1] == b"\x80" and start[1] < 6:
        return TORCH
    if re.match(rb"\s*<(!doctype|html|\?xml)", start, re.IGNORECASE):
        return "a web page: what was downloaded is not the file but a page about it, or an error"
    text = start.decode("utf-8", "ignore")
    if "\0" not in text and len(text.encode()) > len(start) - 4:
        return "text"
    return "neither, or cut short"


def _name_archive(path: Path) -> str:
    """What a zip archive is: torch.save writes one, and so do others."""
    if not zipfile.is_zipfile(path):
        return "cut short: it begins as a file of torch.save and has no end"
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(name.endswith("/constants.pkl") for name in names):
        return (
            "a TorchScript archive (as OpenAI publishes them), which is a program and is not run: give its state dict, "
            "or name the model as openai/ViT-B-16"
        )
    if any(name.endswith("data.pkl") for name in names):
        return TORCH
    if any(name.endswith(".npy") for name in names):
        return "a NumPy archive"
    return "a zip archive: unpack it"


def name_foreign(names: Iterable[str]) -> str | None:
    """What weights are of, where a name among them is in no CLIP."""
    names = list(names)
    return next((kind for pattern, kind in _NO_CLIP if any(re.search(pattern, name) for name in names)), None)


def name_weights(names: Iterable[str]) -> str | None:
    """What weights are of, if of something that is not read here; None where they may be a whole CLIP's."""
    names = list(names)
    if foreign := name_foreign(names):
        return foreign
    text = any(re.search(r"(^|\.)(token_embedding\.weight|text_model\.|text\.)", name) for name in names)
    vision = any(re.search(r"(^|\.)(visual\.|vision_model\.|vision_tower\.)", name) for name in names)
    if text and vision:
        return None
    if text:
        return "a text tower alone, wanted a whole CLIP with its vision tower"
    if vision or {"class_embedding", "conv1.weight", "proj"} <= set(names):
        return "a vision tower alone, wanted a whole CLIP with its text tower"
    return next((kind for pattern, kind in _NO_TOWER if any(re.search(pattern, name) for name in names)), "no CLIP")
