//! The page that scans in the browser itself, compared with the command line.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use deeptell_video::{Sampling, VideoCodec, VideoReader, VideoWriter, WriterOptions};
use serde_json::{Value, json};

use crate::chromium::Tab;
use crate::journeys::{DONE, check_console, clip, file_in, number, picture, portrait, sky_in};
use crate::program::Program;
use crate::readable;

/// A name, and a test that is given the browser's program and the folder of the page.
pub(crate) type Journey = (&'static str, fn(&Path, &Path));

pub(crate) const ALL: [Journey; 8] = [
    ("local::a_picture_has_the_score_of_the_command_line", a_picture_has_the_score_of_the_command_line),
    ("local::clips_have_the_scores_of_the_command_line", clips_have_the_scores_of_the_command_line),
    ("local::frames_are_turned_and_chosen_as_by_the_program", frames_are_turned_and_chosen_as_by_the_program),
    ("local::faults_have_the_sentences_of_the_command_line", faults_have_the_sentences_of_the_command_line),
    ("local::a_scan_can_be_cancelled", a_scan_can_be_cancelled),
    ("local::it_works_without_a_network", it_works_without_a_network),
    ("local::everybody_can_read_it", everybody_can_read_it),
    ("local::its_memory_is_bounded", its_memory_is_bounded),
];

fn open(browser: &Path, site: &Path) -> (Program, Tab) {
    let server = Program::start(&["--local-page", site.to_str().unwrap()]);
    let mut tab = Tab::open(browser, 1200, 900);
    tab.prefer("light");
    tab.go(&format!("http://{}/local/", server.address));
    (server, tab)
}

/// What `deeptell scan` says of a file.
fn scan(file: &Path) -> Value {
    scan_all(file).remove(0)
}

/// What it says of a file, or of all files of a folder, in order of their names.
fn scan_all(file: &Path) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_deeptell"))
        .args(["scan", "--json", "-"])
        .arg(file)
        .output()
        .unwrap();
    let document: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}: {}", file.display(), String::from_utf8_lossy(&output.stderr)));
    document["reports"].as_array().unwrap().iter().cloned().map(with_plain_numbers).collect()
}

/// What `deeptell scan` says is wrong with a file.
fn refusal(file: &Path) -> String {
    let folder = file.parent().unwrap();
    let mut scan = Command::new(env!("CARGO_BIN_EXE_deeptell"));
    let output = scan.current_dir(folder).arg("scan").arg(file.file_name().unwrap()).output().unwrap();
    assert!(!output.status.success(), "{}", file.display());
    String::from_utf8(output.stderr).unwrap()
}

/// The report of the file that the page shows, once it is there.
fn report(tab: &mut Tab, file: &Path) -> Value {
    tab.choose(&[file]);
    let name = file.file_name().unwrap().to_str().unwrap();
    tab.until(&format!("{DONE} && document.querySelector('#panel .file').innerText === {name:?}"));
    let id = tab.value("window.scanned = (window.scanned ?? 0) + 1");
    let verdict = tab.words("#panel");
    let report = tab
        .value(&format!("import('./transfer.js').then(({{ report }}) => report('{id}').catch(() => null))"));
    assert!(!report.is_null(), "{name}: {verdict}");
    with_plain_numbers(report)
}

/// The same with every number as a float: JavaScript makes no difference.
fn with_plain_numbers(value: Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(values) => values.into_iter().map(with_plain_numbers).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (name, with_plain_numbers(value))).collect()
        }
        other => other,
    }
}

/// The part that two boxes share of what they cover together.
fn overlap(one: &Value, other: &Value) -> f64 {
    let side = |b: &Value, name: &str| number(&b[name]);
    let inside = |low: &str, high: &str| {
        (side(one, high).min(side(other, high)) - side(one, low).max(side(other, low))).max(0.0)
    };
    let area = |b: &Value| (side(b, "x2") - side(b, "x1")) * (side(b, "y2") - side(b, "y1"));
    let shared = inside("x1", "x2") * inside("y1", "y2");
    shared / (area(one) + area(other) - shared)
}

