"""The model against open_clip's own forward pass on the same weights: in float64, where no CPU's rounding matters."""

from __future__ import annotations

import copy

import pytest
import torch
from open_clip.model import CLIP
from rounding import EXACT

from longclip.blocks import is_plain
from longclip.model import LongCLIP, build_model, stretch_model
from longclip.packing import form_chunks, form_groups, pack
from longclip.positions import stretch_positions

END = 299
CONFIG = {
    "embed_dim": 48,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 64, "patch_size": 16, "width": 128, "layers": 3},
    "text_cfg": {"context_length": 77, "vocab_size": END + 1, "width": 128, "heads": 2, "layers": 3},
}


def changed(config: dict, **text_and_vision: dict) -> dict:
    """A copy of a config with some entries of `text`, `vision` or `top` replaced."""
    config = copy.deepcopy(config)
    config["text_cfg"] |= text_and_vision.get("text", {})
    config["vision_cfg"] |= text_and_vision.get("vision", {})
    return config | text_and_vision.get("top", {})


def pair(config: dict = CONFIG) -> tuple[LongCLIP, CLIP]:
    """The model and open_clip's own in float64, with the same random weights, biases and norms included."""
    torch.manual_seed(0)
    ours, plain = build_model(config).eval().double(), CLIP(**copy.deepcopy(config)).eval().double()
    with torch.no_grad():
        for weight in ours.parameters():
            if weight.ndim == 1:
                weight.add_(0.1 * torch.randn_like(weight))
    plain.load_state_dict(ours.state_dict())
    return ours, plain


def token_ids(lengths: list[int], columns: int = 77) -> torch.Tensor:
    """Random texts of these lengths, end token included, padded with 0."""
    ids = torch.zeros(len(lengths), columns, dtype=torch.long)
    for row, length in zip(ids, lengths, strict=True):
        row[: length - 1] = torch.randint(0, END, (length - 1,))
        row[length - 1] = END
    return ids


def pictures(count: int) -> torch.Tensor:
    """Random pixels in float64."""
    return torch.randn(count, 3, 64, 64, dtype=torch.float64)


LENGTHS = [5, 77, 1, 40, 41, 40, 3, 76, 12, 77, 2]


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        changed(CONFIG, top={"quick_gelu": False}),
        changed(CONFIG, text={"ls_init_value": 0.5}, vision={"ls_init_value": 0.5, "pool_type": "avg"}),
        changed(CONFIG, text={"pool_type": "eos", "eos_id": END}, vision={"final_ln_after_pool": True}),
        changed(CONFIG, text={"proj_type": "none", "width": 64, "heads": 1}, top={"embed_dim": 64}),
        changed(CONFIG, text={"qk_norm": True}, vision={"attentional_pool": True, "attn_pooler_heads": 1}),
    ],
    ids=["quick", "gelu", "layer-scale", "eos", "no-projection", "exotic"],
)
@pytest.mark.parametrize("inference", [True, False])
def test_features_equal_open_clip(config, inference):
    ours, plain = pair(config)
    ids, images = token_ids(LENGTHS), pictures(5)
    with torch.inference_mode(inference):
        torch.testing.assert_close(ours.encode_text(ids), plain.encode_text(ids), atol=EXACT, rtol=0)
        torch.testing.assert_close(ours.encode_text(ids, True), plain.encode_text(ids, True), atol=EXACT, rtol=0)
        torch.testing.assert_close(ours.encode_image(images), plain.encode_image(images), atol=EXACT, rtol=0)
        torch.testing.assert_close(ours.encode_image(images, True), plain.encode_image(images, True), atol=EXACT, rtol=0)


def test_chunks_do_not_change_the_features(monkeypatch):
    ours, plain = pair()
    ids, images = token_ids(LENGTHS), pictures(5)
    monkeypatch.setattr("longclip.model._chunk_rows", lambda x: 50)
    for slack in (0, 30, 10_000):
        monkeypatch.setattr("longclip.model._group_slack", lambda x, slack=slack: slack)
        torch.testing.assert_close(ours.encode_text(ids), plain.encode_text(ids), atol=EXACT, rtol=0)
    torch.testing.assert_close(ours.encode_image(images), plain.encode_image(images), atol=EXACT, rtol=0)


