//! The files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use anyhow::{Context, Result};
use fastrand::Rng;

use crate::process::{is_installed, succeeds};

/// What some files name: it must not be opened.
pub(crate) const NAMED: &str = "named-by-another.mp4";

/// A file made to do harm.
pub(crate) struct Hostile {
    pub(crate) path: PathBuf,
    pub(crate) kind: &'static str,
    /// It names [`NAMED`].
    pub(crate) names_another: bool,
}

/// Puts files into a folder.
struct Maker<'a> {
    folder: &'a Path,
    made: Vec<Hostile>,
}

impl Maker<'_> {
    fn add(&mut self, kind: &'static str, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.folder.join(format!("{:04}-{name}", self.made.len()));
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        self.made.push(Hostile { path, kind, names_another: false });
        Ok(())
    }

    fn naming(&mut self, name: &str, text: &str) -> Result<()> {
        let named = self.folder.join(NAMED).display().to_string();
        self.add("lists", name, text.replace("{}", &named).as_bytes())?;
        if let Some(last) = self.made.last_mut() {
            last.names_another = true;
        }
        Ok(())
    }

    /// Copies that are cut or have bytes changed.
    fn damage(
        &mut self,
        kind: &'static str,
        name: &str,
        bytes: &[u8],
        copies: usize,
        numbers: &mut Rng,
    ) -> Result<()> {
        for copy in 0..copies {
            let mut damaged = bytes.to_vec();
            match copy % 5 {
                0 => damaged.truncate(1 + numbers.usize(..bytes.len())),
                kind @ (1 | 2) => {
                    for _ in 0..if kind == 1 { 1 } else { 64 } {
                        let at = numbers.usize(..damaged.len());
                        damaged[at] ^= 1 << numbers.usize(..8);
                    }
                }
                3 => {
                    // Where containers say what they hold.
                    let at = numbers.usize(..damaged.len().min(2048));
                    let end = (at + 4).min(damaged.len());
                    damaged[at..end].fill([0, 0x7F, 0xFF][numbers.usize(..3)]);
                }
                _ => {
                    let at = numbers.usize(..damaged.len());
                    let end = (at + 1 + numbers.usize(..4096)).min(damaged.len());
                    damaged.drain(at..end);
                }
            }
            self.add(kind, &format!("{copy}-{name}"), &damaged)?;
        }
        Ok(())
    }
}

/// Makes all files in `folder`, with so many damaged copies of each clip and picture.
pub(crate) fn make(root: &Path, folder: &Path, copies: usize) -> Result<Vec<Hostile>> {
    let mut maker = Maker { folder, made: Vec::new() };
    let mut numbers = Rng::with_seed(0);
    let clips = files_in(&root.join("datasets/sample"), &["real", "fake"])?;
    let first = clips.first().context("datasets/sample holds no clips")?;
    fs::copy(first, folder.join(NAMED)).context("cannot copy a clip")?;
    for clip in &clips {
        maker.damage("damaged clips", &name_of(clip), &fs::read(clip)?, copies, &mut numbers)?;
    }
    containers(&mut maker, first, copies, &mut numbers)?;
    boxes(&mut maker, &fs::read(first)?)?;
    lists(&mut maker)?;
    pictures(&mut maker)?;
    for picture in files_in(&root.join("fuzz/corpus"), &["picture"])? {
        let bytes = fs::read(&picture)?;
        if let Some(scan) = bytes.windows(2).position(|mark| mark == b"\xff\xda") {
            // Its scan ten thousand times, and a size that it does not have.
            let repeated = [&bytes[..scan], &bytes[scan..bytes.len() - 2].repeat(10_000)].concat();
            maker.add("pictures", &format!("scans-{}", name_of(&picture)), &repeated)?;
            if let Some(frame) = bytes.windows(2).position(|mark| mark == b"\xff\xc0") {
                let mut large = bytes.clone();
                large[frame + 5..frame + 9].fill(0xEE);
                maker.add("pictures", &format!("large-{}", name_of(&picture)), &large)?;
            }
        }
        maker.damage("damaged pictures", &name_of(&picture), &fs::read(&picture)?, copies, &mut numbers)?;
    }
    let noise: Vec<u8> = (0..50_000).map(|_| numbers.usize(..256) as u8).collect();
    for (name, bytes) in [
        ("empty.mp4", &[][..]),
        ("zeros.mkv", &vec![0; 100_000]),
        ("noise.webm", &noise),
        ("page.jpg", b"<!doctype html><html><body>404</body></html>"),
        ("text.png", b"not a picture\n"),
    ] {
        maker.add("other files", name, bytes)?;
    }
    Ok(maker.made)
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn files_in(root: &Path, folders: &[&str]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for folder in folders.iter().map(|folder| root.join(folder)) {
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        files.extend(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()));
    }
    files.sort();
    Ok(files)
}

