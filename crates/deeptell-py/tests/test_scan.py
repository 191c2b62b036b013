"""Scans: the numbers of the command line, inputs of every kind, progress, errors."""

from __future__ import annotations

import errno
import io
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import deeptell
from conftest import SAMPLE


def test_every_clip_gives_the_report_of_the_command_line(reports: dict[str, str]) -> None:
    clips = sorted(str(path) for path in SAMPLE.glob("*/*.mp4"))
    assert clips == sorted(reports)
    for result in deeptell.scan_many(clips):
        assert result.error is None and result.report is not None
        assert result.report.to_json() == reports[result.path]


def test_a_file_in_memory_scores_as_on_disk(clip: str) -> None:
    on_disk = deeptell.scan(clip, 3)
    contents = Path(clip).read_bytes()
    with open(clip, "rb") as file:
        inputs = {"bytes": contents, "nasa-collins.mp4": file}
        for name, given in inputs.items():
            report = deeptell.scan(given, 3)
            assert report.input["name"] == name and report.input.get("path") is None
            assert report.observations == on_disk.observations
            assert report.input["sha256"] == on_disk.input["sha256"]
    assert deeptell.scan(bytearray(contents), 3).observations == on_disk.observations
    assert deeptell.scan(io.BytesIO(contents), 3, name="upload").input["name"] == "upload"


def test_frames_in_memory_score_as_those_of_the_file(clip: str) -> None:
    on_disk = deeptell.scan(clip, 4)
    frames = deeptell.frames(clip, 4)
    assert [frame.pts_seconds for frame in frames] == [frame["pts_seconds"] for frame in on_disk.frames]
    assert [frame.number for frame in frames] == [frame["index"] for frame in on_disk.frames]
    assert deeptell.scan(frames).observations == on_disk.observations
    stacked = np.stack([frame.image for frame in frames])
    assert deeptell.scan(stacked, fps=2).observations[0]["logit"] == on_disk.observations[0]["logit"]
    with pytest.raises(deeptell.OptionError, match="fps"):
        deeptell.scan(stacked)


def test_an_array_a_view_and_a_pillow_image_are_one_picture(clip: str, tmp_path: Path) -> None:
    picture = deeptell.frames(clip, 1)[0].image
    expected = deeptell.scan(picture)
    assert expected.verdict != "no_face" and expected.input["kind"] == "image"
    bgr = np.ascontiguousarray(picture[..., ::-1])
    views = [
        bgr[..., ::-1],
        np.asfortranarray(picture),
        np.pad(picture, ((5, 5), (7, 7), (0, 0)))[5:-5, 7:-7],
        np.ascontiguousarray(picture[::-1])[::-1],
        np.repeat(picture, 2, axis=1)[:, ::2],
        Image.fromarray(picture),
        Image.fromarray(np.dstack([picture, picture[..., 0]])),
    ]
    for view in views:
        assert deeptell.scan(view) == expected
    assert deeptell.scan(bgr).observations != expected.observations
    # Pillow leaves a picture as it is stored; a scan turns it as its EXIF data say.
    turned = tmp_path / "turned.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(picture)).save(turned, exif=exif)
    assert deeptell.scan(Image.open(turned)).observations == expected.observations
    assert deeptell.scan(turned).observations == expected.observations


