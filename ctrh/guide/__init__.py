"""The guide: a CLIP model that mends the tags (Eq. 2-8)."""

import warnings

with warnings.catch_warnings():
    # Without ipywidgets, the hub's import of its progress bars warns into every notebook; ctrh shows its own.
    warnings.filterwarnings("ignore", message="IProgress not found")
    import huggingface_hub.utils  # noqa: F401
