"""`python -m longclip export`: a model in another format, with its tokenizer where the format or vocabulary asks for one."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from .flags import add_config, with_config

HELP = "write a model in another format"
# As in longclip.checkpoints, which --help should not wait for.
FORMATS = ("folder", "open_clip", "longclip", "hugging_face")
PRECISIONS = ("fp32", "fp16", "bf16")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a name, a file, a folder, or hf-hub:owner/name")
    add_config(parser)
    parser.add_argument(
        "--format",
        required=True,
        choices=FORMATS,
        help="folder and hugging_face are folders, the others files",
    )
    parser.add_argument(
        "--out", required=True, type=Path, help="the folder or file to write; a file ends in .pt or .safetensors"
    )
    parser.add_argument("--precision", choices=PRECISIONS, help="default: as stored")


def run(args: argparse.Namespace) -> int:
    from longclip import checkpoints, hub
    from longclip.tokens import Tokenizer
    from longclip.vocabulary import CLIP_VOCABULARY, full_vocabulary

    in_folder = args.format in ("folder", "hugging_face")
    (name,) = with_config([args.model], args.config)
    if args.out.exists() and (args.out.is_file() or any(args.out.iterdir())):
        raise ValueError(f"{args.out} is there already: give a new name, nothing is overwritten")
    if not in_folder and args.out.suffix not in (".pt", ".safetensors"):
        raise ValueError(f"--out is {args.out}: the format {args.format} is a file, whose name ends in .pt or .safetensors")
    spec, path = hub.locate(name)
    checkpoint = checkpoints.read(path, spec.config)
    text = checkpoint.config["text_cfg"]
    words = text.get("vocab_size", CLIP_VOCABULARY)
    tokenizer = Tokenizer.of_model(spec.tokenizer_home(path), words, text.get("context_length", 77))
    # Every reader has CLIP's own vocabulary; transformers wants it in the folder all the same.
    tokens_in = None
    if words != CLIP_VOCABULARY or tokenizer.vocab != full_vocabulary()[0] or args.format == "hugging_face":
        tokens_in = args.out if in_folder else args.out.parent
        if (tokens_in / "tokenizer.json").is_file() and Tokenizer.from_folder(tokens_in, 77).vocab != tokenizer.vocab:
            raise ValueError(f"{tokens_in} holds the tokenizer of another model: give another folder, nothing is overwritten")
    checkpoints.write(checkpoint.cast(args.precision) if args.precision else checkpoint, args.out, args.format)
    if tokens_in:
        tokenizer.save(tokens_in)
    written = {
        "model": spec.name,
        "format": args.format,
        "out": str(args.out),
        "precision": args.precision or checkpoint.precision,
        "tokenizer": tokens_in and str(tokens_in),
    }
    print(json.dumps(written) if args.json else f"{spec.name} is in {args.out} ({args.format}, {written['precision']})")
    return 0
