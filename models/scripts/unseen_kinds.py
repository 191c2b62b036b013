"""Makes manipulated faces of kinds that no training of the shipped detector has seen.

A detector that knows its generators only is worth little, and one other data set is a small yardstick. This script
takes genuine face crops with landmarks and manipulates them in ways that occur neither in the data set nor among the
blends of deeptell-data:

- poisson: the face from a copy of other colors and sharpness, joined in the gradient domain (Perez et al., Poisson
  Image Editing, SIGGRAPH 2003);
- multiband: the face of somebody else, joined in a Laplacian pyramid (Burt and Adelson, A Multiresolution Spline,
  ACM TOG 1983);
- eigenface: the face as a sum of 150 principal components (Turk and Pentland, Eigenfaces for Recognition, 1991), which
  is smooth as the faces of a decoder are;
- warp: the mouth drawn up or down, with no seam at all.

    python unseen_kinds.py MANIFEST.jsonl OUT [--split validation] [--count 400] [--seed 0]
    for kind in poisson multiband eigenface warp; do deeptell eval --crops OUT/$kind; done

needs numpy and opencv-python. Each kind gets OUT/KIND/real and OUT/KIND/fake, as PNG, from the same genuine crops; the
components are fitted on the training split. MANIFEST is what `deeptell extract --in-place landmarks` writes.
"""

import argparse
import json
import sys
from pathlib import Path

import cv2
import numpy as np

COMPONENTS = 150
FACES_FOR_COMPONENTS = 3000
# Where a canonical face of FACE pixels has its landmarks: eyes, nose, corners of the mouth.
FACE = 128
CANONICAL = np.float32([[44, 50], [84, 50], [64, 75], [48, 96], [80, 96]])
POINTS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")


def rows(manifest):
    with open(manifest, encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row.get("label") == "real" and row.get("landmarks"):
                yield row


def load(manifest, row):
    picture = cv2.imread(str(Path(manifest).parent / row["path"]))
    if picture is None:
        sys.exit(f"{row['path']} cannot be read")
    points = np.float32([[row["landmarks"][name]["x"], row["landmarks"][name]["y"]] for name in POINTS])
    return picture, points


def to_canonical(points):
    return cv2.estimateAffinePartial2D(points, CANONICAL, method=cv2.LMEDS)[0]


def face_mask(points, shape):
    """An ellipse over eyes and mouth."""
    eyes, mouth = points[:2].mean(0), points[3:].mean(0)
    down = mouth - eyes
    center = eyes + 0.55 * down
    width = 0.95 * np.linalg.norm(points[1] - points[0])
    height = 1.15 * np.linalg.norm(down)
    angle = np.degrees(np.arctan2(down[1], down[0])) - 90
    mask = np.zeros(shape[:2], np.uint8)
    cv2.ellipse(mask, (tuple(map(float, center)), (2 * float(width), 2 * float(height)), float(angle)), 255, -1)
    # Away from the border, where nothing can be joined.
    mask[:3], mask[-3:], mask[:, :3], mask[:, -3:] = 0, 0, 0, 0
    return mask


def feathered(mask, sigma):
    return cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), sigma)[..., None]


