"""Archives and safetensors that are not what they say: refused in a line, before they take memory [X05, X08]."""

import struct
import zipfile
from pathlib import Path

import pytest
import torch
from small_checkpoint import checkpoint

from densenets import files
from densenets.cli import main
from densenets.errors import InputError


def zipped(path: Path, kind: int = zipfile.ZIP_STORED, **parts: bytes) -> Path:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in parts.items():
            archive.writestr(f"x/{name.replace('_', '/')}", content)
    return path


def test_a_packed_archive_is_refused(tmp_path) -> None:
    path = zipped(tmp_path / "x.pth", zipfile.ZIP_DEFLATED, data_0=bytes(10**7))
    assert path.stat().st_size < 10**5
    with pytest.raises(InputError, match=r"is packed.*\[X08\]"):
        files.check_archive(path)


def test_a_part_that_claims_more_than_the_file_is_refused(tmp_path) -> None:
    path = zipped(tmp_path / "x.pth", data_0=bytes(100))
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 20 : at + 28] = struct.pack("<II", 2**31, 2**31)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"\[X08\]"):
        files.check_archive(path)


def test_an_archive_with_a_comment_or_a_tail_is_refused(tmp_path) -> None:
    path = zipped(tmp_path / "x.pth", data_0=bytes(100))
    files.check_archive(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"two ends"
    with pytest.raises(InputError, match="does not end"):
        files.check_archive(path)


def test_a_tensor_larger_than_its_storage_is_refused(tmp_path) -> None:
    """Declared in the pickle, with right checksums; nothing of that size is taken."""
    torch.save(checkpoint() | {"state_dict": {"a": torch.arange(10.0)}}, tmp_path / "ok.ckpt")
    with zipfile.ZipFile(tmp_path / "ok.ckpt") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    pickled = next(name for name in parts if name.endswith("data.pkl"))
    grown = parts[pickled].replace(b"K\x0a", b"J\xff\xff\xff\x7f")
    assert grown.count(b"\xff\xff\xff\x7f") >= 2  # of the storage and of the tensor
    with zipfile.ZipFile(tmp_path / "x.ckpt", "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, grown if name == pickled else content)
    from densenets.run.model import load

    with pytest.raises(InputError, match=r"x\.ckpt"):
        load(str(tmp_path / "x.ckpt"))


def test_shapes_are_compared_before_a_model_takes_memory(tmp_path, monkeypatch) -> None:
    import densenets.run.model as model

    content = checkpoint(classes=[str(i) for i in range(9999)], category_ids=list(range(9999)), width=10.0)
    torch.save(content, tmp_path / "x.ckpt")
    monkeypatch.setattr(model, "build_from", lambda *_: pytest.fail("the model was built"))
    with pytest.raises(InputError, match=r"the weights do not fit.*\[X08\]"):
        model.load(str(tmp_path / "x.ckpt"))


def test_weights_that_are_not_finite_are_refused(tmp_path) -> None:
    from densenets.run.model import load

    content = checkpoint()
    next(value for name, value in content["state_dict"].items() if name.endswith("weight"))[0] = float("nan")
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(InputError, match="not finite"):
        load(str(tmp_path / "x.ckpt"))


def safetensors(header: bytes, size: int | None = None, body: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header) if size is None else size) + header + body


ENTRY = '{"a":{"dtype":"F32","shape":[%s],"data_offsets":[%d,%d]}}'
BAD_SAFETENSORS = {
    "header 2^60": safetensors(b"{}", 2**60),
    "offsets beyond": safetensors((ENTRY % ("4", 0, 16)).encode(), body=bytes(8)),
    "offsets crossed": safetensors((ENTRY % ("4", 16, 0)).encode(), body=bytes(16)),
    "overflow": safetensors((ENTRY % (f"{2**62}, {2**62}", 0, 16)).encode(), body=bytes(16)),
    "tail": safetensors((ENTRY % ("4", 0, 16)).encode(), body=bytes(32)),
    "no JSON": safetensors(b"{nonsense"),
    "short": b"\1\2",
    "empty": b"",
}


@pytest.mark.parametrize("name", BAD_SAFETENSORS)
def test_bad_safetensors_are_one_line(shapes, tmp_path, monkeypatch, capsys, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("w.safetensors").write_bytes(BAD_SAFETENSORS[name])
    data = str(shapes(train=range(2), val=range(2, 4)))
    assert main(["train-det", "--weights", "w.safetensors", "--data", data]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("densenets: error: ")]
    assert len(errors) == 1
    assert "w.safetensors" in errors[0]
