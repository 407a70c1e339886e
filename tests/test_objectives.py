"""Objectives against plain oracles, in value and gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from rounding import EXACT

from longclip.objectives.contrastive import contrastive_loss
from longclip.objectives.hard_negatives import hard_negative_loss
from longclip.objectives.positive_pairs import mean_negative_cosine, positive_pair_loss
from longclip.objectives.primary_component import coarse_features, primary_component_losses
from longclip.objectives.self_distillation import self_distillation_loss
from longclip.objectives.square import square_loss
from longclip.objectives.token_states import even_reading, token_state_loss
from longclip.objectives.word_naming import FADING, NAMED, word_codes, word_naming_loss


def features(n: int, dim: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(n, dim, generator=generator, dtype=torch.float64), dim=-1)


def plain_loss(image: np.ndarray, text: np.ndarray, scale: float, smoothing: float) -> float:
    """Row by row, from the definition."""
    n, total = len(image), 0.0
    for a, b in ((image, text), (text, image)):
        for i in range(n):
            logits = [scale * float(a[i] @ b[j]) for j in range(n)]
            top = max(logits)
            log_sum = top + math.log(sum(math.exp(x - top) for x in logits))
            for j in range(n):
                target = smoothing / n + (1 - smoothing) * (i == j)
                total += target * (log_sum - logits[j]) / (2 * n)
    return total


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_contrastive_loss_equals_its_definition(smoothing):
    image, text = features(7, 5, 0), features(7, 5, 1)
    assert contrastive_loss(image, text, 20.0, smoothing).item() == pytest.approx(
        plain_loss(image.numpy(), text.numpy(), 20.0, smoothing), abs=1e-9
    )
    image.requires_grad_()
    torch.autograd.gradcheck(lambda x: contrastive_loss(x, text, 5.0, smoothing), image)


def test_contrastive_loss_refuses_pairs_that_do_not_match():
    with pytest.raises(ValueError, match=r"\[4, 5\].*\[3, 5\]"):
        contrastive_loss(features(4, 5, 0), features(3, 5, 1), 1.0)


def test_coarse_features_are_the_best_of_their_rank():
    x = features(50, 12, 0)
    coarse = coarse_features(x, 4)
    mean = x.mean(0)
    # Oracle: eigenvectors of the covariance, in NumPy.
    values, vectors = np.linalg.eigh(np.cov(x.numpy().T))
    basis = vectors[:, np.argsort(values)[-4:]]
    wanted = (x - mean).numpy() @ basis @ basis.T + mean.numpy()
    assert np.abs(coarse.numpy() - wanted).max() < EXACT
    assert torch.linalg.matrix_rank(coarse - coarse.mean(0), tol=EXACT) == 4
    assert torch.allclose(coarse.mean(0), mean, rtol=0, atol=EXACT)


def test_coarse_features_keep_the_basis_constant_by_default():
    x = features(20, 10, 2).requires_grad_()
    weight = features(20, 10, 3)
    (coarse_features(x, 3) * weight).sum().backward()
    centred = (x - x.mean(0)).detach()
    basis = torch.linalg.svd(centred, full_matrices=False)[2][:3]
    projection = basis.T @ basis
    wanted = weight @ projection
    wanted = wanted - wanted.mean(0) + weight.mean(0)
    assert torch.allclose(x.grad, wanted, rtol=0, atol=EXACT)


def test_coarse_features_can_be_differentiated_through_the_basis():
    x, weight = features(9, 6, 4).requires_grad_(), features(9, 6, 5)
    assert torch.autograd.gradcheck(lambda y: (coarse_features(y, 2, through_basis=True) * weight).sum(), x)


@pytest.mark.parametrize("count", [2, 20, 33])
def test_a_batch_too_small_for_its_components_is_refused(count):
    with pytest.raises(ValueError, match=f"a batch of {count} .* at least 34"):
        coarse_features(features(count, 64, 0), 32)


@pytest.mark.parametrize("components", [16, 32])
def test_as_many_components_as_dimensions_are_refused(components):
    with pytest.raises(ValueError, match=f"got {components} components of features 16 wide"):
        coarse_features(features(64, 16, 0), components)


def test_losses_are_made_where_their_features_are():
    """On PyTorch's device without memory, which refuses to compute with tensors of another."""
    there = torch.zeros(5, 4, device="meta")
    assert contrastive_loss(there, there, 1.0, 0.1).is_meta and self_distillation_loss(there, there, 1.0, 0.5).is_meta


def test_half_precision_is_decomposed_in_full():
    x = features(50, 40, 0)
    assert coarse_features(x.half(), 8).dtype == torch.float16
    assert (coarse_features(x.half(), 8).double() - coarse_features(x, 8)).abs().max() < 2e-3