def test_the_stages_give_what_the_scan_gives(clip: str) -> None:
    report = deeptell.scan(clip, 3)
    detector = deeptell.Detector()
    crops = []
    for frame, facts in zip(deeptell.frames(clip, 3), report.frames):
        faces = deeptell.faces(frame.image)
        assert len(faces) == facts["faces"] >= 1
        crops.append(detector.crop(frame.image, faces[0]))
    seen = report.observations
    assert np.abs(detector.score(crops) - [face["fake_probability"] for face in seen]).max() < 1e-6
    face = faces[0]
    assert isinstance(face, deeptell.Face) and 0.9 <= face.probability <= 1
    bbox = seen[-1]["bbox"]
    assert np.array_equal(np.float32(face.bbox), np.float32([bbox[side] for side in ("x1", "y1", "x2", "y2")]))
    assert np.array_equal(detector.crop(frame.image, seen[-1]), crops[-1])
    size = detector.card["crop"]["size"]
    assert crops[0].shape == (size, size, 3) and crops[0].dtype == np.uint8
    assert detector.score([]).shape == (0,)
    with pytest.raises(ValueError, match="outside|touch|beyond|face"):
        detector.crop(frame.image, face._replace(bbox=(-900.0, -900.0, -800.0, -800.0)))
    with pytest.raises(ValueError, match="cut faces out"):
        detector.score([frame.image])


def test_arrays_are_given_without_a_copy(clip: str) -> None:
    image = deeptell.frames(clip, 1)[0].image
    assert image.flags["C_CONTIGUOUS"] and image.flags["WRITEABLE"] and image.base is not None


@pytest.mark.parametrize(
    ("shape", "dtype", "kind", "words"),
    [
        ((8, 8, 3), np.float32, TypeError, "uint8.*float32"),
        ((8, 8), np.uint8, ValueError, r"\(height, width, 3\).*\(8, 8\).*gray"),
        ((8, 8, 4), np.uint8, ValueError, r"\(8, 8, 4\).*alpha"),
        ((3, 8, 8), np.uint8, ValueError, r"\(3, 8, 8\).*transpose"),
        ((0, 8, 3), np.uint8, ValueError, "no pixels"),
        ((8, 8, 5), np.uint8, ValueError, r"\(8, 8, 5\)"),
    ],
)
def test_other_arrays_are_refused_in_plain_words(
    shape: tuple[int, ...], dtype: type, kind: type[Exception], words: str
) -> None:
    pixels = np.zeros(shape, dtype)
    for refusing in (deeptell.scan, deeptell.faces):
        with pytest.raises(kind, match=words):
            refusing(pixels)


@pytest.mark.parametrize("shape", [(100_000, 100_000, 3), (1, 40_000, 3)])
def test_arrays_beyond_the_limit_are_refused_before_they_are_copied(shape: tuple[int, ...]) -> None:
    pixels = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), shape)
    for refusing in (deeptell.scan, deeptell.faces):
        with pytest.raises(ValueError, match=f"{shape[1]} by {shape[0]} pixels exceeds the limit"):
            refusing(pixels)


def test_other_inputs_are_refused_in_plain_words(clip: str) -> None:
    with pytest.raises(TypeError, match="found int"):
        deeptell.scan(5)
    with open(__file__, encoding="utf-8") as text, pytest.raises(TypeError, match="'rb'"):
        deeptell.scan(text)
    with pytest.raises(TypeError, match="no option `frame`"):
        deeptell.scan(clip, frame=3)
    with pytest.raises(TypeError, match="several paths"):
        deeptell.scan_many(clip)


def test_errors_say_whose_fault_it_is(clip: str, tmp_path: Path) -> None:
    missing = tmp_path / "missing.mp4"
    with pytest.raises(deeptell.InputError, match="missing.mp4") as raised:
        deeptell.scan(missing)
    assert isinstance(raised.value, OSError) and raised.value.errno == errno.ENOENT
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all" * 100)
    for refusing in (deeptell.scan, deeptell.frames):
        with pytest.raises(deeptell.InputError, match="broken.mp4"):
            refusing(broken)
    with pytest.raises(deeptell.InputError):
        deeptell.scan(b"")
    with pytest.raises(deeptell.ModelError, match="broken.mp4") as no_model:
        deeptell.Detector(broken)
    assert isinstance(no_model.value, ValueError)
    for options in ({"frames": 0}, {"frames": -3}, {"min_face": 1.0}, {"max_side": 10}, {"stream": -1}):
        with pytest.raises(deeptell.OptionError, match=next(iter(options))):
            deeptell.scan(clip, **options)
    for threads in (0, -1, 10**6):
        with pytest.raises(deeptell.OptionError, match="threads"):
            deeptell.Detector(threads=threads)
    with pytest.raises(deeptell.OptionError, match="`n` is 0"):
        deeptell.frames(clip, 0)