/// Whether two reports are of the same frames, faces and verdict, and how far their scores differ.
fn difference(name: &str, ours: &Value, theirs: &Value) -> f64 {
    for field in ["/verdict", "/model/sha256", "/schema_version", "/decisive_person", "/options/frames"] {
        assert_eq!(ours.pointer(field), theirs.pointer(field), "{name}: {field}");
    }
    let codes = |report: &Value| {
        let codes = |reasons: &Value| {
            reasons.as_array().unwrap().iter().map(|reason| reason["code"].clone()).collect::<Vec<_>>()
        };
        codes(&report["reasons"])
    };
    assert_eq!(codes(ours), codes(theirs), "{name}");
    assert_eq!(ours["frames"], theirs["frames"], "{name}: the frames");
    for field in
        ["sha256", "bytes", "width", "height", "frame_count", "container", "codec", "duration_seconds"]
    {
        assert_eq!(ours["input"][field], theirs["input"][field], "{name}: {field}");
    }
    let faces = |report: &Value| report["observations"].as_array().unwrap().clone();
    assert_eq!(faces(ours).len(), faces(theirs).len(), "{name}: the faces");
    for (one, other) in faces(ours).iter().zip(&faces(theirs)) {
        assert!(overlap(&one["bbox"], &other["bbox"]) >= 0.999, "{name}: {one} {other}");
    }
    match (ours["score"].as_f64(), theirs["score"].as_f64()) {
        (Some(one), Some(other)) => (one - other).abs(),
        (one, other) => {
            assert_eq!(one, other, "{name}");
            0.0
        }
    }
}

fn a_picture_has_the_score_of_the_command_line(browser: &Path, site: &Path) {
    let (server, mut tab) = open(browser, site);
    assert_eq!(tab.words("#where"), "Files stay on this device");
    tab.picture(&picture("local-empty.png"));
    let ours = report(&mut tab, &portrait());
    let theirs = scan(&portrait());
    let difference = difference("portrait", &ours, &theirs);
    eprintln!("picture: {} in the browser, {} natively", ours["score"], theirs["score"]);
    assert!(difference < 1e-3, "{difference}");
    assert!(ours["input"].get("decoder").is_none(), "the module decodes pictures itself");
    tab.until("document.querySelectorAll('.marks rect').length >= 1");
    tab.until("[...document.querySelectorAll('.face img')].every((face) => face.naturalWidth > 0)");
    readable::check(&mut tab, "local picture");
    // What a file is, its bytes tell.
    let folder = tempfile::tempdir().unwrap();
    let nameless = file_in(&folder, "portrait", &std::fs::read(portrait()).unwrap());
    assert_eq!(report(&mut tab, &nameless)["score"], ours["score"]);
    // Marks of direction do not reorder a name, wherever it stands.
    let reversed = file_in(&folder, "a\u{202e}gpj.exe", b"words");
    tab.choose(&[&reversed]);
    tab.until("document.title.startsWith('a\u{fffd}gpj.exe')");
    tab.until("document.querySelector('#panel .lede')");
    assert_eq!(tab.value("/\\u202e/.test(document.title + document.body.innerText)"), false);
    let asked = |tab: &Tab, name: &str| tab.requests().iter().any(|url| url.ends_with(name));
    assert!(
        asked(&tab, "deeptell_web_bg.wasm"),
        "what the worker asks for is not seen: {:?}",
        tab.requests()
    );
    check_console(&mut tab, &server);
}

