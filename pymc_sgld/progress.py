"""What is going on outside of sampling, on one line of a terminal or a notebook."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

_shown: ContextVar[tuple[Progress, TaskID] | None] = ContextVar("_shown", default=None)


@contextmanager
def progress(
    message: str, total: int | None = None, shown: bool = True, name: str = "SGLD"
) -> Iterator[Callable[..., None]]:
    """Show what is being done as long as the context lasts; nothing where nobody looks.

    A context within another one is a part of the same work: it goes on in the same line.

    Parameters
    ----------
    shown : bool
        Whether to show it, in a terminal or a notebook that can (it needs ipywidgets).
    name : str
        Of what is at work, as the user calls it.

    Yields
    ------
    callable
        To be called after each part, with another message if there is news; or with
        ``completed=``, how many parts are done.
    """
    outer = _shown.get()
    if outer is not None:
        bar, task = outer
        bar.update(task, description=message, total=total, completed=0)
        yield _updates(bar, task)
        bar.update(task, total=None)
        return
    console = Console(stderr=True)
    is_looked_at = console.is_terminal or (console.is_jupyter and find_spec("ipywidgets"))
    columns = (TextColumn(f"{name}: {{task.description}}"), BarColumn(), TimeElapsedColumn())
    hidden = not (shown and is_looked_at)
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task(message, total=total)
        token = _shown.set((bar, task))
        try:
            yield _updates(bar, task)
        finally:
            _shown.reset(token)


def _updates(bar: Progress, task: TaskID) -> Callable[..., None]:
    def update(news: str | None = None, completed: int | None = None) -> None:
        advance = 1 if completed is None else None
        bar.update(task, advance=advance, completed=completed, description=news)

    return update
