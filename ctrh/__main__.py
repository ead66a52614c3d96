"""``python -m ctrh``: see :mod:`ctrh.app.cli`."""

import sys

from ctrh.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