fn clips_have_the_scores_of_the_command_line(browser: &Path, site: &Path) {
    let (server, mut tab) = open(browser, site);
    let mut largest = 0.0_f64;
    for theirs in [clip("real"), clip("fake")].iter().flat_map(|folder| scan_all(folder)) {
        let file = PathBuf::from(theirs["input"]["path"].as_str().unwrap());
        let ours = report(&mut tab, &file);
        let difference = difference(&file.display().to_string(), &ours, &theirs);
        assert!(difference < 0.005, "{}: {} {}", file.display(), ours["score"], theirs["score"]);
        assert_eq!(ours["input"]["decoder"], "browser");
        largest = largest.max(difference);
        // The list of this session does not grow with the sample.
        tab.click("#history .remove", 0.5, 0.5);
        tab.until("document.getElementById('current').hidden");
    }
    eprintln!("the scores of the clips differ by {largest} at most");
    report(&mut tab, &clip("fake/nasa-collins.mp4"));
    // The page is that of the server: a player, a timeline, faces with heat maps, and a report to save.
    tab.until("document.querySelector('video')?.readyState >= 1");
    tab.click(".slider", 0.5, 0.5);
    tab.click(".face", 0.5, 0.3);
    tab.until("document.querySelectorAll('.marks rect').length === 1");
    tab.until("[...document.querySelectorAll('.crop .heat')].every((heat) => heat.naturalWidth > 0)");
    tab.click("label[for=heat]", 0.5, 0.5);
    assert_eq!(tab.value("getComputedStyle(document.querySelector('.crop .heat')).opacity"), "1");
    assert_eq!(tab.value("document.querySelectorAll('a[download$=\".html\"][href^=\"blob:\"]').length"), 1);
    assert_eq!(tab.value("document.querySelectorAll('.actions a[target]').length"), 0, "nothing to open");
    readable::check(&mut tab, "local verdict");
    tab.picture(&picture("local-verdict.png"));
    check_console(&mut tab, &server);
    assert_eq!(server.left().len(), 1, "the server got no file");
}

/// A clip of the golden ones of the video reader.
fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deeptell-video/goldens/clips").join(name)
}

/// Where the head of a box begins in an MP4 file whose index comes last, by its name, which is there once.
fn box_at(file: &[u8], name: [u8; 4]) -> usize {
    let place = |bytes: &[u8], name: &[u8]| bytes.windows(4).position(|found| found == name).unwrap();
    let index = place(file, b"moov");
    index + place(&file[index..], &name) - 4
}

fn number_at(file: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(*file[at..].first_chunk().unwrap())
}

/// The mean difference of a channel between the first frame that the page keeps of the last file and that of a reader,
/// over blocks of 8x8 pixels.
fn first_frame_differs(tab: &mut Tab, file: &Path) -> f64 {
    let pixels = tab.value(
        "import('./transfer.js').then(async ({ picturePath }) => { \
           const picture = new Image(); \
           picture.src = picturePath(String(window.scanned), 'frames', 0); \
           await picture.decode(); \
           const canvas = new OffscreenCanvas(picture.naturalWidth, picture.naturalHeight).getContext('2d'); \
           canvas.drawImage(picture, 0, 0); \
           return [...canvas.getImageData(0, 0, picture.naturalWidth, picture.naturalHeight).data]; \
         })",
    );
    let shown: Vec<u8> = pixels.as_array().unwrap().iter().map(|value| number(value) as u8).collect();
    let mut reader = VideoReader::open(file).unwrap();
    let read = reader.sample(Sampling::Uniform(12)).next().unwrap().unwrap().image;
    let (width, height) = read.dimensions();
    let shown =
        image::DynamicImage::from(image::RgbaImage::from_raw(width, height, shown).unwrap()).into_rgb8();
    // The blocks of a JPEG have the right means, whatever else is lost.
    let blocks =
        |image: &image::RgbImage| image::imageops::thumbnail(image, width / 8, height / 8).into_raw();
    let (shown, read) = (blocks(&shown), blocks(&read));
    let sum: f64 = shown.iter().zip(&read).map(|(one, other)| f64::from(one.abs_diff(*other))).sum();
    sum / shown.len() as f64
}

/// The same film with its index before the frames, as for the web.
fn with_index_first(mut file: Vec<u8>) -> Vec<u8> {
    let index = box_at(&file, *b"moov");
    let size = number_at(&file, index);
    let places = box_at(&file, *b"stco") + 12;
    for number in 0..number_at(&file, places) as usize {
        let at = places + 4 + 4 * number;
        let place = number_at(&file, at) + size;
        file[at..][..4].copy_from_slice(&place.to_be_bytes());
    }
    let head = number_at(&file, 0) as usize;
    [&file[..head], &file[index..], &file[head..index]].concat()
}

