"""The work of the tab *Which words count*: attributions, maps and curves by one model each, each piece once for everybody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Any

from demos.attribution.order import GRADIENTS, LEAVE_ONE_OUT, QUICK, SHAPLEY, Order, Pair
from demos.context import Context, Unavailable
from demos.messages import explain
from demos.slots import EXPLAIN
from demos.work import Key, Note, Progress
from longclip.gallery import GalleryError

if TYPE_CHECKING:
    import numpy as np

    from longclip.attribution import Attribution, LengthCurve, Match
    from longclip.attribution.pixels import Occlusion
    from longclip.encoder import Encoder

# Captions of a gallery that are averaged over, always the same ones: curves, and changes by position, which take longer.
CURVES, CHANGES = 40, 20
# Pieces that are kept: an attribution is some 100 KB, one of a very long text a few megabytes.
KEPT = 60


@dataclass(frozen=True)
class Piece:
    """A piece of work, which has one result whoever asks for it.

    embeds: a gallery whose pictures it needs embedded; gallery: that of its picture.
    """

    kind: str
    model: str
    of: Any
    work: Callable[[Note], Any] = field(compare=False)
    embeds: str | None = None
    gallery: str = ""

    @property
    def key(self) -> Key:
        """What it is of; it goes when the gallery or the model goes."""
        return "explanation", self.model, self.gallery or self.embeds or "", self.kind, self.of


class Explaining:
    """Pieces of work, and what becomes of them; one a model. Nothing here waits for a model that is not in memory."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def doing(self, piece: Piece) -> Iterator[Progress]:
        """Does a piece, or joins whoever does. Closing it stops the work unless another waits for it."""
        if piece.embeds is not None:
            yield from self.context.embedding("pictures", piece.embeds, piece.model)
        yield from self.context.working(piece.key, piece.work, EXPLAIN, KEPT)

    def result(self, piece: Piece) -> Any:
        """What came of a piece, waited for. Raises Unavailable."""
        return self.context.worked(piece.key, piece.work, EXPLAIN, KEPT)

    def attribution(self, order: Order, model: str) -> Piece:
        """To an `Attribution`: what each unit of the caption adds to the score."""

        def work(note: Note) -> Attribution:
            from longclip import attribution as methods

            match, level, progress = self._match(order.pair, model), order.level, note
            if order.method == LEAVE_ONE_OUT:
                return methods.leave_one_out(match, level, order.removal, progress)
            if order.method == GRADIENTS:
                return methods.integrated_gradients(match, level, progress=progress)
            if order.method == SHAPLEY:
                return methods.shapley_values(match, level, order.removal, order.budget, progress=progress)
            return (
                methods.gradient_times_input(match, level) if order.method == QUICK else methods.attention_rollout(match, level)
            )

        return Piece("attribution", model, replace(order, models=()), work, gallery=order.pair.gallery)

    def occlusion(self, pair: Pair, model: str) -> Piece:
        """To an `Occlusion`: what covering each patch of the picture takes from its features."""

        def work(note: Note) -> Occlusion:
            from longclip.attribution import occlude

            return occlude(self.context.encoder(model), self._picture(pair), progress=note)

        return Piece("occlusion", model, replace(pair, caption=""), work, gallery=pair.gallery)

    def curve(self, pair: Pair, model: str, ranked: bool) -> Piece:
        """To a `LengthCurve`: the score, and with `ranked` the rank, of every beginning of the caption."""

        def work(note: Note) -> LengthCurve:
            from longclip.attribution import length_curve

            pictures = self.context.embedded("pictures", pair.gallery, model) if ranked else None
            return length_curve(self._match(pair, model), pictures, self.row(pair), note)

        return Piece("curve", model, (pair, ranked), work, pair.gallery if ranked else None, pair.gallery)

    def changes(self, pair: Pair, model: str) -> Piece:
        """To float64 [length]: by how much the score changes without the token at each position."""

        def work(note: Note) -> np.ndarray:
            from longclip.attribution import position_changes

            return position_changes(self._match(pair, model), progress=note)

        return Piece("changes", model, pair, work, gallery=pair.gallery)

    def gallery_curves(self, gallery: str, model: str) -> Piece:
        """To a list of `LengthCurve`, with ranks, of `CURVES` captions of a gallery."""

        def work(note: Note) -> list[LengthCurve]:
            from longclip.attribution import length_curve

            pictures = self.context.embedded("pictures", gallery, model)
            return [
                length_curve(match, pictures, row, told) for row, match, told in self._matches(gallery, model, CURVES, note)
            ]

        return Piece("curves of a gallery", model, gallery, work, gallery)

    def gallery_changes(self, gallery: str, model: str) -> Piece:
        """To a list of what `changes` gives, of `CHANGES` captions of a gallery."""

        def work(note: Note) -> list[np.ndarray]:
            from longclip.attribution import position_changes

            return [position_changes(match, progress=told) for _, match, told in self._matches(gallery, model, CHANGES, note)]

        return Piece("changes of a gallery", model, gallery, work, gallery)

    def row(self, pair: Pair) -> int:
        """The row of the pair's picture in its gallery. Raises Unavailable where it is gone."""
        try:
            return self.context.gallery(pair.gallery).index(pair.picture or "")
        except GalleryError as error:
            raise Unavailable(explain(error, self.context.public)) from error

    def _matches(self, gallery: str, model: str, count: int, note: Note) -> Iterator[tuple[int, Match, Note]]:
        """(row, match, what its progress goes to) of some captions of a gallery with their own pictures."""
        from longclip.attribution import Match

        encoder, chosen = self.context.encoder(model), self.context.gallery(gallery)
        pictures = self.context.embedded("pictures", gallery, model)
        rows = [row for row, caption in enumerate(chosen.captions) if caption.strip()]
        if not rows:
            raise ValueError("The pictures have no captions to average over: choose a scene of the picture book")
        rows = sorted(Random(0).sample(rows, min(count, len(rows))))
        for number, row in enumerate(rows):
            told = lambda done, total, number=number: note(number, len(rows))  # noqa: E731
            yield row, Match(encoder, chosen.captions[row], pictures[row]), told

    def _match(self, pair: Pair, model: str) -> Match:
        """The caption and the picture, which the encoder's cache keeps."""
        from longclip.attribution import Match

        encoder: Encoder = self.context.encoder(model)
        return Match.of_picture(encoder, pair.caption, self._picture(pair))

    def _picture(self, pair: Pair) -> Any:
        return self.context.gallery(pair.gallery).pictures[self.row(pair)]
