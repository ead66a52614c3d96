"""``python -m ctrh``: see :mod:`ctrh.app.cli`."""

import sys

if __name__ == "__main__":
    try:
        from ctrh.app.cli import main
    except KeyboardInterrupt:
        sys.exit("interrupted: start it again")
    sys.exit(main())
