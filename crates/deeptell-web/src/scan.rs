//! One scan, for JavaScript: bytes in, then frames, then the result.

use std::io::Cursor;
use std::path::PathBuf;

use deeptell::{
    InputFacts, InputFrame, InputKind, Limits, PictureError, RgbImage, Scanning, VideoError, VideoWarning,
    Warning,
};
use deeptell_face::{Picture, PictureKind, read_picture, size_within};
use deeptell_files::hexadecimal;
use deeptell_video::{
    ColorTags, Cut, FrameTimes, FrameTimesReader, PixelLayout, Plane, RawPicture, Sampling, Unsupported,
};
use image::imageops;
use serde_json::json;
use sha2::{Digest, Sha256};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::failure::{refusal, thrown, thrown_for};
use crate::result::WebResult;

/// Longest side of the frame that is shown while a video is scanned, in pixels.
const PREVIEW_SIDE: u32 = 480;
/// As many bytes from the start of a file tell its kind.
const HEAD_BYTES: usize = 1024;

/// A scan of one file. Its bytes come first, through [`read`](Self::read); [`opened`](Self::opened) then says whether it
/// is a picture, which is scanned by [`scan_picture`](Self::scan_picture), or a video, whose frames the browser
/// decodes and [`scan_frame`](Self::scan_frame) takes.
#[wasm_bindgen]
#[derive(Debug)]
pub struct WebScan {
    scanning: Scanning,
    name: String,
    bytes: u64,
    hash: Sha256,
    head: Vec<u8>,
    kind: Kind,
    facts: InputFacts,
    warnings: Vec<Warning>,
    /// What is missing at the end of the file.
    cut: Option<Cut>,
    /// What the colors of the video mean, where its headers tell; browsers guess some and take others for the limited range.
    colors: Option<ColorTags>,
    /// The last frame of the video, small.
    preview: Option<RgbImage>,
}

/// What a file is by its first bytes.
#[derive(Debug)]
enum Kind {
    /// Nothing was read.
    Unknown,
    /// A picture, and all of its bytes so far.
    Picture(Vec<u8>),
    /// Something else, perhaps a video.
    Video(FrameTimesReader),
}

/// Reads a picture within the limits for files from anywhere.
pub(crate) fn read(name: &str, bytes: &[u8]) -> Result<Picture, JsValue> {
    let picture = read_picture(Cursor::new(bytes), &Limits::untrusted().pictures);
    picture.map_err(|error| thrown_for(name, error))
}

impl WebScan {
    pub(crate) fn new(scanning: Scanning, name: &str, bytes: u64) -> Self {
        Self {
            scanning,
            name: name.to_owned(),
            bytes,
            hash: Sha256::new(),
            head: Vec::new(),
            kind: Kind::Unknown,
            facts: InputFacts::new(name, InputKind::Video),
            warnings: Vec::new(),
            cut: None,
            colors: None,
            preview: None,
        }
    }

    fn refused(&self, reason: Unsupported) -> JsValue {
        thrown_for(&self.name, VideoError::Unsupported { path: PathBuf::from(&self.name), reason })
    }

    fn push(&mut self, image: RgbImage, pts_seconds: f64, index: Option<u64>) -> Result<(), JsValue> {
        let frame = InputFrame::new(image, pts_seconds);
        let frame = index.into_iter().fold(frame, InputFrame::with_index);
        self.scanning.push(&frame).map_err(|error| thrown(&error))
    }
}

