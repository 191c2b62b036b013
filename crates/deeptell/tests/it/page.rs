use deeptell::html::{self, IndexEntry};
use deeptell::{Input, Report};
use tempfile::TempDir;

use crate::{DETECTOR, options, portrait, portrait_clip};

const HOSTILE: &str = "\"><img src=x onerror=alert(1)>'&\u{202e}4pm.mp4";

/// Every tag of the page, without its brackets. Style sheets and text hold no `<`.
fn tags(page: &str) -> Vec<&str> {
    page.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()).collect()
}

fn assert_harmless(page: &str) {
    for tag in tags(page) {
        let name = tag.trim_start_matches('/').split([' ', '\n']).next().unwrap();
        assert!(!["script", "iframe", "object", "embed", "link", "form"].contains(&name), "{tag}");
        // Outside of quoted values, where an attribute would begin.
        assert!(!tag.split('"').step_by(2).any(|bare| bare.contains(" on")), "{tag}");
        let inside = ["src=\"data:image/jpeg;base64,", "src=\"data:image/png;base64,"];
        assert!(name != "img" || inside.iter().any(|source| tag.contains(source)), "{tag}");
    }
    assert!(!page.contains('\u{202e}'));
    assert!(!page.contains("http://") && !page.contains("https://"));
}

/// Opening and closing tags match, apart from those that HTML leaves open.
fn assert_balanced(page: &str) {
    let mut open = Vec::new();
    for tag in tags(page) {
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "near {tag}");
        } else if !(tag.ends_with('/') || ["!doctype", "meta", "br", "img", "input"].contains(&name)) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn a_page_is_whole_and_shows_what_the_report_says() {
    let folder = TempDir::new().unwrap();
    let clip = folder.path().join("portrait.mp4");
    portrait_clip(&clip);
    let scan = DETECTOR.scan(&clip, &options().evidence(true)).unwrap();
    let report = scan.report;
    let page = html::page(&report, scan.evidence.as_ref());
    assert_harmless(&page);
    assert_balanced(&page);
    assert_eq!(page.matches("data:image/jpeg;base64,").count(), 10, "five frames and five faces");
    assert_eq!(page.matches("data:image/png;base64,").count(), 5, "one heat map per face");
    assert!(page.contains("<label for=\"heat\">"), "which can be switched on");
    assert_eq!(page.matches("<circle class=\"dot").count(), 5);
    assert!(page.contains("<h1 id=\"verdict\">Inconclusive</h1>"));
    for text in [&report.reasons[0].to_string(), report.input.sha256.as_ref().unwrap(), &report.model.sha256]
    {
        assert!(page.contains(text.as_str()), "{text}");
    }

    let json = serde_json::to_string(&report).unwrap();
    let without_pictures = html::page(&Report::from_json(json.as_bytes()).unwrap(), None);
    assert_balanced(&without_pictures);
    assert!(
        !without_pictures.contains("data:image")
            && !without_pictures.contains("id=\"heat\"")
            && without_pictures.len() < 40_000
    );
}

#[test]
fn hostile_names_stay_text() {
    let mut report = DETECTOR.scan(Input::picture(HOSTILE, &portrait()), &options()).unwrap().report;
    report.input.path = Some(format!("/in/{HOSTILE}"));
    report.input.codec = Some("<script>alert(2)</script>".to_owned());
    let stream = serde_json::json!({"index": 1, "codec": "<b onclick=alert(3)>", "width": 0, "height": 0});
    let warning = serde_json::json!({"code": "other_streams", "sampled": 0, "others": [stream]});
    report.warnings.push(serde_json::from_value(warning).unwrap());
    report.model.card.limits.push("</style><script>alert(4)</script>".to_owned());
    let page = html::page(&report, None);
    assert_harmless(&page);
    assert_balanced(&page);
    assert!(page.contains("&quot;&gt;&lt;img src=x onerror=alert(1)&gt;&#39;&amp;\\u{202e}4pm.mp4"));

    let entries = [
        IndexEntry::Failed { name: HOSTILE, error: "<script>alert(5)</script>" },
        IndexEntry::Scanned { report: &report, href: "javascript:alert(6)" },
    ];
    let index = html::index(&entries);
    assert_harmless(&index);
    assert_balanced(&index);
    assert!(index.contains("href=\"./javascript%3Aalert%286%29\""));
    let scanned = index.find("href=\"./javascript").unwrap();
    assert!(scanned < index.find("Not scanned").unwrap(), "failures come last");
}
