# /// script
# requires-python = ">=3.9"
# dependencies = ["opencv-python-headless>=4.8"]
# ///
"""Writes tests/data/opencv.json: the faces that OpenCV's FaceDetectorYN finds.

    uv run scripts/make_golden.py yunet_n_dynamic.onnx
"""

import hashlib
import json
import sys
from pathlib import Path

import cv2

DATA = Path(__file__).resolve().parent.parent / "tests" / "data"
PICTURES = ["crowd.png", "astronaut.png", "turned.png"]


def main(model: str) -> None:
    cases = []
    for name in PICTURES:
        picture = f"../../../deeptell-mtcnn/tests/data/{name}"
        image = cv2.imread(str(DATA / picture))
        height, width = image.shape[:2]
        for threshold in [0.9, 0.6]:
            detector = cv2.FaceDetectorYN.create(model, "", (width, height), threshold, 0.3, 5000)
            faces = detector.detect(image)[1]
            faces = [] if faces is None else faces.tolist()
            cases.append({"picture": picture, "threshold": threshold, "faces": faces})
    golden = {
        "opencv": cv2.__version__,
        "sha256": hashlib.sha256(Path(model).read_bytes()).hexdigest(),
        "cases": cases,
    }
    (DATA / "opencv.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
