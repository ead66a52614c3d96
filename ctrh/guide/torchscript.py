"""The tensors of a TorchScript archive, such as OpenAI's own ``ViT-B-32.pt``, without running any of its code.

Such a file is a zip: ``data.pkl`` is a pickle of the module tree, ``data/0, 1, ...`` are the numbers, ``code/`` the program.
Only the first two are looked at, and the pickle may build nothing but tensors, lists, and empty shells of modules.
"""

from __future__ import annotations

import collections
import io
import math
import pickle
import pickletools
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_STORAGES = {
    f"{name}Storage": dtype
    for name, dtype in {
        "Half": torch.float16,
        "BFloat16": torch.bfloat16,
        "Float": torch.float32,
        "Double": torch.float64,
        "Long": torch.int64,
        "Int": torch.int32,
        "Short": torch.int16,
        "Char": torch.int8,
        "Byte": torch.uint8,
        "Bool": torch.bool,
    }.items()
}


class _Shell:
    """Stands for a module: pickle fills in its attributes."""


def is_torchscript(path: Path) -> bool:
    """Whether the file is a zip with a program in it, as ``torch.jit.save`` writes and ``torch.save`` does not."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as file:
        return any(name.endswith("/constants.pkl") for name in file.namelist())


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """Parameters and buffers by name, on the CPU, as ``torch.jit.load(path).state_dict()`` would give them.

    Raises ``pickle.UnpicklingError`` for an archive that asks for anything else than tensors and modules.
    """
    with zipfile.ZipFile(path) as file:
        top = next(name for name in file.namelist() if name.endswith("/data.pkl")).removesuffix("data.pkl")
        try:
            root = _Unpickler(file, top).load()
        # What a pickle does with wrong operands is up to the operands.
        except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as error:
            raise pickle.UnpicklingError(f"no module tree ({error})") from error
    if not isinstance(root, _Shell):
        raise pickle.UnpicklingError("no module tree")
    state: dict[str, Tensor] = {}
    _collect(root, "", state)
    return state


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: zipfile.ZipFile, top: str) -> None:
        data = file.read(f"{top}data.pkl")
        for code, place, _ in pickletools.genops(data):
            # The place in a table, which is made that long.
            if "PUT" in code.name and int(place) > len(data):
                raise pickle.UnpicklingError("no module tree")
        super().__init__(io.BytesIO(data))
        self.file, self.top, self.storages = file, top, {}

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return type(name, (_Shell,), {})
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        allowed = {
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("collections", "OrderedDict"): collections.OrderedDict,
            **{
                ("torch.jit._pickle", f"build_{kind}list"): list
                for kind in ("int", "double", "bool", "tensor")
            },
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"asks for {module}.{name}, which no weights need")
        return allowed[module, name]

    def persistent_load(self, saved: tuple) -> Tensor:
        kind, dtype, key, _location, count = saved
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError(f"asks for a {kind}")
        if key not in self.storages:  # once, however often it is asked for
            data = bytearray(self.file.read(f"{self.top}data/{key}"))
            empty = torch.empty(0, dtype=dtype)
            self.storages[key] = torch.frombuffer(data, dtype=dtype, count=count) if count else empty
        return self.storages[key]


def _tensor(storage: Tensor, offset: int, size: tuple, stride: tuple, *_: Any) -> Tensor:
    if math.prod(size) > len(storage):
        raise pickle.UnpicklingError(f"a tensor of {tuple(size)} out of {len(storage)} numbers")
    return storage.as_strided(size, stride, offset)


def _collect(shell: _Shell, prefix: str, state: dict[str, Tensor]) -> None:
    for name, value in vars(shell).items():
        if isinstance(value, Tensor):
            state[prefix + name] = value
        elif isinstance(value, _Shell):
            _collect(value, f"{prefix}{name}.", state)
