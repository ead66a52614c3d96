"""``python -m ctrh``: see :mod:`ctrh.cli`."""

import sys

from ctrh.cli import main

if __name__ == "__main__":
    sys.exit(main())
