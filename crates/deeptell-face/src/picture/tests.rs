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
fn bytes_behind_the_end_mark_are_no_concern() {
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

#[test]
fn other_files_are_no_pictures() {
    for bytes in [&b""[..], b"\xFF", b"GIF89a", b"\0\0\0\x1Cftypisom", b"<html>"] {
        assert_eq!(PictureKind::of(&mut Cursor::new(bytes)).unwrap(), None);
        assert!(matches!(read(bytes), Err(PictureError::Unknown)));
    }
}

#[test]
fn animated_pictures_are_told_from_still_ones() {
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
fn a_jpeg_with_colours_finer_than_its_brightness_is_an_error() {
    let (_, jpeg) = JPEGS[0];
    let frame = jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    // Sampling factors are the second byte of the three that each component has.
    let (first, second) = (frame + 11, frame + 14);
    let mut changed = jpeg.to_vec();
    for (brightness, colour) in [(0x11, 0x12), (0x11, 0x21), (0x21, 0x23), (0x22, 0x14)] {
        (changed[first], changed[second]) = (brightness, colour);
        let read = read(&changed);
        assert!(
            matches!(read, Err(PictureError::Unsupported { .. })),
            "{brightness:x}, {colour:x}: {read:?}"
        );
    }
}

#[test]
fn a_decoder_that_panics_is_an_error() {
    let found = caught::<()>(|| panic!("no such row"));
    assert!(matches!(found, Err(PictureError::Damaged { .. })), "{found:?}");
}
