"""Data sets: files and shards, splits, pickles, forked workers, WebDataset's layout."""

from __future__ import annotations

import io
import json
import multiprocessing
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import deeptell

HEADER = '{"schema":"deeptell-manifest","version":1}\n'


def picture(number: int) -> np.ndarray:
    return np.full((6, 5, 3), [number, 2 * number, 7], np.uint8)


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Two samples in a shard, as `deeptell extract --shards` writes them, and two in files."""
    rows = []
    with tarfile.open(tmp_path / "crops-000000.tar", "w") as shard:
        for number in range(2):
            for name, contents in ((f"{number}.png", png(picture(number))), (f"{number}.json", b"{}")):
                member = tarfile.TarInfo(name)
                member.size = len(contents)
                shard.addfile(member, io.BytesIO(contents))
            rows.append({"path": f"crops-000000.tar/{number}.png", "label": "fake", "source": "a", "split": "train"})
    for number in range(2, 4):
        (tmp_path / f"{number}.png").write_bytes(png(picture(number)))
        rows.append({"path": f"{number}.png", "label": "real", "source": f"b{number}", "split": "test"})
    path = tmp_path / "manifest.jsonl"
    path.write_text(HEADER + "".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_samples_are_pictures_and_labels(manifest: Path) -> None:
    dataset = deeptell.Dataset(manifest)
    assert len(dataset) == 4
    for number, (pixels, label) in enumerate(dataset):
        assert np.array_equal(pixels, picture(number)) and label == (number < 2)
    assert dataset.labels.tolist() == [1, 1, 0, 0] and dataset.sources == ["a", "a", "b2", "b3"]
    assert dataset.shards == [str(manifest.with_name("crops-000000.tar"))]
    assert dataset.sample(2)["path"] == str(manifest.with_name("2.png"))
    assert np.array_equal(dataset[-1][0], picture(3)) and dataset[np.int64(1)][1] == 1
    for index in (4, -5):
        with pytest.raises(IndexError, match=str(index)):
            dataset[index]


def test_a_split_and_a_transform(manifest: Path) -> None:
    train = deeptell.Dataset(manifest, split="train", transform=np.mean)
    assert len(train) == 2 and train[1] == (np.mean(picture(1)), 1)
    again = pickle.loads(pickle.dumps(train))
    assert repr(again) == repr(train) and again[1] == train[1]
    assert len(deeptell.Dataset(manifest, split="validation")) == 0
    with pytest.raises(deeptell.OptionError, match="dev"):
        deeptell.Dataset(manifest, split="dev")


def test_a_loader_of_pytorch_makes_batches(manifest: Path) -> None:
    data = pytest.importorskip("torch.utils.data")
    dataset = deeptell.Dataset(manifest)
    for workers in (0, 2):
        batches = list(data.DataLoader(dataset, batch_size=4, num_workers=workers))
        assert len(batches) == 1
        pictures, labels = batches[0]
        assert tuple(pictures.shape) == (4, 6, 5, 3) and pictures.numpy().dtype == np.uint8
        assert np.array_equal(pictures.numpy()[3], picture(3)) and labels.tolist() == [1, 1, 0, 0]


def total(dataset: deeptell.Dataset, index: int) -> int:
    return int(dataset[index][0].sum())


def test_forked_workers_read_even_after_a_scan(manifest: Path) -> None:
    deeptell.faces(np.zeros((64, 64, 3), np.uint8))
    dataset = deeptell.Dataset(manifest)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.starmap(total, [(dataset, index) for index in range(4)])
    assert found == [int(picture(number).sum()) for number in range(4)]


def test_what_cannot_be_read_is_an_input_error(manifest: Path) -> None:
    with pytest.raises(deeptell.InputError, match="none.jsonl"):
        deeptell.Dataset(manifest.with_name("none.jsonl"))
    dataset = deeptell.Dataset(manifest)
    manifest.with_name("2.png").write_bytes(b"no picture")
    with pytest.raises(deeptell.InputError, match="2.png"):
        dataset[2]
    manifest.write_text(HEADER + '{"path": "a.png"}\n')
    with pytest.raises(deeptell.InputError, match="line 2"):
        deeptell.Dataset(manifest)


def test_a_loader_of_pytorch_takes_it(manifest: Path) -> None:
    data = pytest.importorskip("torch.utils.data")
    loader = data.DataLoader(deeptell.Dataset(manifest), batch_size=4, num_workers=2)
    (pixels, labels) = next(iter(loader))
    assert tuple(pixels.shape) == (4, 6, 5, 3) and labels.tolist() == [1, 1, 0, 0]


def test_shards_are_those_of_webdataset(manifest: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    samples = list(webdataset.WebDataset(deeptell.Dataset(manifest).shards, shardshuffle=False).decode("rgb8"))
    assert [sample["__key__"] for sample in samples] == ["0", "1"]
    assert np.array_equal(samples[1]["png"], picture(1)) and samples[1]["json"] == {}
