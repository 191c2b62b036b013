"""The parts of a report, as they are in its JSON form.

Written by `cargo xtask python types` from the JSON Schema of reports; `cargo xtask check` compares it.
"""

from typing import Dict, List, Literal, Optional, TypedDict, Union


class _FaceDetectorId(TypedDict):
    name: str
    """Name of the method and its weights, for example `mtcnn`."""


class FaceDetectorId(_FaceDetectorId, total=False):
    """A face detector and its settings, as recorded with the boxes it made.

    Two detectors with the same id return the same boxes for the same image.
    """

    settings: Dict[str, str]
    """Every setting that changes the boxes, by name."""


class _FrameFacts(TypedDict):
    faces: int
    """Faces found in it, also those that `ScanOptions::max_faces_per_frame` left out."""
    height: int
    """Height of the frame as it was judged, in pixels."""
    pts_seconds: float
    """When it is shown, in seconds from the start; 0 for a picture."""
    width: int
    """Width of the frame as it was judged, in pixels: the space of the boxes."""


class FrameFacts(_FrameFacts, total=False):
    """A sampled frame."""

    index: Optional[int]
    """Number of the frame within the whole video, from 0, where it is known."""

InputKind = Literal["video", "image", "frames"]
"""Kinds of input; in JSON in `snake_case`."""


class _InputFacts(TypedDict):
    kind: InputKind
    """Video, image, or frames from the caller."""
    name: str
    """File name without its folder, or the name the caller gave. Not to be trusted: show it escaped."""


class InputFacts(_InputFacts, total=False):
    """What was scanned."""

    bytes: Optional[int]
    """Size of the file."""
    codec: Optional[str]
    """Video codec, for example `h264`."""
    container: Optional[str]
    """Container or image format, for example `mov,mp4,m4a,3gp,3g2,mj2` or `png`."""
    decoder: Optional[str]
    """What decoded the frames, where that is not deeptell itself, for example `browser`: its pixels differ
    slightly, and so do scores.
    """
    duration_seconds: Optional[float]
    """Length of the video."""
    frame_count: Optional[int]
    """Frames in the whole video, where the container says so."""
    frames_per_second: Optional[float]
    """Average frame rate of the video."""
    height: Optional[int]
    """Height as shown, in pixels, before any scaling down."""
    path: Optional[str]
    """The path as it was given; `None` for pixels from memory."""
    sha256: Optional[str]
    """SHA-256 of the whole file in lower-case hexadecimal; `None` for pixels from memory or when
    `ScanOptions::sha256` is off.
    """
    width: Optional[int]
    """Width as shown, in pixels, before any scaling down."""

Architecture = Literal["mobilenet-v3-small", "mobilenet-v3-large"]
"""The architecture of a network; in files its name, for example `mobilenet-v3-small`."""


class FaceCrop(TypedDict):
    """How to cut a face out of its frame, in training and in inference.

    Without alignment the crop is the square around the box's center whose side is `scale` times the longer
    side of the box. With it, the crop is turned and sized so that the five landmarks lie on a frontal
    template; `scale` then has the same meaning, because the template's unit is the height that MTCNN gives
    a frontal face.
    """

    align: bool
    """Turn the face upright by its landmarks."""
    scale: float
    """Side of the crop, as a multiple of the longer side of the face box."""
    size: int
    """Side of the square crop, in pixels of the result."""

HeatMapMethod = Literal["class_activation", "localization"]
"""How the `HeatMap`s of a model are made."""


class Calibration(TypedDict):
    """Platt scaling (Platt 1999): `probability = sigmoid(slope * logit + intercept)`."""

    intercept: float
    """Added after it."""
    slope: float
    """Factor on the logit; positive."""


class Thresholds(TypedDict):
    """Where a probability says real, where it says fake; between them it says neither."""

    high: float
    """Likely fake at or over this; in `0..=1`, over `low`."""
    low: float
    """Likely real at or under this; in `0..=1`."""


