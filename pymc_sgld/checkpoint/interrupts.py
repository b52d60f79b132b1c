"""An interrupt that waits until a draw is whole."""

from __future__ import annotations

import signal
import threading
from typing import Any


class Interrupts:
    """Lets an interrupt wait until a draw is whole; a second one does not wait.

    It takes the place of Python's own handler, and does what that does between draws: to change the
    handler for every draw would take longer than some draws do.
    """

    def __init__(self) -> None:
        self._waits = self._came = False
        handler = signal.getsignal(signal.SIGINT)
        is_own = isinstance(getattr(handler, "__self__", None), Interrupts)
        is_known = is_own or handler is signal.default_int_handler
        if is_known and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._note)

    def _note(self, number: int, frame: Any) -> None:
        if not self._waits or self._came:
            self._waits = self._came = False
            raise KeyboardInterrupt
        self._came = True

    def __enter__(self) -> None:
        self._waits, self._came = True, False

    def __exit__(self, *error: object) -> None:
        self._waits = False
        if self._came and error[0] is None:
            raise KeyboardInterrupt

    def release(self) -> None:
        """Put Python's handler back."""
        here = threading.current_thread() is threading.main_thread()
        if here and signal.getsignal(signal.SIGINT) == self._note:
            signal.signal(signal.SIGINT, signal.default_int_handler)
