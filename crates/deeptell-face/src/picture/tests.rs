use std::io::Cursor;

use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, Rgba};

use super::*;

/// One small JPEG of every coding in use; `scripts/make_pictures.py` writes them.
const JPEGS: [(&str, &[u8]); 8] = [
    ("baseline", include_bytes!("../../tests/data/pictures/baseline.jpg")),
    ("optimized", include_bytes!("../../tests/data/pictures/optimized.jpg")),
    ("restart", include_bytes!("../../tests/data/pictures/restart.jpg")),
    ("grey", include_bytes!("../../tests/data/pictures/grey.jpg")),
    ("cmyk", include_bytes!("../../tests/data/pictures/cmyk.jpg")),
    ("progressive", include_bytes!("../../tests/data/pictures/progressive.jpg")),
    ("progressive-restart", include_bytes!("../../tests/data/pictures/progressive-restart.jpg")),
    ("progressive-grey", include_bytes!("../../tests/data/pictures/progressive-grey.jpg")),
];

fn read(bytes: &[u8]) -> Result<Picture, PictureError> {
    read_picture(Cursor::new(bytes), &PictureLimits::default())
}

/// Where the header of the first scan ends.
fn coded_data(bytes: &[u8]) -> usize {
    let start = bytes.windows(2).position(|pair| pair == [0xFF, 0xDA]).unwrap() + 2;
    start + usize::from(u16::from_be_bytes([bytes[start], bytes[start + 1]]))
}

#[test]
fn whole_jpegs_of_every_coding_are_read() {
    for (name, bytes) in JPEGS {
        let picture = read(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let plain = image::load_from_memory(bytes).unwrap().into_rgb8();
        assert!(picture.image == plain, "{name}");
        assert_eq!(picture.format, PictureFormat::Jpeg);
    }
}

#[test]
fn a_jpeg_without_its_end_mark_is_whole() {
    for (name, bytes) in JPEGS {
        for length in [bytes.len() - 2, bytes.len() - 1] {
            let unmarked = read(&bytes[..length]).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(unmarked == read(bytes).unwrap(), "{name}");
        }
    }
}

#[test]
fn a_jpeg_cut_anywhere_is_an_error() {
    for (name, bytes) in JPEGS {
        for length in 4..bytes.len() - 2 {
            let ended = read(&bytes[..length]);
            assert!(matches!(ended, Err(PictureError::Truncated)), "{name}, {length} bytes: {ended:?}");
        }
    }
}

#[test]
fn a_cut_jpeg_with_an_end_mark_is_an_error() {
    for (name, bytes) in JPEGS {
        for length in coded_data(bytes)..bytes.len() - 2 {
            let closed = [&bytes[..length], &[0xFF, 0xD9]].concat();
            assert!(read(&closed).is_err(), "{name}, {length} bytes");
        }
    }
}

#[test]
fn a_jpeg_that_was_filled_only_in_part_is_an_error() {
    for (name, bytes) in JPEGS {
        for length in (coded_data(bytes)..bytes.len() - 2).step_by(7) {
            for filling in [0, 0x20, 0xFF] {
                let mut partial = bytes.to_vec();
                partial[length..].fill(filling);
                assert!(read(&partial).is_err(), "{name}, {length} bytes, then {filling}");
            }
        }
    }
}

#[test]
fn bytes_after_the_end_mark_are_ignored() {
    for (name, bytes) in JPEGS {
        assert!(read(&[bytes, b"a further picture"].concat()).is_ok(), "{name}");
    }
}

#[test]
fn cut_pictures_of_other_formats_are_errors() {
    let picture = RgbImage::from_fn(40, 30, |x, y| Rgb([x as u8 * 5, y as u8 * 7, (x * y) as u8]));
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp] {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        let bytes = bytes.into_inner();
        assert!(read(&bytes).unwrap().image == picture, "{format:?}");
        // The last bytes of a PNG are its end mark.
        let needed = if format == ImageFormat::Png { bytes.len() - 16 } else { bytes.len() };
        for length in (20..needed).step_by(5) {
            let ended = read(&bytes[..length]);
            assert!(
                matches!(ended, Err(PictureError::Truncated | PictureError::Damaged { .. })),
                "{format:?}, {length} of {} bytes: {ended:?}",
                bytes.len()
            );
        }
    }
}