fn frames_are_turned_and_chosen_as_by_the_program(browser: &Path, site: &Path) {
    let (server, mut tab) = open(browser, site);
    // Other containers and codecs, a variable frame rate, a turned picture, an edit list, a late start, a pause: no faces,
    // so that the sizes and times of frames are all that there is.
    for name in
        ["vp9.webm", "vfr.mp4", "turned_90.mp4", "edit_list.mp4", "late_start.mp4", "pause.mp4", "av1.mp4"]
    {
        let ours = report(&mut tab, &golden(name));
        assert_eq!(difference(name, &ours, &scan(&golden(name))), 0.0, "{name}");
    }
    // Mirrored, by the matrix of its track (ISO/IEC 14496-12, 8.3.2).
    let folder = tempfile::tempdir().unwrap();
    let mirrored = folder.path().join("mirrored.mp4");
    let mut bytes = std::fs::read(clip("fake/nasa-collins.mp4")).unwrap();
    let track = bytes.windows(4).position(|name| name == b"tkhd").unwrap();
    let scale = &mut bytes[track + 44..][..4];
    assert_eq!(scale, [0, 1, 0, 0]);
    scale.copy_from_slice(&[0xFF, 0xFF, 0, 0]);
    std::fs::write(&mirrored, bytes).unwrap();
    let apart = difference("mirrored", &report(&mut tab, &mirrored), &scan(&mirrored));
    assert!(apart < 0.005, "{apart}");
    // The colors are those that the stream is tagged with, also where the browser says otherwise.
    for name in [
        "untagged.mp4",
        "bt601.mp4",
        "bt709.mp4",
        "full_range.mp4",
        "full_range_alone.mp4",
        "av1_full_range.mp4",
        "vp9_full_range.webm",
    ] {
        report(&mut tab, &golden(name));
        let apart = first_frame_differs(&mut tab, &golden(name));
        eprintln!("{name}: {apart:.2}");
        assert!(apart < 1.0, "{name}: {apart}");
    }
    // Of files that were cut, what is there is judged, and what is missing is said.
    let first = with_index_first(std::fs::read(clip("fake/nasa-collins.mp4")).unwrap());
    let webm = std::fs::read(golden("vp9.webm")).unwrap();
    for (name, whole, tenths) in
        [("cut-4.mp4", &first, 4), ("cut-7.mp4", &first, 7), ("cut-7.webm", &webm, 7)]
    {
        let cut = file_in(&folder, name, &whole[..whole.len() * tenths / 10]);
        let (mut ours, mut theirs) = (report(&mut tab, &cut), scan(&cut));
        // FFmpeg counts the frame of which only a part is there, which the browser does not get.
        for report in [&mut ours, &mut theirs] {
            for frame in report["frames"].as_array_mut().unwrap() {
                frame.as_object_mut().unwrap().remove("index");
            }
        }
        let apart = difference(name, &ours, &theirs);
        assert!(apart < 0.005, "{name}: {apart}");
        let said = |report: &Value| -> Vec<String> {
            let warnings = report["warnings"].as_array().unwrap().iter();
            let others = warnings.filter(|warning| warning["code"] != "corrupt_packets");
            others.map(|warning| warning["text"].to_string()).collect()
        };
        assert_eq!(said(&ours), said(&theirs), "{name}");
        assert!(said(&ours)[0].contains("of 2.0 seconds are there"), "{name}: {ours}");
    }
    // Nothing lists the frames of a fragmented file: they are spread evenly over what the browser says is its length.
    let (ours, theirs) = (report(&mut tab, &golden("fragmented.mp4")), scan(&golden("fragmented.mp4")));
    assert_eq!(ours["frames"].as_array().unwrap().len(), 12);
    let [one, other] = [&ours, &theirs].map(|report| number(&report["input"]["duration_seconds"]));
    assert!((one - other).abs() < 0.1, "{one} s, {other} s");
    check_console(&mut tab, &server);
}

