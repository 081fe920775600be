"""Weights from a local file, in torchvision's, timm's or our own naming: all of them fit, or nothing is changed."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import torch
from torch import Tensor

from densenets.backbones import build_backbone
from densenets.backbones.base import NORMALIZATIONS, Backbone, NetOptions
from densenets.backbones.classifier import ImageNetClassifier
from densenets.backbones.mobilenet_v3 import MobileNetV3
from densenets.backbones.naming import BACKBONE, recognise, source_names
from densenets.errors import InputError, printable
from densenets.files import check_archive, check_file

log = logging.getLogger(__name__)

SUFFIXES = (".pth", ".pt", ".safetensors")
NESTS = ("state_dict", "model")
CLASSIFIER = ("hidden.", "classifier.")
NORMALIZATION = (f"{BACKBONE}mean", f"{BACKBONE}std")  # only our own naming has them
ROUNDING = 1e-3  # of a mean or deviation in half precision
COUNTER = ".num_batches_tracked"  # of BatchNorm; no net here reads it
SHOWN = 3


def load_weights(module: Backbone | ImageNetClassifier, path: str | Path) -> str:
    """Load a state dict into `module`; returns its naming: "torchvision", "timm" or "densenets".

    Every key and shape must fit. A bare backbone leaves a classifier's keys aside; a pruned net leaves those aside that
    the full net has. BatchNorm's counters may be absent. Our own naming may stand behind "backbone."; the
    normalisation in it must be the net's. Raises InputError, one line, with `module` as it was.
    """
    return load_named(module, read_state(Path(path)), path)


def load_named(module: Backbone | ImageNetClassifier, state: Mapping[str, Tensor], path: str | Path) -> str:
    """As `load_weights`, from tensors by name; `path` only says where they come from."""
    naming = recognise(state)
    if naming is None:
        shown = _listed(state)
        raise InputError(f"{printable(path)}: its names are not torchvision's, timm's or densenets' own: {shown}")
    try:
        fitting = _fit(state, naming, module)
        _check_normalization(fitting, _backbone(module).options.normalize)
    except InputError as fault:
        raise InputError(f"{printable(path)}: {fault}") from None
    module.load_state_dict(module.state_dict() | fitting)
    if naming == "timm" and isinstance(_backbone(module), MobileNetV3):
        log.warning("%s: timm's V3 nets have BatchNorm eps 1e-5 (its tf_ nets 1e-3); here it is 1e-3", printable(path))
    return naming


def to_torchvision(state_dict: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Our state dict of the net `name`, V2 or V3 at any width, backbone or classifier, under torchvision's names."""
    with torch.device("meta"):
        theirs = source_names(_whole(build_backbone(name)), "torchvision")
    renamed = {}
    for key, tensor in _prefixed(state_dict).items():
        owner, _, leaf = key.rpartition(".")
        if owner in theirs:
            renamed[f"{theirs[owner]}.{leaf}"] = tensor
        elif key not in NORMALIZATION:
            raise InputError(f"{printable(key)} is no weight of {name}")
    return renamed


# Reading


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name; pickled code is refused. Raises InputError for anything else than a state dict."""
    shown = printable(path)
    if path.suffix not in SUFFIXES:
        way = "; --start-from takes checkpoints" if path.suffix == ".ckpt" else ""
        raise InputError(f"{shown}: weights are read from {', '.join(SUFFIXES)} files{way}")
    if path.suffix == ".safetensors":
        check_file(path)
    else:
        check_archive(path)
    try:
        content = _read(path)
    except Exception as fault:  # a broken file raises nearly anything
        raise InputError(f"{shown}: not a readable file of weights ({_brief(fault)})") from fault
    for nest in NESTS:
        if isinstance(content, Mapping) and isinstance(content.get(nest), Mapping):
            content = content[nest]
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"{shown}: holds no state dict")
    strange = [key for key, value in content.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    if strange:
        raise InputError(f"{shown}: not a state dict; no named tensor: {_listed(strange)}")
    return dict(content)


def _read(path: Path) -> object:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    with warnings.catch_warnings(action="ignore"):  # a strange file is told of in one line, or it is fine
        return torch.load(path, map_location="cpu", weights_only=True)


def _brief(fault: Exception) -> str:
    lines = str(fault).strip().splitlines()
    return f"{type(fault).__name__}: {printable(lines[0])[:120]}" if lines else type(fault).__name__


# Fitting


class Given(NamedTuple):
    """A tensor with its name in the file, and its name in a whole classifier of ours, None where it has none."""

    key: str
    name: str | None
    tensor: Tensor


class Wrong(NamedTuple):
    """What does not fit, in the file's own names."""

    missing: list[str]
    unexpected: list[str]
    unlike: list[str]  # with the reason

    def line(self) -> str:
        what = {"missing": self.missing, "unexpected": self.unexpected, "of another kind": self.unlike}
        few = 1 if sum(map(bool, what.values())) > 1 else SHOWN  # of another net nothing fits
        return "; ".join(f"{len(keys)} {kind}: {_listed(keys, few)}" for kind, keys in what.items() if keys)