/// EXIF data that state an orientation and nothing else.
fn exif(orientation: u8) -> Vec<u8> {
    [b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0", &[orientation, 0, 0, 0][..], &[0; 4]].concat()
}

#[test]
fn pictures_come_out_upright() {
    let (_, stored) = JPEGS[2];
    let plain = read(stored).unwrap().image;
    for orientation in 1..=8 {
        let exif = exif(orientation);
        let length = (exif.len() as u16 + 8).to_be_bytes();
        let turned =
            [&stored[..2], &[0xFF, 0xE1], &length, b"Exif\0\0", exif.as_slice(), &stored[2..]].concat();
        let mut expected = DynamicImage::ImageRgb8(plain.clone());
        expected.apply_orientation(Orientation::from_exif(orientation).unwrap());
        assert!(read(&turned).unwrap().image == expected.into_rgb8(), "{orientation}");
    }
}

/// Some programs begin the EXIF data of WebP as JPEG does.
#[test]
fn a_webp_comes_out_upright_with_either_beginning_of_its_exif_data() {
    use image::ImageEncoder as _;
    use image::codecs::webp::WebPEncoder;
    let plain = read(JPEGS[2].1).unwrap().image;
    let mut expected = DynamicImage::ImageRgb8(plain.clone());
    expected.apply_orientation(Orientation::Rotate90);
    for exif in [exif(6), [b"Exif\0\0", exif(6).as_slice()].concat()] {
        let mut bytes = Vec::new();
        let mut encoder = WebPEncoder::new_lossless(&mut bytes);
        encoder.set_exif_metadata(exif).unwrap();
        let (width, height) = plain.dimensions();
        encoder.write_image(&plain, width, height, image::ExtendedColorType::Rgb8).unwrap();
        assert!(read(&bytes).unwrap().image == expected.to_rgb8());
    }
}

#[test]
fn every_kind_of_pixel_becomes_what_the_image_crate_makes_of_it() {
    let wide = |x: u32, y: u32, n: u32| (x * 4001 + y * 977 + n * 13007) as u16;
    let narrow = |x: u32, y: u32, n: u32| (x * 40 + y * 9 + n * 77) as u8;
    let pictures: [DynamicImage; 8] = [
        ImageBuffer::from_fn(17, 11, |x, y| Luma([narrow(x, y, 0)])).into(),
        ImageBuffer::from_fn(17, 11, |x, y| LumaA([narrow(x, y, 0), narrow(x, y, 1)])).into(),
        ImageBuffer::from_fn(17, 11, |x, y| Rgb([0, 1, 2].map(|n| narrow(x, y, n)))).into(),
        ImageBuffer::from_fn(17, 11, |x, y| Rgba([0, 1, 2, 3].map(|n| narrow(x, y, n)))).into(),
        ImageBuffer::from_fn(17, 11, |x, y| Luma([wide(x, y, 0)])).into(),
        ImageBuffer::from_fn(17, 11, |x, y| LumaA([wide(x, y, 0), wide(x, y, 1)])).into(),
        ImageBuffer::from_fn(17, 11, |x, y| Rgb([0, 1, 2].map(|n| wide(x, y, n)))).into(),
        ImageBuffer::from_fn(17, 11, |x, y| Rgba([0, 1, 2, 3].map(|n| wide(x, y, n)))).into(),
    ];
    for picture in pictures {
        let color = picture.color();
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
        assert!(read(bytes.get_ref()).unwrap().image == picture.into_rgb8(), "{color:?}");
    }
}

#[test]
fn what_is_over_a_limit_is_refused() {
    let grey = ImageBuffer::from_pixel(3000, 2000, Luma([7_u8]));
    let mut bytes = Cursor::new(Vec::new());
    grey.write_to(&mut bytes, ImageFormat::Png).unwrap();
    let bytes = bytes.into_inner();
    let with = |limits| read_picture(Cursor::new(&bytes), &limits);
    let limits = PictureLimits::default();
    assert!(with(limits).is_ok());
    let few = PictureLimits { max_pixels: 5_999_999, ..limits };
    assert!(matches!(with(few), Err(PictureError::TooLarge { width: 3000, height: 2000, .. })));
    let narrow = PictureLimits { max_side: 2999, ..limits };
    assert!(matches!(with(narrow), Err(PictureError::TooLarge { .. })));
    let short = PictureLimits { max_file_bytes: 100, ..limits };
    assert!(matches!(with(short), Err(PictureError::FileTooLarge { limit: 100, .. })));
    // Six megabytes as they lie, and eighteen as RGB: both are held at once.
    let little = PictureLimits { max_memory_bytes: 23_999_999, ..limits };
    assert!(matches!(with(little), Err(PictureError::TooMuchMemory { .. })));
    assert!(with(PictureLimits { max_memory_bytes: 24_000_000, ..limits }).is_ok());
    // A progressive JPEG keeps all its coefficients.
    let (_, jpeg) = JPEGS[5];
    let little = PictureLimits { max_memory_bytes: 20_000, ..limits };
    let ended = read_picture(Cursor::new(jpeg), &little);
    assert!(matches!(ended, Err(PictureError::TooMuchMemory { .. })), "{ended:?}");
}

/// Decoders name values of their code: `ChunkType { type: IHDR, critical: true, .. }`.
#[test]
fn damage_is_described_in_plain_words() {
    let picture = RgbImage::from_fn(20, 16, |x, y| Rgb([x as u8 * 11, y as u8 * 13, (x * y) as u8]));
    let mut damaged = 0;
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp] {
        let mut whole = Cursor::new(Vec::new());
        picture.write_to(&mut whole, format).unwrap();
        let whole = whole.into_inner();
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x55;
            let Err(error) = read(&bytes) else { continue };
            let message = error.to_string();
            damaged += usize::from(matches!(error, PictureError::Damaged { .. }));
            assert!(!message.contains(['{', '}', '[', '"', ':']), "{format:?}, byte {place}: {message}");
        }
    }
    assert!(damaged > 100, "{damaged}");
}

