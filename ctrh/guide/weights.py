"""Weight files of guides: found or downloaded, read without running their code, compared before they are
used."""

from __future__ import annotations

import os
import re
import urllib.error
import urllib.request
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import huggingface_hub
import open_clip
import torch
from huggingface_hub import constants
from safetensors.torch import load_file
from torch import Tensor

from ctrh.guide.torchscript import is_torchscript, read_torchscript

SHIPPED = Path(__file__).resolve().parent.parent / "weights"
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
# Plain numbers that OpenAI's archives carry along with the weights.
OPENAI_SETTINGS = ("input_resolution", "context_length", "vocab_size")


def weights_folder() -> Path | None:
    """Where weights are looked for before any hub: ``$CTRH_WEIGHTS``, which ``run_all.sh --weights DIR`` sets."""
    folder = os.environ.get("CTRH_WEIGHTS")
    return Path(folder) if folder else None


def find_weights(name: str, tag: str, weights_dir: str | Path | None = None) -> Path:
    """The file of open_clip's weights ``tag`` for the model ``name``.

    Looked for in ``weights_dir`` (default: ``$CTRH_WEIGHTS``) as ``<name>-<tag>.safetensors`` (or .pt, .pth, .bin),
    for OpenAI's also under their own name, ``ViT-B-32.pt``; then among the hub's cached files and those of OpenAI's
    own package, then downloaded. Raises ``ValueError`` for a tag that open_clip does not know or that was
    trained with another activation than ``name`` has, ``FileNotFoundError`` with the remedy when the file is
    nowhere and there is no network.
    """
    known = open_clip.get_pretrained_cfg(name, tag)
    if not known:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "none"
        raise ValueError(
            f"no weights {tag!r} for {name}: pass the path of an existing file or one of: {tags}"
        )
    _check_activation(name, tag, known)
    weights_dir = weights_folder() if weights_dir is None else Path(weights_dir)
    own_name = f"{name.removesuffix('-quickgelu')}.pt"
    if weights_dir is not None:
        names = [*(f"{name}-{tag}{suffix}" for suffix in SUFFIXES), *([own_name] if tag == "openai" else [])]
        for file_name in names:
            if (weights_dir / file_name).is_file():
                return weights_dir / file_name
    repository, _, file_name = known["hf_hub"].rpartition("/")
    file_names = (file_name,) if file_name else HUB_FILES
    for file_name in file_names:
        # Asked first: hub downloads of a cached file still go through a minute of retries without network.
        cached = huggingface_hub.try_to_load_from_cache(repository, file_name)
        if isinstance(cached, str):
            return Path(cached)
    if tag == "openai" and (path := Path.home() / ".cache" / "clip" / own_name).is_file():
        return path
    try:
        if not constants.HF_HUB_OFFLINE:
            _reach(huggingface_hub.hf_hub_url(repository, file_names[0]))
        return Path(open_clip.download_pretrained(known))
    except OSError as error:
        searched = (
            "no --weights folder was given" if weights_dir is None else f"they are not in {weights_dir}"
        )
        raise FileNotFoundError(
            f"no weights {tag!r} for {name}: {searched} and they cannot be downloaded ({error}). "
            f"Where there is a network, download {' or '.join(file_names)} from "
            f"https://huggingface.co/{repository}, save it as {name}-{tag}{Path(file_names[0]).suffix} "
            f"in a folder DIR, and pass --weights DIR (in Python: weights_dir=DIR)."
        ) from error


def _check_activation(name: str, tag: str, known: Mapping) -> None:
    wanted = known.get("quick_gelu", False)
    if open_clip.get_model_config(name).get("quick_gelu", False) == wanted:
        return
    other = f"{name}-quickgelu" if wanted else name.removesuffix("-quickgelu")
    raise ValueError(
        f"weights {tag!r} were trained with {'QuickGELU' if wanted else 'GELU'}, {name} computes "
        f"{'GELU' if wanted else 'QuickGELU'}: all features would be silently wrong. Use the model {other!r}."
    )


def check_file_activation(name: str, path: Path) -> None:
    """Raises ``ValueError`` for OpenAI's weights, which need QuickGELU, where the model ``name`` computes GELU; warns
    where the file does not tell.

    OpenAI published programs (TorchScript), nobody else does; of plain weights the file's name may say it.
    """
    twin = f"{name}-quickgelu"
    if twin not in open_clip.list_models():
        return
    if is_torchscript(path) or re.search("openai|quickgelu", path.name, re.IGNORECASE):
        raise ValueError(
            f"{path} are OpenAI's weights, trained with QuickGELU, and {name} computes GELU: all features would be "
            f"silently wrong. Use the model {twin!r}."
        )
    warnings.warn(
        f"{path} does not say which activation it was trained with, and {name} computes GELU: were it OpenAI's, DFN's "
        f"or MetaCLIP's, all features would be silently wrong, and {twin!r} the right model",
        stacklevel=3,
    )


def _reach(url: str) -> None:
    """Raises ``OSError`` when the host does not answer at all; any HTTP answer will do."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=10).close()
    except urllib.error.HTTPError:
        return


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The state dict in a safetensors or PyTorch file, on the CPU; code in the file is never run.

    Training checkpoints are unwrapped (``state_dict``, ``module.``); of a TorchScript archive, such as OpenAI
    publishes, the tensors alone are read. Raises ``FileNotFoundError`` for a missing file and ``ValueError`` for
    anything that is not plain tensors by name.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights file {path}")
    try:
        _check_sizes(path)
        if path.suffix == ".safetensors":
            state = load_file(path)
        elif is_torchscript(path):
            state = read_torchscript(path)
            state = {key: value for key, value in state.items() if key not in OPENAI_SETTINGS}
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError:
        raise
    # What damaged pickles, archives and headers make their readers raise has no common name.
    except Exception as error:
        raise ValueError(
            f"{path} is damaged or holds more than plain weights, and is not trusted: "
            f"get the model's .safetensors file instead ({error})"
        ) from error
    if isinstance(state, Mapping) and "state_dict" in state:
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise ValueError(f"{path} holds no state dict (tensors by name)")
    return {name.removeprefix("module."): value for name, value in state.items()}


def _check_sizes(path: Path) -> None:
    """Raises ``ValueError`` for an archive whose members are much larger than itself: weights are stored, only the code
    beside them is compressed."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            declared = sum(info.file_size for info in file.infolist())
        if declared > path.stat().st_size + (16 << 20):
            raise ValueError(f"{declared:,} bytes are said to be in {path.stat().st_size:,}")


def check_matches(expected: Mapping[str, Tensor], got: Mapping[str, Tensor], source: str) -> None:
    """Raises ``ValueError`` unless ``got`` has exactly the names and shapes of ``expected``, naming those
    that differ."""
    problems = []
    for what, names in (
        ("missing", expected.keys() - got.keys()),
        ("unexpected", got.keys() - expected.keys()),
    ):
        if names:
            problems.append(f"{what}: {_some(sorted(names))}")
    shapes = [
        f"{name} is {tuple(got[name].shape)}, expected {tuple(expected[name].shape)}"
        for name in expected
        if name in got and got[name].shape != expected[name].shape
    ]
    if shapes:
        problems.append(f"shapes: {_some(shapes)}")
    if problems:
        raise ValueError(f"{source} does not fit the model; {'; '.join(problems)}")


def _some(names: list[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