@pytest.mark.parametrize("shared", [0, 1, 9, 30])
def test_texts_that_go_on_behind_a_prefix_equal_whole_ones(shared):
    ours, plain = pair()
    ids = token_ids([31, 40, 45, 60])
    ids[1:, :shared] = ids[0, :shared]
    columns = torch.arange(77)
    prefix = ours.read_prefix(ids[0, :31], columns[:31])
    # Two groups: the second's only text goes on behind one token fewer.
    first, second = ids[1:3, shared:45], ids[3:, max(0, shared - 1) : 60]
    behind = ours.encode_behind(
        prefix,
        torch.cat([first.flatten(), second.flatten()]),
        torch.cat([columns[shared:45].repeat(2), columns[max(0, shared - 1) : 60]]),
        [tuple(first.shape), tuple(second.shape)],
        [shared, max(0, shared - 1)],
        torch.tensor([39 - shared, 44 - shared, 59 - max(0, shared - 1)]),
        normalize=True,
    )
    torch.testing.assert_close(behind, plain.encode_text(ids[1:], True), atol=EXACT, rtol=0)


@pytest.mark.parametrize("config", [CONFIG, changed(CONFIG, text={"qk_norm": True})], ids=["plain", "foreign"])
def test_embedded_tokens_give_the_features_of_their_text(config):
    ours, plain = pair(config)
    ids = token_ids([30, 30])
    x = ours.embed_tokens(ids[:, :30], torch.arange(30)).detach().requires_grad_()
    features = ours.encode_embedded(x, torch.tensor([29, 29]), normalize=True)
    torch.testing.assert_close(features, plain.encode_text(ids, True), atol=EXACT, rtol=0)
    assert torch.autograd.grad(features.sum(), x)[0].abs().sum() > 0