class CropLevel(TypedDict):
    """How one crop is judged."""

    calibration: Calibration
    """From the network's logit to a probability."""
    thresholds: Thresholds
    """Where the probability of one crop says real or fake."""

Aggregation = Literal["mean"]
"""How the probabilities of a person's frames become one score; in JSON in `snake_case`."""


class AggregatePersonScoring(TypedDict):
    """A summary of the calibrated probabilities of the crops, as in files of format 1."""

    aggregate: Aggregation


class _PersonCalibration(TypedDict):
    intercept: float
    """Added to the sum."""
    mean_logit: float
    """Coefficient of `PersonFeatures::mean_logit`; positive."""


class PersonCalibration(_PersonCalibration, total=False):
    """A logistic model of one person over all frames: the probability is the sigmoid of `intercept` plus the
    sum of each coefficient times its feature (`PersonFeatures`). A coefficient of 0, the default, leaves
    its feature out.
    """

    blur: float
    """Coefficient of `PersonFeatures::blur`."""
    log2_face_width: float
    """Coefficient of `PersonFeatures::log2_face_width`."""
    log_frames: float
    """Coefficient of `PersonFeatures::log_frames`."""
    logit_deviation: float
    """Coefficient of `PersonFeatures::logit_deviation`."""


class LogisticPersonScoring(TypedDict):
    """A logistic model of the person as a whole."""

    logistic: PersonCalibration

PersonScoring = Union[
    AggregatePersonScoring,
    LogisticPersonScoring,
]
"""How the frames of a person become one probability.

In JSON `{"aggregate": "mean"}` or `{"logistic": {"intercept": ..., "mean_logit": ..., ...}}`.
"""


class Criteria(TypedDict):
    """How a person is judged: their score, its thresholds, and when there is too little to judge.

    Chosen on validation data together with the weights, and kept in the model file (`Levels::person`).
    """

    max_blur: float
    """A face whose median blur is over this is not judged; in `0..=1`, and 1 judges all."""
    min_crop_width: float
    """A face whose median crop is narrower than this many pixels is not judged."""
    min_frames: int
    """A face seen in fewer sampled frames is not judged. In inputs that have fewer (a picture has one frame)
    every frame must show it.
    """
    scoring: PersonScoring
    """How a person's frames become one score."""
    thresholds: Thresholds
    """Where that score is `Verdict::LikelyReal` and `Verdict::LikelyFake`."""


class Levels(TypedDict):
    """Calibration and thresholds at each level at which something is judged."""

    crop: CropLevel
    """One face in one frame."""
    person: Criteria
    """One person over all frames that show them: what verdicts rest on."""


class _Measure(TypedDict):
    name: str
    """What was measured and on what, for example `AUC-ROC, DFDC faces, validation sources`."""
    value: float
    """The figure."""


class Measure(_Measure, total=False):
    """One measured figure of a model card."""

    high: Optional[float]
    """Upper end of its 95% interval."""
    low: Optional[float]
    """Lower end of its 95% interval, where there is one."""


class Normalization(TypedDict):
    """How pixels become a network's input: `(value / 255 - mean) / deviation`, for red, green and blue."""

    deviation: List[float]
    """Divided by; positive."""
    mean: List[float]
    """Subtracted, in `0..=1`."""


class _OutOfDistribution(TypedDict):
    limit: float
    """Crops farther from the training data than this are out of distribution; positive."""


class OutOfDistribution(_OutOfDistribution, total=False):
    """How unlike the training data a crop may be before its score means nothing.

    The distance is that of Mahalanobis between the crop's embedding `x` and the mean `m` of the training
    data: `sqrt(sum(p * (x - m)^2) + |F (x - m)|^2)`. The tensors lie in the model file, in 32-bit floats:
    `m` under `MEAN`, the diagonal `p` under `PRECISION`, and, where `rank` is not 0, `F` under `FACTOR`.
    """

    rank: int
    """Rows of the low-rank part of the inverse covariance, at most `Self::MAX_RANK`; 0 when the diagonal is
    all of it.
    """


