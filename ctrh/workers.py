"""Worker processes that end with the one that has started them, however that one ends."""

from __future__ import annotations

import os
import threading
import time


def end_with_parent() -> None:
    """To begin a worker with. One of :mod:`concurrent.futures` whose parent was killed would wait for work for ever:
    it holds the end of the pipe itself that it would have to see closed."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
