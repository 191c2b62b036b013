//! What people do on the page.

use std::path::{Path, PathBuf};

use deeptell_video::{VideoCodec, VideoWriter, WriterOptions};
use serde_json::json;
use tempfile::TempDir;

use crate::chromium::Tab;
use crate::program::Program;
use crate::readable;

/// A name, and a test that is given the browser's program.
pub(crate) type Journey = (&'static str, fn(&Path));

pub(crate) const ALL: [Journey; 7] = [
    ("page::a_clip_becomes_a_verdict", a_clip_becomes_a_verdict),
    ("page::a_picture_becomes_a_verdict", a_picture_becomes_a_verdict),
    ("page::a_film_for_which_the_browser_has_no_decoder", a_film_for_which_the_browser_has_no_decoder),
    ("page::results_outlive_the_page", results_outlive_the_page),
    ("page::faults_come_in_plain_words", faults_come_in_plain_words),
    ("page::the_keyboard_is_enough", the_keyboard_is_enough),
    ("page::everybody_can_read_it", everybody_can_read_it),
];

pub(crate) const DONE: &str = "document.querySelector('.banner .gauge, .banner.tone-none')";

pub(crate) fn clip(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/sample").join(name)
}

/// Where pictures of the page are left.
pub(crate) fn picture(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("serve");
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

fn open(browser: &Path, server: &Program) -> Tab {
    let mut tab = Tab::open(browser, 1200, 900);
    tab.prefer("light");
    tab.go(&format!("http://{}/", server.address));
    tab
}

/// The page complained of nothing, and talked to nobody else.
pub(crate) fn check_console(tab: &mut Tab, server: &Program) {
    assert_eq!(tab.complaints(), Vec::<String>::new());
    let own = format!("http://{}/", server.address);
    let others: Vec<String> = tab
        .requests()
        .into_iter()
        // What the browser draws its own controls with is `data:`, and travels nowhere.
        .filter(|url| {
            ![own.as_str(), &format!("blob:{own}"), "data:"].iter().any(|from| url.starts_with(from))
        })
        .collect();
    assert_eq!(others, Vec::<String>::new());
}

pub(crate) fn number(value: &serde_json::Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

fn a_clip_becomes_a_verdict(browser: &Path) {
    let server = Program::start(&[]);
    let mut tab = open(browser, &server);
    assert_eq!(tab.words("#where"), "Files stay on this machine");
    tab.picture(&picture("empty.png"));

    // All that the page says on its way is written down.
    tab.value(
        "window.said = []; window.parts = []; new MutationObserver(() => { \
         const words = document.querySelector('.doing')?.textContent; \
         if (words && window.said.at(-1) !== words) window.said.push(words); \
         const part = document.querySelector('progress')?.getAttribute('value'); \
         if (part && window.parts.at(-1) !== part) window.parts.push(part); \
         }).observe(document.getElementById('panel'), { subtree: true, childList: true, attributes: true, characterData: true })",
    );
    tab.choose(&[&clip("fake/nasa-collins.mp4")]);
    tab.until("document.querySelector('progress')");
    tab.until(DONE);
    let said = tab.value("window.said.join('; ')");
    let said = said.as_str().unwrap();
    for (part, why) in
        [("Upload", "the upload"), ("Looking at frame", "the analysis"), (" of 12", "its length")]
    {
        assert!(said.contains(part), "{why} is not told: {said}");
    }
    let parts = tab.value("window.parts.map(Number)");
    let parts: Vec<f64> = parts.as_array().unwrap().iter().map(number).collect();
    assert!(parts.iter().any(|&part| part > 0.0 && part < 1.0), "the bar does not move: {parts:?}");

    // The verdict is that of the report, in words, and told to a screen reader.
    let report =
        tab.value("fetch(document.querySelector('a[download$=\".json\"]').href).then((r) => r.json())");
    let words = match report["verdict"].as_str().unwrap() {
        "likely_fake" => "Likely fake",
        "inconclusive" => "Inconclusive",
        "likely_real" => "Likely real",
        other => panic!("{other}"),
    };
    assert_eq!(tab.words("#verdict"), words);
    assert!(tab.words("#live").starts_with(words), "{}", tab.words("#live"));
    assert!(tab.words(".banner").contains(report["reasons"][0]["text"].as_str().unwrap()));
    assert_eq!(tab.value("document.activeElement.id"), "verdict");
    let page =
        tab.value("fetch(document.querySelector('a[download$=\".html\"]').href).then((r) => r.text())");
    assert!(page.as_str().unwrap().contains("nasa-collins.mp4"));

    // The file plays, and the timeline is its remote control.
    tab.until("document.querySelector('video')?.readyState >= 1");
    let length = number(&report["input"]["duration_seconds"]);
    assert!((number(&tab.value("document.querySelector('video').duration")) - length).abs() < 0.2);
    let width = number(&tab.value("document.querySelector('.slider').clientWidth"));
    for part in [0.25, 0.75] {
        tab.click(".slider", part, 0.5);
        // 42 pixels on the left and 14 on the right are outside the time axis.
        let expected = (part * width - 42.0) / (width - 56.0) * length;
        let at = number(&tab.value("document.querySelector('video').currentTime"));
        assert!((at - expected).abs() < 0.1, "{part}: at {at} s, not {expected} s");
        let told =
            number(&tab.value("Number(document.querySelector('.slider').getAttribute('aria-valuenow'))"));
        assert!((told - expected).abs() < 0.1, "{told}");
    }
    // A face leads to its moment, where its box is shown.
    tab.click(".face", 0.5, 0.3);
    let first = number(&report["observations"][0]["pts_seconds"]);
    tab.until(&format!("Math.abs(document.querySelector('video').currentTime - {first}) < 0.05"));
    tab.until("document.querySelectorAll('.marks rect').length === 1");
    tab.until("document.querySelector('.face[aria-current]')");
    let faces = number(&tab.value("document.querySelectorAll('.face').length")) as usize;
    assert_eq!(faces, report["observations"].as_array().unwrap().len());
    tab.until("[...document.querySelectorAll('.face img')].every((face) => face.naturalWidth > 0)");
    // Heat maps lie over the faces when they are asked for.
    let shown = "getComputedStyle(document.querySelector('.crop .heat')).opacity";
    tab.until("[...document.querySelectorAll('.crop .heat')].every((heat) => heat.naturalWidth > 0)");
    assert_eq!(number(&tab.value("document.querySelectorAll('.crop .heat').length")) as usize, faces);
    assert_eq!(tab.value(shown), "0");
    tab.click("label[for=heat]", 0.5, 0.5);
    assert_eq!(tab.value(shown), "1");
    assert!(tab.words("#people").contains("where the network finds traces"));
    readable::check(&mut tab, "verdict");
    tab.picture(&picture("verdict.png"));
    tab.picture(&picture("verdict.jpg"));
    check_console(&mut tab, &server);
    assert_eq!(server.left().len(), 1, "the folder alone");
}

/// NASA's portrait of Eileen Collins, in the public domain.
pub(crate) fn portrait() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deeptell-mtcnn/tests/data/astronaut.png")
}

fn a_picture_becomes_a_verdict(browser: &Path) {
    let server = Program::start(&[]);
    let mut tab = open(browser, &server);
    tab.drag_and_drop(&portrait(), |tab| {
        assert_eq!(tab.value("document.body.classList.contains('dragging')"), true);
    });
    tab.until(DONE);
    assert_eq!(tab.value("document.body.classList.contains('dragging')"), false);
    tab.until("document.querySelector('.screen img')?.naturalWidth === 512");
    tab.until("document.querySelectorAll('.marks rect').length >= 1");
    // The box lies on the face: the drawing has the picture's own coordinates.
    let drawn = tab.value("document.querySelector('.marks').getAttribute('viewBox')");
    assert_eq!(drawn, "0 0 512 512");
    assert_eq!(tab.value("document.querySelectorAll('.slider').length"), 0, "a picture has no time");
    assert!(tab.words("#people").contains("px wide"));
    readable::check(&mut tab, "picture");
    check_console(&mut tab, &server);
}

fn a_film_for_which_the_browser_has_no_decoder(browser: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let film = folder.path().join("film.avi");
    let portrait = image::open(portrait()).unwrap().into_rgb8();
    let options = WriterOptions::default().codec(VideoCodec::Mpeg4);
    let mut writer = VideoWriter::create(&film, 320, 240, &options).unwrap();
    for number in 0..12 {
        writer.write(&image::imageops::crop_imm(&portrait, 60 + number, 10, 320, 240).to_image()).unwrap();
    }
    writer.finish().unwrap();

    let server = Program::start(&["--frames", "4"]);
    let mut tab = open(browser, &server);
    tab.choose(&[&film]);
    tab.until(DONE);
    tab.until("document.querySelector('.screen img')?.naturalWidth > 0");
    let said = tab.words(".stage");
    assert!(said.contains("cannot play this file") && said.contains("frames that were analyzed"), "{said}");
    tab.click(".face", 0.5, 0.3);
    tab.until("document.querySelector('.screen img').src.endsWith('/pictures/frames/0')");
    tab.until("document.querySelectorAll('.marks rect').length === 1");
    readable::check(&mut tab, "film");
    check_console(&mut tab, &server);
}

fn results_outlive_the_page(browser: &Path) {
    let server = Program::start(&["--frames", "5"]);
    let mut tab = open(browser, &server);
    let clips = [clip("real/orl-s01.mp4"), clip("real/orl-s02.mp4")];
    tab.choose(&[&clips[0], &clips[1]]);
    tab.until("document.querySelectorAll('.history .pill').length === 2");
    tab.until("[...document.querySelectorAll('.history .pill')].every((p) => /Likely|Inconclusive/.test(p.textContent))");
    assert_eq!(tab.words("#panel .file"), "orl-s01.mp4");
    tab.click(".history li:first-child .entry", 0.3, 0.5);
    tab.until("document.querySelector('#panel .file').innerText === 'orl-s02.mp4'");

    tab.reload();
    tab.until("document.querySelectorAll('.history .entry').length === 2");
    tab.click(".history li:last-child .entry", 0.3, 0.5);
    tab.until(DONE);
    assert_eq!(tab.words("#panel .file"), "orl-s01.mp4");
    // The file is gone, so the frames that were analyzed stand in for it.
    tab.until("document.querySelector('.screen img')?.naturalWidth > 0");
    assert!(tab.words(".stage").contains("frames that were analyzed"), "{}", tab.words(".stage"));
    let shown = |tab: &mut Tab| tab.value("new URL(document.querySelector('.screen img').src).pathname");
    let first = shown(&mut tab);
    tab.click(".slider", 0.97, 0.5);
    let last = shown(&mut tab);
    assert!(first.as_str().unwrap().ends_with("/pictures/frames/0"), "{first}");
    assert!(last.as_str().unwrap().ends_with("/pictures/frames/4"), "{last}");
    tab.until("document.querySelectorAll('.marks rect').length === 1");

    // What is forgotten is forgotten by the server too.
    let id = last.as_str().unwrap().split('/').nth(3).unwrap().to_owned();
    check_console(&mut tab, &server);
    tab.click(".history li:last-child .remove", 0.5, 0.5);
    tab.until("document.querySelectorAll('.history .entry').length === 1");
    tab.until(&format!("fetch('/api/scans/{id}').then((r) => r.status === 404)"));
    assert_eq!(tab.value("document.getElementById('current').hidden"), true);
}

/// A file of a folder.
pub(crate) fn file_in(folder: &TempDir, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// A picture without a face.
pub(crate) fn sky_in(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("sky.png");
    let sky = |x: u32, y: u32| image::Rgb([90, 140 + (x / 8) as u8, 200 - (y / 4) as u8]);
    deeptell_face::RgbImage::from_fn(320, 240, sky).save(&path).unwrap();
    path
}

fn faults_come_in_plain_words(browser: &Path) {
    let server = Program::start(&["--max-upload", "1"]);
    let mut tab = open(browser, &server);
    assert!(tab.words("#drop-notes").contains("up to 1 MB"), "{}", tab.words("#drop-notes"));
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| file_in(&folder, name, content);
    let mut damaged = std::fs::read(clip("real/orl-s01.mp4")).unwrap();
    // As a download that broke off leaves it: the index at its end is missing.
    damaged.truncate(damaged.len() / 2);
    let sky = sky_in(&folder);
    let cases = [
        (file("notes.txt", b"words"), "This file cannot be read here", "neither a video nor a picture"),
        (file("words.mp4", b"words and no video"), "This file cannot be read here", "This is a text file"),
        (
            file("noise.mp4", &(0..4096_u32).map(|i| (i * i % 251) as u8 | 0x80).collect::<Vec<_>>()),
            "This file cannot be read here",
            "MP4, MOV, MKV, WebM and AVI",
        ),
        (file("damaged.mp4", &damaged), "This file is damaged", "The video is incomplete"),
        (file("large.mp4", &vec![0; 1_000_001]), "This file is too large", "takes up to 1 MB"),
        (file("empty.mp4", b""), "This file is empty", "no content"),
        (sky, "No face found", "says nothing about this material"),
    ];
    for (path, title, words) in &cases {
        tab.choose(&[path]);
        tab.until(&format!("document.querySelector('.banner #verdict')?.textContent === {title:?}"));
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(tab.words("#panel .file"), name);
        let panel = tab.words("#panel");
        assert!(panel.contains(words), "{name}: {panel}");
        assert!(tab.words("#live").contains(name), "{name}: {}", tab.words("#live"));
    }
    assert_eq!(tab.value("document.querySelectorAll('.history .entry').length"), cases.len());
    tab.picture(&picture("faults.png"));
    check_console(&mut tab, &server);

    // A server that is gone is said to be gone, and the file can be sent again.
    drop(server);
    tab.choose(&[&clip("real/orl-s01.mp4")]);
    tab.until("document.querySelector('.banner #verdict')?.textContent === 'The connection was lost'");
    assert!(tab.words("#panel").contains("Try again"));
}

fn the_keyboard_is_enough(browser: &Path) {
    let server = Program::start(&["--frames", "6"]);
    let mut tab = open(browser, &server);
    let focus = |tab: &mut Tab| {
        let value = tab.value(
            "(() => { const e = document.activeElement; \
             return `${e.id || e.className || e.tagName}: ${e.getAttribute('aria-label') ?? e.textContent.trim()}`; })()",
        );
        value.as_str().unwrap().to_owned()
    };
    let visible = |tab: &mut Tab| {
        let value = tab.value(
            "(() => { const e = document.activeElement; \
             if (e.tagName === 'VIDEO') return true; /* the browser marks its own controls */ \
             const shown = e.id === 'file' ? e.nextElementSibling : e; \
             const s = getComputedStyle(shown); return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2; })()",
        );
        value == true
    };
    tab.press("Tab");
    assert!(focus(&mut tab).starts_with("skip:"), "{}", focus(&mut tab));
    tab.press("Tab");
    assert!(focus(&mut tab).starts_with("file:"), "{}", focus(&mut tab));
    assert!(visible(&mut tab), "the chosen control is not marked");

    tab.call("Page.setInterceptFileChooserDialog", json!({"enabled": true}));
    tab.press(" ");
    let asked = tab.event("Page.fileChooserOpened");
    let file = clip("fake/nasa-collins.mp4").canonicalize().unwrap();
    tab.call("DOM.setFileInputFiles", json!({"files": [file], "backendNodeId": asked["backendNodeId"]}));
    tab.until(DONE);
    assert!(focus(&mut tab).starts_with("verdict:"), "the verdict has the focus: {}", focus(&mut tab));

    // From the verdict on, everything in its order.
    let mut passed = Vec::new();
    while !focus(&mut tab).starts_with("slider:") {
        assert!(passed.len() < 14, "no timeline: {passed:?}");
        tab.press("Tab");
        passed.push(focus(&mut tab));
        assert!(visible(&mut tab), "not marked: {passed:?}");
    }
    for words in ["Open the full report", "Save as HTML", "Save as JSON", "The video nasa-collins.mp4"] {
        assert!(passed.iter().any(|focus| focus.contains(words)), "{words}: {passed:?}");
    }
    let report =
        tab.value("fetch(document.querySelector('a[download$=\".json\"]').href).then((r) => r.json())");
    let times: Vec<f64> =
        report["observations"].as_array().unwrap().iter().map(|o| number(&o["pts_seconds"])).collect();
    let at = |tab: &mut Tab| number(&tab.value("document.querySelector('video').currentTime"));
    for (key, expected) in [
        ("Home", times[0]),
        ("ArrowRight", times[1]),
        ("ArrowRight", times[2]),
        ("ArrowLeft", times[1]),
        ("End", *times.last().unwrap()),
    ] {
        tab.press(key);
        tab.until("!document.querySelector('video').seeking");
        assert!((at(&mut tab) - expected).abs() < 0.05, "{key}: at {} s, not {expected} s", at(&mut tab));
    }
    let told = tab.value("document.activeElement.getAttribute('aria-valuetext')");
    assert!(told.as_str().unwrap().contains("nearest score"), "{told}");

    tab.value("document.getElementById('heat').focus()");
    tab.press(" ");
    assert_eq!(tab.value("document.getElementById('heat').checked"), true, "the switch of the heat maps");
    while !focus(&mut tab).starts_with("face") {
        tab.press("Tab");
    }
    tab.press("Enter");
    tab.until(&format!("Math.abs(document.querySelector('video').currentTime - {}) < 0.05", times[0]));
    check_console(&mut tab, &server);
}

fn everybody_can_read_it(browser: &Path) {
    let server = Program::start(&["--frames", "6"]);
    let mut tab = open(browser, &server);
    let sizes = [("wide", 1200, 900), ("narrow", 360, 740)];
    let look = |tab: &mut Tab, what: &str| {
        for scheme in ["light", "dark"] {
            tab.prefer(scheme);
            for (size, width, height) in sizes {
                tab.resize(width, height);
                // Drawings follow the size in the next frame.
                tab.value("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))");
                readable::check(tab, &format!("{what}, {scheme}, {size}"));
                tab.picture(&picture(&format!("{what}-{scheme}-{size}.png")));
            }
        }
    };
    look(&mut tab, "empty");
    tab.choose(&[&clip("fake/nasa-collins.mp4")]);
    tab.until(DONE);
    tab.until("document.querySelector('video')?.readyState >= 2");
    tab.click(".face", 0.5, 0.3);
    look(&mut tab, "done");
    let folder = tempfile::tempdir().unwrap();
    let notes = folder.path().join("notes.txt");
    std::fs::write(&notes, "words").unwrap();
    tab.choose(&[&notes]);
    tab.until("document.querySelector('#panel .tone-none')");
    look(&mut tab, "fault");
    // A dark page is dark, and a light one is not.
    for (scheme, is_dark) in [("dark", true), ("light", false)] {
        tab.prefer(scheme);
        let ground = tab.value("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)");
        assert_eq!(number(&ground[0]) < 128.0, is_dark, "{scheme}: {ground}");
    }
    check_console(&mut tab, &server);
}
