"""Pipelines that read with another text encoder, against transformers' and diffusers' own results."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import CORPUS, tiny_config
from small_pipelines import FEW, pictures, sd_pipeline, sdxl_pipeline

import longclip
from longclip.encoder import Encoder
from longclip.generation.pipelines import load_pipeline, swap
from longclip.generation.prompts import MOST_CHUNKS, embed, embed_in_chunks, mix
from longclip.model import build_model
from longclip.preprocessing import Preprocessing
from longclip.registry import ModelSpec
from longclip.tokens import Tokenizer

LONG = " ".join(CORPUS * 3)


@pytest.fixture
def pipeline(clip):
    return sd_pipeline(clip)


def test_a_prompt_read_whole_is_what_diffusers_reads(pipeline):
    for text, negative in ((CORPUS[0], ""), (LONG, CORPUS[1])):
        prompt = embed(pipeline, text, negative)
        states, without = pipeline.encode_prompt(text, "cpu", 1, True, negative)
        assert torch.allclose(prompt.states, states, atol=1e-6) and torch.allclose(prompt.negative, without, atol=1e-6)
    assert prompt.tokens.unseen and LONG.endswith(prompt.tokens.unseen)


def test_layers_are_skipped_as_diffusers_does_where_it_can(pipeline):
    ids = torch.tensor([[*embed(pipeline, LONG).tokens.ids]])
    hidden = pipeline.text_encoder(ids, output_hidden_states=True).hidden_states
    wanted = pipeline.text_encoder.final_layer_norm(hidden[-2])
    assert torch.allclose(embed(pipeline, LONG, clip_skip=1).states, wanted, atol=1e-6)
    with pytest.raises(ValueError, match="wanted 0 to 1"):
        embed(pipeline, LONG, clip_skip=2)


def test_a_long_prompt_takes_the_positions_it_needs_and_no_more(pipeline, long_clip):
    swapped = swap(pipeline, long_clip)
    short, long = embed(swapped, "a red fox"), embed(swapped, LONG, "a pond")
    assert short.states.shape[1] == short.negative.shape[1] == 77
    assert long.states.shape[1] == long.negative.shape[1] == len(long_clip.tokenizer(LONG)) < 248
    ids = list(long_clip.tokenizer("a red fox").ids)
    padded = torch.tensor([ids + [pipeline.tokenizer.pad_token_id] * (77 - len(ids))])
    assert torch.allclose(short.states, long_clip.model.text_states(padded), atol=1e-5)
    negative = embed(swapped, "a red fox", LONG)
    assert negative.states.shape == negative.negative.shape == long.states.shape


def test_pads_follow_what_is_said(pipeline, long_clip):
    swapped = swap(pipeline, long_clip)
    few, many = embed(swapped, CORPUS[0]), embed(swapped, CORPUS[0], length=248)
    assert few.states.shape[1] == 77 and many.states.shape[1] == many.negative.shape[1] == 248
    assert torch.allclose(few.states, many.states[:, :77], atol=1e-5)
    with pytest.raises(ValueError, match="got a length of 248, wanted at most 77, the positions of the text encoder"):
        embed(pipeline, CORPUS[0], length=248)


def test_chunks_are_read_one_by_one_and_end_with_a_sentence(pipeline, clip):
    prompt = embed_in_chunks(pipeline, LONG)
    start, *inner, end = clip.tokenizer.with_length(1000)(LONG).ids
    stop = clip.tokenizer("here.").ids[-2]
    pieces, left = [], inner
    while len(left) > 75:
        last = max(i + 1 for i in range(75) if left[i] == stop)
        pieces, left = [*pieces, left[:last]], left[last:]
    rows = [[start, *piece, end] for piece in (*pieces, left)]
    padded = [row + [pipeline.tokenizer.pad_token_id] * (77 - len(row)) for row in rows]
    wanted = [clip.model.text_states(torch.tensor([row])) for row in padded]
    assert len(rows) == 3 and torch.allclose(prompt.states, torch.cat(wanted, 1), atol=1e-5)
    assert prompt.negative.shape == prompt.states.shape and not prompt.tokens.unseen
    flat = [id for row in padded for id in row]
    assert [flat[column] for column in prompt.columns] == inner


def test_chunks_are_those_of_compel(pipeline):
    compel = pytest.importorskip("compel")
    mode = compel.embeddings_provider.SplitLongTextMode.SENTENCES
    theirs = compel.Compel(
        tokenizer=pipeline.tokenizer, text_encoder=pipeline.text_encoder, truncate_long_prompts=False, split_long_text_mode=mode
    )
    for text in (" ".join(CORPUS * 2).replace(";", ",").replace("'", ""), "three ducks " * 60):
        with torch.inference_mode():
            wanted = theirs(text)
        found = embed_in_chunks(pipeline, text)
        assert found.states.shape == wanted.shape and found.columns[-1] > 77
        # Behind the end token compel hides the pads from each other, which the pipelines themselves do not.
        columns = list(found.columns)
        assert torch.allclose(found.states[:, columns], wanted[:, columns], atol=1e-5)


def test_a_word_without_an_end_is_cut_where_it_must_be(pipeline):
    prompt = embed_in_chunks(pipeline, "x" * 4000)
    assert prompt.states.shape[1] % 77 == 0 and len(prompt.columns) == len(prompt.tokens) - 2


def test_the_ends_of_a_mix_are_what_is_mixed(pipeline, clip, long_clip):
    chunks, whole = embed_in_chunks(pipeline, LONG), embed(swap(pipeline, long_clip), LONG)
    assert torch.equal(mix(chunks, whole, 1.0).states, whole.states)
    first, half = mix(chunks, whole, 0.0), mix(chunks, whole, 0.5)
    for number in (0, 40, 74, 75, len(whole.columns) - 1):
        there = chunks.states[0, chunks.columns[number]]
        assert torch.equal(first.states[0, whole.columns[number]], there)
        middle = (there + whole.states[0, whole.columns[number]]) / 2
        assert torch.allclose(half.states[0, whole.columns[number]], middle, atol=1e-6)
    assert first.states.shape == whole.states.shape == first.negative.shape
    # A long negative prompt, token by token too.
    swapped = swap(pipeline, long_clip)
    chunks, whole = embed_in_chunks(pipeline, CORPUS[0], LONG), embed(swapped, CORPUS[0], LONG)
    first = mix(chunks, whole, 0.0)
    assert len(whole.negative_columns) > 75 and torch.equal(mix(chunks, whole, 1.0).negative, whole.negative)
    for number in (0, 74, 75, len(whole.negative_columns) - 1):
        there = chunks.negative[0, chunks.negative_columns[number]]
        assert torch.equal(first.negative[0, whole.negative_columns[number]], there)
    assert mix(embed_in_chunks(pipeline, ""), embed(pipeline, ""), 0.5).states.shape[1] == 77
    with pytest.raises(ValueError, match="wanted 0"):
        mix(chunks, whole, 1.5)
    for prompt, negative in ((CORPUS[1], LONG), (CORPUS[0], "")):
        with pytest.raises(ValueError, match="one vocabulary"):
            mix(embed_in_chunks(pipeline, prompt, negative), whole, 0.5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("make", [sd_pipeline, sdxl_pipeline])
def test_a_swap_changes_nothing_of_the_pipeline_it_began_with(clip, long_clip, make, dtype):
    pipeline = make(clip, dtype=dtype)
    before = pictures(pipeline, embed(pipeline, LONG))
    swapped = swap(pipeline, long_clip)
    assert swapped.unet is pipeline.unet and swapped.vae is pipeline.vae and swapped.scheduler is not pipeline.scheduler
    assert swapped.unet.dtype == swapped.text_encoder.dtype == dtype
    prompt = embed(swapped, LONG)
    assert prompt.states.shape[1] > 77 and (prompt.pooled is None) == (make is sd_pipeline)
    other = pictures(swapped, prompt)
    assert np.isfinite(other).all() and not np.array_equal(other, before)
    assert np.array_equal(pictures(pipeline, embed(pipeline, LONG)), before)
    # And the plain way to call such a pipeline works too.
    plain = swapped(LONG, num_inference_steps=1, generator=torch.Generator().manual_seed(0)).images[0]
    assert plain.size == (32, 32)


def test_sdxl_reads_as_diffusers_does(clip, long_clip):
    pipeline = sdxl_pipeline(clip)
    for negative in ("", CORPUS[1]):
        prompt = embed(pipeline, LONG, negative)
        wanted = pipeline.encode_prompt(LONG, device="cpu", negative_prompt=negative or None)
        found = (prompt.states, prompt.negative, prompt.pooled, prompt.negative_pooled)
        for ours, theirs in zip(found, wanted, strict=True):
            assert torch.allclose(ours, theirs, atol=1e-5)
    assert not embed(pipeline, LONG).negative.any() and embed(pipeline, LONG, CORPUS[1]).negative.any()
    chunks, whole = embed_in_chunks(pipeline, LONG), embed(swap(pipeline, long_clip), LONG)
    assert torch.allclose(mix(chunks, whole, 0.25).pooled, 0.75 * chunks.pooled + 0.25 * whole.pooled, atol=1e-6)
    assert not np.array_equal(pictures(pipeline, chunks), pictures(pipeline, embed(pipeline, LONG)))


@pytest.mark.slow
@pytest.mark.parametrize("make", [sd_pipeline, sdxl_pipeline])
def test_full_widths_of_few_layers_draw_with_77_and_248_tokens(make):
    text = {"vocab_size": 49408, "width": 768, "heads": 12, "layers": 2}
    clip, long_clip = (_random_encoder({**text, "context_length": length}) for length in (77, 248))
    second = {} if make is sd_pipeline else {"second_width": 1280}
    pipeline = make(clip, **second, widths=(320, 640), attention_head_dim=8 if make is sd_pipeline else 5)
    prompt, settings = "a quiet harbour at dawn, " * 60, replace(FEW, steps=1)
    for dtype in (torch.float32, torch.bfloat16):
        pipeline.to(dtype)
        before = pictures(pipeline, embed(pipeline, prompt), settings)
        swapped = swap(pipeline, long_clip)
        long = embed(swapped, prompt)
        assert long.states.shape == (1, 248, 768 + second.get("second_width", 0)) and long.states.dtype == dtype
        assert not np.array_equal(pictures(swapped, long, settings), before)
        assert np.array_equal(pictures(pipeline, embed(pipeline, prompt), settings), before)


def _random_encoder(text: dict) -> Encoder:
    torch.manual_seed(0)
    config = tiny_config(77, 49408) | {"embed_dim": 768, "text_cfg": text}
    model = build_model(config).eval().requires_grad_(False)
    spec = ModelSpec("random", "random", "", text["context_length"], "", "local")
    look = Preprocessing.from_config(32)
    return Encoder(spec, model, Tokenizer.full(text["context_length"]), look)


def test_prompts_of_any_length_are_read(pipeline, long_clip):
    swapped = swap(pipeline, long_clip)
    for text in ("", "🦊" * 50, "a red fox " * 5000):
        for prompt in (embed(pipeline, text), embed(swapped, text), embed_in_chunks(pipeline, text)):
            assert prompt.states.shape == prompt.negative.shape
            assert len(prompt.columns) == len(prompt.tokens) - 2
    assert prompt.states.shape[1] == 77 * MOST_CHUNKS and prompt.tokens.unseen
    assert len(pictures(swapped, embed(swapped, ""), replace(FEW, steps=1))) == 1


def test_an_encoder_of_another_width_is_refused(pipeline, tiny_model_folder):
    other = longclip.load(tiny_model_folder(248))
    other.model.config["text_cfg"]["width"] = 1024
    with pytest.raises(ValueError, match="1024 wide.*64 wide"):
        swap(pipeline, other)


def test_pipelines_without_clip_are_refused(pipeline):
    from transformers import BertConfig, BertModel

    pipeline.register_modules(
        text_encoder=BertModel(BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8))
    )
    with pytest.raises(ValueError, match="BertModel"):
        embed(pipeline, CORPUS[0])
    pipeline.register_modules(text_encoder=None)
    with pytest.raises(ValueError, match="no text encoder"):
        embed(pipeline, CORPUS[0])


def test_a_folder_is_loaded_and_draws_as_before(pipeline, tmp_path):
    wanted = pictures(pipeline, embed(pipeline, LONG))
    pipeline.save_pretrained(tmp_path / "pipeline")
    loaded = load_pipeline(str(tmp_path / "pipeline"), slicing=True)
    assert loaded.vae.use_slicing
    assert np.array_equal(pictures(loaded, embed(loaded, LONG)), wanted)
    half = load_pipeline(str(tmp_path / "pipeline"), dtype="bf16")
    assert half.unet.dtype == torch.bfloat16


def test_offload_is_diffusers_own_and_wants_a_gpu(pipeline, tmp_path, monkeypatch):
    pipeline.save_pretrained(tmp_path / "pipeline")
    with pytest.raises(ValueError, match="wanted a device other than 'cpu'"):
        load_pipeline(str(tmp_path / "pipeline"), offload=True)
    asked = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("diffusers.DiffusionPipeline.enable_model_cpu_offload", lambda self, **kwargs: asked.append(kwargs))
    assert load_pipeline(str(tmp_path / "pipeline"), device="cuda:1", offload=True).device.type == "cpu", "until it is needed"
    assert asked == [{"device": torch.device("cuda:1")}]


def test_what_cannot_be_loaded_is_one_sentence(pipeline, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="unknown; there are picturebook-diffusion, stable-diffusion-1.5"):
        load_pipeline("nowhere")
    with pytest.raises(ValueError, match="no model_index.json"):
        load_pipeline(str(tmp_path))
    with pytest.raises(ValueError, match="dtype 'fp8'"):
        load_pipeline(str(tmp_path), dtype="fp8")
    monkeypatch.setenv("LONGCLIP_ASSETS", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="has not been built"):
        load_pipeline("picturebook-diffusion")
    folder = tmp_path / "pipeline"
    pipeline.save_pretrained(folder)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ValueError, match="cannot be loaded as a diffusion pipeline"):
        load_pipeline(str(folder))
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "Nothing"}))
    with pytest.raises(ValueError, match="cannot be loaded"):
        load_pipeline(str(folder))


def test_weights_that_would_run_code_are_not_read(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path, safe_serialization=False)
    with pytest.raises(ValueError, match="cannot be loaded"):
        load_pipeline(str(tmp_path))


def test_a_swap_leaves_each_part_its_precision(pipeline, long_clip):
    pipeline.unet.to(torch.bfloat16)
    pipeline.text_encoder.to(torch.bfloat16)
    swapped = swap(pipeline, long_clip)
    assert (pipeline.unet.dtype, pipeline.text_encoder.dtype, pipeline.vae.dtype) == (*[torch.bfloat16] * 2, torch.float32)
    assert swapped.vae is pipeline.vae and swapped.unet is pipeline.unet and swapped.text_encoder.dtype == torch.bfloat16
    assert type(swapped) is type(pipeline) and dict(swapped.config).keys() == dict(pipeline.config).keys()


def test_the_end_of_a_prompt_that_was_cut_is_mixed_with_an_end(pipeline, long_clip):
    chunked, whole = embed_in_chunks(pipeline, LONG * 4), embed(swap(pipeline, long_clip), LONG * 4)
    count = len(whole.columns)
    assert len(chunked.columns) > count
    mixed = mix(chunked, whole, 0.0).states[0, count + 1]
    last = chunked.columns[count - 1] // 77
    end = max(column for column in chunked.columns if column // 77 == last) + 1
    assert torch.equal(mixed, chunked.states[0, end]) and end not in chunked.columns
