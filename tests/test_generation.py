"""Pipelines that read with another text encoder, against transformers' and diffusers' own results."""

from __future__ import annotations

import json
from dataclasses import replace
from threading import Event

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import CORPUS, tiny_config
from small_pipelines import build_unet, build_vae, sd_pipeline, sdxl_pipeline

import longclip
from longclip.encoder import Encoder
from longclip.generation.drawing import DrawingError, Settings, _decode, draw
from longclip.generation.pipelines import load_pipeline, swap
from longclip.generation.prompts import MOST_CHUNKS, embed, embed_in_chunks, mix
from longclip.generation.word_maps import WordMaps
from longclip.images import Preprocessing
from longclip.model import build_model
from longclip.registry import ModelSpec
from longclip.tokens import Tokenizer

LONG = " ".join(CORPUS * 3)
FEW = Settings(steps=3, guidance=4.0)


@pytest.fixture
def pipeline(clip):
    return sd_pipeline(clip)


def pictures(pipeline, prompt, settings=FEW, **others) -> np.ndarray:
    """The finished pictures as one array."""
    *_, last = draw(pipeline, prompt, settings, **others)
    return np.stack([np.asarray(picture) for picture in last.pictures])


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


def test_seeds_are_pictures_and_the_noise_is_theirs_alone(pipeline):
    prompt = embed(pipeline, CORPUS[0])
    both = pictures(pipeline, prompt, replace(FEW, seeds=(5, 9)))
    alone = pictures(pipeline, prompt, replace(FEW, seeds=(9,)))
    # One value in 255 of rounding between a batch of two and one alone.
    assert np.abs(both[1].astype(int) - alone[0]).max() <= 1 and not np.array_equal(both[0], both[1])


def test_steps_come_one_by_one_with_previews(pipeline):
    steps = list(draw(pipeline, embed(pipeline, CORPUS[0]), replace(FEW, steps=5, preview_every=2)))
    assert [step.number for step in steps] == [1, 2, 3, 4, 5] and [step.finished for step in steps] == [False] * 4 + [True]
    assert [len(step.pictures) for step in steps] == [1, 0, 1, 0, 1]
    assert all(earlier.seconds <= later.seconds for earlier, later in zip(steps, steps[1:], strict=False))
    assert steps[-1].seconds_left == 0 < steps[0].seconds_left


def test_leaving_ends_the_work_within_a_step(pipeline):
    calls = []
    handle = pipeline.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    steps = draw(pipeline, embed(pipeline, CORPUS[0]), replace(FEW, steps=100))
    next(steps)
    steps.close()
    # The next one waits until the step under way is over.
    assert len(pictures(pipeline, embed(pipeline, CORPUS[0]))) == 1
    handle.remove()
    assert len(calls) <= 3 + FEW.steps


def test_leaving_does_not_wait_for_the_step_under_way(pipeline, monkeypatch):
    """Gradio closes iterators where all visitors are served: whoever waits there keeps all of them waiting."""
    prompt, calls, gate = embed(pipeline, CORPUS[0]), [], Event()
    forward = pipeline.unet.forward

    def held(*args, **kwargs):
        calls.append(1)
        assert len(calls) < 2 or gate.wait(20)
        return forward(*args, **kwargs)

    monkeypatch.setattr(pipeline.unet, "forward", held)
    steps = draw(pipeline, prompt, replace(FEW, steps=100))
    next(steps)
    steps.close()
    assert not gate.is_set()
    gate.set()
    assert len(pictures(pipeline, prompt)) == 1


def test_previews_in_half_precision_are_left_out_where_the_vae_cannot_decode_in_it(clip):
    """Both VAEs say `force_upcast`, the default; only SDXL's pipeline knows what to do then."""
    latents = torch.zeros(1, 4, 4, 4)
    for make, count in ((sd_pipeline, 1), (sdxl_pipeline, 0)):
        pipeline = make(clip)
        pipeline.vae.register_to_config(force_upcast=True)
        pipeline.vae.half()
        with torch.inference_mode():
            assert len(_decode(pipeline, latents)) == count


