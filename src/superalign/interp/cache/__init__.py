"""Activations on disk: sparse from the encoder to the file, written in segments, read by unit.

    <digest>/cache.json          what it holds: model, text, site, encoder
    <digest>/segment-00000/      a stretch of rows, as they came: values, index; manifest.json
    <digest>/index-00000/        the same entries by unit, made from the segment and made again where it is lost

A folder's name is the digest of its identity, so the same question finds the same folder.
"""

from superalign.interp.cache.reading import Cache, open_cache
from superalign.interp.cache.writing import Encoder, write, write_all

__all__ = ["Cache", "Encoder", "open_cache", "write", "write_all"]
