"""The network of baselines that classify as their papers do: trunk, global average pooling, one linear head.

The 1x1 convolution before the pooling stays, so that features have the same width in every row of a table; attention
and local branch are off. What has one head says its logits three times, and the exported model keeps its form: the
fused head decides, and the five regions, which nobody looks at, weigh alike.
"""

from __future__ import annotations

from torch import Tensor, nn

from dcdan.models.network import Network, NetworkSettings, Outputs
from dcdan.models.pooling import pooled
from dcdan.models.semantic import Logits


class PlainNetwork(Network):
    """Faces ``(B, 3 or 1, S, S)`` float in [0, 1] -> :class:`Outputs` whose three heads agree.

    Features are those that the head sees, global and local alike: ``(B, features)``.
    """

    def __init__(self, settings: NetworkSettings, classes: int, size: int, features: int | None = None) -> None:
        """``features`` of the head, where they are not the ``width`` of the settings."""
        super().__init__(settings.model_copy(update={"attention": "off", "local_branch": False}), classes, size)
        del self.semantic
        self.head = nn.Linear(features or settings.width, classes)

    def forward(self, faces: Tensor, landmarks: Tensor | None = None) -> Outputs:  # noqa: ARG002
        """Look at faces; landmarks change nothing here."""
        features = self.look(self.normalised(faces))
        return self.say(features, self.head(features))

    def heads(self) -> tuple[nn.Linear, ...]:
        """Return the one head."""
        return (self.head,)

    def look(self, normalised: Tensor) -> Tensor:
        """Return the features ``(B, width)`` of faces as :meth:`normalised` leaves them."""
        return pooled(self.squeeze(self.trunk(normalised)[1]))

    def say(self, features: Tensor, logits: Tensor, **asides: Tensor) -> Outputs:
        """Return the outputs of one head: features ``(B, features)`` and logits ``(B, K)``."""
        even = features.new_full((features.shape[0], 5), 0.2)
        return Outputs(features, features, Logits(logits, logits, logits), even, asides=asides)
