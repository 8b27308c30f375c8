"""What a network diagram is laid out from and as: boxes, arrows, cells of the grid. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

BOX_WIDTH = 168
BOX_HEIGHT_MIN = 54
PITCH = 44
"""Between two arrows that enter one box; holds a label above and one below each."""
SLOT_HEIGHT = 20
BOX_GAP = 16


@dataclass(frozen=True, slots=True)
class Box:
    """A box to place. rank: the least layer it may stand in if anything flows into it."""

    key: str
    rank: int


@dataclass(frozen=True, slots=True)
class Arrow:
    """An arrow to place, between two boxes."""

    key: str
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class PlacedBox:
    """A box with its upper left corner and size."""

    key: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class PlacedArrow:
    """An arrow as a line through corners, and the middle of its last stretch, where its label and circle belong."""

    key: str
    corners: tuple[tuple[float, float], ...]
    label: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Placed:
    """A whole drawing. junctions: where a line branches."""

    width: float
    height: float
    boxes: tuple[PlacedBox, ...]
    arrows: tuple[PlacedArrow, ...]
    junctions: tuple[tuple[float, float], ...]


@dataclass(slots=True)
class Cell:
    """A box, or the slot of an arrow that passes, in its layer. ins: where arrows enter, by piece."""

    key: str
    is_slot: bool
    layer: int
    height: float = SLOT_HEIGHT
    y: float = 0.0
    sources: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    ins: dict[str, float] = field(default_factory=dict)

    @property
    def middle(self) -> float:
        """Return the height of its middle."""
        return self.y + self.height / 2


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an arrow between two neighbouring layers."""

    key: str
    arrow: str
    source: str
    target: str