class View(TypedDict):
    """A variant of a face crop. The average over several views varies less: evidence that appears in one
    framing or one orientation only is seldom a trace of manipulation.

    Averaging over mirrored and shifted framings is the usual test-time augmentation (Krizhevsky et al.
    2012, section 4.1).
    """

    mirrored: bool
    """Flipped horizontally."""
    zoom: float
    """Magnification about the center, in `1..=4`: 1 shows the whole crop, 2 its inner half."""


class _ModelCard(TypedDict):
    architecture: Architecture
    """The network that the weights belong to."""
    crop: FaceCrop
    """How faces were cut for training, and so must be cut for it."""
    face_detector: FaceDetectorId
    """What found the faces that it was trained and calibrated on; without settings when they were not
    recorded.
    """
    format_version: int
    """Version of the card's form: `ModelCard::FORMAT_VERSION` in every card that was read, as older ones are
    brought up to date.
    """
    levels: Levels
    """Calibration and thresholds of single crops and of people."""
    limits: List[str]
    """What it cannot do, one sentence each."""
    measures: List[Measure]
    """How well it does, on which data."""
    name: str
    """Name of the model, for example `deeptell-mnv3s`."""
    normalization: Normalization
    """How pixels become the network's input."""
    summary: str
    """One sentence on what it does."""
    trained_on: str
    """What it was trained on, and how, in a sentence or two."""
    views: List[View]
    """Test-time augmentation: the views of a crop that the logit is averaged over; 1 to
    `ModelCard::MAX_VIEWS`.
    """


class ModelCard(_ModelCard, total=False):
    """The machine-readable model card: all that a detector needs besides its weights, and what people should
    know about it. It travels inside the model file.

    This is format 2. Cards of format 1, which had one calibration and one pair of thresholds for
    everything, are read as if both levels had been given them.
    """

    heat_maps: HeatMapMethod
    """How the parts of a crop that indicate manipulation are found."""
    out_of_distribution: Optional[OutOfDistribution]
    """How unlike the training data a crop may be; absent when the file has no model of that."""
    seed: Optional[int]
    """Seed of the training run; absent in files that do not say."""


class _ModelInfo(TypedDict):
    card: ModelCard
    """What the file says about itself."""
    sha256: str
    """SHA-256 of the model file in lower-case hexadecimal."""


class ModelInfo(_ModelInfo, total=False):
    """The model that gave the scores."""

    precision: str
    """The number format that it computed in: `f32`, `bf16` or `f16`; absent for `f32`."""


class Rect(TypedDict):
    """An axis-aligned box given by its corners, in pixels.

    It may reach beyond its image: face detectors extrapolate faces over the edge. A box whose `x2 <= x1`
    or `y2 <= y1` is empty and has area 0.
    """

    x1: float
    """Left edge."""
    x2: float
    """Right edge (exclusive)."""
    y1: float
    """Top edge."""
    y2: float
    """Bottom edge (exclusive)."""


class Point(TypedDict):
    """A position in an image, in pixels: x to the right, y down."""

    x: float
    """Pixels from the left edge."""
    y: float
    """Pixels from the top edge."""


class Landmarks(TypedDict):
    """The five landmarks of a face, in pixels.

    Left and right are those of the picture, not of the person.
    """

    left_eye: Point
    """Center of the eye on the left of the picture."""
    mouth_left: Point
    """Corner of the mouth on the left of the picture."""
    mouth_right: Point
    """Corner of the mouth on the right of the picture."""
    nose: Point
    """Tip of the nose."""
    right_eye: Point
    """Center of the eye on the right of the picture."""