def test_primary_component_losses_match_fine_with_long_and_coarse_with_short():
    image, long, short = (features(40, 50, seed) for seed in range(3))
    losses = primary_component_losses(image, long, short, 10.0, components=8)
    coarse = coarse_features(image, 8)
    assert losses["long"].item() == pytest.approx(plain_loss(image.numpy(), long.numpy(), 10.0, 0.1), abs=EXACT)
    assert losses["short"].item() == pytest.approx(plain_loss(coarse.numpy(), short.numpy(), 10.0, 0.1), abs=EXACT)


def test_components_can_be_those_of_each_part_of_a_batch():
    image, long, short = (features(40, 50, seed) for seed in range(3))
    parts = torch.cat([coarse_features(image[:20], 8), coarse_features(image[20:], 8)])
    losses = primary_component_losses(image, long, short, 10.0, components=8, blocks=2)
    assert losses["short"].item() == pytest.approx(plain_loss(parts.numpy(), short.numpy(), 10.0, 0.1), abs=EXACT)


def test_the_positive_pair_regulariser_equals_its_definition():
    image, text = features(6, 5, 0), features(6, 5, 1)
    wanted = -sum(float(image[i] @ text[i]) for i in range(6)) / 6
    assert positive_pair_loss(image, text).item() == pytest.approx(wanted, abs=1e-12)
    others = [float(image[i] @ text[j]) for i in range(6) for j in range(6) if i != j]
    assert mean_negative_cosine(image, text).item() == pytest.approx(sum(others) / 30, abs=1e-12)
    assert mean_negative_cosine(image[:1], text[:1]).item() == 0
    image.requires_grad_()
    positive_pair_loss(image, text).backward()
    assert torch.allclose(image.grad, -text / 6)


def test_the_square_loss_equals_its_definition():
    image, text = features(6, 5, 0), features(6, 5, 1)
    s = (image @ text.T).numpy()
    wanted = sum((1 - s[i, i]) ** 2 for i in range(6)) / 6
    wanted += sum(s[i, j] ** 2 for i in range(6) for j in range(6) if i != j) / 30
    assert square_loss(image, text).item() == pytest.approx(wanted, abs=1e-12)
    torch.autograd.gradcheck(lambda x: square_loss(x, text), image.requires_grad_())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_hard_negatives_join_the_choices_of_their_batch(smoothing):
    image, text, negatives = (features(5, 4, seed) for seed in range(3))
    present = torch.tensor([True, False, True, True, False])
    columns = [*text, *negatives[present]]
    total = 0.0
    for i in range(5):
        logits = np.array([8.0 * float(image[i] @ column) for column in columns])
        log_sum = math.log(np.exp(logits).sum())
        for j, logit in enumerate(logits):
            total += (smoothing / len(columns) + (1 - smoothing) * (i == j)) * (log_sum - logit) / 5
    loss = hard_negative_loss(image, text, negatives, present, 8.0, smoothing)
    assert loss.item() == pytest.approx(total, abs=1e-9)
    image.requires_grad_()
    torch.autograd.gradcheck(lambda x: hard_negative_loss(x, text, negatives, present, 8.0, smoothing), image)
    none = torch.zeros(5, dtype=torch.bool)
    plain = F.cross_entropy(8.0 * image @ text.T, torch.arange(5))
    assert hard_negative_loss(image, text, negatives, none, 8.0).item() == pytest.approx(plain.item(), abs=1e-9)


@pytest.mark.parametrize("share", [0.3, 1])
def test_self_distillation_equals_its_definition(share):
    image, text = features(5, 4, 0), features(5, 4, 1)
    logits = (6.0 * image @ text.T).numpy()

    def softmax(row):
        e = np.exp(row - row.max())
        return e / e.sum()

    total = 0.0
    for forth, back in ((logits, logits.T), (logits.T, logits)):
        for i in range(5):
            target = share * softmax(back[i])
            target[i] += 1 - share
            total -= (target * np.log(softmax(forth[i]))).sum() / 10
    assert self_distillation_loss(image, text, 6.0, share).item() == pytest.approx(total, abs=1e-9)
    with pytest.raises(ValueError, match="share of soft targets is 2"):
        self_distillation_loss(image, text, 6.0, 2)


def test_soft_targets_carry_no_gradient():
    image, text = features(5, 4, 0).requires_grad_(), features(5, 4, 1)
    self_distillation_loss(image, text, 6.0, 0.5).backward()
    logits = 6.0 * image.detach() @ text.T
    wanted = torch.zeros_like(image)
    for forth, back, columns in ((logits, logits.T, True), (logits.T, logits, False)):
        target = 0.5 * torch.eye(5, dtype=torch.float64) + 0.5 * back.softmax(1)
        difference = 6.0 * (forth.softmax(1) - target) / 10
        wanted += (difference if columns else difference.T) @ text
    assert torch.allclose(image.grad, wanted, atol=1e-9)


def test_without_soft_targets_distillation_is_the_contrastive_loss():
    image, text = features(5, 4, 0), features(5, 4, 1)
    assert self_distillation_loss(image, text, 6.0, 0.0).item() == pytest.approx(contrastive_loss(image, text, 6.0).item())


