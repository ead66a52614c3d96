"""``python -m ctrh add``, ``remove`` and ``update``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from ctrh.app.model_folder import read_config
from ctrh.store import prepare_cache


def run(args: Namespace) -> None:
    read_config(Path(args.model))
    prepare_cache()
    # PyTorch takes seconds: only now, when what can be wrong with the model has been said.
    from ctrh.app.updating import change

    change(Path(args.model), args.action, args.photos, args.folder)
