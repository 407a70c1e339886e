"""An explanation as CSV and as JSON, for others to read."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import numpy as np

from demos.attribution.answer import Answer, Explanation
from demos.attribution.order import LEAVE_ONE_OUT, SHAPLEY
from demos.pieces import table_cell
from demos.selection import PICTURE_BOOK
from demos.trained import names_for_files

# Digits behind the point.
_DIGITS = 7


def write_csv(explanation: Explanation) -> str:
    """A line a unit that some model reads: where it stands, its text, and value and standard error a model."""
    text = io.StringIO()
    table = csv.writer(text)
    columns, values = names_for_files(answer.model for answer, _ in explanation.told).values(), explanation.values()
    table.writerow(["start", "end", "text", *(f"{what} {name}" for name in columns for what in ("value", "error"))])
    for start, end in explanation.spans:
        cells: list[Any] = []
        for column in values:
            value, error = column.get((start, end), (None, None))
            cells += [_short(value), _short(error)]
        table.writerow([start, end, table_cell(explanation.order.pair.caption[start:end]), *cells])
    return text.getvalue()


def write_json(explanation: Explanation) -> str:
    """All that is known: caption, picture, method, and by model the score, the units and the maps."""
    order = explanation.order
    asked: dict[str, Any] = {"caption": order.pair.caption, "level": order.level, "method": order.method}
    if order.pair.gallery == PICTURE_BOOK:
        asked["picture"] = order.pair.picture
    if order.method in (LEAVE_ONE_OUT, SHAPLEY):
        asked["removal"] = order.removal
    if order.method == SHAPLEY:
        asked["budget"] = order.budget
    names = names_for_files(answer.model for answer, _ in explanation.told)
    models = {names[answer.model]: _model(answer) for answer, _ in explanation.told}
    return json.dumps(asked | {"models": models}, ensure_ascii=False, indent=1)


def _model(answer: Answer) -> dict[str, Any]:
    found, tokens = answer.attribution, answer.tokens
    assert found is not None and tokens is not None
    units = [
        {"text": unit.text, "start": unit.start, "end": unit.end, "tokens": [unit.first, unit.last], "value": _short(value)}
        | ({} if found.errors is None else {"error": _short(found.errors[number])})
        for number, (unit, value) in enumerate(zip(found.units, found.values, strict=True))
        if unit.seen
    ]
    known = {"score": found.score, "base": found.base, "gap": found.gap, "passes": found.passes, "seconds": found.seconds}
    read = {"tokens": tokens.total, "read": len(tokens), "unseen_start": tokens.unseen_start, "identity": answer.identity}
    shown = {name: _short(value) for name, value in known.items() if value is not None} | read | {"units": units}
    if answer.maps is not None:
        shown["maps"] = [[[_short(value) for value in row] for row in rows] for rows in answer.maps]
    return shown


def _short(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else round(float(value), _DIGITS)
