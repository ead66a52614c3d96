"""``python -m ctrh``: see :mod:`ctrh.app.cli`."""

import sys

if __name__ == "__main__":
    try:
        from ctrh.app.cli import main
    except KeyboardInterrupt:
        print("interrupted: start it again", file=sys.stderr)
        sys.exit(130)
    sys.exit(main())
