"""A text tower as the pipelines expect it: the encoder's own states, whole or the lowest blocks, and its tokenizer."""

from __future__ import annotations

import pytest
import torch
from conftest import CORPUS
from small_pipelines import sd_pipeline

import longclip
from longclip.generation.pipelines import swap
from longclip.generation.prompts import embed
from longclip.generation.text_models import clip_tokenizer, final_norm, own_tokenizer, stretch_text_model, text_model
from longclip.model import build_model
from longclip.positions import stretch_positions

LONG = " ".join(CORPUS * 3)


@pytest.mark.parametrize("length", [77, 248])
@pytest.mark.parametrize("quick", [True, False])
def test_a_text_model_gives_the_encoders_own_states(tiny_model_folder, length, quick):
    folder = tiny_model_folder(length)
    encoder = longclip.load(folder)
    if not quick:
        config = encoder.model.config | {"quick_gelu": False}
        encoder.model = build_model(config).eval()
    ids = encoder.tokenizer.with_length(length).batch([LONG * 2])
    assert ids.shape == (1, length)
    with torch.inference_mode():
        wanted = encoder.model.text_states(ids)
        found = text_model(encoder)(ids).last_hidden_state
        assert (found - wanted).abs().max() < 1e-5
        lower = text_model(encoder, blocks=1)(ids).last_hidden_state
        assert (lower - encoder.model.text_states(ids, blocks=1)).abs().max() < 1e-5 and not torch.allclose(lower, found)


def test_a_pipeline_that_reads_fewer_blocks_reads_as_many_of_another_encoder(clip, long_clip):
    pipeline = sd_pipeline(clip)
    pipeline.text_encoder = text_model(clip, blocks=1)
    with torch.no_grad():
        final_norm(pipeline.text_encoder).weight.mul_(2)
    swapped = swap(pipeline, long_clip)
    assert swapped.text_encoder.config.num_hidden_layers == 1
    states, norm = embed(swapped, CORPUS[0]).states, long_clip.model.ln_final
    plain = long_clip.model.text_states(long_clip.tokenizer.filled([CORPUS[0]])[:, :77], 1)
    own = final_norm(pipeline.text_encoder)
    assert torch.allclose(states, (plain - norm.bias) / norm.weight * own.weight + own.bias, atol=1e-4)


def test_the_tokenizer_survives_both_ways(clip):
    theirs = clip_tokenizer(clip.tokenizer)
    ours = own_tokenizer(theirs)
    assert ours(LONG) == clip.tokenizer(LONG)
    assert theirs(CORPUS[0]).input_ids == list(clip.tokenize(CORPUS[0]).ids)


def test_a_stretched_text_model_shares_all_but_its_positions(clip):
    model = text_model(clip)
    stretched = stretch_text_model(model)
    table, old = stretched.embeddings.position_embedding.weight, model.embeddings.position_embedding.weight
    assert torch.equal(table, stretch_positions(old)) and len(old) == 77
    assert stretched.embeddings.token_embedding.weight.data_ptr() == model.embeddings.token_embedding.weight.data_ptr()
    ids = torch.tensor([clip.tokenizer(CORPUS[0]).ids[:20]])
    with torch.inference_mode():
        assert torch.allclose(stretched(ids).last_hidden_state, model(ids).last_hidden_state, atol=1e-6)
        assert stretched(torch.randint(0, 500, (1, 248))).last_hidden_state.shape[1] == 248


def test_tokens_of_textual_inversion_are_read_as_diffusers_reads_them(clip):
    """Also when they are added after a prompt was read; several vectors of one word follow each other."""
    from diffusers.loaders import TextualInversionLoaderMixin

    theirs = clip_tokenizer(clip.tokenizer)
    text = "a <cat> and a <cat>, <dog>s"
    assert theirs.convert_tokens_to_ids("<cat>") not in own_tokenizer(theirs)(text).ids[1:-1]
    theirs.add_tokens(["<cat>", "<cat>_1", "<cat>_2", "<dog>"])
    expanded = TextualInversionLoaderMixin().maybe_convert_prompt(text, theirs)
    assert expanded.count("<cat>_2") == 2
    found = own_tokenizer(theirs)(text)
    assert list(found.ids) == theirs(expanded)["input_ids"]
    assert [text[start:end] for start, end in found.spans[1:-1]].count("<cat>") == 6