class Observation(TypedDict):
    """One face in one frame."""

    bbox: Rect
    """The face's box, in pixels of the frame."""
    blur: float
    """How blurred the cut-out is, from 0, sharp, to 1 (`deeptell_face::blur_effect`); a face that had to be
    enlarged is blurred too.
    """
    crop_width: float
    """Side of the square that was cut out, in pixels of the frame: how much detail there was."""
    detection_probability: float
    """Probability of a face, by the face detector, in `0..=1`."""
    fake_probability: float
    """Calibrated probability that this face is manipulated, in `0..=1`."""
    frame: int
    """Which of `Report::frames`, from 0."""
    landmarks: Landmarks
    """Eyes, nose and mouth corners, in pixels of the frame."""
    logit: float
    """Logit of the network, unbounded; higher means more likely fake."""
    person: int
    """`Person::id` of the person it belongs to."""
    pts_seconds: float
    """When that frame is shown, in seconds from the start."""


class ScanOptions(TypedDict, total=False):
    """Options of a scan.

    ``` let thorough = deeptell::ScanOptions::default().frames(32).min_face(24.0);
    assert_eq!(thorough.frames, 32); assert!(thorough.check().is_ok()); ```
    """

    batch: int
    """How many faces go through the network at once."""
    evidence: bool
    """Also draw what the verdict rests on, for people (`Evidence`): thumbnails of frames and faces, and heat
    maps, which take another pass of the network over each face.
    """
    frames: int
    """How many frames to sample from a video, spread evenly over it."""
    max_faces_per_frame: int
    """Of each frame only this many faces are judged, the largest first."""
    max_side: Optional[int]
    """Frames and pictures whose longer side is over this many pixels are scaled down first; `None` takes them
    as they are.
    """
    min_detection_probability: float
    """Faces that the face detector is less sure of are left out; in `0..=1`."""
    min_face: float
    """Faces smaller than this many pixels (height, after scaling down) are not looked for; at least 12.
    Halving it makes face detection about four times as much work.
    """
    sha256: bool
    """Hash the file."""
    stream: Optional[int]
    """Which stream of a video to sample, numbered from 0 among all streams of the file; `None` takes the one
    that players show.
    """


class TimeRange(TypedDict):
    """From one sampled frame to another, both of them included."""

    first_pts_seconds: float
    """Time of the first frame, in seconds."""
    last_pts_seconds: float
    """Time of the last one."""


class ScoreHighReason(TypedDict):
    """The score reaches the upper threshold."""

    text: str
    """The same as an English sentence, for people."""
    code: Literal["score_high"]
    score: float
    """The score, in `0..=1`."""
    threshold: float
    """The upper threshold, in `0..=1`."""


class ScoreBetweenReason(TypedDict):
    """The score lies between the thresholds."""

    text: str
    """The same as an English sentence, for people."""
    code: Literal["score_between"]
    high: float
    """The upper threshold, in `0..=1`."""
    low: float
    """The lower threshold, in `0..=1`."""
    score: float
    """The score, in `0..=1`."""


class ScoreLowReason(TypedDict):
    """The score is at or under the lower threshold."""

    text: str
    """The same as an English sentence, for people."""
    code: Literal["score_low"]
    score: float
    """The score, in `0..=1`."""
    threshold: float
    """The lower threshold, in `0..=1`."""


class FewFramesReason(TypedDict):
    """The face was seen in too few frames to judge it."""

    text: str
    """The same as an English sentence, for people."""
    code: Literal["few_frames"]
    needed: int
    """Sampled frames that must show it."""
    sampled: int
    """Sampled frames in all."""
    seen: int
    """Sampled frames that show it."""


class SmallFaceReason(TypedDict):
    """The face is too small to judge it."""

    text: str
    """The same as an English sentence, for people."""
    code: Literal["small_face"]
    crop_width: float
    """Median width of its crops, in pixels of the frame."""
    min_crop_width: float
    """The narrowest that is judged."""


class BlurredFaceReason(TypedDict):
    """The face is too blurred, or too strongly compressed, to judge it."""

    text: str
    """The same as an English sentence, for people."""
    blur: float
    """Median blur of its crops, in `0..=1`."""
    code: Literal["blurred_face"]
    max_blur: float
    """The most blurred that is judged."""


class AgreementReason(TypedDict):
    """How the single frames relate to the score."""

    text: str
    """The same as an English sentence, for people."""
    code: Literal["agreement"]
    frames: int
    """Sampled frames that show the person."""
    over_half: int
    """Frames that score over one half by themselves."""