def test_token_states_are_compared_position_by_position():
    generator = torch.Generator().manual_seed(0)
    states, base = (torch.randn(3, 6, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    lengths = (6, 2, 4)
    counted = torch.arange(6) < torch.tensor(lengths)[:, None]
    wanted = sum(sum(((states[i, t] - base[i, t]) ** 2).mean().item() for t in range(n)) / n for i, n in enumerate(lengths))
    assert token_state_loss(states, base, counted).item() == pytest.approx(wanted / 3, abs=1e-12)
    torch.autograd.gradcheck(lambda x: token_state_loss(x, base, counted), states.requires_grad_())
    reading = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    read = token_state_loss(states @ reading, base @ reading, counted)
    assert token_state_loss(states, base, counted, reading).item() == pytest.approx(read.item(), rel=1e-12)
    with pytest.raises(ValueError, match=r"\[3, 6, 4\].*\[3, 5, 4\]"):
        token_state_loss(states, base[:, :5], counted)
    with pytest.raises(ValueError, match=r"counted \[3, 5\]; wanted"):
        token_state_loss(states, base, counted[:, :5])


def test_read_evenly_states_vary_alike_in_all_directions():
    """To variance / (variance + 0.02) in each of them, which is known here: the axes, turned."""
    turn = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64))[0]
    scales, shift = torch.tensor([3.0, 1.0, 0.2, 0.05], dtype=torch.float64), torch.arange(4.0, dtype=torch.float64)
    raw = torch.randn(8, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    # Columns of mean 0 and variance 1, at right angles to each other.
    columns = torch.linalg.qr(raw - raw.mean(0))[0] * math.sqrt(7)
    mean, reading = even_reading(columns * scales @ turn.T + shift)
    assert torch.allclose(mean, shift, rtol=0, atol=EXACT)
    wanted = turn @ torch.diag((scales**2 + 0.02).rsqrt()) @ turn.T
    assert torch.allclose(reading, wanted, rtol=0, atol=EXACT)
    with pytest.raises(ValueError, match="got 7 text states, wanted at least 8"):
        even_reading(columns[:7])


def test_each_word_is_named_with_those_before():
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(3, 5, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    codes = word_codes(7, 4)
    ids = torch.tensor([[5, 1, 2, 6, 6], [5, 3, 6, 6, 6], [5, 6, 6, 6, 6]])
    words = torch.tensor([[0, 1, 1, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]]).bool()

    def cost(text: int, column: int) -> float:
        before = [ids[text, max(0, column - back)] for back in range(NAMED)]
        wanted = torch.stack([code[word] for code, word in zip(codes, before, strict=True)]).sum(0)
        return (states[text, column] - wanted).square().mean().item()

    wanted = ((cost(0, 1) + cost(0, 2)) / 2 + cost(1, 1)) / 3
    assert word_naming_loss(states, ids, words, codes).item() == pytest.approx(wanted, rel=1e-5)
    assert word_naming_loss(states, ids, torch.zeros_like(words), codes).item() == 0
    with pytest.raises(ValueError, match=r"\[3, 5, 4\], ids \[3, 4\]"):
        word_naming_loss(states, ids[:, :4], words, codes)
    for wrong in ((states, ids, words[:, :4], codes), (states, ids, words, codes[..., :3])):
        with pytest.raises(ValueError, match="states"):
            word_naming_loss(*wrong)


def test_codes_are_the_same_for_everyone_and_fade():
    codes = word_codes(2000, 64)
    assert torch.equal(codes, word_codes(2000, 64))
    spread = codes.square().mean((1, 2))
    assert spread.sum().item() == pytest.approx(1, rel=0.02)
    assert (spread[1:] / spread[:-1]).tolist() == pytest.approx([FADING**2] * (NAMED - 1), rel=0.05)


@pytest.mark.parametrize(
    "loss", [contrastive_loss, lambda a, b, _: square_loss(a, b), lambda a, b, _: positive_pair_loss(a, b)]
)
def test_no_pairs_at_all_are_refused(loss):
    with pytest.raises(ValueError, match=r"wanted \[n, dim\] twice"):
        loss(features(0, 4, 0), features(0, 4, 1), 1.0)


def test_equal_captions_and_a_single_pair_give_finite_losses():
    image = features(40, 50, 0).float().requires_grad_()
    same = features(1, 50, 1).float().expand(40, 50)
    losses = primary_component_losses(image, same, same, 10.0, components=8)
    assert losses["long"].item() == pytest.approx(plain_loss(image.detach().numpy(), same.numpy(), 10.0, 0.1), abs=1e-4)
    sum(losses.values()).backward()
    assert torch.isfinite(image.grad).all()
    assert contrastive_loss(image[:1], same[:1], 10.0).item() == pytest.approx(0)