def _fit(state: Mapping[str, Tensor], naming: str, module: Backbone | ImageNetClassifier) -> dict[str, Tensor]:
    """The file's tensors under the names of `module`'s own state dict."""
    whole, bare = _whole(module), isinstance(module, Backbone)
    theirs, full = source_names(whole, naming), whole.state_dict()
    given = [one for one in _given(state, naming, theirs) if not (bare and _of_classifier(one))]
    found = {one.name: one for one in given if one.name in full}
    needed = [name for name in _prefixed(module.state_dict()) if naming == "densenets" or name not in NORMALIZATION]
    wrong = Wrong(
        [_foreign(name, theirs) for name in needed if name not in found and not name.endswith(COUNTER)],
        [one.key for one in given if one.name not in full],
        [reason for name, one in found.items() if name for reason in _unlike(one.key, one.tensor, full[name])],
    )
    if any(wrong):
        raise InputError(f"{naming}'s naming, {_called(module)}: {wrong.line()}")
    return {name.removeprefix(BACKBONE) if bare else name: found[name].tensor for name in needed if name in found}


def _check_normalization(fitting: Mapping[str, Tensor], wanted: str) -> None:
    """The options say how the net scales its input, and are kept with it: no file changes that behind them."""
    given = [fitting[name] for full in NORMALIZATION for name in (full, full.removeprefix(BACKBONE)) if name in fitting]

    def fits(choice: str) -> bool:
        pairs = zip(given, NORMALIZATIONS[choice], strict=True)
        return all(torch.allclose(a.flatten().float(), torch.tensor(b), rtol=0, atol=ROUNDING) for a, b in pairs)

    if given and not fits(wanted):
        needed = next((f"--normalize {choice}" for choice in NORMALIZATIONS if fits(choice)), "no --normalize")
        raise InputError(f"its mean and std are those of {needed}, the net's of --normalize {wanted}")


def _given(state: Mapping[str, Tensor], naming: str, theirs: Mapping[str, str]) -> Iterator[Given]:
    ours = {foreign: own for own, foreign in theirs.items()}
    for key, tensor in (_prefixed(state) if naming == "densenets" else state).items():
        owner, _, leaf = key.rpartition(".")
        name = f"{ours[owner]}.{leaf}" if owner in ours else None
        is_1x1 = name == "hidden.weight" and tensor.ndim == 4  # timm's hidden layer is a convolution
        yield Given(key, name, tensor.flatten(1) if is_1x1 else tensor)


def _of_classifier(given: Given) -> bool:
    return (given.name or given.key).startswith(CLASSIFIER)


def _foreign(name: str, theirs: Mapping[str, str]) -> str:
    owner, _, leaf = name.rpartition(".")
    return f"{theirs[owner]}.{leaf}"


def _unlike(key: str, tensor: Tensor, wanted: Tensor) -> list[str]:
    """Why a tensor cannot be `wanted`: at most one reason."""
    if tensor.shape != wanted.shape:
        return [f"{key} is {list(tensor.shape)}, not {list(wanted.shape)}"]
    plain = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
    if not plain or tensor.is_floating_point() != wanted.is_floating_point():
        return [f"{key} is {tensor.dtype}, {tensor.layout}, on {tensor.device.type}"]
    return [] if bool(tensor.isfinite().all()) else [f"{key} is not finite"]


def _whole(module: Backbone | ImageNetClassifier) -> ImageNetClassifier:
    """The classifier that `module` is of or was before any pruning, without memory for its weights."""
    backbone = _backbone(module)
    rebuild = cast(Callable[[NetOptions], Backbone], type(backbone))
    with torch.device("meta"):
        if isinstance(module, Backbone):
            return ImageNetClassifier(rebuild(backbone.options), hidden=backbone.HIDDEN)
        hidden = None if module.hidden is None else module.hidden.out_features
        return ImageNetClassifier(rebuild(backbone.options), module.num_classes, hidden)


def _backbone(module: Backbone | ImageNetClassifier) -> Backbone:
    return module if isinstance(module, Backbone) else module.backbone


def _called(module: Backbone | ImageNetClassifier) -> str:
    backbone = _backbone(module)
    return f"{type(backbone).__name__} at width {backbone.options.width:g}"


def _prefixed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our own naming of a backbone alone as it is inside of a model."""
    if any(key.startswith(BACKBONE) for key in state):
        return dict(state)
    return {key if key.startswith(CLASSIFIER) else BACKBONE + key: tensor for key, tensor in state.items()}


def _listed(keys: Sequence[object] | Mapping[str, Tensor], few: int = SHOWN) -> str:
    names = [printable(key) for key in keys]
    return ", ".join(names[:few]) + (" ..." if len(names) > few else "")
