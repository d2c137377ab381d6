"""A plug-in: a network that looks at four stripes of a person, each by itself."""

from torch import Tensor, nn

from reidkit.export.backbones.card import IMAGENET_256X128, ModelCard


class Striped(nn.Module):
    """Edges, averaged over each stripe."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 8, stride=8)
        self.stripes = nn.AdaptiveAvgPool2d((4, 1))
        self.fc = nn.Linear(4 * 16, 32)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) float32, normalised -> (N, 32) float32 embeddings, before any L2 normalisation."""
        return self.fc(self.stripes(self.conv(x).relu()).flatten(1))


CARDS = (
    ModelCard(
        name="striped",
        family="striped",
        build=Striped,
        preprocessing=IMAGENET_256X128,
        head_prefixes=("classifier.",),
        source="an example",
        terms="no weights are published",
    ),
)