@pytest.mark.parametrize("columns", [1, 7, 20, 76])
def test_short_ids_equal_padded_ones(columns):
    ours, plain = pair()
    ids = token_ids([columns, max(1, columns // 2)])
    torch.testing.assert_close(ours.encode_text(ids[:, :columns]), plain.encode_text(ids), atol=EXACT, rtol=0)
    short = ours.forward_intermediates(text=ids[:, :columns])
    full = plain.forward_intermediates(text=ids)
    torch.testing.assert_close(short["text_features"], full["text_features"], atol=EXACT, rtol=0)
    for ours_state, state in zip(short["text_intermediates"], full["text_intermediates"], strict=True):
        torch.testing.assert_close(ours_state, state[:, :columns], atol=EXACT, rtol=0)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_equal_open_clip(checkpointing):
    ours, plain = pair()
    ours.set_grad_checkpointing(checkpointing)
    ids, images = token_ids(LENGTHS), pictures(5)
    for model in (ours, plain):
        a, b, scale = model.train()(images, ids)
        (scale * a @ b.T).logsumexp(0).sum().backward()
    for (name, weight), other in zip(ours.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, other.grad, atol=EXACT, rtol=0, msg=lambda m, name=name: f"{name}: {m}")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_as_good_as_open_clips(dtype):
    ours, plain = pair()
    ids, images = token_ids(LENGTHS), pictures(3)
    texts, shown = plain.encode_text(ids, True), plain.encode_image(images, True)
    ours.to(dtype), plain.to(dtype)
    for encode, reference, exact, given in (
        (ours.encode_text, plain.encode_text, texts, ids),
        (ours.encode_image, plain.encode_image, shown, images.to(dtype)),
    ):
        assert encode(given).dtype == dtype
        error = (encode(given, True).double() - exact).abs().max()
        assert error < 2 * (reference(given, True).double() - exact).abs().max()


def test_autocast_is_as_good_as_open_clips():
    ours, plain = pair()
    ids = token_ids(LENGTHS)
    exact = plain.encode_text(ids, True)
    with torch.autocast("cpu", torch.bfloat16):
        error, reference = (model.float().encode_text(ids, True) - exact for model in (ours, plain))
    assert error.abs().max() < 2 * reference.abs().max()


@pytest.mark.parametrize("exotic", [False, True])
def test_intermediates_and_logits_equal_open_clip(exotic):
    ours, plain = pair(changed(CONFIG, text={"qk_norm": exotic}))
    assert is_plain(ours.transformer) is not exotic
    ids, images = token_ids([9, 77, 30]), pictures(3)
    options = {"image_indices": 2, "text_indices": [0, 2], "normalize_intermediates": True, "image_output_fmt": "NLC"}
    options |= {"output_logits": True, "output_logit_scale_bias": True}
    got, wanted = (model.forward_intermediates(images, ids, **options) for model in (ours, plain))
    torch.testing.assert_close(got, wanted, atol=EXACT, rtol=0)
    only = ours.forward_intermediates(text=ids, intermediates_only=True)
    assert list(only) == ["text_intermediates"] and len(only["text_intermediates"]) == 3


def test_text_states_are_those_of_every_token():
    ours, plain = pair()
    ids = token_ids([9, 77, 30])
    wanted = plain.forward_intermediates(text=ids, normalize_intermediates=True)["text_intermediates"][-1]
    torch.testing.assert_close(ours.text_states(ids), wanted, atol=EXACT, rtol=0)
    torch.testing.assert_close(ours.text_states(ids[:, :12]), wanted[:, :12], atol=EXACT, rtol=0)


def test_stretched_model():
    ours = pair()[0].float()
    ours.visual.requires_grad_(False)
    before = copy.deepcopy(ours.state_dict())
    long = stretch_model(ours)
    assert long.context_length == 248 and long.config["text_cfg"]["context_length"] == 248 and not long.training
    assert ours.config["text_cfg"]["context_length"] == 77
    torch.testing.assert_close(long.positional_embedding.detach(), stretch_positions(ours.positional_embedding.detach()))
    assert not long.visual.proj.requires_grad and long.positional_embedding.requires_grad
    with torch.no_grad():
        for weight in long.parameters():
            weight.add_(1)
    for name, value in ours.state_dict().items():
        assert torch.equal(value, before[name]), name
    other, long = CLIP(**long.config).eval().double(), stretch_model(ours).double()
    other.load_state_dict(long.state_dict())
    ids = token_ids([248, 21, 20, 130], 248)
    torch.testing.assert_close(long.encode_text(ids), other.encode_text(ids), atol=EXACT, rtol=0)
    torch.testing.assert_close(long.encode_text(ids[2:3]), ours.double().encode_text(ids[2:3, :20]), atol=EXACT, rtol=0)


@pytest.mark.parametrize("shape", [(2, 78), (0, 77), (77,), (2, 0)])
def test_refuses_ids_of_other_shapes(shape):
    ours, _ = pair()
    for encode in (ours.encode_text, ours.text_states):
        with pytest.raises(ValueError, match="77"):
            encode(torch.ones(shape, dtype=torch.long))


@pytest.mark.parametrize(
    ("text", "top", "message"),
    [
        ({"hf_model_name": "roberta-base"}, {}, "hf_model_name='roberta-base'"),
        ({"embed_cls": True}, {}, "embed_cls"),
        ({"no_causal_mask": True}, {}, "no_causal_mask"),
        ({"pool_type": "last"}, {}, "pool_type='last'"),
        ({}, {"custom_text": True}, "CustomTextCLIP"),
    ],
)
def test_refuses_other_text_towers(text, top, message):
    with pytest.raises(ValueError, match=message):
        build_model(changed(CONFIG, text=text, top=top))


def test_groups_and_chunks_hold_every_row_once():
    lengths = sorted(int(n) for n in torch.randint(1, 249, (300,)))
    for slack in (0, 16, 5000):
        groups = form_groups(lengths, slack)
        assert sum(count for count, _ in groups) == 300
        widths = [length for count, length in groups for _ in range(count)]
        assert all(width >= length for width, length in zip(widths, lengths, strict=True))
        assert sum(widths) - sum(lengths) <= slack * len(groups)
        chunks = form_chunks(groups, 1000)
        assert [length for chunk in chunks for count, length in chunk for _ in range(count)] == widths
        assert all(sum(count * length for count, length in chunk) <= 1000 for chunk in chunks)
    assert form_chunks([(3, 50)], 20) == [[(1, 50)], [(1, 50)], [(1, 50)]]


def test_packing_names_text_and_position_of_each_row():
    packing = pack(torch.tensor([2, 0, 2, 1]), slack=0, rows=100)
    assert packing.chunks == [[(1, 1), (1, 2), (2, 3)]]
    assert packing.texts.tolist() == [1, 3, 3] + [i for i in packing.order.tolist()[2:] for _ in range(3)]
    assert packing.columns.tolist() == [0, 0, 1, 0, 1, 2, 0, 1, 2]
