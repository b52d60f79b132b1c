"""Where rows come from, for data that do not fit into memory.

``source``   what a source is
``bind``     what the user gave, as sources
``files``    memory maps, Parquet
``chunked``  HDF5, zarr
``spool``    iterators
``shuffle``  a shuffled copy of sorted data
``grouped``  groups of rows in the place of rows, sorted where they have to be
``shared``   arrays that worker processes map
``reader``   batches of a random order, read ahead
"""

from pymc_sgld.sources.files import parquet
from pymc_sgld.sources.shuffle import shuffled
from pymc_sgld.sources.source import Source
from pymc_sgld.sources.spool import batches

__all__ = ["Source", "batches", "parquet", "shuffled"]
