"""Drawing: seeds, steps, previews, leaving, what fails in between, and the maps of words."""

from __future__ import annotations

from dataclasses import replace
from threading import Event

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import CORPUS
from small_pipelines import FEW, pictures, sd_pipeline, sdxl_pipeline

from longclip.generation.drawing import DrawingError, Settings, _decode, draw
from longclip.generation.prompts import embed
from longclip.generation.word_maps import WordMaps


@pytest.fixture
def pipeline(clip):
    return sd_pipeline(clip)


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
        assert len(calls) < 2 or gate.wait(200)
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
