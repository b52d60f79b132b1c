"""Sources of rows: what they can be, what they read, and what they say when they cannot."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pymc_sgld import DataError, SettingError, SGLDWarning, sources
from pymc_sgld.sources.bind import bind
from pymc_sgld.sources.shared import LEAST
from pymc_sgld.sources.source import ArraySource, Sliced

ROWS = np.random.default_rng(1).normal(size=(3000, 4))


def of_array(folder):
    return ROWS


def of_memory_map(folder):
    np.save(folder / "rows.npy", ROWS)
    return np.load(folder / "rows.npy", mmap_mode="r")


def of_other_byte_order(folder):
    np.save(folder / "swapped.npy", ROWS.astype(">f8"))
    return np.load(folder / "swapped.npy", mmap_mode="r")


def of_view_of_memory_map(folder):
    """A view has lost the name of its file: a copy of it in memory would be all of the data."""
    padded = np.zeros((3100, 4))
    padded[70:3070] = ROWS
    np.save(folder / "padded.npy", padded)
    return np.asarray(np.load(folder / "padded.npy", mmap_mode="r"))[70:3070]


def of_columns_of_memory_map(folder):
    wide = np.asfortranarray(np.concatenate([ROWS[::-1], ROWS[::-1]], axis=1))
    np.save(folder / "wide.npy", wide)
    return np.load(folder / "wide.npy", mmap_mode="r")[::-1, 4:]


def of_hdf5(folder):
    h5py = pytest.importorskip("h5py", reason="reads HDF5")
    with h5py.File(folder / "rows.h5", "w") as file:
        file.create_dataset("rows", data=ROWS, chunks=(64, 4))
    return h5py.File(folder / "rows.h5", "r")["rows"]


def of_zarr(folder):
    zarr = pytest.importorskip("zarr", reason="reads zarr")
    array = zarr.create_array(folder / "rows.zarr", shape=ROWS.shape, chunks=(64, 4), dtype="f8")
    array[:] = ROWS
    return zarr.open_array(folder / "rows.zarr", mode="r")


def of_parquet(folder):
    pa = pytest.importorskip("pyarrow", reason="reads Parquet")
    pq = pytest.importorskip("pyarrow.parquet", reason="reads Parquet")
    paths = [folder / "a.parquet", folder / "b.parquet"]
    for path, part in zip(paths, [ROWS[:1000], ROWS[1000:]], strict=True):
        columns = {f"x{i}": part[:, i] for i in range(4)}
        pq.write_table(pa.table(columns | {"name": ["?"] * len(part)}), path, row_group_size=64)
    return sources.parquet(paths, ["x0", "x1", "x2", "x3"])


def of_remote_zarr(folder):
    zarr = pytest.importorskip("zarr", reason="reads zarr")
    url = f"memory://{folder}/rows.zarr"
    array = zarr.create_array(url, shape=ROWS.shape, chunks=(64, 4), dtype="f8")
    array[:] = ROWS
    return zarr.open_array(url, mode="r")


def of_remote_parquet(folder):
    of_parquet(folder)
    files = pytest.importorskip("fsspec", reason="reads from URLs").filesystem("memory")
    files.put(f"{folder}/*.parquet", f"{folder}/")
    return sources.parquet(f"memory://{folder}/*.parquet", ["x0", "x1", "x2", "x3"])


def of_xarray(folder):
    xr.DataArray(ROWS, dims=("row", "column"), name="rows").to_netcdf(folder / "rows.nc")
    return xr.open_dataarray(folder / "rows.nc", engine="h5netcdf")


def of_dask(folder):
    array = pytest.importorskip("dask.array", reason="reads dask arrays")
    return array.from_array(ROWS, chunks=(64, 4))


def of_xarray_of_dask(folder):
    pytest.importorskip("dask.array", reason="reads dask arrays")
    xr.DataArray(ROWS, dims=("row", "column"), name="rows").to_netcdf(folder / "rows.nc")
    return xr.open_dataarray(folder / "rows.nc", engine="h5netcdf", chunks={"row": 64})


def of_batches(folder):
    return sources.batches(lambda: iter(np.array_split(ROWS, 7)), (3000, 4), folder=str(folder))


KINDS = {name[3:]: make for name, make in list(globals().items()) if name.startswith("of_")}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_reads_its_rows_here_and_elsewhere(kind, tmp_path):
    given = KINDS[kind](tmp_path)
    [source] = bind({"x": given}).values()
    assert source.shape == ROWS.shape and source.dtype == np.dtype("float64")
    pickled = pickle.dumps(source)
    assert len(pickled) < LEAST if kind != "dask" else True  # a graph of an array holds it
    for each in (source, pickle.loads(pickled)):
        for start, stop in [(0, 3000), (995, 1130), (2999, 3000), (17, 18)]:
            block = each[start:stop]
            assert np.array_equal(block, ROWS[start:stop])
            assert block.dtype.isnative and block.flags.c_contiguous
    chunked = ("hdf5", "zarr", "parquet", "remote_zarr", "remote_parquet", "dask", "xarray_of_dask")
    assert source.chunk == (64 if kind in chunked else 1)


def test_numbers_are_as_narrow_as_they_are(tmp_path):
    assert ArraySource(ROWS.astype("float32"))[0:2].dtype == np.float32
    halves = ROWS.astype("float16")  # which compiled code does not have
    assert ArraySource(halves)[0:2].dtype == np.float32
    assert ArraySource(np.array([True, False]))[0:2].dtype == np.bool_
    pytest.importorskip("pyarrow", reason="reads Parquet")
    assert KINDS["parquet"](tmp_path).dtype == np.float64
    column = sources.parquet(tmp_path / "a.parquet", "x1", dtype="float32")
    assert np.array_equal(column[60:70], ROWS[60:70, 1].astype("float32"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1, 2], r'data\["x"\] is a list: pass an array, such as numpy'),
        ("x.npy", r'data\["x"\] is a str: a path, .*np.load\(\'x.npy\', mmap_mode="r"\)'),
        (Path("x.npy"), r"is a pathlib.*: a path, .*np.load\('x.npy'"),
        (np.array(["a", "b"]), r"it must be of numbers"),
        (
            np.zeros(3, np.longdouble),
            r"it has the dtype float128: it must be of numbers",
        ),
        (np.ma.masked_less(np.arange(5.0), 2), r"MaskedArray: 2 entries are masked, and a source"),
        (np.array(1.0), r"its shape is \(\): it must have rows"),
        (np.zeros((0, 2)), r"its shape is \(0, 2\): it must have rows"),
    ],
)
def test_what_is_no_source(given, message):
    with pytest.raises(SettingError, match=message):
        bind({"x": given})


class Slices:
    """Rows as netCDF variables give them: masked where they are missing."""

    shape, dtype = (9,), np.dtype("float64")

    def __init__(self, missing):
        self.missing = missing

    def __getitem__(self, rows):
        return np.ma.masked_equal(np.arange(9.0), self.missing)[rows]


def test_masked_rows(tmp_path):
    """What is beneath a mask is no data; a mask of nothing hides nothing."""
    source = bind({"x": Slices(missing=7)})["x"]
    assert source[:7].tolist() == list(range(7))
    message = 'rows 5 to 9 of the source of "x" cannot be read: .* 1 entries are masked'
    with pytest.raises(DataError, match=message):
        source[5:9]
    with pytest.raises(DataError, match="entries are masked"):
        sources.shuffled({"x": Slices(missing=7)}, tmp_path)
    with pytest.raises(DataError, match="the batch after row 5: 1 entries are masked"):
        sources.batches([np.arange(5.0), Slices(missing=7)[5:]], (9,), folder=str(tmp_path))
    assert bind({"x": Slices(missing=-1)[:]})["x"][:].tolist() == list(range(9))


def test_a_file_that_was_closed(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        dataset = file.create_dataset("x", data=np.arange(5.0))
    with pytest.raises(SettingError, match=r'data\["x"\] is a h5py.*Is its file open\?'):
        bind({"x": dataset})


def test_sources_have_names():
    with pytest.raises(SettingError, match=r"data is a list: it must be a dictionary .*such as"):
        bind([1])
    with pytest.raises(SettingError, match=r"data is a numpy.ndarray: it must be a dictionary"):
        bind(ROWS)
    assert bind(None) == {}


def test_changes_that_no_other_process_sees(tmp_path):
    of_memory_map(tmp_path)
    with pytest.raises(SettingError, match=r'mode="c"'):
        bind({"x": np.load(tmp_path / "rows.npy", mmap_mode="c")})


@pytest.mark.parametrize("kind", ["memory_map", "columns_of_memory_map"])
def test_a_truncated_file(kind, tmp_path):
    """An error with the name and the rows: reading the mapping would end the process."""
    [source] = bind({"x": KINDS[kind](tmp_path)}).values()
    [path] = [path for path in tmp_path.iterdir() if path.suffix == ".npy"]
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(DataError, match=r'rows 2000 to 2100 of the source of "x" .*EOFError'):
        source[2000:2100]


@pytest.mark.parametrize("kind", ["hdf5", "xarray", "xarray_of_dask"])
def test_an_hdf5_file_that_is_cut(kind, tmp_path):
    """HDF5 reads zeros there, which are no error of its own."""
    given = KINDS[kind](tmp_path)
    [source] = bind({"x": given}).values()
    source[0:10]
    [path] = [path for path in tmp_path.iterdir() if path.suffix in (".h5", ".nc")]
    os.truncate(path, path.stat().st_size // 3)
    if kind == "hdf5":
        assert not given[2000:2100].all()  # what it would read
    with pytest.raises(DataError, match=r'rows 2000 to 2100 of the source of "x" .*(EOF|OS)Error'):
        source[2000:2100]


def test_files_that_were_cut_before(tmp_path):
    """The libraries say so when they open them; for Parquet, with the name of the file."""
    of_memory_map(tmp_path), of_hdf5(tmp_path), of_parquet(tmp_path)
    for name in ("rows.npy", "rows.h5", "b.parquet"):
        os.truncate(tmp_path / name, (tmp_path / name).stat().st_size // 2)
    with pytest.raises(ValueError, match=r"greater than file size"):
        np.load(tmp_path / "rows.npy", mmap_mode="r")
    h5py = pytest.importorskip("h5py", reason="reads HDF5")
    with pytest.raises(OSError, match=r"truncated file"):
        h5py.File(tmp_path / "rows.h5", "r")
    with pytest.raises(DataError, match=r"b.parquet cannot be read as Parquet: .*write it again"):
        sources.parquet([tmp_path / "a.parquet", tmp_path / "b.parquet"], "x0")
    with pytest.raises(FileNotFoundError, match=r"c.parquet"):
        sources.parquet(tmp_path / "c.parquet", "x0")


@pytest.mark.parametrize("shards", [None, (640, 4)])
def test_chunks_of_zarr_that_are_lost(shards, tmp_path):
    """A warning where they are missing at first, an error where one is lost later."""
    zarr = pytest.importorskip("zarr", reason="reads zarr")
    path = tmp_path / "rows.zarr"
    array = zarr.create_array(path, shape=ROWS.shape, chunks=(64, 4), shards=shards, dtype="f8")
    array[:] = ROWS
    [source] = bind({"x": array}).values()
    lost = path / "c" / "3" / "0"
    lost.unlink()
    first = 3 * (shards or (64,))[0]
    with pytest.raises(DataError, match=r"rows .* cannot be read: ChunkNotFoundError"):
        pickle.loads(pickle.dumps(source))[first : first + 5]
    count = "1 of its 47" if shards is None else "10 of its 50"
    with pytest.warns(SGLDWarning, match=rf'data\["x"\].*: {count} chunks .* read as 0\.0: write'):
        [source] = bind({"x": array}).values()
    assert not source[first : first + 5].any()  # which is right where zarr left zeros out
    array[:] = ROWS
    bind({"x": array})
    array[first : first + 640] = 0.0
    with pytest.warns(SGLDWarning, match=r"zarr left them out, and nothing is wrong"):
        bind({"x": array})


@pytest.mark.parametrize("chunks", [(64, 4), None])
def test_rows_of_hdf5_that_were_never_written(chunks, tmp_path):
    h5py = pytest.importorskip("h5py", reason="reads HDF5")
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        rows = file.create_dataset("rows", ROWS.shape, "f8", chunks=chunks)
        if chunks:
            rows[:1000] = ROWS[:1000]
        with pytest.warns(SGLDWarning, match=r'data\["x"\].*chunks were never written .* as 0\.0'):
            bind({"x": rows})
        rows[:] = 0 * ROWS  # zeros that were written are data
        bind({"x": rows})


def test_a_virtual_hdf5_dataset_with_holes(tmp_path):
    h5py = pytest.importorskip("h5py", reason="reads HDF5")
    with h5py.File(tmp_path / "part.h5", "w") as file:
        file["rows"] = ROWS[:100]
    part = h5py.VirtualSource("part.h5", "rows", ROWS[:100].shape)
    with h5py.File(tmp_path / "whole.h5", "w") as file:
        for name, length in (("half", 200), ("whole", 100)):
            layout = h5py.VirtualLayout((length, 4), "f8")
            layout[:100] = part
            file.create_virtual_dataset(name, layout, fillvalue=-1)
    with h5py.File(tmp_path / "whole.h5") as file:
        bind({"x": file["whole"]})
        with pytest.warns(SGLDWarning, match=r"400 of its entries are missing .* read as -1\.0"):
            bind({"x": file["half"]})
        (tmp_path / "part.h5").unlink()
        with pytest.warns(SGLDWarning, match=r"the files \['part\.h5'\] are missing behind it"):
            bind({"x": file["whole"]})


@pytest.mark.parametrize("kind", ["hdf5", "zarr", "parquet"])
def test_a_file_that_is_gone(kind, tmp_path):
    [source] = bind({"x": KINDS[kind](tmp_path)}).values()
    source = pickle.loads(pickle.dumps(source))
    if kind == "zarr":
        for chunk in (tmp_path / "rows.zarr" / "c").rglob("*"):
            if chunk.is_file():
                chunk.write_bytes(chunk.read_bytes()[:10])
    for path in tmp_path.iterdir():
        if path.is_file():
            path.unlink()
    with pytest.raises(DataError, match=r'rows 5 to 9 of the source of "x" cannot be read'):
        source[5:9]


def test_a_source_that_shrinks():
    class Shrinking:
        shape, dtype, rows = (100, 2), np.dtype("float64"), 100

        def __getitem__(self, rows):
            return np.zeros(self.shape)[: self.rows][rows]

    given = Shrinking()
    source = Sliced(given).named("x")
    assert source[90:100].shape == (10, 2)
    given.rows = 95
    with pytest.raises(DataError, match=r'rows 90 to 100 of the source of "x".* \(5, 2\)'):
        source[90:100]


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([ROWS[:10], ROWS[:20]], r"have 30 rows, and shape=\(40, 4\) says 40"),
        ([ROWS[:30], ROWS[:20]], r"more than the 40 rows"),
        ([ROWS[:10], ROWS[:20, :3]], r"after row 10 has the shape \(20, 3\)"),
    ],
)
def test_batches_are_counted(batches, message, tmp_path):
    with pytest.raises(DataError, match=message):
        sources.batches(iter(batches), (40, 4), folder=str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_a_pattern_of_files(tmp_path):
    of_parquet(tmp_path)
    assert np.array_equal(sources.parquet(tmp_path / "*.parquet", "x1")[:], ROWS[:, 1])
    with pytest.raises(FileNotFoundError, match=r"no file has a name like .*\*\.csv"):
        sources.parquet(tmp_path / "*.csv", "x1")
    with pytest.raises(SettingError, match=r"a.parquet'\] are no URLs: storage_options"):
        sources.parquet(tmp_path / "a.parquet", "x1", storage_options={"anon": True})


def test_columns_that_are_not_there(tmp_path):
    KINDS["parquet"](tmp_path)
    with pytest.raises(SettingError, match=r"has no columns \['x9'\]"):
        sources.parquet(tmp_path / "a.parquet", ["x0", "x9"])
    with pytest.raises(SettingError, match=r'column "name" of .* must be of numbers'):
        sources.parquet(tmp_path / "a.parquet", "name")


def test_missing_values_are_not_made_up(tmp_path):
    """A column of integers with a null becomes NaN, which no integer is; nor is 300 a byte."""
    pa = pytest.importorskip("pyarrow", reason="reads Parquet")
    pq = pytest.importorskip("pyarrow.parquet", reason="reads Parquet")
    pq.write_table(pa.table({"x": pa.array([1, None, 3])}), tmp_path / "x.parquet")
    [source] = bind({"x": sources.parquet(tmp_path / "x.parquet", "x")}).values()
    with pytest.raises(DataError, match=r'rows 0 to 3 of the source of "x".*missing values'):
        source[0:3]
    narrow = sources.batches([np.array([1, 2])], (2,), "int8", str(tmp_path))
    assert narrow[0:2].tolist() == [1, 2]
    with pytest.raises(DataError, match=r"after row 0: they are int64, and some are too great"):
        sources.batches([np.array([1, 300])], (2,), "int8", str(tmp_path))


def test_shuffled_rows(tmp_path, monkeypatch):
    """One order for all sources, every row once, and no trace of the order of the file."""
    monkeypatch.setattr("pymc_sgld.sources.shuffle._BUCKET", 700)
    monkeypatch.setattr("pymc_sgld.sources.shuffle._BLOCK", 99)
    number = np.arange(5000)
    files = sources.shuffled({"n": number, "x": np.stack([number, -number], 1)}, tmp_path, seed=3)
    order = np.array(files["n"])
    assert np.array_equal(np.sort(order), number)
    assert np.array_equal(files["x"], np.stack([order, -order], 1))
    assert isinstance(bind(files)["n"][0:2], np.ndarray)
    with pytest.raises(SettingError, match=r"n.npy is there already"):
        sources.shuffled({"n": number}, tmp_path)
    # rank correlation with the order of the file, and of neighbours: sd 1 / sqrt(N) each
    for other, rows in ((number, order), (order[:-1], order[1:])):
        assert abs(np.corrcoef(other, rows)[0, 1]) < 5 / np.sqrt(5000)
    # rows of the first tenth of the file are spread evenly over the tenths of the new one
    counts = np.bincount(np.flatnonzero(order < 500) // 500, minlength=10)
    assert ((counts - 50) ** 2 / 45).sum() < 9 + 5 * np.sqrt(18)  # chi-squared, 9 degrees


def test_shuffled_rows_belong_together(tmp_path):
    with pytest.raises(SettingError, match=r'3 rows of "a", 4 rows of "b"'):
        sources.shuffled({"a": np.zeros(3), "b": np.zeros(4)}, tmp_path)
