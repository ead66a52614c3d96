"""Tensors of TorchScript archives, beside what torch itself reads from them, and nothing else of them."""

import copy
import pickle
import zipfile

import pytest
import torch
from torch import nn

from ctrh.guide import weights as weights_module
from ctrh.guide.clip import load_guide
from ctrh.guide.torchscript import is_torchscript, read_torchscript
from ctrh.guide.weights import find_weights, read_weights

pytestmark = pytest.mark.filterwarnings("ignore")  # of PyTorch, which wants other formats to be used


@pytest.fixture(scope="module")
def archive(tmp_path_factory, tiny_clip):
    """A CLIP as OpenAI publishes its own: traced, in half precision, with three numbers beside the weights."""
    model = tiny_clip(3).eval()
    path = tmp_path_factory.mktemp("openai") / "ViT-B-32.pt"
    published = copy.deepcopy(model)
    for name in weights_module.OPENAI_SETTINGS:
        published.__dict__.pop(name, None)
        published.register_buffer(name, torch.tensor(7))
    example = torch.zeros(1, 3, 32, 32), torch.ones(1, 16, dtype=torch.long)
    torch.jit.save(torch.jit.trace(published, example, check_trace=False).half(), path)
    return path, model


def test_the_tensors_are_those_that_torch_reads(archive):
    path, _ = archive
    assert is_torchscript(path)
    expected = torch.jit.load(path).state_dict()
    found = read_torchscript(path)
    assert found.keys() >= expected.keys() and set(found) - set(expected) <= {"attn_mask"}
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value)


def test_views_and_shared_storages(tmp_path):
    class Views(nn.Module):
        def __init__(self):
            super().__init__()
            base = torch.arange(24.0).reshape(4, 6)
            self.register_buffer("turned", base.T)
            self.register_buffer("part", base[1:3, ::2])
            self.register_buffer("none", torch.empty(0, 3))
            self.register_buffer("small", torch.tensor([1, -2], dtype=torch.int8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.turned.sum() + self.part.sum()

    torch.jit.save(torch.jit.script(Views()), tmp_path / "views.pt")
    found = read_torchscript(tmp_path / "views.pt")
    assert found.keys() == {"turned", "part", "none", "small"}
    for name, value in Views().state_dict().items():
        assert torch.equal(found[name], value) and found[name].dtype == value.dtype


def test_ordinary_files_are_told_apart(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "plain.pt")
    (tmp_path / "text.pt").write_text("<html>")
    assert not is_torchscript(tmp_path / "plain.pt") and not is_torchscript(tmp_path / "text.pt")


class Payload:
    def __reduce__(self):
        return (print, ("code of the file was run",))


@pytest.mark.parametrize("content", [pickle.dumps(Payload()), pickle.dumps([1]), b"", b"\x80\x02."])
def test_other_contents_are_refused_and_not_run(tmp_path, content, capsys):
    with zipfile.ZipFile(tmp_path / "evil.pt", "w") as file:
        file.writestr("evil/constants.pkl", b"")
        file.writestr("evil/data.pkl", content)
    with pytest.raises(ValueError, match="evil.pt"):
        read_weights(tmp_path / "evil.pt")
    assert "was run" not in capsys.readouterr().out


def test_openais_own_file_fills_a_guide(archive, monkeypatch, tiny_clip, tmp_path):
    path, model = archive
    state = read_weights(path)
    expected = model.state_dict()
    # open_clip keeps the attention mask as a buffer that is not stored; tracing stores it.
    assert set(state) - set(expected) <= {"attn_mask"} and set(expected) <= set(state)
    assert all(torch.allclose(state[name].float(), expected[name], atol=2e-3) for name in expected)


def test_the_folder_of_weights_is_looked_in_first(archive, monkeypatch, tmp_path):
    path, _ = archive
    monkeypatch.setenv("CTRH_WEIGHTS", str(path.parent))
    assert find_weights("ViT-B-32-quickgelu", "openai") == path
    own = tmp_path / "ViT-B-32-quickgelu-openai.safetensors"
    own.touch()
    assert find_weights("ViT-B-32-quickgelu", "openai", tmp_path) == own
    monkeypatch.delenv("CTRH_WEIGHTS")
    monkeypatch.setattr(weights_module.huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    clip = tmp_path / ".cache" / "clip"
    clip.mkdir(parents=True)
    (clip / "ViT-B-32.pt").write_bytes(path.read_bytes())
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_weights("ViT-B-32-quickgelu", "openai") == clip / "ViT-B-32.pt"
    with pytest.raises(ValueError, match="does not fit the model"):
        load_guide("ViT-B-32-quickgelu", "openai")
