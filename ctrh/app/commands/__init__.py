"""The commands of ``python -m ctrh``, one module each with a ``run(args)``; their options: :mod:`ctrh.app.cli`."""
