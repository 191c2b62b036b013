//! The FFmpeg that this program runs with, and its known vulnerabilities.

use std::ffi::CStr;
use std::fmt;

use ffmpeg_next::ffi;
use serde::{Deserialize, Serialize};

/// The first release of each branch that has the fix of CVE-2026-8461, a heap write in the `MagicYUV`
/// decoder. Branches in between never got one; later branches began with it.
const MAGICYUV_FIXED: [(u32, u32, u32); 4] = [(5, 1, 10), (6, 1, 6), (7, 1, 5), (8, 1, 2)];

/// The version of one of FFmpeg's libraries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LibraryVersion {
    /// Increased when programs must be rebuilt.
    pub major: u32,
    /// Increased with additions.
    pub minor: u32,
    /// Increased with fixes.
    pub micro: u32,
}

impl LibraryVersion {
    /// From the form in which FFmpeg gives it: eight bits each for minor and micro.
    fn from_packed(packed: u32) -> Self {
        Self { major: packed >> 16, minor: packed >> 8 & 0xFF, micro: packed & 0xFF }
    }
}

impl fmt::Display for LibraryVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

/// Whether the FFmpeg in use has a known vulnerability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Exposure {
    /// The release is affected. A distribution may have backported the fix without changing the version.
    Affected,
    /// The release has the fix.
    Fixed,
    /// The version is not that of a release.
    Unknown,
}

/// The FFmpeg that this program runs with; see [`linked_ffmpeg`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LinkedFfmpeg {
    /// The release as FFmpeg names it, for example `5.1.9-0+deb12u1`.
    pub release: String,
    /// Version of the library of decoders.
    pub libavcodec: LibraryVersion,
    /// Version of the library of containers.
    pub libavformat: LibraryVersion,
    /// Version of the library that the others share.
    pub libavutil: LibraryVersion,
    /// Version of the library that converts pictures.
    pub libswscale: LibraryVersion,
    /// Whether its `MagicYUV` decoder writes outside its memory (CVE-2026-8461, fixed in 5.1.10,
    /// 6.1.6, 7.1.5 and 8.1.2). This crate does not reach it: no [`Limits`](crate::Limits) that it
    /// makes allow the decoder.
    pub magicyuv_heap_write: Exposure,
}

/// The FFmpeg that this program runs with, as its libraries say themselves.
///
/// ```
/// let ffmpeg = deeptell_video::linked_ffmpeg();
/// assert!(ffmpeg.libavformat.major >= 59, "FFmpeg {} is older than 5.1", ffmpeg.release);
/// ```
#[expect(unsafe_code, reason = "the wrapper gives only some of the versions")]
pub fn linked_ffmpeg() -> LinkedFfmpeg {
    // SAFETY: these functions take nothing, and the text is static and NUL-terminated.
    let (release, packed) = unsafe {
        (
            CStr::from_ptr(ffi::av_version_info()).to_string_lossy().into_owned(),
            [ffi::avcodec_version(), ffi::avformat_version(), ffi::avutil_version(), ffi::swscale_version()],
        )
    };
    let [libavcodec, libavformat, libavutil, libswscale] = packed.map(LibraryVersion::from_packed);
    let magicyuv_heap_write = magicyuv(&release);
    LinkedFfmpeg { release, libavcodec, libavformat, libavutil, libswscale, magicyuv_heap_write }
}

/// Whether a release has the heap write in its `MagicYUV` decoder.
fn magicyuv(release: &str) -> Exposure {
    let Some(version) = release_number(release) else { return Exposure::Unknown };
    let is_fixed =
        |fixed: &(u32, u32, u32)| (version.0, version.1) == (fixed.0, fixed.1) && version >= *fixed;
    let is_later = MAGICYUV_FIXED.iter().all(|fixed| (version.0, version.1) > (fixed.0, fixed.1));
    if is_later || MAGICYUV_FIXED.iter().any(is_fixed) { Exposure::Fixed } else { Exposure::Affected }
}

