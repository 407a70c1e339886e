"""What happens in the retrieval tab: from a visitor's form to a settled selection, searches, curves and files."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder

from demos import panels
from demos.cards import Results, grid, notice, ranked_cards, waiting
from demos.context import Context, Unavailable
from demos.examples import EVERY, EXAMPLES, KINDS, example_row, random_rows
from demos.figures import rank_figure
from demos.ranking import Ranking, look_alikes, rank_by_sentences, rank_gallery, right_row, write_csv
from demos.reading import reading
from demos.selection import PICTURE_BOOK, TO_CAPTIONS, TO_PICTURES, Selection
from demos.uploads import MOST, MOST_PUBLIC, read_uploads
from longclip.gallery import Gallery, GalleryError
from longclip.registry import ModelSpec

TAB = "retrieval"
MINE = "mine"
LONGEST, LONGEST_PUBLIC = 200_000, 20_000
BROWSED = 24
# Share of a caption's words that must occur in the picture's own caption for the picture to stay the right answer.
ALIKE = 0.8
SESSIONS = 2000
_WORD = re.compile(r"\w+")

Update = Any


@dataclass
class Retrieval:
    """The tab's handlers. Each takes plain values and returns what its outputs show; none raises on a visitor's input."""

    context: Context
    _turns: OrderedDict[str, int] = field(default_factory=OrderedDict)
    _lock: Any = field(default_factory=Lock)

    def open_link(self, request: gr.Request) -> list[Update]:
        """The selection that the page's address names, or the first example."""
        selection = Selection.from_address(dict(request.query_params), tuple(self.context.models))
        book = self._book()
        if len(book):
            known = selection.picture in book.ids
            row = book.index(selection.picture) if known else example_row(book, EXAMPLES[0])
            if known or not selection.caption:
                selection = selection.changed(picture=book.ids[row], caption=selection.caption or book.captions[row])
        terms = [self.describe_model(name) for name in selection.models]
        return [*self._fields(selection), *selection.models, *terms]

    def settle(self, selection: Selection, caption: str | None, left: str, right: str, search: str, choice: str) -> Selection:
        """The selection with what the form says, and the right answer where the caption tells it."""
        own = choice == MINE and search == TO_PICTURES
        gallery = (selection.own or "") if own else PICTURE_BOOK
        settled = selection.changed(left=left, right=right, search=search, caption=caption or "", gallery=gallery)
        if search == TO_CAPTIONS or own:
            return settled
        book = self._book()
        found = _row_of_caption(book, settled.caption)
        if found is None and settled.picture in book.ids:
            row = book.index(settled.picture)
            found = row if _is_alike(settled.caption, book.captions[row]) else None
        return settled.changed(picture=None if found is None else book.ids[found])

    def search(
        self,
        selection: Selection,
        caption: str,
        left: str,
        right: str,
        search: str,
        choice: str,
        request: gr.Request | None = None,
    ) -> Iterator[list[Update]]:
        """Ranks the gallery with both models: yields while a model is on its way, and in the end once for both."""
        selection = self.settle(selection, caption, left, right, search, choice)
        turn = self._begin(request)
        if problem := self._problem(selection):
            yield self._found(selection, panels.note(problem), ["", ""])
            return
        pending: dict[int, Iterator[str]] = {side: self._prepare(selection, name) for side, name in enumerate(selection.models)}
        answers: list[Ranking | str] = ["", ""]
        try:
            while pending and self._is_current(turn):
                before = list(answers)
                for side in list(pending):
                    try:
                        answers[side] = next(pending[side])
                    except StopIteration:
                        del pending[side]
                        answers[side] = self._answer(selection, selection.models[side])
                if pending and answers != before:
                    yield self._found(selection, "", self._columns(selection, answers), busy=True)
        finally:
            for preparation in pending.values():
                preparation.close()
        if self._is_current(turn):
            yield self._found(selection, "", self._columns(selection, answers))

    def draw_curve(self, selection: Selection) -> list[Update]:
        """The rank of the right answer against the sentences kept, and a line in place of the plot where there is none."""
        curves = []
        for name in selection.models:
            if self.context.ready(name) and not self._problem(selection):
                spec = self.context.encoder(name).spec
                try:
                    curves.append((spec.title, spec.context_length, rank_by_sentences(self.context, selection, name)))
                except Unavailable:
                    continue
        if not any(points for _, _, points in curves):
            hint = "Drawn as soon as a caption and its right answer are known: pick a scene, or click one of your pictures."
            return [f'<p class="hint">{hint}</p>', gr.update(value=None, visible=False)]
        what = "picture" if selection.search == TO_PICTURES else "caption"
        figure = rank_figure(curves, len(self.context.gallery(selection.gallery)), what)
        return ["", gr.update(value=figure, visible=True)]

    def read_caption(self, caption: str, left: str, right: str) -> list[str]:
        """What each model reads of the text."""
        return [self._reading(name, caption) for name in (left, right)]

    def pick_example(self, number: int, *form: Any) -> list[Update]:
        """Takes the scene of an example button."""
        book = self._book()
        if not len(book):
            return self._fields(self.settle(*form))
        example = EXAMPLES[number]
        return self._take(self.settle(*form), book, example_row(book, example), example.short)

    def pick_random(self, *form: Any) -> list[Update]:
        """Takes any scene."""
        book, selection = self._book(), self.settle(*form)
        return self._take(selection, book, random_rows(book, EVERY, 1)[0]) if len(book) else self._fields(selection)

    def pick(
        self,
        selection: Selection,
        caption: str,
        left: str,
        right: str,
        search: str,
        choice: str,
        event: gr.EventData,
    ) -> list[Update]:
        """Takes the scene of a card as the query; among the visitor's own pictures, marks it as the right one."""
        selection = self.settle(selection, caption, left, right, search, choice)
        try:
            gallery = self.context.gallery(selection.gallery)
            row = gallery.index(str(event.pick))
        except (Unavailable, GalleryError):
            return self._fields(selection)
        if selection.gallery != PICTURE_BOOK:
            return self._fields(selection.changed(picture=gallery.ids[row]))
        return self._take(selection, gallery, row)

    def pick_scene(self, selection: Selection, *form: Any) -> list[Update]:
        """`pick` among the scenes of the picture book, whichever gallery is searched."""
        *fields, _, event = form
        return self.pick(selection, *fields, PICTURE_BOOK, event)

    def clear_picture(self, selection: Selection) -> list[Update]:
        """Forgets the right answer, and the caption that it would be known by."""
        return self._fields(selection.changed(picture=None, caption=""))

    def take_picture(self, file: str | None, selection: Selection) -> Iterator[list[Update]]:
        """Searches with a picture of the visitor's own."""
        if file:
            for _, _, gallery in read_uploads([file]):
                if gallery is not None and len(gallery):
                    yield [selection.changed(upload=self.context.keep(gallery)), ""]
                elif gallery is not None:
                    yield [selection, panels.note(" ".join(gallery.skipped))]
        else:
            yield [selection.changed(upload=None), ""]

    def take_gallery(self, files: list[str] | None, selection: Selection) -> Iterator[list[Update]]:
        """Makes a gallery of the visitor's own pictures."""
        if not files:
            yield [selection.changed(own=None, gallery=""), ""]
            return
        for done, total, gallery in read_uploads(files, MOST_PUBLIC if self.context.public else MOST):
            if gallery is None:
                yield [selection, f'<p class="report" role="status">Reading {done:,} of {total:,} …</p>']
            else:
                own = self.context.keep(gallery) if len(gallery) else None
                yield [selection.changed(own=own, picture=None), panels.upload_report(gallery)]

    def describe_model(self, name: str) -> str:
        """What a model is and what one may do with it."""
        spec = self.context.models.get(name)
        return panels.model_terms(spec) if spec else ""

    def browse(self, kind: str) -> str:
        """Scenes to pick from."""
        book = self._book()
        return grid(book, random_rows(book, kind if kind in KINDS else EVERY, BROWSED)) if len(book) else ""

    def save_csv(self, selection: Selection) -> str:
        """A file with both models' ranks and scores of the whole gallery."""
        if problem := self._problem(selection):
            raise gr.Error(problem, title="No results yet")
        ready = [name for name in selection.models if self.context.ready(name)]
        answers = [self._answer(selection, name) for name in dict.fromkeys(ready)]
        rankings = [answer for answer in answers if isinstance(answer, Ranking)]
        if not rankings:
            raise gr.Error("Neither model is loaded: search first.", title="No results yet")
        text = write_csv(self.context.gallery(selection.gallery), rankings, right_row(self.context, selection))
        return save_bytes_to_cache(text.encode("utf-8", "replace"), "longclip-results.csv", get_upload_folder())

    def ranked(self, caption: str, model: str = "picturebook-longclip", top: int = 10) -> list[dict[str, Any]]:
        """Ranks the pictures of the picture book by a caption.

        Parameters:
            caption: the text to search with, of any length
            model: a model of the page, such as picturebook-clip or picturebook-longclip
            top: how many pictures to return, the best first
        Returns:
            for each picture its id, rank (from 1), cosine, caption, and whether the caption is exactly its own
        """
        selection = self.settle(Selection(), caption, model, model, TO_PICTURES, PICTURE_BOOK)
        if problem := self._problem(selection):
            raise gr.Error(problem)
        try:
            ranking, book = rank_gallery(self.context, selection, model), self._book()
        except Unavailable as error:
            raise gr.Error(str(error)) from error
        return [
            {
                "id": book.ids[row],
                "rank": rank,
                "cosine": round(float(ranking.scores[row]), 6),
                "caption": book.captions[row],
                "right": book.ids[row] == selection.picture,
            }
            for rank, row in enumerate(ranking.order[: max(1, int(top))], 1)
        ]

    def _prepare(self, selection: Selection, name: str) -> Iterator[str]:
        """Loads a model and what it needs to search; yields HTML about how far that is, nothing when all is there."""
        spec = self.context.models.get(name)
        title = spec.title if spec else name
        verb = "Fetching" if spec and spec.source == "hub" else "Loading"
        for done, total in self.context.loading(name):
            yield waiting(title, done, total, verb)
        if not self.context.ready(name):
            return
        what = "pictures" if selection.search == TO_PICTURES else "captions"
        for done, total in self.context.embedding(what, selection.gallery, name):
            yield waiting(title, done, total, f"Reading all {what} with")
        query = selection.upload if selection.search == TO_CAPTIONS else None
        for done, total in self.context.embedding("pictures", query or selection.gallery, name) if what == "captions" else ():
            yield waiting(title, done, total, "Reading the picture with")

    def _answer(self, selection: Selection, name: str) -> Ranking | str:
        """A model's ranking, or the sentence that says why there is none."""
        try:
            return rank_gallery(self.context, selection, name)
        except Unavailable as error:
            return notice(str(error))

    def _columns(self, selection: Selection, answers: list[Ranking | str]) -> list[str]:
        gallery, right = self.context.gallery(selection.gallery), right_row(self.context, selection)
        results = Results(gallery, selection.search, right, look_alikes(gallery, right))
        titles = [self._spec(name).title for name in selection.models]
        columns = []
        for answer, other, title in zip(answers, reversed(answers), reversed(titles), strict=True):
            if isinstance(answer, str):
                columns.append(answer)
            else:
                columns.append(ranked_cards(results, answer, other if isinstance(other, Ranking) else None, title))
        return columns

    def _found(self, selection: Selection, note: str, columns: list[str], busy: bool = False) -> list[Update]:
        """Values of the outputs of a search."""
        readings = self.read_caption(selection.caption, *selection.models)
        return [selection, self._answer_panel(selection), note, *readings, *columns, gr.update(visible=busy)]

    def _answer_panel(self, selection: Selection) -> str:
        try:
            if selection.search == TO_CAPTIONS and selection.upload:
                gallery, row = self.context.gallery(selection.upload), 0
            else:
                gallery, row = self.context.gallery(selection.gallery), right_row(self.context, selection)
        except Unavailable:
            gallery, row = Gallery([], [], [], [], []), None
        own = gallery.captions[row] if row is not None else None
        return panels.answer_panel(selection, gallery, row, selection.address(TAB, own))

    def _problem(self, selection: Selection) -> str | None:
        """Why there is nothing to search, as a sentence."""
        longest = LONGEST_PUBLIC if self.context.public else LONGEST
        try:
            if selection.search == TO_PICTURES and not selection.caption.strip():
                return "Write a caption first, or start from one of the examples."
            if len(selection.caption) > longest:
                return f"The caption has {len(selection.caption):,} characters; at most {longest:,} are read here."
            if not selection.gallery:
                return "Add some pictures of your own first."
            self.context.gallery(selection.gallery)
            if selection.search == TO_CAPTIONS and selection.upload:
                self.context.gallery(selection.upload)
            elif selection.search == TO_CAPTIONS and right_row(self.context, selection) is None:
                return "Pick a picture first, or add one of your own."
        except Unavailable as error:
            return str(error)
        return None

    def _reading(self, name: str, caption: str) -> str:
        tokenizer, text = self.context.tokenizer(name), caption or ""
        longest = LONGEST_PUBLIC if self.context.public else LONGEST
        if tokenizer is None or len(text) > longest:
            return reading(self._spec(name), text, None)
        return reading(self._spec(name), text, tokenizer(text), tokenizer.known(text) if tokenizer.words else ())

    def _spec(self, name: str) -> ModelSpec:
        return self.context.models.get(name) or ModelSpec(name, name, "", None, "", "local")

    def _take(self, selection: Selection, book: Gallery, row: int, short: bool = False) -> list[Update]:
        caption = book.short_captions[row] if short else book.captions[row]
        return self._fields(selection.changed(gallery=PICTURE_BOOK, picture=book.ids[row], caption=caption, upload=None))

    def _fields(self, selection: Selection) -> list[Update]:
        """Values of the form for a selection."""
        choice = PICTURE_BOOK if selection.gallery == PICTURE_BOOK else MINE
        return [selection, selection.caption, selection.search, choice]

    def _book(self) -> Gallery:
        try:
            return self.context.gallery(PICTURE_BOOK)
        except Unavailable:
            return Gallery([], [], [], [], [])

    def _begin(self, request: gr.Request | None) -> tuple[str, int]:
        """A new search of a visitor, which makes that visitor's searches still under way stop."""
        session = getattr(request, "session_hash", None) or ""
        with self._lock:
            turn = self._turns.pop(session, 0) + 1
            self._turns[session] = turn
            while len(self._turns) > SESSIONS:
                self._turns.popitem(last=False)
        return session, turn

    def _is_current(self, turn: tuple[str, int]) -> bool:
        session, number = turn
        return not session or self._turns.get(session, number) == number


def show_inputs(search: str, choice: str) -> list[Update]:
    """Which inputs belong to a kind of search: the query picture, the visitor's own pictures, the scenes to browse."""
    own = choice == MINE and search == TO_PICTURES
    return [gr.update(visible=shown) for shown in (search == TO_CAPTIONS, own, not own)]


def _row_of_caption(gallery: Gallery, caption: str) -> int | None:
    """The row whose caption this is to the letter, or whose summary it is where no other shares that."""
    wanted = " ".join(caption.split())
    if wanted in gallery.captions:
        return gallery.captions.index(wanted)
    if gallery.short_captions.count(wanted) == 1:
        return gallery.short_captions.index(wanted)
    return None


def _is_alike(caption: str, own: str) -> bool:
    words, known = set(_WORD.findall(caption.lower())), set(_WORD.findall(own.lower()))
    return bool(words) and len(words & known) >= ALIKE * len(words)