def poisson(picture, points, random):
    copy = picture.astype(np.float32) * random.uniform(0.85, 1.15, 3) + random.uniform(-12, 12, 3)
    if random.random() < 0.5:
        side = int(picture.shape[0] / random.uniform(1.5, 3))
        copy = cv2.resize(cv2.resize(copy, (side, side), interpolation=cv2.INTER_AREA), picture.shape[1::-1])
    else:
        copy += random.uniform(0.3, 0.8) * (copy - cv2.GaussianBlur(copy, (0, 0), 1.5))
    copy = np.clip(copy, 0, 255).astype(np.uint8)
    mask = face_mask(points, picture.shape)
    x, y, w, h = cv2.boundingRect(mask)
    return cv2.seamlessClone(copy, picture, mask, (x + w // 2, y + h // 2), cv2.NORMAL_CLONE)


def multiband(picture, points, other, other_points):
    move = cv2.estimateAffinePartial2D(other_points, points, method=cv2.LMEDS)[0]
    other = cv2.warpAffine(other, move, picture.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    mask = face_mask(points, picture.shape)
    inside = mask > 0
    a, b = (cv2.cvtColor(image, cv2.COLOR_BGR2LAB).astype(np.float32) for image in (other, picture))
    a = (a - a[inside].mean(0)) / (a[inside].std(0) + 1e-3) * b[inside].std(0) + b[inside].mean(0)
    a = cv2.cvtColor(np.clip(a, 0, 255).astype(np.uint8), cv2.COLOR_LAB2BGR).astype(np.float32)
    b, weight = picture.astype(np.float32), np.repeat(feathered(mask, 2), 3, 2)
    pyramid = []
    for _ in range(4):
        down = [cv2.pyrDown(image) for image in (a, b, weight)]
        up = [cv2.pyrUp(image, dstsize=a.shape[1::-1]) for image in down[:2]]
        pyramid.append(weight * (a - up[0]) + (1 - weight) * (b - up[1]))
        a, b, weight = down
    joined = weight * a + (1 - weight) * b
    for level in reversed(pyramid):
        joined = cv2.pyrUp(joined, dstsize=level.shape[1::-1]) + level
    return np.clip(joined, 0, 255).astype(np.uint8)


class Eigenfaces:
    def __init__(self, manifest, random):
        train = [row for row in rows(manifest) if row.get("split") == "train"]
        faces = []
        for index in random.permutation(len(train))[:FACES_FOR_COMPONENTS]:
            picture, points = load(manifest, train[index])
            faces.append(cv2.warpAffine(picture, to_canonical(points), (FACE, FACE)).astype(np.float32).ravel())
        faces = np.stack(faces)
        self.mean = faces.mean(0)
        centered = faces - self.mean
        values, vectors = np.linalg.eigh(centered @ centered.T)
        largest = vectors[:, np.argsort(values)[::-1][:COMPONENTS]]
        components = largest.T @ centered
        self.components = components / np.linalg.norm(components, axis=1, keepdims=True)

    def __call__(self, picture, points):
        move = to_canonical(points)
        face = cv2.warpAffine(picture, move, (FACE, FACE)).astype(np.float32).ravel() - self.mean
        face = (self.mean + (self.components @ face) @ self.components).reshape(FACE, FACE, 3)
        back = cv2.warpAffine(face, move, picture.shape[1::-1], flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
        there = cv2.warpAffine(
            np.full((FACE, FACE), 255, np.uint8), move, picture.shape[1::-1], flags=cv2.WARP_INVERSE_MAP
        )
        mask = cv2.erode(cv2.min(face_mask(points, picture.shape), there), np.ones((5, 5), np.uint8))
        weight = feathered(mask, 4)
        return np.clip(weight * back + (1 - weight) * picture, 0, 255).astype(np.uint8)


def warp(picture, points, random):
    height, width = picture.shape[:2]
    grid_x, grid_y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    eyes = np.linalg.norm(points[1] - points[0])
    pull = random.choice([-1, 1]) * random.uniform(0.1, 0.2) * eyes
    for corner in points[3:]:
        near = np.exp(-((grid_x - corner[0]) ** 2 + (grid_y - corner[1]) ** 2) / (2 * (0.3 * eyes) ** 2))
        grid_y = grid_y + pull * near
    return cv2.remap(picture, grid_x, grid_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest")
    parser.add_argument("out", type=Path)
    parser.add_argument("--split", default="validation")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    random = np.random.default_rng(args.seed)
    chosen = [row for row in rows(args.manifest) if row.get("split") == args.split]
    if not chosen:
        sys.exit(f"{args.manifest} has no genuine face with landmarks in the split {args.split}")
    chosen = [chosen[index] for index in random.permutation(len(chosen))[: args.count]]
    eigenfaces = Eigenfaces(args.manifest, random)
    for number, row in enumerate(chosen):
        picture, points = load(args.manifest, row)
        stranger = chosen[(number + 1) % len(chosen)]
        made = {
            "poisson": poisson(picture, points, random),
            "multiband": multiband(picture, points, *load(args.manifest, stranger)),
            "eigenface": eigenfaces(picture, points),
            "warp": warp(picture, points, random),
        }
        for kind, fake in made.items():
            for label, image in (("real", picture), ("fake", fake)):
                folder = args.out / kind / label
                folder.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(folder / f"{number:04}.png"), image)
    print(f"{len(chosen)} faces of each kind in {args.out}")


if __name__ == "__main__":
    main()
