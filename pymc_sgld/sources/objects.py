"""Objects of a store, by fsspec: byte ranges of them, and whether they still are what they were."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from pymc_sgld.errors import SettingError
from pymc_sgld.sources.network import patiently

_GAP, _LONG = 2**16, 2**23  # bytes that are rather read than left out, and of one request
_TOLD_BY = ("size", "ETag", "etag", "mtime", "created", "Last-Modified")  # by one store or other


class Store:
    """Objects that are read in parts, and must not change from the first time on.

    Connections do not survive a fork, and are not pickled: every process makes its own file system.

    Parameters
    ----------
    files : fsspec.AbstractFileSystem
    """

    def __init__(self, files: Any) -> None:
        self._files: tuple[int, Any] = (os.getpid(), files)
        self._told: dict[str, dict[str, Any]] = {}
        self._known: dict[str, Any] = {}

    @classmethod
    def of(cls, urls: Sequence[str], options: Mapping[str, Any]) -> tuple[Store, list[str]]:
        """Return the store of URLs, and the paths in it; ``*`` stands for all that match."""
        from fsspec.core import url_to_fs

        found, paths = [], []
        for url in urls:
            files, path = url_to_fs(url, **options)
            files.invalidate_cache()  # of a listing that may be old
            matching = sorted(patiently(partial(files.glob, path))) if "*" in path else [path]
            if not matching:
                raise FileNotFoundError(f"no object has a name like {url}")
            found.append(files)
            paths += matching
        if any(files != found[0] for files in found):
            raise SettingError(f"{list(urls)} are not in one store: make a source of each.")
        return cls(found[0]), paths

    def read[T](self, path: str, read: Callable[[io.RawIOBase], T]) -> T:
        """Return what a function reads of an object, which it does once in a process."""

        def attempt() -> T:
            told = self._told.setdefault(path, self._now(path))
            found = read(_Ranges(self._here, path, told["size"], {}))
            self._check(path)
            return found

        if path not in self._known:
            self._known[path] = patiently(attempt)
        return self._known[path]

    def parts(self, path: str, places: Iterable[tuple[int, int]]) -> io.RawIOBase:
        """Return an object as a file of which some parts, from begin to end, were read at once."""
        from fsspec.utils import merge_offset_ranges

        begins, ends = (list(each) for each in zip(*places, strict=True))
        paths, begins, ends = merge_offset_ranges(
            [path] * len(begins), begins, ends, max_gap=_GAP, max_block=_LONG
        )

        def attempt() -> list[bytes]:
            found = self._here.cat_ranges(paths, begins, ends, on_error="raise")
            self._check(path)
            return found

        found = patiently(attempt, sum(ends) - sum(begins))
        parts = dict(zip(zip(begins, ends, strict=True), found, strict=True))
        return _Ranges(self._here, path, self._told[path]["size"], parts)

    def url(self, path: str) -> str:
        """Return the name of an object for the user."""
        return self._here.unstrip_protocol(path)

    @property
    def _here(self) -> Any:
        process, files = self._files
        if process != os.getpid():
            files = type(files)(*files.storage_args, **files.storage_options)
            self._files = os.getpid(), files
        return files

    def _now(self, path: str) -> dict[str, Any]:
        """Return what tells an object from a later one of the same name."""
        self._here.invalidate_cache(path)
        found = self._here.info(path)
        return {name: found[name] for name in _TOLD_BY if name in found}

    def _check(self, path: str) -> None:
        """Look at an object after it was read: what was read before is as it was."""
        then, now = self._told[path], self._now(path)
        if then != now:
            other = [name for name in then if then[name] != now.get(name)]
            news = [f"{name} was {then[name]}, and is {now.get(name)}" for name in other]
            raise OSError(f"{self.url(path)} was changed: {'; '.join(news)}")

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_known": {}}


class _Ranges(io.RawIOBase):
    """An object as a file of which some parts are known."""

    def __init__(
        self, files: Any, path: str, size: int, parts: Mapping[tuple[int, int], bytes]
    ) -> None:
        self._files, self._path, self._size, self._parts = files, path, size, parts
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}
        self._place = origin[whence] + offset
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        begin = min(self._place, self._size)
        end = min(begin + len(buffer), self._size)
        found = self._bytes(begin, end)
        if len(found) != end - begin:
            raise EOFError(f"{self._path} gave {len(found)} bytes in the place of {end - begin}")
        buffer[: len(found)] = found
        self._place = end
        return len(found)

    def _bytes(self, begin: int, end: int) -> Any:
        for (first, last), part in self._parts.items():
            if first <= begin and end <= last:
                return memoryview(part)[begin - first : end - first]
        return self._files.cat_file(self._path, start=begin, end=end)
