"""What was measured, by set, model and figure, as `python -m longclip evaluate --json` prints it; and tables to save."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from demos.context import Context
from demos.figures import SIDES
from demos.pieces import table_cell
from demos.trained import names_for_files
from longclip.commands.evaluate import DATA
from longclip.registry import assets

Figures = dict[str, dict[str, dict[str, Any]]]

log = logging.getLogger(__name__)

SHIPPED = "evaluation.json"


@dataclass(frozen=True)
class Report:
    """figures: {set: {model: {figure: number, None, or a curve {place: number}}}}; titles of the models, by name, in the order
    of the columns; left_out: for each set, sentences about measures that do not fit it; sides: where the models stand, by
    name, if not as the columns do."""

    titles: dict[str, str] = field(default_factory=dict)
    figures: Figures = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    sides: dict[str, str] = field(default_factory=dict)

    def with_model(self, name: str, title: str, side: str) -> Report:
        """The report with one more column, in the colours of the side where the model stands."""
        return replace(self, titles=self.titles | {name: title}, sides=self.sides | {name: side})

    def side(self, model: str) -> str:
        """Where a model stands; nothing for the third and those behind it."""
        place = list(self.titles).index(model)
        return self.sides.get(model) or (SIDES[place] if place < len(SIDES) else "")

    def with_set(self, data: str, left_out: list[str]) -> Report:
        """The report with one more set, of which there is no figure yet."""
        return replace(self, figures=self.figures | {data: {}}, left_out=self.left_out | {data: left_out})

    def with_figures(self, data: str, model: str, figures: dict[str, Any]) -> Report:
        """The report with more figures of a model on a set."""
        models = self.figures[data]
        return replace(self, figures=self.figures | {data: models | {model: models.get(model, {}) | figures}})

    def names(self, data: str) -> list[str]:
        """The figures of a set, in the order in which any model has them."""
        return list(dict.fromkeys(name for figures in self.figures[data].values() for name in figures))

    def curves(self, data: str | None, name: str) -> list[tuple[str, str, dict[float, float]]]:
        """(title, side, {place: figure}) for each model; empty where no model has this curve on the set."""
        found = self.figures.get(data or "", {})
        curves = [
            (title, self.side(model), {float(place): value for place, value in found.get(model, {}).get(name, {}).items()})
            for model, title in self.titles.items()
        ]
        return curves if any(points for *_, points in curves) else []

    def write_json(self) -> str:
        """The figures, as the command prints them."""
        names = names_for_files(self.titles)
        figures = {data: {names[model]: found for model, found in models.items()} for data, models in self.figures.items()}
        return json.dumps(figures, ensure_ascii=False, indent=1)

    def write_csv(self) -> str:
        """A line a number: set, figure, place on its curve, and a column a model."""
        text = io.StringIO()
        table = csv.writer(text)
        table.writerow(map(_cell, ("set", "figure", "place", *names_for_files(self.titles).values())))
        for data, models in self.figures.items():
            for name in self.names(data):
                values = [models.get(model, {}).get(name) for model in self.titles]
                for place, numbers in _by_place(values):
                    table.writerow([_cell(data), _cell(name), place, *numbers])
        return text.getvalue()


def shipped_report(context: Context) -> Report | None:
    """What the embedded models reach, as it ships with the project; None where it does not, or cannot be read."""
    path = assets() / SHIPPED
    if not path.is_file():
        return None
    try:
        # Beside the models, the command line says what was measured.
        figures: Figures = {
            data: {model: values for model, values in found.items() if model != DATA}
            for data, found in json.loads(path.read_text("utf-8")).items()
        }
    except (ValueError, AttributeError) as error:
        log.warning("the assets' %s is left out: it is no output of evaluate --json (%s)", SHIPPED, error)
        return None
    models = dict.fromkeys(model for found in figures.values() for model in found)
    specs = {model: context.spec(model) for model in models}
    return Report({model: spec.title if spec else model for model, spec in specs.items()}, figures)


def _by_place(values: list[Any]) -> Iterator[tuple[str, list[Any]]]:
    """(place, number for each model) of a curve; a number is a curve of one place without a name."""
    curves = [value if isinstance(value, dict) else {"": value} for value in values if value is not None]
    for place in dict.fromkeys(place for curve in curves for place in curve):
        yield place, [value.get(place) if isinstance(value, dict) else value for value in values]


def _cell(word: str) -> str:
    """A word that no spreadsheet takes for a formula."""
    return table_cell(word)