#[wasm_bindgen]
impl WebScan {
    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// When the file is a picture larger than the limit.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(), JsValue> {
        self.hash.update(bytes);
        if matches!(self.kind, Kind::Unknown) {
            self.head = bytes[..bytes.len().min(HEAD_BYTES)].to_vec();
            let kind = PictureKind::of(&mut Cursor::new(bytes));
            let is_picture = kind.is_ok_and(|kind| kind.is_some_and(|kind| !kind.is_animated));
            self.kind =
                if is_picture { Kind::Picture(Vec::new()) } else { Kind::Video(FrameTimesReader::new()) };
        }
        match &mut self.kind {
            Kind::Picture(whole) => {
                let limit = Limits::untrusted().pictures.max_file_bytes;
                if self.bytes > limit {
                    let error = PictureError::FileTooLarge { bytes: self.bytes, limit };
                    return Err(thrown_for(&self.name, error));
                }
                whole.extend_from_slice(bytes);
            }
            Kind::Video(times) => times.push(bytes),
            Kind::Unknown => {}
        }
        Ok(())
    }

    /// What the file is, as JSON, once all of it was read: `{"kind": "image"}`, or `{"kind": "video", "frames": ...}` with
    /// `[index, from, until]` of each frame to sample, in seconds from the first frame; `frames` is null where the
    /// container does not tell. Of a file that was cut, `bytes` are those that hold whole frames.
    ///
    /// # Errors
    /// When the file is neither.
    pub fn opened(&mut self) -> Result<String, JsValue> {
        self.facts.bytes = Some(self.bytes);
        self.facts.sha256 = Some(hexadecimal(&std::mem::take(&mut self.hash).finalize()));
        match std::mem::replace(&mut self.kind, Kind::Unknown) {
            Kind::Picture(bytes) => {
                self.kind = Kind::Picture(bytes);
                Ok(json!({ "kind": "image" }).to_string())
            }
            Kind::Video(times) => {
                self.facts.decoder = Some("browser".to_owned());
                self.cut = times.cut();
                self.colors = times.colors();
                let Some(times) = times.finish() else {
                    if let Unsupported::OtherKind { advice } = Unsupported::by_first_bytes(&self.head) {
                        return Err(self.refused(Unsupported::OtherKind { advice }));
                    }
                    self.warnings.extend(self.cut.map(VideoWarning::from).map(Warning::from));
                    return Ok(json!({ "kind": "video", "frames": null }).to_string());
                };
                self.warnings.extend(self.cut.map(|cut| times.cut_warning(cut).into()));
                self.describe(&times);
                let wanted = times.sample(Sampling::Uniform(self.scanning.options().frames));
                let wanted = wanted.map_err(|error| thrown_for(&self.name, error))?;
                let frames: Vec<(u64, f64, f64)> = wanted
                    .iter()
                    .map(|frame| (frame.index, frame.pts_seconds, frame.until_seconds))
                    .collect();
                Ok(json!({ "kind": "video", "frames": frames, "bytes": times.whole_bytes }).to_string())
            }
            Kind::Unknown => Err(self.refused(Unsupported::by_first_bytes(&[]))),
        }
    }

    /// What is thrown for a file that the browser cannot play; `detail` is what the browser says.
    pub fn not_playable(&self, detail: &str) -> JsValue {
        match Unsupported::by_first_bytes(&self.head) {
            reason @ Unsupported::OtherKind { .. } => self.refused(reason),
            reason if self.facts.container.is_none() && !is_media(&self.head) => self.refused(reason),
            _ if let Some(cut) = self.cut => {
                let path = PathBuf::from(&self.name);
                thrown_for(&self.name, VideoError::Truncated { path, detail: cut.to_string() })
            }
            _ if self.facts.container.is_none() && has_index_at_end(&self.head) => {
                let detail = "its index is missing".to_owned();
                thrown_for(&self.name, VideoError::Corrupt { path: PathBuf::from(&self.name), detail })
            }
            _ => {
                let codec =
                    self.facts.codec.as_deref().map(|codec| format!(" ({codec})")).unwrap_or_default();
                let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
                let message = format!(
                    "this browser cannot play the file{codec}{detail}; `deeptell scan` and `deeptell serve` decode it \
                     themselves"
                );
                refusal("unsupported", &message)
            }
        }
    }

    /// What is thrown for a file that plays and shows nothing.
    pub fn not_visible(&self) -> JsValue {
        thrown_for(&self.name, VideoError::NoVideo { path: PathBuf::from(&self.name) })
    }

    /// Looks at a whole picture.
    ///
    /// # Errors
    /// When it cannot be decoded, or a network fails.
    pub fn scan_picture(&mut self) -> Result<(), JsValue> {
        let Kind::Picture(bytes) = std::mem::replace(&mut self.kind, Kind::Unknown) else {
            return Err(refusal("internal", "the file is not a picture"));
        };
        let picture = read(&self.name, &bytes)?;
        self.warnings.extend(picture.trailing.map(Warning::from));
        self.facts.kind = InputKind::Image;
        self.facts.container = Some(picture.format.name().to_owned());
        (self.facts.width, self.facts.height) = (Some(picture.full_size.0), Some(picture.full_size.1));
        self.push(picture.image, 0.0, None)
    }

    /// Looks at a frame that the browser decoded. `layout` is the format of a `VideoFrame`, `planes` are offset and
    /// stride of each of its planes in `data`, `matrix` is its code in H.273, and `turn` is how many degrees it is to be
    /// turned clockwise, before it is mirrored if `is_flipped`. `index` is its number in the video, negative where it is
    /// unknown.
    ///
    /// # Errors
    /// When the layout is unknown, the sizes contradict each other, or a network fails.
    #[expect(clippy::too_many_arguments, reason = "JavaScript calls it, with the fields of a VideoFrame")]
    pub fn scan_frame(
        &mut self,
        layout: &str,
        width: u32,
        height: u32,
        data: &[u8],
        planes: &[u32],
        matrix: u8,
        is_full_range: bool,
        turn: u32,
        is_flipped: bool,
        pts_seconds: f64,
        index: f64,
    ) -> Result<(), JsValue> {
        let layout = match layout {
            "I420" | "I420A" => PixelLayout::I420,
            "I422" => PixelLayout::I422,
            // Browsers say nothing of it.
            "I444" if self.colors.is_some_and(|colors| colors.matrix == 0) => PixelLayout::Gbr,
            "I444" => PixelLayout::I444,
            "NV12" => PixelLayout::Nv12,
            "RGBA" | "RGBX" => PixelLayout::Rgba,
            "BGRA" | "BGRX" => PixelLayout::Bgra,
            other => {
                return Err(refusal(
                    "internal",
                    &format!("the browser gives frames in the unknown format {other}"),
                ));
            }
        };
        let max_pixels = Limits::untrusted().max_pixels;
        if u64::from(width) * u64::from(height) > max_pixels {
            let message = format!(
                "its pictures have {width} x {height} pixels, and this page takes up to {} megapixels; `deeptell scan \
                 --trusted` takes larger ones, if you know where the file comes from",
                max_pixels / 1_000_000
            );
            return Err(refusal("too_large", &message));
        }
        let rest = |offset: u32| data.get(offset as usize..).unwrap_or_default();
        let planes: Vec<Plane<'_>> = planes
            .as_chunks::<2>()
            .0
            .iter()
            .map(|&[offset, stride]| Plane { data: rest(offset), stride: stride as usize })
            .take(if layout == PixelLayout::I420 { 3 } else { usize::MAX })
            .collect();
        let colors = self.colors.unwrap_or(ColorTags { matrix, is_full_range });
        let picture = RawPicture { layout, width, height, planes: &planes, colors };
        let image = picture.to_rgb().map_err(|error| refusal("internal", &error.to_string()))?;
        let image = match turn {
            90 => imageops::rotate90(&image),
            180 => imageops::rotate180(&image),
            270 => imageops::rotate270(&image),
            _ => image,
        };
        let image = if is_flipped { imageops::flip_horizontal(&image) } else { image };
        self.facts.width.get_or_insert(image.width());
        self.facts.height.get_or_insert(image.height());
        let (preview_width, preview_height) = size_within(image.dimensions(), PREVIEW_SIDE);
        self.preview = Some(imageops::thumbnail(&image, preview_width, preview_height));
        self.push(image, pts_seconds, (index >= 0.0).then_some(index as u64))
    }

    /// The width of [`preview`](Self::preview) in pixels; 0 where there is none.
    #[wasm_bindgen(getter)]
    pub fn preview_width(&self) -> u32 {
        self.preview.as_ref().map_or(0, RgbImage::width)
    }

    /// The last frame of a video, upright, with a longest side of at most 480 pixels: its rows of red, green, blue
    /// and 255.
    pub fn preview(&self) -> Vec<u8> {
        let pixels = self.preview.iter().flat_map(|image| image.pixels());
        pixels.flat_map(|pixel| [pixel.0[0], pixel.0[1], pixel.0[2], 255]).collect()
    }

    /// Takes the length of a video whose container did not tell its frames, in seconds.
    pub fn lasts(&mut self, seconds: f64) {
        if seconds.is_finite() {
            self.facts.duration_seconds.get_or_insert(rounded(seconds));
        }
    }

    /// Faces found so far.
    #[wasm_bindgen(getter)]
    pub fn faces(&self) -> usize {
        self.scanning.progress(None).faces
    }

    /// Judges what was seen.
    ///
    /// # Errors
    /// When there was no frame, or a network fails.
    pub fn finish(self) -> Result<WebResult, JsValue> {
        let Self { scanning, facts, warnings, .. } = self;
        scanning.finish(facts, warnings).map(WebResult::new).map_err(|error| thrown(&error))
    }
}

