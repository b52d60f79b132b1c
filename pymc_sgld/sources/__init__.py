"""Where rows come from, for data that do not fit into memory.

``source``      what a source is
``bind``        what the user gave, as sources
``files``       memory maps
``chunked``     HDF5, zarr
``tables``      Parquet
``objects``     objects of a store, by their URLs
``network``     what is tried again, and for how long
``spool``       iterators
``shuffle``     a shuffled copy of sorted data
``grouped``     groups of rows in the place of rows, sorted where they have to be
``shared``      arrays that worker processes map
``reader``      batches of a random order, read ahead
``background``  threads that read
"""

from pymc_sgld.sources.shuffle import shuffled
from pymc_sgld.sources.source import Source
from pymc_sgld.sources.spool import batches
from pymc_sgld.sources.tables import parquet

__all__ = ["Source", "batches", "parquet", "shuffled"]
