#!/usr/bin/env python3
"""Make the clips in `clips/` and the golden frames in `frames.json`.

    python -m venv ../../../target/goldens && ../../../target/goldens/bin/pip install -r requirements.txt
    ../../../target/goldens/bin/python make.py [--clips FOLDER] [--other CLIP...]

The clips come from FFmpeg's own test sources, by the `ffmpeg` program with libx264, libx265, libvpx, libaom and
libmp3lame. Each golden frame is the SHA-256 of its RGB bytes as `ffmpeg` itself converts them; for clips of the class `all`
(8-bit 4:2:0 of even size), PyAV and OpenCV must give the same bytes, or the script fails. `agreed` names everyone who did.

With `--other` it makes nothing and prints the goldens of other clips instead, in the same format.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

import av
import cv2

HERE = Path(__file__).parent
FFMPEG = ["ffmpeg", "-y", "-v", "error", "-nostdin", "-threads", "1"]
# The same bytes from the same encoders, and small headers.
PLAIN = ["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-threads", "1"]


def source(size="160x96", rate=25, seconds=2):
    """Moving patterns over a zoom into the Mandelbrot set: sharp edges, gradients and detail."""
    mandelbrot = f"mandelbrot=s={size}:r={rate}:start_scale=1.2:end_scale=0.02:end_pts={rate * 4}"
    pattern = f"testsrc2=s={size}:r={rate}"
    return ["-f", "lavfi", "-i", f"{mandelbrot}[m];{pattern}[t];[m][t]blend=all_mode=average", "-t", str(seconds)]


def x264(pixels="yuv420p", interval=20, *more):
    options = f"threads=1:keyint={interval}:min-keyint={interval // 2}"
    return ["-c:v", "libx264", "-preset", "medium", "-crf", "36", "-pix_fmt", pixels, "-x264-params", options, *more]


def x265(pixels, *more, colors=""):
    options = f"log-level=error:pools=none:frame-threads=1:keyint=20:min-keyint=10{colors}"
    return ["-c:v", "libx265", "-preset", "fast", "-crf", "32", "-pix_fmt", pixels, "-x265-params", options,
            "-tag:v", "hvc1", *more]  # fmt: skip


def tagged(matrix, primaries, transfer, color_range):
    return ["-colorspace", matrix, "-color_primaries", primaries, "-color_trc", transfer, "-color_range", color_range]


def matrix_filter(matrix, color_range):
    return ["-vf", f"scale=out_color_matrix={matrix}:out_range={color_range}"]


def clips():
    """File name: class of exactness, and what `ffmpeg` makes it from. `{name}` is a clip made before."""
    mpeg4 = ["-c:v", "mpeg4", "-q:v", "16", "-g", "15", "-bf", "2", "-pix_fmt", "yuv420p"]
    copy = ["-c", "copy"]
    smpte170m = tagged("smpte170m", "smpte170m", "smpte170m", "tv")
    bt709 = tagged("bt709", "bt709", "bt709", "tv")
    full709 = tagged("bt709", "bt709", "bt709", "pc")
    bt2020 = tagged("bt2020nc", "bt2020", "smpte2084", "tv")
    hdr = ":colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
    return {
        # Colors.
        "untagged.mp4": ("all", source() + x264()),
        "bt601.mp4": ("all", source() + matrix_filter("bt601", "tv") + x264() + smpte170m),
        "bt709.mp4": ("all", source() + matrix_filter("bt709", "tv") + x264() + bt709),
        "full_range.mp4": ("all", source() + matrix_filter("bt709", "pc") + x264("yuvj420p") + full709),
        # The range alone is tagged.
        "full_range_alone.mp4": ("all", source(seconds=0.8) + matrix_filter("bt601", "pc") + x264("yuvj420p") + ["-color_range", "pc"]),
        "mjpeg_full_range.avi": ("all", source(seconds=0.8) + ["-c:v", "mjpeg", "-q:v", "24", "-pix_fmt", "yuvj420p"]),
        "h264_10bit.mp4": ("ffmpeg", source() + x264("yuv420p10le")),
        "hevc_10bit.mp4": ("ffmpeg", source() + x265("yuv420p10le")),
        "bt2020_pq.mp4": ("ffmpeg", source() + x265("yuv420p10le", *bt2020, colors=hdr)),
        # Codecs and containers.
        "h264.mkv": ("all", source() + x264(interval=250)),
        "h264.ts": ("all", source() + x264() + ["-f", "mpegts"]),
        "mpeg4.avi": ("all", source() + mpeg4),
        "mpeg4.mp4": ("all", source() + mpeg4),
        "hevc.mp4": ("all", source() + x265("yuv420p")),
        "vp9.webm": ("all", source() + ["-c:v", "libvpx-vp9", "-b:v", "40k", "-g", "20", "-pix_fmt", "yuv420p"]),
        "av1.mp4": ("all", source("128x96", seconds=1.2)
                    + ["-c:v", "libaom-av1", "-cpu-used", "8", "-crf", "50", "-g", "16", "-pix_fmt", "yuv420p"]),
        "av1_full_range.mp4": ("all", source("128x96", seconds=0.8) + matrix_filter("bt709", "pc") + full709
                               + ["-c:v", "libaom-av1", "-cpu-used", "8", "-crf", "50", "-g", "16", "-pix_fmt", "yuv420p"]),
        "vp9_full_range.webm": ("all", source(seconds=0.8) + matrix_filter("bt709", "pc") + full709
                                + ["-c:v", "libvpx-vp9", "-b:v", "40k", "-g", "20", "-pix_fmt", "yuv420p"]),
        "open_gop.mp4": ("all", source() + x264()[:-1] + ["threads=1:keyint=12:min-keyint=12:open-gop=1"]),
        "interlaced.mp4": ("all", source("160x96", 50) + ["-vf", "interlace"] + x264() + ["-flags", "+ilme+ildct"]),
        # Sizes and orientation: the name says by how much a player turns the picture clockwise.
        "odd_444.mp4": ("ffmpeg", source() + ["-vf", "scale=99:75"] + x264("yuv444p")),
        "odd_420.webm": ("ffmpeg", source() + ["-vf", "scale=101:75"]
                         + ["-c:v", "libvpx-vp9", "-b:v", "40k", "-g", "20", "-pix_fmt", "yuv420p"]),
        "width_66.mp4": ("all", source("66x50") + x264()),
        "width_90.avi": ("all", source("90x34") + mpeg4),
        "width_500.mp4": ("all", source("500x120", seconds=0.8) + x264()),
        "turned_270.mp4": ("ffmpeg", ["-i", "{width_66.mp4}", *copy, "-metadata:s:v:0", "rotate=90"]),
        "turned_180.mp4": ("ffmpeg", ["-i", "{width_66.mp4}", *copy, "-metadata:s:v:0", "rotate=180"]),
        "turned_90.mp4": ("ffmpeg", ["-i", "{width_66.mp4}", *copy, "-metadata:s:v:0", "rotate=270"]),
        # Times.
        "vfr.mp4": ("all", source(seconds=3) + ["-vf", "select='not(mod(n,3))+lt(mod(n,40),9)'", "-vsync", "vfr"] + x264()),
        "vfr.mkv": ("all", ["-i", "{vfr.mp4}", *copy]),
        # A pause of twenty seconds, and three pictures of a screen that rarely changes.
        "pause.mp4": ("all", source(seconds=60) + ["-vf", "setpts='(N+if(gte(N,15),500,0))/25/TB'", "-vsync", "vfr",
                                                         "-frames:v", "30"] + x264()),
        "pause.mkv": ("all", ["-i", "{pause.mp4}", *copy]),
        "rare.mp4": ("all", source(seconds=60) + ["-vf", "select='not(mod(n,10))',setpts='(7.5*N*N+12.5*N)/TB'", "-vsync", "vfr",
                                                        "-frames:v", "3"] + x264()),
        "rare.mkv": ("all", ["-i", "{rare.mp4}", *copy]),
        "edit_list.mp4": ("all", ["-ss", "0.9", "-i", "{untagged.mp4}", *copy]),
        "fragmented.mp4": ("all", ["-i", "{untagged.mp4}", *copy, "-movflags", "frag_keyframe+empty_moov+default_base_moof"]),
        "late_start.mp4": ("all", ["-itsoffset", "1.3", "-i", "{untagged.mp4}", *copy]),
        "live.mkv": ("all", ["-i", "{untagged.mp4}", *copy, "-live", "1"]),
        "raw.h264": ("all", ["-i", "{untagged.mp4}", *copy, "-bsf:v", "h264_mp4toannexb", "-f", "h264"]),
        "one_frame.mp4": ("all", source(seconds=0.04) + x264()),
        # Streams beside the video.
        "thumbnail_first.mkv": ("ffmpeg", ["-f", "lavfi", "-i", "testsrc2=s=16x16:r=25", "-i", "{h264.mkv}",
                                           "-map", "0:v", "-map", "1:v", "-t", "2",
                                           "-c:v:0", "mpeg4", "-c:v:1", "copy"]),
        # Two angles; the mark says which one players show.
        "two_streams.mp4": ("ffmpeg", ["-i", "{width_66.mp4}", "-i", "{turned_180.mp4}", "-map", "0:v", "-map", "1:v", *copy]),
        "second_is_default.mkv": ("none", ["-i", "{h264.mkv}", "-i", "{vfr.mkv}", "-map", "0:v", "-map", "1:v", *copy,
                                           "-disposition:v:0", "0", "-disposition:v:1", "default"]),
        "cover_art.mp3": ("none", ["-f", "lavfi", "-i", "sine=440", "-i", "{cover.jpg}", "-t", "1", "-map", "0", "-map", "1",
                                   "-c:a", "libmp3lame", "-b:a", "32k", "-c:v", "copy", "-disposition:v", "attached_pic"]),
        "sound.mp4": ("none", ["-f", "lavfi", "-i", "sine=440", "-t", "1", "-c:a", "aac", "-b:a", "32k"]),
    }  # fmt: skip


def make_clips(folder):
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as spare:
        cover = Path(spare) / "cover.jpg"
        subprocess.run(FFMPEG + source("64x64") + ["-frames:v", "1", "-q:v", "20", str(cover)], check=True)
        for name, (_, arguments) in clips().items():
            words = [str(cover) if word == "{cover.jpg}" else word for word in arguments]
            words = [str(folder / word[1:-1]) if word.startswith("{") else word for word in words]
            subprocess.run(FFMPEG + words + PLAIN + [str(folder / name)], check=True)


def by_ffmpeg(clip, shape, number):
    command = ["ffmpeg", "-v", "error", "-nostdin", "-threads", "1", "-i", str(clip), "-map", f"0:{number}",
               "-vsync", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]  # fmt: skip
    output = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    size = 3 * shape[0] * shape[1]
    return [output[at : at + size] for at in range(0, len(output), size)]


def by_pyav(clip, _, number):
    with av.open(str(clip)) as container:
        return [frame.to_ndarray(format="rgb24").tobytes() for frame in container.decode(container.streams[number])]


def by_opencv(clip, _, number):
    capture = cv2.VideoCapture(str(clip), cv2.CAP_FFMPEG)
    frames = []
    while True:
        there, frame = capture.read()
        if not there:
            return frames
        frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB).tobytes())


def facts(clip):
    """Number of the largest video stream, size as shown, and presentation times in seconds from the first frame.

    AVI and bare streams store no such times: frames follow each other at the declared rate.
    """
    probe = ["ffprobe", "-v", "error", "-print_format", "json", "-show_streams", "-select_streams", "v", str(clip)]
    streams = json.loads(subprocess.run(probe, stdout=subprocess.PIPE, check=True).stdout)["streams"]
    best = max(range(len(streams)), key=lambda at: streams[at]["width"] * streams[at]["height"])
    stream = streams[best]
    turns = [round(float(data["rotation"])) for data in stream.get("side_data_list", []) if "rotation" in data]
    size = (stream["width"], stream["height"])
    if turns and turns[0] % 180:
        size = size[::-1]
    probe = ["ffprobe", "-v", "error", "-print_format", "json", "-select_streams", f"v:{best}",
             "-show_entries", "frame=pts_time", str(clip)]  # fmt: skip
    frames = json.loads(subprocess.run(probe, stdout=subprocess.PIPE, check=True).stdout)["frames"]
    times = [float(frame["pts_time"]) for frame in frames if "pts_time" in frame]
    if len(times) < len(frames):
        times = [float(number / Fraction(stream["avg_frame_rate"])) for number in range(len(frames))]
    seconds = [round(time - times[0], 6) for time in times]
    return stream["index"], size, seconds


def golden(clip, exactness):
    number, (width, height), seconds = facts(clip)

    def digests(frames):
        return [hashlib.sha256(frame).hexdigest() for frame in frames]

    expected = digests(by_ffmpeg(clip, (width, height), number))
    tool = subprocess.run(["ffmpeg", "-version"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[2]
    agreed = [f"ffmpeg {tool.split('-')[0]}"]
    for name, package, decode in (("PyAV", "av", by_pyav), ("OpenCV", "opencv-python-headless", by_opencv)):
        frames = decode(clip, (width, height), number)
        if digests(frames) == expected:
            agreed.append(f"{name} {version(package)}")
        elif exactness == "all" and frames:  # OpenCV's own FFmpeg has no decoder for AV1.
            sys.exit(f"{clip.name}: {name} gives other frames than ffmpeg")
    return {"width": width, "height": height, "agreed": agreed, "seconds": seconds, "sha256": expected}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, default=HERE / "clips", help="where the clips are put")
    parser.add_argument("--other", type=Path, nargs="+", help="print the goldens of these clips, make nothing")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    if arguments.other:
        goldens = {str(clip): golden(clip, "ffmpeg") for clip in arguments.other}
        print(json.dumps(goldens, indent=1))
        return
    make_clips(arguments.clips)
    goldens = {
        name: golden(arguments.clips / name, exactness)
        for name, (exactness, _) in clips().items()
        if exactness != "none"
    }
    # One line per clip.
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(one)}" for name, one in goldens.items())
    (HERE / "frames.json").write_text(f"{{\n{lines}\n}}\n")
    for name, one in goldens.items():
        print(f"{name}: {one['width']}x{one['height']}, {len(one['sha256'])} frames, {', '.join(one['agreed'])}")


if __name__ == "__main__":
    main()
