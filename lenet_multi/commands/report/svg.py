"""Turn a Matplotlib figure into SVG with the page's colours, fonts and text alternatives."""

import io
import re
import warnings
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.figure import Figure

from lenet_multi.runs.palette import LIGHT

_REFERENCE = re.compile(r"(?:^|url\()#([\w-]+)")
_FAMILY = re.compile(r"font-family: [^;]*;? ?")
_FONT = re.compile(r"font: ([\d.]+px)[^;]*")
_COLOR = re.compile("|".join(LIGHT.values()), re.IGNORECASE)
_NAMES = {color: name for name, color in LIGHT.items()}

# A "$" in a user's name starts no formula.
LOOK: dict[Any, Any] = {
    "text.parse_math": False,
    "font.size": 10,
    "axes.edgecolor": LIGHT["rule"],
    "axes.labelcolor": LIGHT["quiet"],
    **dict.fromkeys(["axes.spines.left", "axes.spines.right", "axes.spines.top"], False),
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titlecolor": LIGHT["quiet"],
    "grid.color": LIGHT["faint"],
    "grid.linewidth": 0.8,
    "hatch.linewidth": 0.7,
    "legend.frameon": False,
    "legend.labelcolor": LIGHT["quiet"],
    "text.color": LIGHT["ink"],
    "xtick.color": LIGHT["rule"],
    "xtick.labelcolor": LIGHT["quiet"],
    "ytick.color": LIGHT["rule"],
    "ytick.labelcolor": LIGHT["quiet"],
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
}


def to_svg(figure: Figure, *, name: str, title: str, description: str) -> str:
    """Return `figure` as an `svg` element without namespaces, for a page in HTML.

    Colours of `LIGHT` become the page's variables of that name. `name` is unique on the page.
    `title` and `description` are text alternatives.
    """
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}), warnings.catch_warnings():
        # Text stays text, and the browser draws it in its own fonts.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(buffer, format="svg", transparent=True)
    root = ElementTree.fromstring(buffer.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child.tag) in {"metadata", "style"}:
                parent.remove(child)
    values = [value for element in root.iter() for value in element.attrib.values()]
    referenced = {found for value in values for found in _REFERENCE.findall(value)}
    for element in root.iter():
        element.tag = _local(element.tag)
        element.attrib = {
            _local(key): _themed(key, value)
            for key, value in element.attrib.items()
            if key != "id" or value in referenced
        }
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "class": "chart",
        "role": "img",
        "aria-labelledby": f"{name}-title {name}-desc",
    }
    for place, (tag, text) in enumerate({"title": title, "desc": description}.items()):
        words = ElementTree.Element(tag, id=f"{name}-{tag}")
        words.text = text
        root.insert(place, words)
    return ElementTree.tostring(root, encoding="unicode")


def _local(name: str) -> str:  # without the namespace
    return name.rpartition("}")[2]


def _themed(key: str, value: str) -> str:
    if key not in {"style", "fill"}:
        return value
    value = _FAMILY.sub("", _FONT.sub(r"font-size: \1", value))
    return _COLOR.sub(lambda color: f"var(--{_NAMES[color[0].lower()]})", value)
