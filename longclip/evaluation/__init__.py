"""Measures of a model: one file each, an encoder and an evaluation set in, named figures out."""
