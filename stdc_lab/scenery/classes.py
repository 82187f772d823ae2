"""What is painted: the eleven classes of the label maps, in the order that CamVid has them too."""

from __future__ import annotations

SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, CYCLIST = range(11)
UNLABELLED = 255
"""Of pixels that nothing is learnt from."""