class PersonReason(TypedDict):
    """Which person the verdict rests on, and when they are seen."""

    text: str
    """The same as an English sentence, for people."""
    code: Literal["person"]
    person: int
    """`Person::id`; in sentences and on pages people are numbered from 1."""
    ranges: List[TimeRange]
    """When they are seen; empty for a picture."""


class OthersNotJudgedReason(TypedDict):
    """Other faces were seen that were too brief, too small or too blurred to be judged."""

    text: str
    """The same as an English sentence, for people."""
    code: Literal["others_not_judged"]
    others: int
    """How many people they are."""


class NoFaceReason(TypedDict):
    """No face was found in any frame."""

    text: str
    """The same as an English sentence, for people."""
    code: Literal["no_face"]
    sampled: int
    """Sampled frames in all."""


class PatternsNotJudgedReason(TypedDict):
    """Patterns were seen that resemble faces, but are not confirmed as such, and nothing else."""

    text: str
    """The same as an English sentence, for people."""
    code: Literal["patterns_not_judged"]
    patterns: int
    """How many."""


class NotConfirmedReason(TypedDict):
    """The face is not confirmed as one, so it does not count as a person."""

    text: str
    """The same as an English sentence, for people."""
    code: Literal["not_confirmed"]

Reason = Union[
    ScoreHighReason,
    ScoreBetweenReason,
    ScoreLowReason,
    FewFramesReason,
    SmallFaceReason,
    BlurredFaceReason,
    AgreementReason,
    PersonReason,
    OthersNotJudgedReason,
    NoFaceReason,
    PatternsNotJudgedReason,
    NotConfirmedReason,
]
"""The fields of `T` and its sentence as `text`."""

Verdict = Literal["likely_real", "inconclusive", "likely_fake", "no_face"]
"""The answer in one word.

In JSON: `likely_real`, `inconclusive`, `likely_fake`, `no_face`. There will be no others, so that a
program that acts on verdicts can handle each.
"""


class Person(TypedDict):
    """One person: faces linked across frames, and across the cuts between them."""

    first_pts_seconds: float
    """Time of the first sampled frame with this face, in seconds."""
    frames: int
    """In how many of the sampled frames the face was seen."""
    id: int
    """Number of the person, from 0, in order of first appearance."""
    is_confirmed: bool
    """Whether the face is confirmed. Lettering, a hand or a print that the face detector took for a face is
    not: it is listed after the people and never judged.
    """
    judgeable: bool
    """Whether it was seen often and large enough to be judged."""
    last_pts_seconds: float
    """Time of the last one."""
    median_blur: float
    """Median of `Observation::blur`."""
    median_crop_width: float
    """Median of `Observation::crop_width`, in pixels."""
    ranges: List[TimeRange]
    """When it is seen, in order of time. A range ends before the first sampled frame without this face; one
    in a single frame begins and ends at its time.
    """
    reasons: List[Reason]
    """Why the verdict is what it is."""
    score: float
    """Probability in `0..=1` that this person's face is manipulated, made from all frames as
    `Criteria::scoring` says.
    """
    share_over_half: float
    """Share of those frames whose own probability is over one half, in `0..=1`."""
    spread: float
    """Standard deviation of the frames' probabilities."""
    verdict: Verdict
    """The verdict on this person alone; never `Verdict::NoFace`."""


class CrowdedFramesWarning(TypedDict):
    """Some frames show more faces than `ScanOptions::max_faces_per_frame`, of which the largest were judged.
    """

    text: str
    """The same as an English sentence, for people."""
    code: Literal["crowded_frames"]
    frames: int
    """How many frames."""
    max_faces: int
    """Faces of each that were judged."""
    sampled: int
    """Sampled frames in all."""


class UncutFacesWarning(TypedDict):
    """Faces that could not be cut out of their frames as the model needs them were not judged."""

    text: str
    """The same as an English sentence, for people."""
    code: Literal["uncut_faces"]
    faces: int
    """How many."""


