"""The same images as the truth has them and as each model sees them, inside the page."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from densenets.analysis.comparison import Comparison, Picture
from densenets.analysis.report.shapes import patch
from densenets.analysis.report.words import in_order, name, shortened
from densenets.page import as_text

if TYPE_CHECKING:
    from PIL.Image import Image

BYTES = 3_000_000  # of all pictures, before they become text
SIDES = (960, 720, 560, 420, 320, 240, 160)  # px, tried in turn where a file is too large for its share


def section(comparison: Comparison, folder: Path) -> str:
    """A row for each image; "" where there is none. folder: the comparison's."""
    models = [model.name for model in in_order(comparison)]
    models = [model for model in models if any(model in picture.predictions for picture in comparison.pictures)]
    if not comparison.pictures:
        return ""
    share = BYTES // (len(comparison.pictures) * (len(models) + 1))
    rows = "".join(_row(picture, models, folder, share) for picture in comparison.pictures)
    return (
        f'<section id="pictures"><h2>The same images, side by side</h2><p class="quiet">What is there, then what each '
        f"model predicts.{_from(comparison)} Click a picture to enlarge it.</p>{_colours(comparison)}{rows}"
        f'<dialog id="large"><form method="dialog"><p></p><button>Close</button></form><img alt=""></dialog></section>'
    )


def _from(comparison: Comparison) -> str:
    least = comparison.boxes_from
    return "" if least is None else f" Boxes from score {least:g}."


def _colours(comparison: Comparison) -> str:
    """The colour of each class, and what the hatching is; "" where there are none."""
    if not comparison.colours:
        return ""
    known = zip(comparison.colours, comparison.classes, strict=False)
    items = [f"<li>{patch(colour)}{name(one, 40)}</li>" for colour, one in known]
    return f'<ul class="legend">{"".join(items)}<li>{patch(None)}hatched: no class, not judged</li></ul>'


def _row(picture: Picture, models: Sequence[str], folder: Path, share: int) -> str:
    title = name(picture.title, 80)
    truth = _figure("truth", f"Truth of {picture.title}", picture.truth, folder, share, "truth")
    seen = "".join(
        _figure(_caption(model, picture), f"{model} on {picture.title}", picture.predictions.get(model), folder, share)
        for model in models
    )
    return f'<h3>{title}</h3><div class="side of{_columns(len(models) + 1)}">{truth}{seen}</div>'


def _caption(model: str, picture: Picture) -> str:
    return name(model, 40) + (": no box" if model in picture.empty else "")


def _columns(count: int) -> int:
    """Up to four beside each other, so that the last line has the fewest gaps."""
    return count if count <= 4 else min((3, 4), key=lambda columns: -count % columns)


def _figure(caption: str, words: str, file: str | None, folder: Path, share: int, kind: str = "") -> str:
    data = None if file is None else embedded(folder, file, share)
    alt = as_text(shortened(words, 160))
    shown = (
        '<div class="broken">no picture</div>'
        if data is None
        else f'<button type="button" class="enlarge"><img loading="lazy" alt="{alt}" src="{data}"></button>'
    )
    return f'<figure class="{kind}"><figcaption>{caption}</figcaption>{shown}</figure>'


def embedded(folder: Path, file: str, most: int) -> str | None:
    """The JPEG as a data: URL of at most about `most` bytes, made smaller where needed.

    None where it cannot be read or lies outside of `folder`.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        path = (folder / file).resolve()
        if not path.is_relative_to(folder.resolve()) or not path.is_file():
            return None
        content = path.read_bytes()
        with Image.open(io.BytesIO(content), formats=("JPEG",)) as picture:
            picture.load()
            if len(content) > most:
                content = _smaller(picture.convert("RGB"), most)
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError):
        return None
    return "data:image/jpeg;base64," + base64.b64encode(content).decode()


def _smaller(picture: "Image", most: int) -> bytes:
    content = b""
    for side in SIDES:
        small = picture.copy()
        small.thumbnail((side, side))
        file = io.BytesIO()
        small.save(file, "JPEG", quality=82, optimize=True)
        content = file.getvalue()
        if len(content) <= most:
            break
    return content
