"""A sampler for neural networks: each chain looks for a mode, and samples around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pytensor.graph.basic import Variable

from pymc_sgld.arguments import positive
from pymc_sgld.samplers import SGHMC
from pymc_sgld.setup.call import Call, Traits
from pymc_sgld.setup.prepare import Prepared
from pymc_sgld.stats import OF_SOME, settings_of
from pymc_sgld.step import SGLD

UPDATES = 200  # of a draw
FRICTION = 0.02


class NetworkSGHMC(SGHMC):
    r"""SGHMC for neural networks: each chain looks for a mode, and samples around it.

    The posterior of the weights of a network has very many modes, and no single Gaussian is like
    it. What can be known is the posterior of *predictions*, and a few chains around modes of their
    own, together, approximate it: an ensemble whose members are samplers.

    While it tunes, a chain first climbs to a mode, for 4,000 updates or half of tuning
    (:class:`~pymc_sgld.dynamics.adam.Adam`). Then it samples around it, and measures what it will
    sample with: a preconditioner, from its gradients and the prior, with a diagonal and the
    directions in which the posterior is narrowest, and a step size, from the largest curvature and
    the noise of gradients. Then it samples as
    :class:`SGHMC` does. Chains start at random weights; a value in ``initvals`` of ``pm.sample`` is
    kept.

    Mean, standard deviation, R-hat and effective sample size of one weight mean little here. A
    chain is judged by its *kinetic temperature*, which the stat ``kinetic_temperature`` has for
    each draw: it is one where the momenta have the distribution that they should have, and larger
    where steps are too large or gradients too noisy. Judge the run by its predictions:
    :func:`~pymc_sgld.predict`.

    Parameters
    ----------
    vars : variable or sequence of variables, optional
        Random variables to sample. By default all continuous free variables of the model.
    batch_size : int, optional
        Rows of an update. By default all, or 1024 of more than 2048.
    friction : float
        :math:`\gamma`, per unit of time, 0.02 by default: along most directions the posterior of a
        network is much wider than steps are long, and with a small friction a chain crosses it in
        long sweeps.
    steps_per_draw : int
        Updates of a draw, 200 by default.
    **settings
        Others of :class:`SGLD`, but for those that a chain measures.

    Raises
    ------
    SettingError
        For an argument that cannot be used, or one that this sampler does not have.

    References
    ----------
    Chen, Fox and Guestrin (2014), Stochastic gradient Hamiltonian Monte Carlo.
    Kingma and Ba (2015), Adam: a method for stochastic optimization.
    Sommer, Robnik, Nozadze, Seljak and Rügamer (2025), Microcanonical Langevin ensembles: advancing
    the sampling of Bayesian neural networks: the ensemble of warm-started chains.

    Examples
    --------
    >>> import numpy as np
    >>> import pymc as pm
    >>> import pytensor.tensor as pt
    >>> from pymc_sgld import NetworkSGHMC
    >>> x = np.linspace(-2, 2, 40)[:, None]
    >>> with pm.Model() as model:
    ...     first = pm.Normal("first", shape=(1, 3))
    ...     last = pm.Normal("last", shape=3)
    ...     mean = pt.tanh(pm.Data("x", x) @ first) @ last
    ...     y = pm.Normal("y", mean, 0.1, observed=np.sin(x[:, 0]))
    ...     step = NetworkSGHMC(steps_per_draw=20, compile_kwargs={"mode": "FAST_COMPILE"})
    ...     idata = pm.sample(
    ...         20, tune=20, chains=2, step=step, random_seed=1, quiet=True, progressbar=False,
    ...         compute_convergence_checks=False,
    ...     )
    >>> idata.posterior["first"].shape
    (2, 20, 1, 3)
    """

    name = "network_sghmc"
    _traits = Traits(
        lacks=SGHMC._traits.lacks
        | dict.fromkeys(("step_size", "preconditioner"), "each chain measures it while it tunes")
        | {
            "gradient": "a control variate needs one center for all chains",
            "center": "each chain looks for a mode of its own",
            "settings": "nothing is looked for before sampling",
            "subtract_noise": "the step size keeps the noise of gradients small",
            "bias_target": "the step size is chosen by the curvature",
            "marginalize": "nothing tells how many nodes an integral would need",
        },
        couples=False,
        starts_warm=True,
    )
    stats_dtypes_shapes: ClassVar[dict[str, Any]] = SGHMC.stats_dtypes_shapes | {
        "kinetic_temperature": OF_SOME["kinetic_temperature"]
    }

    def __init__(
        self,
        vars: Variable | Sequence[Variable] | None = None,
        *,
        friction: float = FRICTION,
        steps_per_draw: int | None = UPDATES,
        **settings: Any,
    ) -> None:
        self.friction = positive("friction", friction)
        SGLD.__init__(
            self,
            vars,
            gradient="minibatch",
            preconditioner="identity",  # a chain measures its own
            step_size=1.0,  # times that of a chain
            steps_per_draw=UPDATES if steps_per_draw is None else steps_per_draw,
            marginalize=False,
            **settings,
        )

    def _describe(self, call: Call, made: Prepared) -> None:
        super()._describe(call, made)
        self.preconditioner = "fisher_low_rank"
        self._settings = settings_of(self)

    @property
    def _steps(self) -> str:
        return "measured by each chain"
