"""The guide: a CLIP model that mends the tags (Eq. 2-8)."""

import warnings

with warnings.catch_warnings():
    # Without ipywidgets, tqdm, which the hub's client imports, warns into every notebook; ctrh shows its own.
    warnings.filterwarnings("ignore", message="IProgress not found")
    import tqdm.auto  # noqa: F401