/// The clip in other containers, damaged, and transport streams joined of many parts.
fn containers(maker: &mut Maker<'_>, clip: &Path, copies: usize, numbers: &mut Rng) -> Result<()> {
    if !is_installed("ffmpeg") {
        eprintln!("left out: other containers, because ffmpeg is not installed");
        return Ok(());
    }
    let made = maker.folder.join("made");
    let convert = |name: &str, words: &[&str]| -> Result<Option<Vec<u8>>> {
        let path = made.with_file_name(format!("made-{name}"));
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-y", "-i"]).arg(clip).args(["-an"]).args(words).arg(&path);
        if !succeeds(&mut command) {
            eprintln!("left out: {name}, which this ffmpeg cannot make");
            return Ok(None);
        }
        let bytes = fs::read(&path)?;
        fs::remove_file(&path)?;
        Ok(Some(bytes))
    };
    let copy = ["-c", "copy"];
    for (name, words) in [
        ("a.mkv", &copy[..]),
        ("a.avi", &copy),
        ("a.ts", &copy),
        ("a.mov", &copy),
        ("fragmented.mp4", &["-c", "copy", "-movflags", "frag_keyframe+empty_moov"]),
        ("a.webm", &["-c:v", "libvpx", "-b:v", "200k"]),
        ("a.gif", &["-vf", "scale=80:-1"]),
        ("a.apng", &["-vf", "scale=80:-1", "-f", "apng"]),
        ("a.webp", &["-vf", "scale=80:-1", "-c:v", "libwebp"]),
        ("a.hevc.mp4", &["-c:v", "libx265", "-x265-params", "log-level=none"]),
        ("a.h264", &["-c", "copy", "-bsf:v", "h264_mp4toannexb", "-f", "h264"]),
        ("mpeg4.avi", &["-c:v", "mpeg4"]),
        ("mjpeg.avi", &["-c:v", "mjpeg"]),
        ("a.flv", &copy),
    ] {
        if let Some(bytes) = convert(name, words)? {
            maker.add("containers", name, &bytes)?;
            maker.damage("containers", name, &bytes, 2 * copies, numbers)?;
        }
    }
    for (name, codec) in [("zeros.h264", "copy"), ("zeros.hevc", "libx265")] {
        let words = ["-c:v", codec, "-bsf:v", if codec == "copy" { "h264_mp4toannexb" } else { "null" }];
        if let Some(bytes) = convert(name, &words)? {
            maker.add("containers", name, &bytes)?;
            // Half a gigabyte of zeros that take no room on the disk: its last picture does not end.
            if let Some(last) = maker.made.last() {
                fs::File::options()
                    .append(true)
                    .open(&last.path)?
                    .set_len(bytes.len() as u64 + (500 << 20))?;
            }
        }
    }
    let one = convert("one.ts", &copy)?;
    let other = convert("other.ts", &["-c", "copy", "-mpegts_start_pid", "512", "-mpegts_service_id", "7"])?;
    if let (Some(one), Some(other)) = (one, other) {
        for parts in [2, 60, 400] {
            let joined: Vec<u8> =
                (0..parts).flat_map(|part| if part % 2 == 0 { one.clone() } else { other.clone() }).collect();
            maker.add("containers", &format!("{parts}-parts.ts"), &joined)?;
        }
        maker.damage("containers", "joined.ts", &[one, other].concat(), 2 * copies, numbers)?;
    }
    Ok(())
}