def test_one_broken_file_does_not_end_the_rest(clip: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all" * 100)
    heard = []
    paths = [clip, str(broken), clip]
    results = list(
        deeptell.scan_many(paths, workers=3, frames=2, progress=lambda done, total: heard.append((done, total)))
    )
    assert heard == [(1, 3), (2, 3), (3, 3)]
    assert sorted(result.path for result in results) == sorted(paths)
    for result in results:
        if result.path == clip:
            assert result.report is not None and len(result.report.frames) == 2
        else:
            assert result.report is None and isinstance(result.error, deeptell.InputError)
    for options in ({"frames": 0}, {"workers": 0}):
        with pytest.raises(deeptell.OptionError):
            deeptell.scan_many(paths, **options)


def test_results_come_while_paths_do_and_end_when_the_reader_leaves(clip: str) -> None:
    taken = []

    def endless():
        while True:
            taken.append(clip)
            yield clip

    results = deeptell.scan_many(endless(), workers=2, frames=1)
    assert taken == []
    assert next(results).error is None
    results.close()
    assert 2 <= len(taken) <= 4
    failing = deeptell.scan_many([clip] * 5, workers=1, frames=1, progress=lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        next(failing)


@pytest.mark.parametrize("threads", [None, 1, 2])
def test_progress_is_told_and_may_end_the_scan(clip: str, threads: int | None) -> None:
    detector = deeptell.Detector(threads=threads)
    heard: list[deeptell.Progress] = []
    callers = set()

    def listen(progress: deeptell.Progress) -> None:
        heard.append(progress)
        callers.add(threading.get_ident())

    report = detector.scan(clip, 3, progress=listen)
    assert report == deeptell.scan(clip, 3)
    assert callers == {threading.get_ident()}
    assert [at.frames_done for at in heard] == sorted(at.frames_done for at in heard)
    assert heard[-1] == deeptell.Progress(3, 3, len(report.observations))

    class Enough(Exception):
        pass

    enough = Enough("two")

    def stop(progress: deeptell.Progress) -> None:
        if progress.frames_done == 2:
            raise enough

    with pytest.raises(Enough) as raised:
        detector.scan(clip, progress=stop)
    assert raised.value is enough
    # The detector is as good as before.
    assert detector.scan(clip, 3) == report


def test_threads_of_ones_own_do_one_thing_at_a_time(clip: str) -> None:
    detector = deeptell.Detector(threads=1)
    picture = deeptell.frames(clip, 1)[0].image
    with pytest.raises(RuntimeError, match="one thing at a time"):
        detector.scan(clip, 2, progress=lambda _: detector.faces(picture))
    expected = detector.scan(clip, 2)
    found = []
    threads = [threading.Thread(target=lambda: found.append(detector.scan(clip, 2))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 3
    # The shared ones may be called within each other.
    inner = []
    deeptell.scan(clip, 2, progress=lambda _: inner.append(deeptell.faces(picture)))
    assert len(inner) >= 3 and all(faces == inner[0] for faces in inner)


def test_other_threads_run_during_a_scan(clip: str) -> None:
    rounds, is_over = 0, threading.Event()

    def count() -> None:
        nonlocal rounds
        while not is_over.is_set():
            rounds += 1

    thread = threading.Thread(target=count)
    calls = []
    thread.start()
    try:
        deeptell.scan(clip, 3, progress=lambda _: calls.append(rounds))
    finally:
        is_over.set()
        thread.join()
    assert all(later > earlier for earlier, later in zip(calls, calls[1:]))
