"""``python -m ctrh browse``."""

from __future__ import annotations

import contextlib
import warnings
from argparse import Namespace
from pathlib import Path

from ctrh.app.inputs import say
from ctrh.app.model_folder import TAGS, read_config
from ctrh.data.folder import picture_words
from ctrh.data.tables import LENIENT, FolderError, read_table


def run(args: Namespace) -> None:
    model = Path(args.model)
    method = read_config(model)["method"]
    # PyTorch takes seconds: only now, when what can be wrong with the model has been said.
    from ctrh.app.browsing import Server
    from ctrh.app.photo_search import load_search

    found = load_search(model, text=method == "CTRH")
    root = found.folder.parent if found.folder.name == "images" else found.folder
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what there is to say about the tables, fit has said
        try:
            before = {name: ", ".join(words) for name, words in picture_words(root, set(found.names), LENIENT).items()}
        except FolderError:
            before = {}  # the folder has moved or lost its table
        after = {row.image: ", ".join(row.words) for row in read_table(model / TAGS, "tags", LENIENT, found.names)}
    try:
        server = Server(found, before, after, args.port)
    except (OSError, OverflowError) as error:
        raise ValueError(f"port {args.port} cannot be had ({error}): leave --port out") from error
    say("for this machine alone, until Ctrl-C:")
    print(server.address, flush=True)
    with server, contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