#[test]
fn files_of_other_formats_are_refused() {
    for bytes in [&b""[..], b"\xFF", b"GIF89a", b"\0\0\0\x1Cftypisom", b"<html>"] {
        assert_eq!(PictureKind::of(&mut Cursor::new(bytes)).unwrap(), None);
        assert!(matches!(read(bytes), Err(PictureError::Unknown)));
    }
}

#[test]
fn animated_pictures_are_distinguished_from_still_ones() {
    let mut png = Cursor::new(Vec::new());
    RgbImage::new(4, 4).write_to(&mut png, ImageFormat::Png).unwrap();
    let png = png.into_inner();
    // Behind the header (13 bytes of data) comes the animation control chunk: frames, then repetitions.
    let animated = |frames: u8| {
        let chunk = [b"\0\0\0\x08acTL\0\0\0", &[frames][..], &[0; 4], &[0; 4]].concat();
        [&png[..33], &chunk, &png[33..]].concat()
    };
    let kind = |bytes: &[u8]| PictureKind::of(&mut Cursor::new(bytes)).unwrap().unwrap();
    assert!(!kind(&png).is_animated);
    assert!(!kind(&animated(1)).is_animated);
    assert!(kind(&animated(2)).is_animated);
    assert!(matches!(read(&animated(2)), Err(PictureError::Animated)));
    let webp = |flags: u8| [b"RIFF\x0A\0\0\0WEBPVP8X\x0A\0\0\0", &[flags][..], &[0; 9]].concat();
    assert!(kind(&webp(0x02)).is_animated);
    assert!(!kind(&webp(0x10)).is_animated);
}

/// The decoder panics on some of these.
#[test]
fn a_jpeg_with_colors_finer_than_its_brightness_is_an_error() {
    let (_, jpeg) = JPEGS[0];
    let frame = jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    // Sampling factors are the second byte of the three that each component has.
    let (first, second) = (frame + 11, frame + 14);
    let mut changed = jpeg.to_vec();
    for (brightness, color) in [(0x11, 0x12), (0x11, 0x21), (0x21, 0x23), (0x22, 0x14)] {
        (changed[first], changed[second]) = (brightness, color);
        let read = read(&changed);
        assert!(matches!(read, Err(PictureError::Unsupported { .. })), "{brightness:x}, {color:x}: {read:?}");
    }
}

#[test]
fn a_decoder_that_panics_is_an_error() {
    let found = caught::<()>(|| panic!("no such row"));
    assert!(matches!(found, Err(PictureError::Damaged { .. })), "{found:?}");
}