/// MP4 files that lie about sizes, repeat tracks, or point elsewhere.
fn boxes(maker: &mut Maker<'_>, clip: &[u8]) -> Result<()> {
    let a_box = |name: &[u8; 4], content: &[u8]| {
        [&(content.len() as u32 + 8).to_be_bytes(), &name[..], content].concat()
    };
    let find = |name: &[u8; 4]| clip.windows(4).position(|window| window == name);
    let sized = |at: usize| {
        let length = clip.get(at - 4..at).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
        length.map(|length| (at - 4, length as usize)).filter(|(start, length)| start + length <= clip.len())
    };
    if let (Some((moov, moov_length)), Some((trak, trak_length))) =
        (find(b"moov").and_then(sized), find(b"trak").and_then(sized))
    {
        for count in [2, 65, 3000] {
            let track = clip[trak..trak + trak_length].repeat(count);
            let movie =
                [&clip[moov + 8..trak], &track, &clip[trak + trak_length..moov + moov_length]].concat();
            let file = [&clip[..moov], &a_box(b"moov", &movie), &clip[moov + moov_length..]].concat();
            maker.add("boxes", &format!("{count}-tracks.mp4"), &file)?;
        }
    }
    if let Some(at) = find(b"url ") {
        let mut file = clip.to_vec();
        file[at + 4..at + 8].fill(0);
        maker.add("boxes", "elsewhere.mp4", &file)?;
    }
    for (table, name) in [(b"stsz", "samples"), (b"stts", "times"), (b"stco", "places"), (b"stsc", "chunks")]
    {
        if let Some(at) = find(table) {
            for (value, word) in [([0xFF; 4], "most"), ([0; 4], "none"), ([0x7F, 0xFF, 0xFF, 0xFF], "many")] {
                let mut file = clip.to_vec();
                file[at + 8..at + 12].copy_from_slice(&value);
                maker.add("boxes", &format!("{word}-{name}.mp4"), &file)?;
            }
        }
    }
    let mut nested = Vec::new();
    for _ in 0..8000 {
        nested = a_box(b"moov", &nested);
    }
    let head = a_box(b"ftyp", b"isom\0\0\0\0mp42");
    maker.add("boxes", "nested.mp4", &[head.clone(), nested].concat())?;
    let huge = [&1_u32.to_be_bytes(), &b"mdat"[..], &u64::MAX.to_be_bytes()].concat();
    maker.add("boxes", "huge.mp4", &[&head, &huge, clip].concat())
}

/// Files that name another.
fn lists(maker: &mut Maker<'_>) -> Result<()> {
    for (name, text) in [
        ("a.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n{}\n#EXT-X-ENDLIST\n"),
        ("address.m3u8", "#EXTM3U\n#EXTINF:6,\nhttp://127.0.0.1:9/{}\n"),
        ("playlist.mp4", "#EXTM3U\n#EXTINF:6,\n{}\n"),
        ("a.ffconcat", "ffconcat version 1.0\nfile '{}'\n"),
        ("concat.mkv", "ffconcat version 1.0\nfile '{}'\nduration 2\n"),
        (
            "a.sdp",
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\na=x:{}\n",
        ),
        ("a.mpd", "<?xml version=\"1.0\"?><MPD><Period><BaseURL>{}</BaseURL></Period></MPD>"),
        ("a.pls", "[playlist]\nFile1={}\nNumberOfEntries=1\n"),
        ("a.asx", "<asx version=\"3.0\"><entry><ref href=\"{}\"/></entry></asx>"),
        ("a.smil", "<smil><body><video src=\"{}\"/></body></smil>"),
        ("a.svg", "<svg xmlns=\"http://www.w3.org/2000/svg\"><image href=\"{}\"/></svg>"),
        ("script.avs", "DirectShowSource(\"{}\")\n"),
        ("subtitles.ass", "[Script Info]\nVideo File: {}\n"),
        ("image.mp4", "concat:{}|{}"),
    ] {
        maker.naming(name, text)?;
    }
    Ok(())
}

/// Pictures whose few bytes say much.
fn pictures(maker: &mut Maker<'_>) -> Result<()> {
    let grey =
        |side: u32, rows: u64| png(side, side, 8, 0, &[(b"IDAT", zeros(rows * (u64::from(side) + 1)))]);
    let small = |extra: Vec<(&'static [u8; 4], Vec<u8>)>| {
        let mut chunks = extra;
        chunks.push((b"IDAT", zeros(64 * 65)));
        png(64, 64, 8, 0, &chunks)
    };
    let named = |text: &[u8], data: Vec<u8>| [text, &data].concat();
    let many = 200 << 20;
    let turned = b"MM\0*\0\0\0\x08\xff\xff\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\xff\xff\xff\xff".to_vec();
    let still: Vec<(&str, Vec<u8>)> = vec![
        ("grey-6000.png", grey(6000, 6000)),
        ("grey-8192.png", grey(8192, 8192)),
        ("grey-60000.png", grey(60_000, 4)),
        ("grey-2g.png", png(0x7FFF_FFFF, 0x7FFF_FFFF, 8, 0, &[(b"IDAT", zeros(99))])),
        ("deep-4000.png", png(4000, 4000, 16, 6, &[(b"IDAT", zeros(4000 * (4000 * 8 + 1)))])),
        ("long.png", small(vec![(b"IDAT", zeros(many))])),
        ("profile.png", small(vec![(b"iCCP", named(b"x\0\0", zeros(many)))])),
        ("text.png", small(vec![(b"zTXt", named(b"x\0\0", zeros(many)))])),
        ("text-2.png", small(vec![(b"iTXt", named(b"x\0\x01\0\0\0", zeros(many)))])),
        ("exif.png", small(vec![(b"eXIf", turned.clone())])),
        ("exif-long.png", small(vec![(b"eXIf", [turned, vec![0xFF; 4 << 20]].concat())])),
        ("chunks.png", small((0..500_000).map(|_| (b"tEXt", b"a\0b".to_vec())).collect())),
        (
            "frames.png",
            small(vec![(b"acTL", [0x7F, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0].to_vec()), (b"fcTL", vec![0; 26])]),
        ),
        ("palette.png", png(64, 64, 8, 3, &[(b"IDAT", zeros(64 * 65))])),
    ];
    for (name, bytes) in still {
        maker.add("pictures", name, &bytes)?;
    }
    for (name, width, height, bits, coding) in [
        ("huge.bmp", i32::MAX, i32::MAX, 24_u16, 0_u32),
        ("least.bmp", 64, i32::MIN, 24, 0),
        ("runs.bmp", 9000, 9000, 8, 1),
        ("wide.bmp", 60_000, 1, 32, 3),
    ] {
        let mut bmp = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
        bmp.extend_from_slice(&width.to_le_bytes());
        bmp.extend_from_slice(&height.to_le_bytes());
        bmp.extend_from_slice(&[1, 0]);
        bmp.extend_from_slice(&bits.to_le_bytes());
        bmp.extend_from_slice(&coding.to_le_bytes());
        bmp.extend_from_slice(&[0; 20]);
        bmp.extend_from_slice(&[255, 0].repeat(50_000));
        maker.add("pictures", name, &bmp)?;
    }
    Ok(())
}

