# /// script
# requires-python = ">=3.9,<3.12"
# dependencies = ["numpy<2", "pillow"]
# ///
"""Makes tests/data/crowd.png and tests/data/turned.png.

    uv run scripts/make_pictures.py

The crowd is a frame of each of 15 real clips of datasets/sample, at five sizes, side by side. The turned face is
tests/data/astronaut.png turned by 28 degrees, around the face. Needs the program `ffmpeg`.
"""

import pathlib
import subprocess

from PIL import Image

CRATE = pathlib.Path(__file__).resolve().parent.parent
DATA = CRATE / "tests" / "data"
CLIPS = CRATE.parent.parent / "datasets" / "sample" / "real"

COLUMNS, ROWS, TILE = 5, 3, 112
# Sides of the frames. At these, no two candidates of a face share one crop. Such candidates have the same probability, and
# which one the reference keeps depends on numpy's argsort, which is not stable.
SIDES = [110, 99, 87, 75, 66]
TURN_DEGREES, CENTER, SIDE = 28, (224, 118), 200


def first_frame(clip):
    """The first frame of a clip, which is 320 x 320 pixels."""
    command = ["ffmpeg", "-v", "error", "-i", str(clip), "-frames:v", "1"]
    raw = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], check=True, capture_output=True)
    return Image.frombytes("RGB", (320, 320), raw.stdout)


def crowd():
    picture = Image.new("RGB", (COLUMNS * TILE, ROWS * TILE), (96, 100, 104))
    for number, clip in enumerate(sorted(CLIPS.glob("*.mp4"))[: COLUMNS * ROWS]):
        row, column = divmod(number, COLUMNS)
        side = SIDES[(column + row) % len(SIDES)]
        tile = first_frame(clip).resize((side, side), Image.Resampling.LANCZOS)
        offset = (TILE - side) // 2
        picture.paste(tile, (column * TILE + offset, row * TILE + offset))
    return picture


def turned():
    astronaut = Image.open(DATA / "astronaut.png").convert("RGB")
    whole = astronaut.rotate(TURN_DEGREES, Image.Resampling.BICUBIC, center=CENTER)
    left, top = (side - SIDE // 2 for side in CENTER)
    return whole.crop((left, top, left + SIDE, top + SIDE))


def main():
    for name, picture in (("crowd", crowd()), ("turned", turned())):
        picture.save(DATA / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
