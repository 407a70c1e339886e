"""Galleries on disk: pictures, captions and their embeddings by any number of models, from ten pictures to ten million.

A gallery is a folder::

    gallery.json                       what it was made from, and its parts in their order
    rows/PART.jsonl                    the pictures of a part: id, place, captions, one JSON object a line
    vectors/MODEL@WEIGHTS/PART.safetensors    their embeddings by a model, made whole or not at all

A part is about a thousand neighbouring pictures, or part of a shard, and its name is the hash of its rows, which hold size
and time of each file. So a part that is there is right, whoever made it and when; and all else follows. A run that was killed
leaves whole parts, and the next one makes those that are missing. Several processes share the missing parts out among
themselves by locks that end with the process that holds them. A changed file gives its part a new name: the part is made
anew, from the vectors of the old one wherever the content of a picture is the same. Parts end where the hash of an id says
so, not after a number of pictures, and therefore a new picture changes the part it falls into and no other.
"""

from .making import Making, make_gallery
from .stored import StoredGallery, Vectors

__all__ = ["Making", "StoredGallery", "Vectors", "make_gallery"]
