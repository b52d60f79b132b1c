"""Draw all figures of these pages beside their scripts: ``python docs/figures/how_it_works``."""

from importlib import import_module

FIGURES = [
    "gradient_descent",
    "robbins_monro",
    "metropolis",
    "hamiltonian",
    "langevin",
    "euler_maruyama",
    "sgld",
]

if __name__ == "__main__":
    for name in FIGURES:
        print(f"\n{name}.svg")
        import_module(name).main()
