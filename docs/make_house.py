"""Draw the house: rooms on floors, by the table in `design.md`; run by hand: python docs/make_house.py."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

HERE = Path(__file__).parent
COLOURS = {"verbs": "#cfe3f3", "files and figures": "#f7dcc4", "foundations": "#e4e4e4", "the model": "#d5ecdf"}
KINDS = {"__main__ _cli pp tl": "verbs", "io datasets get pl": "files and figures", "_classifier fit": "the model"}
UNDER_ALL = "_types"
EVERYTHING = "everything below"


def main() -> None:
    """Draw each room on the lowest floor that stands above all rooms it imports."""
    rooms = read_rooms((HERE / "design.md").read_text(encoding="utf-8"))
    floors: dict[int, list[str]] = {}
    for room in rooms:
        floors.setdefault(floor_of(room, rooms), []).append(room)
    figure, ax = plt.subplots(figsize=(10, 6), layout="constrained")
    for floor, names in floors.items():
        width = 10 / len(names)
        for place, name in enumerate(names):
            draw_room(ax, place * width, floor, width, name, rooms[name][0])
    ax.annotate("", (-0.25, 0.1), (-0.25, len(floors) - 0.1), arrowprops={"arrowstyle": "->", "color": "#555555"})
    ax.text(-0.35, len(floors) / 2, "imports", rotation=90, va="center", ha="right", color="#555555")
    for kind, colour in COLOURS.items():
        ax.bar(0, 0, color=colour, label=kind)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=len(COLOURS), frameon=False)
    ax.set(xlim=(-0.7, 10), ylim=(0, len(floors)))
    ax.set_axis_off()
    figure.savefig(HERE / "_static" / "house.png", dpi=110)


def read_rooms(page: str) -> dict[str, tuple[str, list[str]]]:
    """Read what each room is and which it may import."""
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*?) \| ?([^|]*?) ?\|$", page, flags=re.MULTILINE)
    rooms = {name: (what, re.findall(r"`(\w+)`", imports)) for name, what, imports in rows if name != UNDER_ALL}
    for name, _, imports in rows:
        if imports == EVERYTHING:
            rooms[name][1].extend(other for other in rooms if other not in {name, "__main__"})
    return rooms


def floor_of(room: str, rooms: dict[str, tuple[str, list[str]]]) -> int:
    """Count the floors below a room."""
    return 1 + max((floor_of(other, rooms) for other in rooms[room][1]), default=-1)


def draw_room(ax: plt.Axes, x: float, y: float, width: float, name: str, what: str) -> None:
    """Draw one room with its name, and what it is."""
    kind = next((kind for names, kind in KINDS.items() if name in names.split()), "foundations")
    box = FancyBboxPatch(
        (x + 0.06, y + 0.08),
        width - 0.12,
        0.84,
        boxstyle="round,pad=0,rounding_size=0.08",
        fc=COLOURS[kind],
        ec="white",
    )
    ax.add_patch(box)
    ax.text(x + width / 2, y + 0.62, name, ha="center", va="center", fontsize=11, family="monospace")
    words = what.partition(";")[0]
    ax.text(x + width / 2, y + 0.32, words, ha="center", va="center", fontsize=8 if width > 3 else 7, color="#444444")


if __name__ == "__main__":
    main()
