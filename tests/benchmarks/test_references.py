"""The posteriors of the benchmarks have their references."""

from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_every_sampled_posterior_has_a_file_of_its_name(monkeypatch):
    """A function that is renamed without its file would be found when a table is made."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import known_posteriors
    from known_posteriors.posterior import DATA

    names = [build.__name__ for build in known_posteriors.SAMPLED]
    assert "radon_centered" in names
    missing = [name for name in names if not (DATA / f"{name}.json").exists()]
    assert not missing, f"rename the file, or run `python benchmarks/references.py`: {missing}"
