"""`python -m longclip info`: the models there are, or one of them in detail."""

from __future__ import annotations

import argparse
import json
from typing import Any

from longclip.commands.flags import add_config, with_config
from longclip.registry import ModelSpec, available, resolve

HELP = "list the models, or describe one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", help="a name, a file, a folder, or hf-hub:owner/name; none: list all names")
    add_config(parser)
    parser.add_argument("--fetch", action="store_true", help="fetch a model of the hub, to describe its weights too")


def run(args: argparse.Namespace) -> int:
    if args.model is None:
        found = [_describe(spec) for spec in available()]
        print(json.dumps(found, indent=2) if args.json else _table(found))
        return 0
    (name,) = with_config([args.model], args.config)
    spec = resolve(name)
    described = _describe(spec) | (_describe_weights(name) if spec.folder or args.fetch else {})
    print(
        json.dumps(described, indent=2) if args.json else "\n".join(f"{name:<15} {value}" for name, value in described.items())
    )
    return 0


def _describe(spec: ModelSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "title": spec.title,
        "family": spec.family,
        "context_length": spec.context_length,
        "licence": spec.licence,
        "embedded": spec.embedded,
        "location": spec.location,
        "tokenizer": spec.tokenizer,
        "note": spec.note,
    }


def _describe_weights(name: str) -> dict[str, Any]:
    from longclip import checkpoints, hub
    from longclip.vocabulary import CLIP_VOCABULARY

    spec, path = hub.locate(name)
    checkpoint = checkpoints.read(path, spec.config)
    text, vision = checkpoint.config["text_cfg"], checkpoint.config["vision_cfg"]
    length = int(text.get("context_length", 77))
    return {
        "family": spec.family or ("Long-CLIP" if length > 77 else "CLIP"),
        "context_length": length,
        "location": spec.location,
        "format": checkpoint.format,
        "precision": checkpoint.precision,
        "parameters": sum(tensor.numel() for tensor in checkpoint.state.values()),
        "dim": checkpoint.config["embed_dim"],
        "vocabulary": text.get("vocab_size", CLIP_VOCABULARY),
        "text_width": text.get("width", 512),
        "image_size": vision.get("image_size", 224),
        "patch_size": vision.get("patch_size", None if "timm_model_name" in vision else 16),
        "activation": "QuickGELU" if checkpoint.config.get("quick_gelu") else "GELU",
        "logit_scale": round(float(checkpoint.state["logit_scale"].float().exp()), 3),
    } | ({"note": "; ".join(checkpoint.notes)} if checkpoint.notes else {})


def _table(found: list[dict[str, Any]]) -> str:
    width = max(len(model["name"]) for model in found)
    rows = [f"{'name':<{width}}  {'family':<9}  length  licence     where"]
    for model in found:
        where = "embedded" if model["embedded"] else model["location"]
        rows.append(
            f"{model['name']:<{width}}  {model['family']:<9}  {model['context_length']:>6}  {model['licence']:<10}  {where}"
        )
    return "\n".join(rows)