impl WebScan {
    fn describe(&mut self, times: &FrameTimes) {
        self.facts.container = Some(times.container.to_owned());
        self.facts.codec = Some(times.codec.clone());
        self.facts.duration_seconds = Some(rounded(times.duration_seconds()));
        self.facts.frames_per_second = Some(rounded(times.frames_per_second()));
        self.facts.frame_count = Some(times.count());
    }
}

/// To a millionth, as everything in a report.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

/// Whether a file begins as a video or an animation, which the program may decode where the browser does not.
fn is_media(head: &[u8]) -> bool {
    let begins: [&[u8]; 6] = [b"\x1a\x45\xdf\xa3", b"OggS", b"GIF8", b"RIFF", b"\x89PNG", b"FLV\x01"];
    let is_transport = [0, 188, 376].iter().all(|at| head.get(*at) == Some(&0x47));
    is_transport || is_box_file(head) || begins.iter().any(|begin| head.starts_with(begin))
}

/// Whether a file begins as MP4, or as pictures in its format.
fn is_box_file(head: &[u8]) -> bool {
    head.get(4..8) == Some(b"ftyp")
}

/// Whether the index of an MP4 file comes last: it does not begin with one, as fragmented files do, and is not a picture.
fn has_index_at_end(head: &[u8]) -> bool {
    let is_picture = matches!(head.get(8..12), Some(b"avif" | b"avis" | b"heic" | b"heix" | b"mif1"));
    is_box_file(head) && !is_picture && !head.windows(4).any(|name| name == b"moov")
}
