"""One piece of machine code for each function that is called from Python.

Numba makes machine code of every function within another, too, though the other has a copy of it.
That takes long, and which of the two is called depends on what was compiled before: by code that
was just compiled not the copy, by code from the cache on disk the copy, which may round otherwise.
Here a function within others has no machine code of its own, and the copies have no names that
others could take the place of.

Numba has no public way to say so: what this file needs of it is in `_NEEDED`. Where a version of
Numba is without it, functions are compiled as Numba does it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar
from weakref import WeakValueDictionary

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils
from numba.core.codegen import JITCodeLibrary, JITCPUCodegen
from numba.core.compiler import Compiler
from pytensor.link.numba.dispatch.basic import numba_njit

_NEEDED = {
    JITCodeLibrary: (
        "_ensure_finalized _finalize_dynamic_globals _finalize_final_module _optimize_functions "
        "_optimize_final_module _unserialize _verify_declare_only_symbols "
        "get_pointer_to_function serialize_using_object_code"
    ),
    JITCPUCodegen: "_create_empty_module _function_pass_manager _library_class magic_tuple",
    Compiler: "compile_extra",
}
_KIND = "pymc_sgld"  # of entries in the cache on disk: PyTensor is to find none of these


def compiled(function: Callable[..., Any], cache: bool) -> Callable[..., Any]:
    """Return a function that Numba compiles when it is called from Python."""
    options = {"pipeline_class": _OnePiece} if _is_known() else {}
    return numba_njit(function, final_function=True, cache=cache, **options)


def _is_known() -> bool:
    """Whether this version of Numba has what is needed."""
    return all(hasattr(of, name) for of, names in _NEEDED.items() for name in names.split())


class _OnePiece(Compiler):
    """Numba's compiler of a function and of those within it."""

    def compile_extra(self, func: Callable[..., Any]) -> Any:
        """Compile a function: Numba holds its lock meanwhile."""
        with _libraries(self.state.targetctx.codegen()):
            return super().compile_extra(func)


@contextmanager
def _libraries(codegen: JITCPUCodegen) -> Iterator[None]:
    """Make what is compiled a library of the kind below, with its own entries in the cache."""
    changed: Any = codegen
    before = changed._library_class, changed.magic_tuple
    key = *JITCPUCodegen.magic_tuple(codegen), _KIND
    changed._library_class, changed.magic_tuple = _Library, lambda: key
    try:
        yield
    finally:
        changed._library_class, changed.magic_tuple = before


class _Library(JITCodeLibrary):
    """A function and those within it: machine code is made when an address is asked for.

    All of it is optimized then, once, and not once more for each function around it.
    """

    _known: ClassVar[WeakValueDictionary[bytes, _Library]] = WeakValueDictionary()  # by bitcode
    _made = ""

    def get_pointer_to_function(self, name: str) -> int:
        """Return the address of a function, zero where there is none of the name."""
        self._ensure_finalized()
        wanted = "code" if self._has(name) else "environments"
        if self._made not in ("code", wanted):
            self._make(wanted)
        return super().get_pointer_to_function(name)

    def serialize_using_object_code(self) -> tuple[str, str, tuple[bytes, bytes]]:
        """Return what is kept on disk."""
        state = super().serialize_using_object_code()
        self._known[state[2][1]] = self
        return state

    @classmethod
    def _unserialize(cls, codegen: JITCPUCodegen, state: Any) -> _Library:
        """Return what was on disk, the same again for the same."""
        bitcode = state[2][1]
        found = cls._known.get(bitcode)
        if found is None:
            found = cls._known[bitcode] = super()._unserialize(codegen, state)
        return found

    def _has(self, name: str) -> bool:
        return any(function.name == name for function in self.get_defined_functions())

    def _optimize_functions(self, ll_module: llvm.ModuleRef) -> None:
        """Simplify functions one by one; Numba does that to those that are elsewhere, too."""
        ll_module.data_layout = self._codegen._data_layout
        passes, builder = self._codegen._function_pass_manager()
        for function in ll_module.functions:
            if not function.is_declaration:
                passes.run(function, builder)

    def _optimize_final_module(self) -> None:
        """Leave all of it to the function that is called from Python."""
        own = [f for f in self.get_defined_functions() if f.linkage == llvm.Linkage.external]
        if any(function.name.startswith("_ZN7cpython") for function in own):
            super()._optimize_final_module()

    def _finalize_final_module(self) -> None:
        if self._object_caching_enabled and self._compiled_object:  # it is from the disk
            self._made = "code"
            super()._finalize_final_module()
        else:
            self._finalize_dynamic_globals()
            self._verify_declare_only_symbols()
            self._finalized = True

    def _make(self, what: str) -> None:
        """Make machine code of all functions, or of their environments alone."""
        self._made, whole = what, self._final_module
        if what == "code":
            self._dynamic_globals.clear()  # they are found once more
            for function in whole.functions:
                if function.linkage == llvm.Linkage.linkonce_odr:
                    function.linkage = "internal"
        else:
            self._final_module = self._environments()
        super()._finalize_final_module()
        self._final_module = whole

    def _environments(self) -> llvm.ModuleRef:
        """Return the places of pointers to what functions have of Python."""
        module = self._codegen._create_empty_module(self.name)
        for variable in self._final_module.global_variables:
            if variable.name.startswith("_ZN08NumbaEnv"):
                place = ir.GlobalVariable(module, cgutils.voidptr_t, variable.name)
                place.linkage = "common"
                place.initializer = cgutils.get_null_value(cgutils.voidptr_t)
        return llvm.parse_assembly(str(module))