/// A PNG of these chunks between its head and its end.
fn png(width: u32, height: u32, depth: u8, color: u8, chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let head = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[depth, color, 0, 0, 0]].concat();
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |name: &[u8; 4], data: &[u8]| {
        bytes.extend_from_slice(&(data.len() as u32).to_be_bytes());
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(data);
        bytes.extend_from_slice(&crc(name, data).to_be_bytes());
    };
    chunk(b"IHDR", &head);
    for (name, data) in chunks {
        chunk(name, data);
    }
    chunk(b"IEND", &[]);
    bytes
}

/// The checksum of a PNG's chunk (its annex D).
fn crc(name: &[u8], data: &[u8]) -> u32 {
    static TABLE: LazyLock<Vec<u32>> = LazyLock::new(|| {
        let step = |sum: u32, _| if sum & 1 == 1 { sum >> 1 ^ 0xEDB8_8320 } else { sum >> 1 };
        (0..256).map(|byte| (0..8).fold(byte, step)).collect()
    });
    let step = |sum: u32, byte: &u8| TABLE[((sum ^ u32::from(*byte)) & 0xFF) as usize] ^ sum >> 8;
    !name.iter().chain(data).fold(u32::MAX, step)
}

/// So many zeros, compressed as zlib does (RFC 1950 and 1951): one, and then copies of 258 of it.
fn zeros(count: u64) -> Vec<u8> {
    let mut bytes = vec![0x78, 0x01];
    let (mut word, mut filled) = (0_u64, 0);
    let mut put = |bytes: &mut Vec<u8>, value: u64, bits: u32| {
        word |= value << filled;
        filled += bits;
        while filled >= 8 {
            bytes.push(word as u8);
            word >>= 8;
            filled -= 8;
        }
    };
    // The last block, with the fixed codes; a zero has the code 0011_0000, first bit first.
    put(&mut bytes, 0b011, 3);
    let single = |count: u64| count % 258;
    for _ in 0..single(count).max(u64::from(count > 0)) {
        put(&mut bytes, 0b0000_1100, 8);
    }
    let left = count.saturating_sub(single(count).max(u64::from(count > 0)));
    for _ in 0..left / 258 {
        // Length 258 is 1100_0101, the distance of one byte 0_0000.
        put(&mut bytes, 0b1010_0011, 8);
        put(&mut bytes, 0, 5);
    }
    for _ in 0..left % 258 {
        put(&mut bytes, 0b0000_1100, 8);
    }
    // The end, and what is left of a byte.
    put(&mut bytes, 0, 7);
    put(&mut bytes, 0, 7);
    let sum = (count % 65_521) << 16 | 1;
    bytes.extend_from_slice(&(sum as u32).to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_and_streams_are_those_of_the_standards() {
        // The end of every PNG.
        assert_eq!(crc(b"IEND", &[]), 0xAE42_6082);
        // What zlib gives for one zero, with its fixed codes.
        assert_eq!(zeros(1), [0x78, 0x01, 0x63, 0x00, 0x00, 0x00, 0x01, 0x00, 0x01]);
        assert!(zeros(200 << 20).len() < 2 << 20);
    }
}
