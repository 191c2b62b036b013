//! Detects by their first bytes what files are that are not videos, so that a refusal can name it.

use std::fmt;
#[cfg(feature = "ffmpeg")]
use std::fs::File;
#[cfg(feature = "ffmpeg")]
use std::io::{Read as _, Seek as _};

use crate::Unsupported;

/// As many bytes as [`FileKind::of_head`] looks at.
#[cfg(feature = "ffmpeg")]
const HEAD_BYTES: u64 = 1024;

/// A kind of file that people take for a video or a picture that can be read.
///
/// Its text continues a sentence that begins with the name of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    Empty,
    WebPage,
    Playlist,
    Text,
    Heic,
    Tiff,
    JpegXl,
    Jpeg2000,
    RawPhoto,
    Photoshop,
    Pdf,
    Archive,
    Placeholder,
    NoteOfMacos,
}

impl FileKind {
    /// Looks at the start of a file, whose cursor moves; `None` when it tells nothing, or when the file cannot be read.
    #[cfg(feature = "ffmpeg")]
    pub(crate) fn of(mut file: &File) -> Option<Self> {
        let mut head = Vec::new();
        file.rewind().ok()?;
        file.take(HEAD_BYTES).read_to_end(&mut head).ok()?;
        Self::of_head(&head)
    }

    fn of_head(head: &[u8]) -> Option<Self> {
        let starts = |magic: &[u8]| head.starts_with(magic);
        if head.is_empty() {
            return Some(Self::Empty);
        }
        if head.get(4..8) == Some(b"ftyp") {
            return Self::of_brands(head);
        }
        let magics: [(&[u8], Self); 23] = [
            (b"FUJIFILMCCD-RAW", Self::RawPhoto),
            (b"IIRO", Self::RawPhoto),
            (b"IIU\0", Self::RawPhoto),
            (b"II*\0\x10\0\0\0CR", Self::RawPhoto),
            (b"II*\0", Self::Tiff),
            (b"II+\0", Self::Tiff),
            (b"MM\0*", Self::Tiff),
            (b"MM\0+", Self::Tiff),
            (b"\xff\x0a", Self::JpegXl),
            (b"\0\0\0\x0cJXL \r\n", Self::JpegXl),
            (b"\0\0\0\x0cjP  \r\n", Self::Jpeg2000),
            (b"\xff\x4f\xff\x51", Self::Jpeg2000),
            (b"8BPS", Self::Photoshop),
            (b"%PDF-", Self::Pdf),
            (b"PK\x03\x04", Self::Archive),
            (b"7z\xbc\xaf", Self::Archive),
            (b"Rar!\x1a\x07", Self::Archive),
            (b"\x1f\x8b", Self::Archive),
            (b"\xfd7zXZ\0", Self::Archive),
            (b"BZh", Self::Archive),
            (b"\x28\xb5\x2f\xfd", Self::Archive),
            (b"\xff\xfe", Self::Text),
            (b"\0\x05\x16\x07", Self::NoteOfMacos),
        ];
        if head.get(257..262) == Some(b"ustar") {
            return Some(Self::Archive);
        }
        let by_magic = magics.into_iter().find(|(magic, _)| starts(magic)).map(|(_, kind)| kind);
        by_magic.or_else(|| Self::of_text(head))
    }

    /// Of ISO base media files, those that hold a still picture coded as HEVC.
    fn of_brands(head: &[u8]) -> Option<Self> {
        let length = u32::from_be_bytes(head.get(..4)?.try_into().ok()?) as usize;
        let content = head.get(8..length.clamp(8, head.len()))?;
        let mut brands = content.chunks_exact(4);
        let major = brands.next()?;
        let is_heic = |brand: &[u8]| {
            matches!(brand, b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"hevm" | b"hevs")
        };
        let is_generic = |brand: &[u8]| matches!(brand, b"mif1" | b"msf1" | b"heif");
        // After the major brand come four bytes of version.
        let heic = is_heic(major) || is_generic(major) && brands.skip(1).any(is_heic);
        if heic {
            return Some(Self::Heic);
        }
        (major == b"crx ").then_some(Self::RawPhoto)
    }

