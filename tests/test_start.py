"""The check of the initial point: what evaluates it."""

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.traversal import toposort

from pymc_sgld.minibatch.start import _MODE


def test_softplus_by_whole_arrays():
    """Stable where the exponential overflows or is lost, and no call for each entry."""
    x = np.array([-1000.0, -40, -1, 0, 1, 40, 1000, np.inf, -np.inf, np.nan])
    for dtype, accuracy in (("float64", 1e-14), ("float32", 1e-6)):
        variable = pt.vector(dtype=dtype)
        function = pytensor.function([variable], pt.log1p(pt.exp(variable)), mode=_MODE)
        nodes = toposort(function.maker.fgraph.outputs)
        assert not any("softplus" in str(node.op).lower() for node in nodes)
        found = function(x.astype(dtype))
        assert found.dtype == dtype
        with np.errstate(invalid="ignore"):
            np.testing.assert_allclose(found, np.logaddexp(0, x), rtol=accuracy, atol=1e-30)
    stable = pytensor.function([variable], pt.log1p(pt.exp(variable)), mode="FAST_COMPILE")
    assert not np.isfinite(stable(np.float32([1000]))).any()  # what stability is for
