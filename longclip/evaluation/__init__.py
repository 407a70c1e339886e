"""Measures of a model: one file each, an encoder and an evaluation set in, named figures out.

>>> from longclip.evaluation import measure
>>> from longclip.evaluation.data import read_sets
>>> figures = measure(encoder, read_sets("picturebook")[0], ["retrieval", "zeroshot"])
"""

from __future__ import annotations

from .measures import CHEAP, MEASURES, Measure, check_names, measure, measure_features, skipped

__all__ = ["CHEAP", "MEASURES", "Measure", "check_names", "measure", "measure_features", "skipped"]