class OtherFaceDetectorWarning(TypedDict):
    """The model was trained and calibrated on faces that were found by another face detector, or with other
    settings: its thresholds may not hold.
    """

    text: str
    """The same as an English sentence, for people."""
    calibrated: str
    """Name of the face detector that the model was calibrated with; if it is the same, also the settings that
    differ.
    """
    code: Literal["other_face_detector"]
    used: str
    """The same of the one that found the faces."""


class NotHashedWarning(TypedDict):
    """The file is too long to be hashed in the time allowed, so the report has no SHA-256."""

    text: str
    """The same as an English sentence, for people."""
    code: Literal["not_hashed"]
    seconds: int
    """The time allowed, in seconds."""

TrailingMediaKind = Literal["video", "picture"]
"""Kinds of `TrailingMedia`."""


class PictureFollowedWarning(TypedDict):
    """After the picture, the file also contains a video or another picture, which was not scanned: motion
    photos and bursts do.
    """

    text: str
    """The same as an English sentence, for people."""
    at: int
    """Its first byte, counted from the beginning of the file."""
    bytes: int
    """Bytes from there to the end of the file."""
    code: Literal["picture_followed"]
    content: TrailingMediaKind
    """What follows."""


class CorruptPacketsWarning(TypedDict):
    """Packets that the demuxer or the decoder could not make sense of."""

    text: str
    """The same as an English sentence, for people."""
    code: Literal["corrupt_packets"]
    count: int
    """How many."""


class DamagedFrameWarning(TypedDict):
    """A frame that was handed out although the decoder had to conceal errors in it."""

    text: str
    """The same as an English sentence, for people."""
    code: Literal["damaged_frame"]
    pts_seconds: float
    """Its time in seconds from the start of the stream."""


class TruncatedWarning(TypedDict):
    """The file ends before its header says. Frames come only from the part that is there."""

    text: str
    """The same as an English sentence, for people."""
    code: Literal["truncated"]
    declared_seconds: float
    """Length the header declares, in seconds."""
    found_seconds: float
    """Length found, in seconds."""


class _CutShortWarning(TypedDict):
    text: str
    """The same as an English sentence, for people."""
    code: Literal["cut_short"]
    present_bytes: int
    """Bytes that are there."""


class CutShortWarning(_CutShortWarning, total=False):
    """The file ends before its container does. Frames come only from the part that is there."""

    total_bytes: Optional[int]
    """Bytes of the whole file; `None` where the container does not tell."""


class BytesAfterEndWarning(TypedDict):
    """Behind the end of the container stands something that was not sampled."""

    text: str
    """The same as an English sentence, for people."""
    bytes: int
    """How many bytes."""
    code: Literal["bytes_after_end"]
    is_video: bool
    """It begins like another video, as where two files were joined."""


class StreamLabel(TypedDict):
    """A video stream of a file."""

    codec: str
    """FFmpeg's name of the codec."""
    height: int
    """Coded height in pixels; 0 when unknown."""
    index: int
    """Its number among all streams of the file, from 0, as FFmpeg and its tools count."""
    width: int
    """Coded width in pixels; 0 when unknown."""


class OtherStreamsWarning(TypedDict):
    """There are other video streams, which were not sampled."""

    text: str
    """The same as an English sentence, for people."""
    code: Literal["other_streams"]
    others: List[StreamLabel]
    """The others."""
    sampled: int
    """Number of the stream that was sampled."""


class ClockJumpsWarning(TypedDict):
    """The clock of the stream jumps back or ahead, as in files that were joined. The parts are treated as if
    they followed each other without a gap.
    """

    text: str
    """The same as an English sentence, for people."""
    code: Literal["clock_jumps"]
    count: int
    """How often."""


class TimesReplacedWarning(TypedDict):
    """Times of frames contradict those around them, or the clock of the stream falls back every few frames.
    They were replaced by the times that the other frames leave for them.
    """

    text: str
    """The same as an English sentence, for people."""
    code: Literal["times_replaced"]
    count: int
    """How many; all frames where no time could be used."""


