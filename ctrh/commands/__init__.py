"""The commands of ``python -m ctrh``, one module each with a ``run(args)``; their options stand in :mod:`ctrh.cli`."""