def test_a_vae_that_was_made_wider_is_narrow_again_after_an_error(clip, monkeypatch):
    pipeline = sdxl_pipeline(clip)

    def fail(*_, **__):
        pipeline.vae.double()
        raise RuntimeError("no")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="no"):
        patch.setattr(pipeline.unet, "forward", fail)
        pictures(pipeline, embed(pipeline, CORPUS[0]))
    assert pipeline.vae.dtype == torch.float32 and len(pictures(pipeline, embed(pipeline, CORPUS[0]))) == 1


def test_lack_of_memory_is_a_sentence_and_the_next_drawing_works(pipeline, monkeypatch):
    prompt = embed(pipeline, CORPUS[0])

    def fail(*_, **__):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    with monkeypatch.context() as patch:
        patch.setattr(pipeline.unet, "forward", fail)
        with pytest.raises(DrawingError, match="memory does not suffice"):
            pictures(pipeline, prompt)
    assert len(pictures(pipeline, prompt)) == 1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"seeds": ()}, "0 seeds"),
        ({"steps": 0}, "0 steps"),
        ({"guidance": 0.5}, "guidance of 0.5"),
        ({"height": 30}, "30 pixels"),
        ({"width": 4096}, "4096 pixels"),
    ],
)
def test_settings_out_of_range_are_named(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        Settings(**changes)


def test_word_maps_are_the_attention_of_the_u_net(pipeline):
    prompt, settings = embed(pipeline, CORPUS[0]), replace(FEW, seeds=(1, 2), steps=2)
    layers = [layer for name, layer in pipeline.unet.named_modules() if name.endswith("attn2")]
    wanted = []

    def note(layer, args, kwargs):
        # Two pictures, each without and with the prompt: the last row is the second one's with it.
        q = layer.to_q(args[0])[3].unflatten(-1, (layer.heads, -1))
        k = layer.to_k(kwargs["encoder_hidden_states"])[3].unflatten(-1, (layer.heads, -1))
        weights = (torch.einsum("phd,khd->hkp", q, k) / q.shape[-1] ** 0.5).softmax(1).mean(0)
        side = int(len(q) ** 0.5)
        wanted.append(F.interpolate(weights.view(1, 77, side, side), size=(4, 4), mode="bilinear")[0])

    handles = [layer.register_forward_pre_hook(note, with_kwargs=True) for layer in layers]
    maps = WordMaps(4, 4, picture=1)
    with_maps = pictures(pipeline, prompt, settings, word_maps=maps)
    for handle in handles:
        handle.remove()
    assert len(wanted) == len(layers) * settings.steps == 8
    assert torch.allclose(maps.result(), torch.stack(wanted).mean(0), atol=1e-6)
    assert torch.allclose(maps.result().sum(0), torch.ones(4, 4), atol=1e-5)
    assert np.array_equal(with_maps, pictures(pipeline, prompt, settings))
    with pytest.raises(ValueError, match="draw a picture"):
        WordMaps(4, 4).result()


def test_without_guidance_there_is_one_side(pipeline):
    maps = WordMaps(4, 4)
    pictures(pipeline, embed(pipeline, CORPUS[0]), replace(FEW, guidance=1.0), word_maps=maps)
    assert torch.allclose(maps.result().sum(0), torch.ones(4, 4), atol=1e-5)


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
    assert np.array_equal(pictures(loaded, embed(loaded, LONG)), wanted)
    half = load_pipeline(str(tmp_path / "pipeline"), dtype="bf16")
    assert half.unet.dtype == torch.bfloat16


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


def test_the_parts_have_stable_diffusions_shapes():
    assert build_vae().config.latent_channels == build_unet(64).config.in_channels == 4
