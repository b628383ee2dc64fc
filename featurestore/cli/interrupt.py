"""Ctrl-C and SIGTERM end work at once, also deep inside the engine.

Python runs signal handlers between its own instructions only, and a statement may keep the engine busy for minutes.
The signal's arrival is therefore also written to a pipe, where a thread waits that stops the engine's statements; the
engine then returns, and Python raises KeyboardInterrupt, whose way out removes what was written aside.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

_AGAIN = 0.05
"""Seconds between two calls to the engine: a statement that began just after the first must hear of it as well."""


class Interrupts:
    """While inside, SIGINT and SIGTERM raise KeyboardInterrupt in the main thread and stop the engine. `seen`: which came.

    A second SIGTERM changes nothing: whoever sends one sends SIGKILL next. A second Ctrl-C ends the clearing up as well.
    """

    def __init__(self) -> None:
        self.seen: signal.Signals | None = None
        self._active = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )

    def __enter__(self) -> Interrupts:
        if self._active:
            self._over = threading.Event()
            self._read, self._write = os.pipe()
            os.set_blocking(self._write, False)
            signal.signal(signal.SIGINT, self._raise)
            self._former_term = signal.getsignal(signal.SIGTERM)
            if self._former_term is signal.SIG_DFL:  # who ignores or takes it knows why
                signal.signal(signal.SIGTERM, self._raise)
            self._former = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
            self._watcher = threading.Thread(target=self._watch, name="interrupts", daemon=True)
            self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._active:
            return
        signal.set_wakeup_fd(self._former)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, self._former_term)
        self._over.set()
        os.write(self._write, b"\0")
        self._watcher.join()
        os.close(self._read)
        os.close(self._write)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        if self.seen is not None and number == signal.SIGTERM:
            return
        self.seen = signal.Signals(number)
        raise KeyboardInterrupt

    def _watch(self) -> None:
        """Sleep until a signal came, then stop the engine's statements until the command is over."""
        while not self._over.is_set():
            if os.read(self._read, 1) not in (bytes([signal.SIGINT]), bytes([signal.SIGTERM])):
                continue
            while not self._over.wait(_AGAIN):
                engine = sys.modules.get("featurestore.engines.duckdb.session")
                if engine is not None:
                    engine.interrupt_all()