fn faults_have_the_sentences_of_the_command_line(browser: &Path, site: &Path) {
    let (server, mut tab) = open(browser, site);
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| file_in(&folder, name, content);
    let mut cut = std::fs::read(clip("real/orl-s01.mp4")).unwrap();
    cut.truncate(cut.len() / 2);
    let mut picture = std::fs::read(portrait()).unwrap();
    picture.truncate(picture.len() / 2);
    let sound = folder.path().join("sound.mp4");
    std::fs::copy(golden("sound.mp4"), &sound).unwrap();
    let noise: Vec<u8> = (0..4096_u32).map(|i| (i * i % 251) as u8 | 0x80).collect();
    let cases = [
        (file("words.mp4", b"words and no video"), "This file cannot be read here", "this is a text file"),
        (
            file("noise.mp4", &noise),
            "This file cannot be read here",
            "this is not a video, or not one of a known format",
        ),
        (file("cut.mp4", &cut), "This file is damaged", "bytes are there); download the whole file"),
        (file("cut.png", &picture), "This file is damaged", ""),
        (sound, "This file cannot be read here", "has no video stream; pass a video"),
    ];
    for (path, title, words) in &cases {
        tab.choose(&[path]);
        let name = path.file_name().unwrap().to_str().unwrap();
        let shown = format!("document.querySelector('#panel .file')?.innerText === {name:?}");
        tab.until(&format!("{shown} && document.querySelector('.banner #verdict')"));
        assert_eq!(tab.words("#verdict"), *title, "{name}: {}", tab.words("#panel"));
        let said = tab.words("#panel .lede");
        assert!(said.contains(words), "{name}: {said}");
        let native = refusal(path);
        assert!(native.contains(words), "{name}: {native}");
    }
    // A codec that this browser lacks is another matter than a damaged file.
    let hevc = folder.path().join("hevc.mp4");
    std::fs::copy(golden("hevc.mp4"), &hevc).unwrap();
    tab.choose(&[&hevc]);
    tab.until("document.querySelector('#panel .file')?.innerText === 'hevc.mp4' && document.querySelector('.banner #verdict')");
    let said = tab.words("#panel");
    assert!(
        said.contains("this browser cannot play the file (hevc)") && said.contains("deeptell serve"),
        "{said}"
    );
    // No face is a verdict, not a fault.
    tab.choose(&[&sky_in(&folder)]);
    tab.until("document.querySelector('.banner #verdict')?.textContent === 'No face found'");
    check_console(&mut tab, &server);
}

fn a_scan_can_be_cancelled(browser: &Path, site: &Path) {
    let (server, mut tab) = open(browser, site);
    tab.choose(&[&clip("fake/nasa-collins.mp4")]);
    tab.until("/frame [2-9] of 12/.test(document.querySelector('.doing')?.textContent)");
    tab.click("#panel .button", 0.5, 0.5);
    tab.until("document.getElementById('current').hidden");
    assert_eq!(tab.value("document.querySelectorAll('.history .entry').length"), 0);
    // The next one is not held up, even where the browser never answers.
    tab.choose(&[&clip("real/nasa-collins.mp4")]);
    tab.value(
        "(window.seek = Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, 'currentTime'), \
         Object.defineProperty(HTMLMediaElement.prototype, 'currentTime', { ...window.seek, set() {} }), 0)",
    );
    tab.until("document.querySelector('.doing')?.textContent === 'Reading the file'");
    tab.value("new Promise((done) => setTimeout(done, 500))");
    tab.click("#panel .button", 0.5, 0.5);
    tab.until("document.getElementById('current').hidden");
    tab.value("(Object.defineProperty(HTMLMediaElement.prototype, 'currentTime', window.seek), 0)");
    let began = Instant::now();
    tab.choose(&[&clip("real/orl-s01.mp4")]);
    tab.until(DONE);
    assert_eq!(tab.words("#panel .file"), "orl-s01.mp4");
    assert!(began.elapsed().as_secs() < 15, "{:?}", began.elapsed());
    check_console(&mut tab, &server);
}

