"""``python -m ctrh fit``: a folder of tagged photos becomes a model that can be searched."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from ctrh.app.inputs import encoder_spec, read_photos, say
from ctrh.app.model_folder import check_out, only_writer
from ctrh.store import prepare_cache


def run(args: Namespace) -> None:
    out = Path(args.out)
    check_out(out)
    prepare_cache()
    spec = encoder_spec(args, args.backbone)
    with only_writer(out):
        photos = read_photos(args, args.queries, args.train)
        # PyTorch takes seconds: only now, when what can be wrong with options and folder has been said.
        from ctrh.app.fitting import fit

        fit(photos, spec, out, args)
    say(f'written: {out}; next: python -m ctrh search {out} QUERY_IMAGE, or --text "..."')
