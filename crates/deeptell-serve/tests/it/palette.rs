//! Colors that people can read.

use std::collections::{BTreeMap, BTreeSet};

use crate::Server;

/// The variables of a `:root` block: name to `#rrggbb`.
fn palette(block: &str) -> BTreeMap<String, String> {
    let body = block.split('}').next().unwrap();
    let variables =
        body.split([';', '{']).filter_map(|line| line.trim().strip_prefix("--")?.split_once(": "));
    variables.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

/// The light palette of a style sheet, and the dark one.
fn palettes(style: &str) -> [BTreeMap<String, String>; 2] {
    let mut blocks = style.split(":root {").skip(1);
    [(); 2].map(|()| palette(blocks.next().unwrap()))
}

/// Relative luminance: WCAG 2.2, "relative luminance".
fn luminance(color: &str) -> f64 {
    let digits = color.strip_prefix('#').unwrap();
    assert_eq!(digits.len(), 6, "{color}");
    let channel = |i: usize| {
        let value = f64::from(u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap()) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(0) + 0.7152 * channel(1) + 0.0722 * channel(2)
}

/// Contrast ratio: WCAG 2.2, "contrast ratio".
fn contrast(a: &str, b: &str) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn contrast_formula_matches_known_values() {
    assert!((contrast("#000000", "#ffffff") - 21.0).abs() < 1e-9);
    assert!((contrast("#777777", "#777777") - 1.0).abs() < 1e-9);
    // The gray that is known to fall just short on white.
    assert!((4.47..4.5).contains(&contrast("#ffffff", "#777777")));
}

#[test]
fn every_text_color_has_enough_contrast_with_its_background() {
    let style = String::from_utf8(Server::start(|_| {}).get("/palette.css").body).unwrap();
    for (scheme, palette) in ["light", "dark"].into_iter().zip(palettes(&style)) {
        let mut pairs =
            vec![("soft", "page"), ("soft", "card"), ("ink", "page"), ("ink", "card"), ("card", "ink")];
        for (tone, tint) in
            [("real", "real-tint"), ("fake", "fake-tint"), ("unsure", "unsure-tint"), ("none", "none-tint")]
        {
            pairs.extend([(tone, tint), (tone, "card"), ("ink", tint)]);
        }
        // `.axis` of a timeline stands beside its zones, on the card.
        for (text, ground) in pairs {
            let ratio = contrast(&palette[text], &palette[ground]);
            assert!(ratio >= 4.5, "{scheme}: {text} on {ground} has {ratio:.2} (AA asks for 4.5)");
        }
        for (shape, ground) in
            [("focus", "card"), ("focus", "page"), ("focus", "fake-tint"), ("real", "page")]
        {
            let ratio = contrast(&palette[shape], &palette[ground]);
            assert!(ratio >= 3.0, "{scheme}: {shape} on {ground} has {ratio:.2} (AA asks shapes for 3)");
        }
    }
}

#[test]
fn page_and_report_take_their_colors_from_one_palette() {
    let server = Server::start(|_| {});
    assert_eq!(server.get("/palette.css").body, deeptell::html::PALETTE.as_bytes());
    assert_eq!(server.get("/base.css").body, deeptell::html::BASE.as_bytes());
    for shared in [deeptell::html::PALETTE, deeptell::html::BASE] {
        assert!(deeptell::html::index(&[]).contains(shared));
    }
    // Neither defines a color of its own.
    let style = String::from_utf8(server.get("/app.css").body).unwrap();
    assert!(!style.contains(":root"), "{style}");
}

#[test]
fn rules_of_both_pages_stand_in_the_shared_style() {
    let rules = |style: &'static str| -> BTreeSet<&'static str> {
        // What narrow windows change has to follow what it changes.
        let lines = style.lines().filter(|line| !line.starts_with(' '));
        let rules = lines.flat_map(|line| line.split_inclusive('}')).map(str::trim);
        rules.filter(|rule| rule.contains('{') && rule.ends_with('}')).collect()
    };
    let page = rules(include_str!("../../src/page/app.css"));
    let report = rules(include_str!("../../../deeptell/src/html/style.css"));
    assert!(page.len() > 80 && report.len() > 40, "{} {}", page.len(), report.len());
    let both: Vec<&&str> = page.intersection(&report).collect();
    assert!(both.is_empty(), "move to base.css: {both:#?}");
}