fn jpeg_of(width: u32, height: u32) -> Vec<u8> {
    let image = RgbImage::from_fn(width, height, |x, y| Rgb([(x * 7) as u8, (y * 5) as u8, 90]));
    let mut bytes = Vec::new();
    image.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Jpeg).unwrap();
    bytes
}

/// A JPEG with a segment of its application after its start.
fn with_note(jpeg: &[u8], marker: u8, note: &[u8]) -> Vec<u8> {
    let length = (note.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xFF, marker], &length, note, &jpeg[2..]].concat()
}

/// The beginning of an MP4 file.
fn movie(brand: [u8; 4]) -> Vec<u8> {
    let pictures = [&1008_u32.to_be_bytes()[..], b"mdat", &[7; 1000]].concat();
    [&24_u32.to_be_bytes()[..], b"ftyp", &brand, &[0; 4], b"isommp42", &pictures].concat()
}

#[test]
fn trailing_media_is_found_unless_it_belongs_to_the_picture() {
    let photo = jpeg_of(120, 80);
    let png = {
        let mut bytes = Vec::new();
        RgbImage::new(120, 80).write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).unwrap();
        bytes
    };
    let video = movie(*b"mp42");
    let padding = vec![0; 70_000];
    // As Samsung's phones write it.
    let block = [b"\0\0\x30\x0a\x10\0\0\0MotionPhoto_Data", &video[..], b"SEFH\x6a\0\0\0SEFT"].concat();
    let preview = jpeg_of(60, 40);
    let map = with_note(&photo, 0xE1, b"http://ns.adobe.com/xap/1.0/\0<rdf hdrgm:Version=\"1.0\"/>");
    let (is_video, is_picture) = (Some(TrailingMediaKind::Video), Some(TrailingMediaKind::Picture));
    for (name, first, behind, expected, before) in [
        ("motion photo", &photo, video.clone(), is_video, 0),
        ("motion photo of another maker", &photo, block, is_video, 24),
        ("motion photo with a gain map", &photo, [&map[..], &video].concat(), is_video, map.len()),
        ("motion photo with a preview", &photo, [&preview[..], &video].concat(), is_video, preview.len()),
        ("burst", &photo, [&photo[..], &photo].concat(), is_picture, 0),
        ("aligned burst", &photo, [&padding[..], &photo].concat(), is_picture, padding.len()),
        ("upright picture", &photo, jpeg_of(80, 120), is_picture, 0),
        ("HEIC", &photo, movie(*b"heic"), is_picture, 0),
        ("PNG and video", &png, video.clone(), is_video, 0),
        ("two PNGs", &png, png.clone(), is_picture, 0),
        ("gain map", &photo, map, None, 0),
        ("preview", &photo, preview, None, 0),
        ("padding", &photo, padding.clone(), None, 0),
        ("note of a camera", &png, b"SEFHe\0\0\0ftyp of nothing\xff\xd8\xff\xe0SEFT".to_vec(), None, 0),
        ("nothing", &photo, Vec::new(), None, 0),
    ] {
        let file = [&first[..], &behind].concat();
        let found = read(&file).unwrap().trailing;
        assert_eq!(found.map(|found| found.kind), expected, "{name}");
        if let Some(found) = found {
            let at = (first.len() + before) as u64;
            assert_eq!((found.at, found.bytes), (at, file.len() as u64 - at), "{name}");
        }
    }
    // A thumbnail within the picture's own notes does not come after it.
    let with_thumbnail = with_note(&photo, 0xE1, &[b"Exif\0\0", &jpeg_of(90, 60)[..]].concat());
    assert_eq!(read(&with_thumbnail).unwrap().trailing, None);
}

#[test]
fn a_jpeg_without_its_end_mark_ends_where_another_begins() {
    let other = jpeg_of(50, 40);
    let padding = [0; 300];
    for (name, bytes) in JPEGS {
        let whole = read(bytes).unwrap();
        for between in [&[][..], &padding] {
            let unmarked = [&bytes[..bytes.len() - 2], between].concat();
            let picture = read(&[&unmarked[..], &other].concat()).unwrap();
            assert!(picture.image == whole.image, "{name}");
            let (at, length) = (unmarked.len() as u64, other.len() as u64);
            let expected = TrailingMedia::new(TrailingMediaKind::Picture, at, length);
            assert_eq!(picture.trailing, Some(expected), "{name}");
        }
    }
}