fn it_works_without_a_network(browser: &Path, site: &Path) {
    let (server, mut tab) = open(browser, site);
    tab.until("navigator.serviceWorker.ready.then(() => true)");
    tab.until("navigator.serviceWorker.controller");
    check_console(&mut tab, &server);
    // Without a server there is no network that could answer.
    let native = scan(&portrait());
    let address = server.address;
    drop(server);
    tab.go(&format!("http://{address}/local/index.html"));
    tab.until("document.getElementById('version').textContent !== ''");
    tab.go(&format!("http://{address}/local/"));
    tab.reload();
    let ours = report(&mut tab, &portrait());
    assert!(difference("portrait", &ours, &native) < 1e-3);
    assert_eq!(tab.complaints(), Vec::<String>::new());
}

fn everybody_can_read_it(browser: &Path, site: &Path) {
    let (server, mut tab) = open(browser, site);
    let look = |tab: &mut Tab, what: &str| {
        for scheme in ["light", "dark"] {
            tab.prefer(scheme);
            for (size, width, height) in [("wide", 1200, 900), ("narrow", 360, 740)] {
                tab.resize(width, height);
                tab.value("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))");
                readable::check(tab, &format!("local {what}, {scheme}, {size}"));
                tab.picture(&picture(&format!("local-{what}-{scheme}-{size}.png")));
            }
        }
    };
    look(&mut tab, "empty");
    // By keyboard alone: the chooser opens, and the verdict has the focus.
    tab.press("Tab");
    tab.press("Tab");
    assert_eq!(tab.value("document.activeElement.id"), "file");
    tab.call("Page.setInterceptFileChooserDialog", json!({"enabled": true}));
    tab.press(" ");
    let asked = tab.event("Page.fileChooserOpened");
    let file = clip("fake/nasa-collins.mp4").canonicalize().unwrap();
    tab.call("DOM.setFileInputFiles", json!({"files": [file], "backendNodeId": asked["backendNodeId"]}));
    tab.until(DONE);
    assert_eq!(tab.value("document.activeElement.id"), "verdict");
    assert!(tab.words("#live").contains("nasa-collins.mp4"), "{}", tab.words("#live"));
    tab.until("document.querySelector('video')?.readyState >= 2");
    look(&mut tab, "done");
    check_console(&mut tab, &server);
}

/// A film of a moving portrait, five frames a second.
fn film(path: &Path, width: u32, height: u32, seconds: u32) {
    let portrait = image::open(portrait()).unwrap().into_rgb8();
    let scaled = image::imageops::thumbnail(&portrait, width + 64, width + 64);
    let options = WriterOptions::default().codec(VideoCodec::H264).frames_per_second(5);
    let mut writer = VideoWriter::create(path, width, height, &options).unwrap();
    for number in 0..5 * seconds {
        writer.write(&image::imageops::crop_imm(&scaled, number % 64, 0, width, height).to_image()).unwrap();
    }
    writer.finish().unwrap();
}

/// Also measures, for the table in BENCHMARKS.md.
fn its_memory_is_bounded(browser: &Path, site: &Path) {
    if !VideoCodec::H264.is_available() {
        eprintln!("this FFmpeg has no libx264: nothing is measured");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (small, large) = (folder.path().join("small.mp4"), folder.path().join("large.mp4"));
    film(&small, 640, 360, 10);
    film(&large, 1920, 1080, 60);
    let (server, mut tab) = open(browser, site);
    let timed = |tab: &mut Tab, file: &Path| {
        let began = Instant::now();
        let report = report(tab, file);
        assert!(!report["observations"].as_array().unwrap().is_empty(), "{}: no face", file.display());
        began.elapsed().as_secs_f64()
    };
    let watch = tab.watch_memory();
    let first = timed(&mut tab, &small);
    let again = timed(&mut tab, &small);
    let picture = timed(&mut tab, &portrait());
    let long = timed(&mut tab, &large);
    eprintln!(
        "10 s of 360p: {first:.2} s, again {again:.2} s; a picture: {picture:.2} s; a minute of 1080p: {long:.2} s"
    );
    if let Some(peak) = watch.end() {
        let files = peak.files / 1_000_000;
        let all = peak.resident() / 1_000_000;
        eprintln!("the tab had {all} MB at most, {files} MB of them the browser's program");
        assert!(peak.resident() <= 400_000_000, "{peak:?}");
    }
    check_console(&mut tab, &server);
}
