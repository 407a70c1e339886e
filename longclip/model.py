"""CLIP and Long-CLIP as one class: an open_clip CLIP whose text may be shorter than its context length."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from open_clip.transformer import VisionTransformer
from open_clip.utils import feature_take_indices
from torch import Tensor, nn

from longclip.blocks import Prefix, is_plain, read_prefix, run_blocks
from longclip.packing import Group, form_chunks, pack
from longclip.positions import stretch_positions

Config = dict[str, Any]
"""An open_clip model config: `embed_dim`, `vision_cfg`, `text_cfg`, and optionally `quick_gelu` and others."""

FOREIGN_TEXT = {
    "hf_model_name": "a text tower from transformers",
    "embed_cls": "a class token in the text",
    "no_causal_mask": "text attention that is not causal",
    "proj_bias": "a text projection with a bias",
    "output_tokens": "token outputs beside the features",
    "tokenizer_kwargs": "a tokenizer with settings of its own",
}


class LongCLIP(CLIP):
    """An open_clip CLIP, of 77 or 248 positions or any other number, with open_clip's own keys and numbers.

    Token ids are [n, L] with any L up to `context_length`; what stands behind a text's end token is never computed,
    as attention is causal and the feature is read at the end token.
    """

    config: Config
    """What `build_model` made it from."""

    def encode_image(self, image: Tensor, normalize: bool = False) -> Tensor:
        """Pixels [n, 3, height, width] -> features [n, embed_dim], of unit length with `normalize`."""
        visual = self.visual
        if not _is_plain_vision(visual):
            return super().encode_image(image, normalize)
        x = visual._embeds(image)
        length = x.shape[1]
        features = []
        first = 0
        for groups in form_chunks([(x.shape[0], length)], _chunk_rows(x)):
            count = sum(count for count, _ in groups)
            rows = x[first : first + count].reshape(-1, x.shape[2])
            first += count
            if visual.pool_type == "tok":
                token = torch.zeros(count, dtype=torch.long, device=x.device)
                out = visual.ln_post(run_blocks(visual.transformer, rows, groups, causal=False, pooled=token))
            else:
                out = run_blocks(visual.transformer, rows, groups, causal=False)
                out, _ = visual._pool(out.view(count, length, -1))
            features.append(out if visual.proj is None else out @ visual.proj)
        return _finish(torch.cat(features), normalize)

    def encode_text(self, text: Tensor, normalize: bool = False) -> Tensor:
        """Token ids [n, L], L <= context_length -> features [n, embed_dim], of unit length with `normalize`."""
        self._check(text)
        if not is_plain(self.transformer):
            return super().encode_text(F.pad(text, (0, self.context_length - text.shape[1])), normalize)
        packing = pack(self._ends(text), _group_slack(text), _chunk_rows(self.token_embedding.weight))
        x = self.embed_tokens(text[packing.texts, packing.columns], packing.columns)
        rows = [sum(count * length for count, length in groups) for groups in packing.chunks]
        texts = [sum(count for count, _ in groups) for groups in packing.chunks]
        pooled = [
            run_blocks(self.transformer, part, groups, causal=True, pooled=ends)
            for part, groups, ends in zip(x.split(rows), packing.chunks, packing.ends.split(texts), strict=True)
        ]
        return self._features(torch.cat(pooled)[torch.argsort(packing.order)], normalize)

    def embed_tokens(self, ids: Tensor, columns: Tensor) -> Tensor:
        """What enters the blocks, tokens plus positions: ids [..., k], their positions [k] or [..., k] -> [..., k, width]."""
        dtype = self.transformer.get_cast_dtype()
        return self.token_embedding(ids).to(dtype) + F.embedding(columns, self.positional_embedding).to(dtype)

    def encode_embedded(self, x: Tensor, ends: Tensor, normalize: bool = False) -> Tensor:
        """`encode_text` of what `embed_tokens` gives, differentiable in it.

        x: [n, L, width]; ends: [n] where the end tokens are -> features [n, embed_dim].
        """
        count, length = x.shape[:2]
        if is_plain(self.transformer):
            pooled = run_blocks(self.transformer, x.flatten(0, 1), [(count, length)], causal=True, pooled=ends)
        else:
            states = self.transformer(x, attn_mask=self.attn_mask[:length, :length])
            pooled = states[torch.arange(count, device=x.device), ends]
        return self._features(pooled, normalize)

    def read_prefix(self, ids: Tensor, columns: Tensor) -> Prefix:
        """What `encode_behind` needs of a text, ids and their positions [L]. Of plain transformers only (`is_plain`)."""
        return read_prefix(self.transformer, self.embed_tokens(ids, columns))

    def encode_behind(
        self,
        prefix: Prefix,
        ids: Tensor,
        columns: Tensor,
        groups: Sequence[Group],
        shared: Sequence[int],
        ends: Tensor,
        normalize: bool = False,
    ) -> Tensor:
        """Texts that begin as the prefix does, of which only the rest is computed -> features [n, embed_dim].

        ids, columns: [rows] the rest of each text and the positions, in `groups` as in `run_blocks`. shared: for each group
        how much of the prefix stands before it. ends: [n] where the end token is, counted in the rest.
        """
        x = self.embed_tokens(ids, columns)
        pooled = run_blocks(self.transformer, x, groups, causal=True, pooled=ends, prefix=prefix, shared=shared)
        return self._features(pooled, normalize)

    def text_states(self, text: Tensor, blocks: int | None = None) -> Tensor:
        """Token ids [n, L] -> hidden states of every token after the final norm, [n, L, width]; pads are tokens here.

        With `blocks` those behind the first so many blocks.
        """
        last, states = self._text_blocks(text)
        return self.ln_final(last if blocks is None else states[blocks - 1])

    def forward_intermediates(  # the arguments are open_clip's
        self,
        image: Tensor | None = None,
        text: Tensor | None = None,
        image_indices: int | list[int] | None = None,
        text_indices: int | list[int] | None = None,
        stop_early: bool = False,
        normalize: bool = True,
        normalize_intermediates: bool = False,
        intermediates_only: bool = False,
        image_output_fmt: str = "NCHW",
        image_output_extra_tokens: bool = False,
        text_output_fmt: str = "NLC",
        text_output_extra_tokens: bool = False,
        output_logits: bool = False,
        output_logit_scale_bias: bool = False,
    ) -> dict[str, Tensor | list[Tensor]]:
        """open_clip's `forward_intermediates`, for ids [n, L] of any L: text intermediates are [n, L, width]."""
        output = super().forward_intermediates(
            image=image,
            image_indices=image_indices,
            stop_early=stop_early,
            normalize=normalize,
            normalize_intermediates=normalize_intermediates,
            intermediates_only=intermediates_only,
            image_output_fmt=image_output_fmt,
            image_output_extra_tokens=image_output_extra_tokens,
            output_logit_scale_bias=output_logit_scale_bias,
        )
        if text is not None:
            x, states = self._text_blocks(text)
            taken, _ = feature_take_indices(len(states), text_indices)
            states = [state for number, state in enumerate(states) if number in taken]
            output["text_intermediates"] = [self.ln_final(state) for state in states] if normalize_intermediates else states
            if not intermediates_only:
                ends = x[torch.arange(len(x), device=x.device), self._ends(text)]
                output["text_features"] = self._features(ends, normalize)
        if output_logits and not intermediates_only:
            logits = self.logit_scale.exp() * output["image_features"] @ output["text_features"].T
            output["image_logits"] = logits if self.logit_bias is None else logits + self.logit_bias
            output["text_logits"] = output["image_logits"].T
        return output

    def _text_blocks(self, text: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Token ids [n, L] -> last hidden states [n, L, width], and those after every block."""
        self._check(text)
        count, length = text.shape
        columns = torch.arange(length, device=text.device)
        x = self.embed_tokens(text, columns)
        if not is_plain(self.transformer):
            return self.transformer.forward_intermediates(x, attn_mask=self.attn_mask[:length, :length])
        states: list[Tensor] = []
        run_blocks(
            self.transformer,
            x.flatten(0, 1),
            [(count, length)],
            causal=True,
            keep=lambda _, state: states.append(state.view(count, length, -1)),
        )
        return states[-1], states

    def _ends(self, text: Tensor) -> Tensor:
        """[n] the position of each text's end token: the highest id, or the config's with `pool_type` "eos"."""
        return (text == self.text_eos_id).int().argmax(-1) if self.text_pool_type == "eos" else text.argmax(-1)

    def _features(self, ends: Tensor, normalize: bool) -> Tensor:
        """Last states of the end tokens [n, width] -> features [n, embed_dim]."""
        x = self.ln_final(ends)
        return _finish(x if self.text_projection is None else x @ self.text_projection, normalize)

    def _check(self, text: Tensor) -> None:
        if text.ndim != 2 or not 0 < text.shape[1] <= self.context_length or not len(text):
            wanted = f"[n, L] with n > 0 and 0 < L <= {self.context_length}, this model's context length"
            raise ValueError(f"got token ids of shape {list(text.shape)}, wanted {wanted}")


def build_model(config: Config) -> LongCLIP:
    """Make the model of an open_clip config, with random weights, in fp32 on the CPU.

    Raises ValueError for a text tower that is not CLIP's own: one from transformers, a class token, attention that
    is not causal, a pooled token other than the end token.
    """
    config = copy.deepcopy(config)
    if config.pop("custom_text", False) or "multimodal_cfg" in config:
        raise ValueError("got a config of CustomTextCLIP or CoCa, wanted one of a plain CLIP, with no custom_text")
    text, vision = config["text_cfg"], config["vision_cfg"]
    if "timm_model_name" in vision:
        if ":" in str(vision["timm_model_name"]):
            raise ValueError(
                f"got a vision_cfg with timm_model_name={vision['timm_model_name']!r}, wanted one of timm's own names"
            )
        vision["timm_model_pretrained"] = False  # its weights come with the others
    if vision.get("output_tokens"):
        raise ValueError("got a vision_cfg with output_tokens=True (token outputs beside the features), wanted features alone")
    config.pop("nonscalar_logit_scale", None)  # a scale of shape [1] is read as a number
    for key, meaning in FOREIGN_TEXT.items():
        if text.get(key):
            raise ValueError(f"got a text_cfg with {key}={text[key]!r} ({meaning}), wanted a plain CLIP text tower")
    if text.get("pool_type", "argmax") not in ("argmax", "eos"):
        raise ValueError(f"got a text_cfg with pool_type={text['pool_type']!r}, wanted 'argmax' or 'eos': the end token")
    model = LongCLIP(**config)
    model.config = config
    return model


def stretch_model(model: LongCLIP, keep: int = 20, ratio: int = 4) -> LongCLIP:
    """A new model with its text positions stretched (`stretch_positions`) and all else copied: 77 -> 248."""
    return with_positions(model, stretch_positions(model.positional_embedding.detach(), keep, ratio))


def with_positions(model: LongCLIP, table: Tensor) -> LongCLIP:
    """A new model that reads as many tokens as `table` [n, width] has rows; all else is copied."""
    config = copy.deepcopy(model.config)
    config["text_cfg"]["context_length"] = len(table)
    stretched = build_model(config)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    stretched.load_state_dict(state | {"positional_embedding": table}, assign=True)
    for old, new in zip(model.parameters(), stretched.parameters(), strict=True):
        new.requires_grad_(old.requires_grad)
    return stretched.to(table.device).train(model.training)


def _finish(features: Tensor, normalize: bool) -> Tensor:
    return F.normalize(features, dim=-1) if normalize else features


def _is_plain_vision(visual: nn.Module) -> bool:
    return (
        isinstance(visual, VisionTransformer)
        and visual.attn_pool is None
        and visual.pool_type in ("tok", "avg")
        and not visual.output_tokens
        and is_plain(visual.transformer)
    )


def _chunk_rows(x: Tensor) -> int:
    """Rows that pass through the layers at once: on a CPU what its caches hold, on a GPU what fills it."""
    return 1024 if x.device.type == "cpu" else 1 << 17


def _group_slack(x: Tensor) -> int:
    """Rows of padding that cost less than one more call of attention."""
    return 16 if x.device.type == "cpu" else 1024