class CodecPartFault(TypedDict):
    """Its decoder is not among `Limits::codecs`."""

    code: Literal["codec"]
    is_trusted: bool
    """The default `Limits`, for trusted files, allow it."""
    name: str
    """FFmpeg's name of it."""


class FormatPartFault(TypedDict):
    """Its format is not known, or not among `Limits::containers`."""

    code: Literal["format"]


class TooLargePartFault(TypedDict):
    """Its pictures are larger than `Limits::max_pixels`."""

    code: Literal["too_large"]
    height: int
    """Height in pixels."""
    width: int
    """Width in pixels."""


class DamagedPartFault(TypedDict):
    """It cannot be decoded."""

    code: Literal["damaged"]

PartFault = Union[
    CodecPartFault,
    FormatPartFault,
    TooLargePartFault,
    DamagedPartFault,
]
"""Why a part of a joined file was not sampled. `Display` gives the end of a sentence.

In JSON an object of its fields and, as `code`, its name in `snake_case`.
"""


class PartLeftOutWarning(TypedDict):
    """The file is joined of parts, one of which was not sampled."""

    text: str
    """The same as an English sentence, for people."""
    code: Literal["part_left_out"]
    part: int
    """Its number, from 1."""
    reason: PartFault
    """Why."""


class ClockUncheckedWarning(TypedDict):
    """The file was not searched to its end for jumps of its clock, because it is too large for the time
    allowed or joined of more than 64 parts: should its clock jump there, parts of it were not sampled.
    """

    text: str
    """The same as an English sentence, for people."""
    code: Literal["clock_unchecked"]


class DurationMismatchWarning(TypedDict):
    """All declared packets are there, but they do not last as long as the header says."""

    text: str
    """The same as an English sentence, for people."""
    code: Literal["duration_mismatch"]
    declared_seconds: float
    """Length the header declares, in seconds."""
    found_seconds: float
    """Length found, in seconds."""

Warning = Union[
    CrowdedFramesWarning,
    UncutFacesWarning,
    OtherFaceDetectorWarning,
    NotHashedWarning,
    PictureFollowedWarning,
    CorruptPacketsWarning,
    DamagedFrameWarning,
    TruncatedWarning,
    CutShortWarning,
    BytesAfterEndWarning,
    OtherStreamsWarning,
    ClockJumpsWarning,
    TimesReplacedWarning,
    PartLeftOutWarning,
    ClockUncheckedWarning,
    DurationMismatchWarning,
]
"""The fields of `T` and its sentence as `text`."""


class _ReportDocument(TypedDict):
    deeptell_version: str
    """Version of this crate that made the report."""
    frames: List[FrameFacts]
    """The sampled frames, in order of time."""
    input: InputFacts
    """The file, or what is known of the frames."""
    model: ModelInfo
    """The model that gave the scores."""
    observations: List[Observation]
    """Every face that was judged, in order of time."""
    options: ScanOptions
    """The options of the scan."""
    people: List[Person]
    """The people seen, as far as position and appearance distinguish them, in order of first appearance.
    Faces that are not confirmed come last.
    """
    reasons: List[Reason]
    """Why the verdict is what it is, most important first."""
    schema_version: int
    """`SCHEMA_VERSION`."""
    verdict: Verdict
    """The answer in one word."""
    warnings: List[Warning]
    """Non-fatal problems: damaged data, faces that were skipped."""


class ReportDocument(_ReportDocument, total=False):
    """The result of one scan of one input.

    The same input, model and options give the same report, byte for byte: nothing in it depends on the
    clock or the machine. Scores and times are rounded to a millionth, so that JSON keeps them exactly.
    """

    decisive_person: Optional[int]
    """`Person::id` of the person the verdict rests on; `None` without a face."""
    face_detector: Optional[FaceDetectorId]
    """The face detector, with its settings. Reports of earlier versions do not name it."""
    score: Optional[float]
    """Probability in `0..=1` that the decisive face is manipulated; `None` without a face."""
