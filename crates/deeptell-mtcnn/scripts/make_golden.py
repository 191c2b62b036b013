# /// script
# requires-python = ">=3.9,<3.12"
# dependencies = ["facenet-pytorch==2.6.0", "torch==2.2.2", "torchvision==0.17.2", "numpy<2"]
# ///
"""Makes tests/data/golden.json and tests/data/faces.json: what facenet-pytorch makes of astronaut.png, stage by
stage, and which faces it finds in crowd.png and turned.png (see make_pictures.py).

    uv run scripts/make_golden.py

The numbers in the repository were computed with facenet-pytorch 2.6.0 and torch 2.2.2 on a
CPU in float32, with MTCNN(keep_all=True, min_face_size=20 or 40). The stages are those of
min_face_size=20: they are listened in on through the functions that detect_face calls.
"""

import hashlib
import json
import pathlib

import numpy as np
from facenet_pytorch import MTCNN
from facenet_pytorch.models.utils import detect_face as cascade
from PIL import Image

DATA = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data"
# The level whose P-Net maps are kept whole.
MAP_LEVEL = 6
# Pixels of a level kept, a side.
SAMPLES = 5


def numbers(values):
    """Plain floats that read back as the same float32."""
    return [float(f"{value:.9g}") for value in np.asarray(values, np.float32).ravel()]


def rows(values):
    return [numbers(row) for row in np.asarray(values)]


def sample(planes):
    """Pixels on a regular grid from corner to corner: [r, g, b] each, row by row."""
    _, height, width = planes.shape
    grid = range(SAMPLES)
    return [
        numbers(planes[:, i * (height - 1) // (SAMPLES - 1), j * (width - 1) // (SAMPLES - 1)])
        for i in grid
        for j in grid
    ]


def faces(boxes, probabilities, landmarks):
    return [
        {"bbox": numbers(box), "probability": numbers(probability)[0], "landmarks": rows(points)}
        for box, probability, points in zip(boxes, probabilities, landmarks)
    ]


def listen(owner, name, log):
    """Replaces owner.name by itself, with arguments and results logged."""
    function = getattr(owner, name)

    def listening(*arguments):
        # Detached copies: the cascade works in place.
        kept = [a.detach().clone() if hasattr(a, "detach") else a for a in arguments]
        result = function(*arguments)
        log.append((kept, result))
        return result

    setattr(owner, name, listening)


def stages(image):
    mtcnn = MTCNN(keep_all=True, min_face_size=20)
    proposals, pnet, entries, rnet, onet = [], [], [], [], []
    generate_boxes, pad = cascade.generateBoundingBox, cascade.pad
    listen(cascade, "generateBoundingBox", proposals)
    listen(cascade, "pad", entries)
    for network, log in ((mtcnn.pnet, pnet), (mtcnn.rnet, rnet), (mtcnn.onet, onet)):
        listen(network, "forward", log)
    mtcnn.detect(image, landmarks=True)
    cascade.generateBoundingBox, cascade.pad = generate_boxes, pad
    levels = []
    for (arguments, (boxes, _)), ((planes,), _) in zip(proposals, pnet):
        planes = planes[0].numpy()
        levels.append(
            {
                "scale": arguments[2],
                "width": planes.shape[2],
                "height": planes.shape[1],
                "samples": sample(planes),
                "proposals": len(boxes),
            }
        )
    regression, probability = pnet[MAP_LEVEL][1]
    return {
        "levels": levels,
        "pnet": {
            "level": MAP_LEVEL,
            "probability": numbers(probability[0, 1].numpy()),
            "regression": rows(regression[0].reshape(4, -1).numpy()),
        },
        "proposed": rows(entries[0][0][0].numpy()),
        "rnet_probability": numbers(np.concatenate([out[1][:, 1].numpy() for _, out in rnet])),
        "rnet_regression": rows(np.concatenate([out[0].numpy() for _, out in rnet])),
        "refined": rows(entries[1][0][0].numpy()),
        "onet_probability": numbers(np.concatenate([out[2][:, 1].numpy() for _, out in onet])),
        "onet_regression": rows(np.concatenate([out[0].numpy() for _, out in onet])),
        "onet_landmarks": rows(np.concatenate([out[1].numpy() for _, out in onet])),
    }


def detected(name):
    """A picture of the data folder, and what there is to say of it: its digest, and its faces at both sizes."""
    image = Image.open(DATA / f"{name}.png").convert("RGB")
    golden = {
        "made_with": "facenet-pytorch 2.6.0, torch 2.2.2, CPU, float32",
        "rgb_sha256": hashlib.sha256(image.tobytes()).hexdigest(),
    }
    for min_face in (20, 40):
        found = MTCNN(keep_all=True, min_face_size=min_face).detect(image, landmarks=True)
        golden[f"min_face_{min_face}"] = faces(*found)
    return image, golden


def write(name, golden):
    (DATA / name).write_text(json.dumps(golden, separators=(",", ":")) + "\n")


def main():
    image, golden = detected("astronaut")
    golden["stages"] = stages(image)
    write("golden.json", golden)
    write("faces.json", {name: detected(name)[1] for name in ("crowd", "turned")})


if __name__ == "__main__":
    main()
