"""Every paper that is cited anywhere in the repository is in the bibliography."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACES = [
    "README.md",
    "docs/**/*.md",
    "pymc_sgld/**/*.py",
    "examples/**/*.py",
    "benchmarks/**/*.py",
]
# "Roberts, Gelman and Gilks (1997)", "Giles and others 2020", "Vehtari et al. 2021"
NAME = r"(?:(?:Van|van|de|del) )?[A-ZÀ-Ž][a-zà-ž]+"
CITATION = re.compile(
    rf"((?:{NAME},\s+)*{NAME}(?:\s+(?:and\s+(?:others|{NAME})|et\s+al\.))?),?\s+\(?((?:19|20)\d\d)\b"
)


def cited():
    """Return the first authors and years of all citations, and where they are."""
    found = {}
    for path in (path for place in PLACES for path in ROOT.glob(place)):
        if path.name in ("bibliography.md", "CHANGELOG.md") or "_build" in path.parts:
            continue
        for authors, year in CITATION.findall(path.read_text()):
            found[re.split(r",|\s+and\s|\s+et\s", authors)[0], year] = path.relative_to(ROOT)
    return found


def test_every_citation_is_in_the_bibliography():
    entries = (ROOT / "docs" / "bibliography.md").read_text().split("\n- ")[1:]
    listed = {
        (entry.split(",")[0], year) for entry in entries for year in re.findall(r"\d{4}", entry)
    }
    found = cited()
    assert ("Welling", "2011") in found and len(found) > 15
    missing = [f"{' '.join(key)} in {place}" for key, place in found.items() if key not in listed]
    assert not missing, f"add to docs/bibliography.md: {missing}"
