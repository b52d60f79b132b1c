"""What is going on outside of sampling, on one line of a terminal or a notebook."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


@contextmanager
def progress(message: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """Show what is being done as long as the context lasts; nothing where nobody looks.

    Parameters
    ----------
    message : str
        What is being done.
    total : int, optional
        Of how many parts it consists.

    Yields
    ------
    callable
        To be called after each part, with another message if there is news.
    """
    console = Console(stderr=True)
    extent = SpinnerColumn() if total is None else BarColumn()
    columns = (TextColumn("SGLD: {task.description}"), extent, TimeElapsedColumn())
    in_notebook = console.is_jupyter and find_spec("ipywidgets")  # without them it would only warn
    shown = console.is_terminal or in_notebook
    with Progress(*columns, console=console, transient=True, disable=not shown) as bar:
        task = bar.add_task(message, total=total)

        def update(news: str | None = None) -> None:
            bar.update(task, advance=1, description=news)

        yield update