/// Major, minor and micro of a release like `5.1.9-0+deb12u1` or `n7.1`; `None` for a build from the
/// middle of development, such as `N-109468-gd39b34123d` or `git-2023-01-01-0123abc`.
fn release_number(release: &str) -> Option<(u32, u32, u32)> {
    // Debian's packages may count an epoch before the number.
    let release = release.split_once(':').map_or(release, |(_, rest)| rest);
    let release = release.strip_prefix('n').unwrap_or(release);
    let end = release.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(release.len());
    let mut parts = release[..end].split('.').map(|part| part.parse().ok());
    let (major, minor) = (parts.next()??, parts.next()??);
    Some((major, minor, parts.next().flatten().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_with_the_magicyuv_fault_are_known() {
        for release in
            ["5.1.9-0+deb12u1", "4.4.2-0ubuntu0.22.04.1", "5.0.3", "6.0", "6.1.5", "n7.0.2", "7:7.1.4-1"]
        {
            assert_eq!(magicyuv(release), Exposure::Affected, "{release}");
        }
        for release in ["5.1.10", "5.1.10-0+deb12u1", "6.1.6", "n7.1.5", "8.1.2", "8.2", "9.0.1"] {
            assert_eq!(magicyuv(release), Exposure::Fixed, "{release}");
        }
        for release in ["N-109468-gd39b34123d", "git-2023-01-01-0123abc", "", "5"] {
            assert_eq!(magicyuv(release), Exposure::Unknown, "{release}");
        }
    }

    #[test]
    fn the_libraries_name_their_versions() {
        let ffmpeg = linked_ffmpeg();
        assert!(!ffmpeg.release.is_empty());
        assert!(ffmpeg.libavcodec.major >= 59 && ffmpeg.libavformat.major >= 59, "{ffmpeg:?}");
        assert!(ffmpeg.libavutil.major >= 57 && ffmpeg.libswscale.major >= 6, "{ffmpeg:?}");
        assert_eq!(LibraryVersion::from_packed(0x003B_2564).to_string(), "59.37.100");
    }

    #[cfg(feature = "static")]
    #[expect(unsafe_code, reason = "the wrapper does not list what FFmpeg has")]
    fn names_of<T>(
        mut next: impl FnMut(&mut *mut std::ffi::c_void) -> *const T,
        name: impl Fn(&T) -> *const std::ffi::c_char,
    ) -> Vec<String> {
        let mut state = std::ptr::null_mut();
        // SAFETY: FFmpeg's lists end with a null pointer, and their entries are static, as are the names.
        let list = std::iter::from_fn(|| unsafe { next(&mut state).as_ref() });
        list.map(|entry| unsafe { CStr::from_ptr(name(entry)) }.to_string_lossy().into_owned()).collect()
    }

    #[test]
    #[cfg(feature = "static")]
    #[expect(unsafe_code, reason = "the wrapper does not list what FFmpeg has")]
    fn the_static_ffmpeg_has_what_untrusted_files_may_use_and_no_more() {
        let limits = crate::Limits::untrusted();
        // SAFETY: the state is FFmpeg's own and begins as null.
        let codecs = names_of(|state| unsafe { ffi::av_codec_iterate(state) }, |codec| codec.name);
        // Other decoders of AV1, and the one that MPEG-4's is built on.
        let absent = ["av1", "libaom-av1"];
        let expected = limits.codecs.iter().map(String::as_str).filter(|name| !absent.contains(name));
        let expected: std::collections::BTreeSet<&str> = expected.chain(["h263"]).collect();
        assert_eq!(codecs.iter().map(String::as_str).collect::<std::collections::BTreeSet<_>>(), expected);
        // SAFETY: as above.
        let demuxers = names_of(|state| unsafe { ffi::av_demuxer_iterate(state) }, |demuxer| demuxer.name);
        for name in &demuxers {
            let is_allowed = |name: &str| limits.containers.iter().any(|allowed| allowed == name);
            assert!(name.split(',').any(is_allowed), "{name}");
        }
        for container in &limits.containers {
            let is_there = demuxers.iter().any(|name| name.split(',').any(|part| part == container));
            assert!(is_there, "{container}");
        }
        // SAFETY: as above.
        let muxers = names_of(|state| unsafe { ffi::av_muxer_iterate(state) }, |muxer| muxer.name);
        assert_eq!(muxers, [""; 0]);
        let mut state = std::ptr::null_mut();
        // SAFETY: as above.
        let protocol = unsafe { ffi::avio_enum_protocols(&raw mut state, 0) };
        assert!(protocol.is_null(), "no protocol for reading");
        // SAFETY: the text is static and NUL-terminated.
        let license = unsafe { CStr::from_ptr(ffi::avcodec_license()) };
        assert_eq!(license.to_str(), Ok("LGPL version 2.1 or later"));
        assert_eq!(magicyuv(&linked_ffmpeg().release), Exposure::Fixed);
    }
}