    fn of_text(head: &[u8]) -> Option<Self> {
        let text = match std::str::from_utf8(head) {
            Ok(text) => text,
            // The cut may have hit a character.
            Err(error) if error.error_len().is_none() => {
                std::str::from_utf8(&head[..error.valid_up_to()]).ok()?
            }
            Err(_) => return None,
        };
        if text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
            return None;
        }
        let text = text.trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
        let starts = |words: &[&str]| words.iter().any(|word| text.starts_with(word));
        if starts(&["version https://git-lfs"]) {
            return Some(Self::Placeholder);
        }
        if starts(&["#extm3u", "ffconcat", "v=0", "[playlist]"])
            || starts(&["<?xml"]) && text.contains("<mpd")
            || starts(&["<mpd"])
        {
            return Some(Self::Playlist);
        }
        let is_page = starts(&["<!doctype html", "<html", "<head", "<body", "<script", "<!--"])
            || starts(&["<?xml", "<!doctype"]) && text.contains("<html");
        Some(if is_page { Self::WebPage } else { Self::Text })
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the file is empty; download it again",
            Self::WebPage => {
                "this is a web page, perhaps what a site answered in place of the file; download the file itself"
            }
            Self::Playlist => {
                "this is a list that names other files, which are never opened; pass those files themselves"
            }
            Self::Text => "this is a text file, neither a video nor a picture",
            Self::Heic => {
                "this is a HEIC picture, which cannot be read; save it as JPEG or PNG, without scaling it"
            }
            Self::Tiff => {
                "this is a TIFF picture, which cannot be read; save it as PNG, which loses nothing"
            }
            Self::JpegXl => "this is a JPEG XL picture, which cannot be read; save it as JPEG or PNG",
            Self::Jpeg2000 => "this is a JPEG 2000 picture, which cannot be read; save it as PNG",
            Self::RawPhoto => {
                "these are the raw data of a camera, which cannot be read; develop it to JPEG or PNG"
            }
            Self::Photoshop => "this is a Photoshop document, which cannot be read; export it as PNG",
            Self::Pdf => "this is a PDF document; save the pictures in it as files of their own",
            Self::Archive => "this is an archive; unpack it and scan what was in it",
            Self::Placeholder => {
                "this is a placeholder of Git LFS, not the file itself; fetch it with `git lfs pull`"
            }
            Self::NoteOfMacos => {
                "this is what macOS notes about another file; scan that one, whose name has no `._` before it"
            }
        })
    }
}

impl Unsupported {
    /// What a file that is not a video is, by its first bytes; a kilobyte of them is enough.
    ///
    /// ```
    /// let reason = deeptell_video::Unsupported::by_first_bytes(b"%PDF-1.7\n");
    /// assert!(reason.to_string().contains("PDF"));
    /// ```
    pub fn by_first_bytes(head: &[u8]) -> Self {
        match FileKind::of_head(head) {
            Some(kind) => Self::OtherKind { advice: kind.to_string() },
            None => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_first_bytes() {
        let mut tar = vec![b'a'; 257];
        tar.extend(b"ustar\0\x30\x30");
        let cases: [(&[u8], Option<FileKind>); 28] = [
            (b"", Some(FileKind::Empty)),
            (b"\xef\xbb\xbf  <!DOCTYPE html><html>", Some(FileKind::WebPage)),
            (b"<?xml version=\"1.0\"?>\n<!DOCTYPE html PUBLIC \"x\"><html>", Some(FileKind::WebPage)),
            (b"<html>\n404", Some(FileKind::WebPage)),
            (b"#EXTM3U\n#EXTINF:6,\nhttp://x/y", Some(FileKind::Playlist)),
            (b"<?xml version=\"1.0\"?><MPD xmlns=\"x\">", Some(FileKind::Playlist)),
            (b"ffconcat version 1.0\nfile 'x'", Some(FileKind::Playlist)),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", Some(FileKind::Placeholder)),
            ("nur Text: \u{e4}\n".as_bytes(), Some(FileKind::Text)),
            (&"\u{e4}".as_bytes()[..1], Some(FileKind::Text)),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", Some(FileKind::Heic)),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", Some(FileKind::Heic)),
            (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", None),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", None),
            (b"\0\0\0\x14ftypisom\0\0\x02\0mp41", None),
            (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", Some(FileKind::RawPhoto)),
            (b"II*\0\x08\0\0\0\x12\0", Some(FileKind::Tiff)),
            (b"MM\0*\0\0\0\x08", Some(FileKind::Tiff)),
            (b"II*\0\x10\0\0\0CR\x02\0", Some(FileKind::RawPhoto)),
            (b"%PDF-1.7\n", Some(FileKind::Pdf)),
            (b"\x1f\x8b\x08\0", Some(FileKind::Archive)),
            (b"\xfd7zXZ\0\0", Some(FileKind::Archive)),
            (b"BZh91AY", Some(FileKind::Archive)),
            (&tar, Some(FileKind::Archive)),
            (b"\xff\xfeh\0i\0", Some(FileKind::Text)),
            (b"\0\x05\x16\x07\0\x02\0\0Mac OS X", Some(FileKind::NoteOfMacos)),
            (&[0; 300], None),
            (b"\x1aE\xdf\xa3", None),
        ];
        for (head, kind) in cases {
            assert_eq!(FileKind::of_head(head), kind, "{}", head.escape_ascii());
        }
    }
}
