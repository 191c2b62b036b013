"""Writes the AVIF files of the test `turned_avif_comes_out_upright`: one picture in all eight orientations.

    pip install pillow==13.0.0 && python scripts/make_turned.py tests/data

Pillow turns the EXIF orientation that it is given into the properties `irot` and `imir`.
"""

import pathlib
import sys

from PIL import Image

# What stores a picture so that the orientation shows it upright.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}

# Red at the top left, green at the top right, blue below, on gray; wider than high.
picture = Image.new("RGB", (96, 64), (128, 128, 128))
picture.paste((255, 0, 0), (0, 0, 32, 32))
picture.paste((0, 255, 0), (64, 0, 96, 32))
picture.paste((0, 0, 255), (0, 32, 32, 64))

for orientation, transpose in STORED.items():
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = picture if transpose is None else picture.transpose(transpose)
    stored.save(pathlib.Path(sys.argv[1]) / f"turned-{orientation}.avif", quality=90, exif=exif)