/// A BMP of 40 by 30 pixels with this compression and these bits for each; the pixels begin at the end of its header.
fn bmp(header: u32, bits: u16, compression: u32, pixels: &[u8]) -> Vec<u8> {
    let start = 14 + header + if bits == 8 { 256 * if header == 12 { 3 } else { 4 } } else { 0 };
    // The length of the file is wrong.
    let mut bytes = [&b"BM"[..], &7_u32.to_le_bytes(), &[0; 4], &start.to_le_bytes()].concat();
    bytes.extend(header.to_le_bytes());
    if header == 12 {
        bytes.extend([40, 0, 30, 0, 1, 0]);
        bytes.extend(bits.to_le_bytes());
    } else {
        bytes.extend([40_i32, -30].map(i32::to_le_bytes).concat());
        bytes.extend([&[1, 0], &bits.to_le_bytes()[..], &compression.to_le_bytes()].concat());
        bytes.extend((pixels.len() as u32).to_le_bytes());
    }
    bytes.resize(start as usize, 9);
    if header > 12 {
        bytes[46..50].copy_from_slice(&256_u32.to_le_bytes());
    }
    [&bytes[..], pixels].concat()
}

#[test]
fn media_behind_a_bmp_is_found() {
    // A run and the end of the row, for each row. Rows that are coded by runs go from below only.
    let mut by_runs = bmp(40, 8, 1, &[[40, 3, 0, 0].repeat(30), vec![0, 1]].concat());
    by_runs[22..26].copy_from_slice(&30_i32.to_le_bytes());
    let other = jpeg_of(40, 30);
    for (name, first) in [
        ("24 bits", bmp(40, 24, 0, &[7; 120 * 30])),
        ("8 bits", bmp(40, 8, 0, &[7; 40 * 30])),
        ("the oldest header", bmp(12, 24, 0, &[7; 120 * 30])),
        ("runs", by_runs),
    ] {
        assert_eq!(read(&first).unwrap_or_else(|error| panic!("{name}: {error}")).trailing, None, "{name}");
        for (behind, kind) in
            [(other.clone(), TrailingMediaKind::Picture), (movie(*b"mp42"), TrailingMediaKind::Video)]
        {
            let found = read(&[&first[..], &behind].concat()).unwrap().trailing;
            let expected = TrailingMedia::new(kind, first.len() as u64, behind.len() as u64);
            assert_eq!(found, Some(expected), "{name}");
        }
    }
}

#[test]
fn the_search_for_trailing_media_is_bounded() {
    let photo = jpeg_of(64, 48);
    for false_start in
        [&[0xFF, 0xD8, 0xFF][..], b"\0\0\0\x18ftypmp42", b"\x1A\x45\xDF", &[0xFF, 0xD8, 0xFF, 0xDA, 0, 2]]
    {
        let mut file = photo.clone();
        while file.len() < 16 << 20 {
            file.extend_from_slice(false_start);
        }
        let start = std::time::Instant::now();
        read(&file).unwrap();
        assert!(
            start.elapsed() < std::time::Duration::from_secs(5),
            "{false_start:?}: {:?}",
            start.elapsed()
        );
    }
}

#[test]
fn the_size_of_a_png_is_known_before_it_is_decoded() {
    let mut png = Vec::new();
    RgbImage::new(4, 4).write_to(&mut Cursor::new(&mut png), ImageFormat::Png).unwrap();
    // The decoder checks no sum of the header before this.
    png[16..24].copy_from_slice(&[0x7F, 0xFF, 0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF]);
    let refused = read(&png);
    assert!(matches!(refused, Err(PictureError::TooLarge { width: 0x7FFF_FFFF, .. })), "{refused:?}");
    assert!(matches!(read(&png[..20]), Err(PictureError::Truncated)));
}

#[test]
fn a_png_without_a_header_is_damaged_and_not_too_large() {
    let file = b"\x89PNG\r\n\x1a\nand then nothing but words";
    let error = read_picture(Cursor::new(file), &PictureLimits::untrusted()).unwrap_err();
    assert!(!matches!(error, PictureError::TooLarge { .. }), "{error:?}");
}
