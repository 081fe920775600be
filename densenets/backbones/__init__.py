"""The light nets, by name. Importing this costs no torch: a net is loaded when it is built."""

from importlib import import_module
from typing import TYPE_CHECKING, cast

from densenets.errors import InputError, printable

if TYPE_CHECKING:
    from densenets.backbones.base import Backbone
    from densenets.layers import PaddingRule

BACKBONES: dict[str, str] = {
    "v1": "densenets.backbones.mobilenet_v1:MobileNetV1",
    "v2": "densenets.backbones.mobilenet_v2:MobileNetV2",
    "v3-large": "densenets.backbones.mobilenet_v3:MobileNetV3Large",
    "v3-small": "densenets.backbones.mobilenet_v3:MobileNetV3Small",
}


def build_backbone(
    name: str,
    *,
    width: float = 1.0,
    output_stride: int = 32,
    padding: str = "torch",
    normalize: str = "imagenet",
    reduced_tail: str = "none",
    scale_last: bool = False,
    bn_momentum: float | None = None,
    atrous: str = "slim",
    bn_eps: float | None = None,
) -> "Backbone":
    """The net called `name` with random weights; what each option means stands in `NetOptions`.

    Raises InputError for a name or a value that does not exist, and for an option that this net cannot honour.
    """
    if name not in BACKBONES:
        raise InputError(f"backbone: {printable(name)}: expected one of {', '.join(BACKBONES)}")
    from densenets.backbones.base import NetOptions

    rule = cast("PaddingRule", padding)  # NetOptions checks it
    options = NetOptions(width, output_stride, rule, normalize, reduced_tail, scale_last, bn_momentum, atrous, bn_eps)
    module, _, attribute = BACKBONES[name].partition(":")
    net: Backbone = getattr(import_module(module), attribute)(options)
    return net
