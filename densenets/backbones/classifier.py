"""ImageNet classifiers over the backbones: for the papers' counts, and to compare weights with their source."""

import torch.nn.functional as F
from torch import Tensor, nn

from densenets.backbones import build_backbone
from densenets.backbones.base import Backbone


class ImageNetClassifier(nn.Module):
    """top, global mean, in V3 a hidden layer with h-swish, linear. Takes the backbone over: only its top is kept."""

    def __init__(self, backbone: Backbone, num_classes: int = 1000, hidden: int | None = None) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.backbone = backbone.keep(["top"])
        channels = backbone.specs["top"].channels
        self.hidden = None if hidden is None else nn.Linear(channels, hidden)
        self.classifier = nn.Linear(hidden or channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """images: (N, 3, H, W) in [0, 1]; logits: (N, classes)."""
        x = self.backbone(images)["top"].mean((2, 3))
        if self.hidden is not None:
            x = F.hardswish(self.hidden(x))
        logits: Tensor = self.classifier(x)
        return logits


def build_classifier(
    name: str,
    width: float = 1.0,
    num_classes: int = 1000,
    *,
    hidden: int | None = None,
    padding: str = "torch",
    normalize: str = "imagenet",
) -> ImageNetClassifier:
    """The paper's classifier; `hidden` replaces the size of V3's hidden layer, which no width scales."""
    backbone = build_backbone(name, width=width, padding=padding, normalize=normalize)
    return ImageNetClassifier(backbone, num_classes, backbone.HIDDEN if hidden is None else hidden)
