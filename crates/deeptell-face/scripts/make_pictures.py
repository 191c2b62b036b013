"""Writes the JPEG files that the tests of `read_picture` cut: every coding that is in use.

    pip install pillow==13.0.0 && python scripts/make_pictures.py tests/data/pictures
"""

import pathlib
import sys

from PIL import Image


def picture(mode):
    image = Image.new("RGB", (83, 61))
    state = 1
    for y in range(61):
        for x in range(83):
            state = (state * 1103515245 + 12345) % 2**31
            noise = state >> 25
            image.putpixel((x, y), (x * 2 + noise, y * 3 + noise // 2, (x * y) % 256))
    return image.convert(mode)


KINDS = {
    "baseline": ("RGB", {"subsampling": "4:2:0"}),
    "optimized": ("RGB", {"subsampling": "4:2:2", "optimize": True}),
    "restart": ("RGB", {"subsampling": "4:4:4", "restart_marker_blocks": 3}),
    "grey": ("L", {}),
    "cmyk": ("CMYK", {}),
    "progressive": ("RGB", {"subsampling": "4:2:0", "progressive": True}),
    "progressive-restart": ("RGB", {"subsampling": "4:4:4", "progressive": True, "restart_marker_rows": 1}),
    "progressive-grey": ("L", {"progressive": True}),
}

folder = pathlib.Path(sys.argv[1])
for name, (mode, options) in KINDS.items():
    picture(mode).save(folder / f"{name}.jpg", quality=75, **options)
