//! Whether everybody can read and use what is on the page now.

use serde_json::{Value, json};

use crate::chromium::Tab;

/// Texts with too little contrast: WCAG 2.2, 1.4.3. A canvas turns any color into numbers; grounds
/// that are see-through are laid over those behind them.
const FAINT: &str = r#"(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, ground) => [0, 1, 2].map((i) => top[i] * top[3] + ground[i] * (1 - top[3])).concat(1);
  const ground = (element) => {
    if (!element) return [255, 255, 255, 1];
    const own = rgba(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own : over(own, ground(element.parentElement));
  };
  const luminance = (color) => {
    const [r, g, b] = color.slice(0, 3).map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const faint = [];
  let looked = 0;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const words = texts.currentNode.textContent.trim();
    const element = texts.currentNode.parentElement;
    if (!words || !element.checkVisibility() || element.closest(".unseen, noscript")) continue;
    const style = getComputedStyle(element);
    const behind = ground(element);
    const color = over(rgba(element.closest("svg") ? style.fill : style.color), behind);
    const [a, b] = [luminance(color), luminance(behind)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    looked += 1;
    if (ratio < (isLarge ? 3 : 4.5)) faint.push(`${words}: ${ratio.toFixed(2)}`);
  }
  return { looked, faint };
})()"#;

/// Things that reach beyond the window on the side.
const TOO_WIDE: &str = r#"[...document.body.querySelectorAll("*")]
  .filter((e) => e.checkVisibility() && !e.closest(".unseen") && e.getBoundingClientRect().right > innerWidth + 0.5)
  .map((e) => `${e.tagName}.${e.getAttribute("class")}`)"#;

/// Holds the page as it is now against what a person needs, whatever they use.
pub(crate) fn check(tab: &mut Tab, place: &str) {
    let contrast = tab.value(FAINT);
    assert!(contrast["looked"].as_u64().unwrap() >= 8, "{place}: {contrast}");
    assert_eq!(contrast["faint"], json!([]), "{place}: too little contrast");
    assert_eq!(tab.value(TOO_WIDE), json!([]), "{place}: beyond the window");
    assert_eq!(
        tab.value("document.scrollingElement.scrollWidth > innerWidth"),
        false,
        "{place}: scrolls sideways"
    );
    assert_eq!(tab.value("document.querySelectorAll('h1').length"), 1, "{place}");
    let twice = "[...document.querySelectorAll('[id]')].map((e) => e.id).filter((id, i, all) => all.indexOf(id) !== i)";
    assert_eq!(tab.value(twice), json!([]), "{place}: names of elements are there twice");
    let nameless = nameless(tab);
    assert!(nameless.is_empty(), "{place}: no accessible name: {nameless:?}");
}

/// Controls and pictures that a screen reader would have no words for.
fn nameless(tab: &mut Tab) -> Vec<String> {
    const NAMED: [&str; 14] = [
        "button",
        "link",
        "slider",
        "progressbar",
        "image",
        "img",
        "heading",
        "region",
        "checkbox",
        "combobox",
        "textbox",
        "menuitem",
        "Video",
        "switch",
    ];
    let tree = tab.call("Accessibility.getFullAXTree", json!({}));
    let nodes = tree["nodes"].as_array().unwrap();
    let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
    let named: Vec<&Value> = nodes
        .iter()
        .filter(|node| node["ignored"] != true && NAMED.contains(&text(&node["role"]).as_str()))
        .collect();
    assert!(named.len() >= 3, "there is next to nothing: {tree}");
    named
        .into_iter()
        .filter(|node| text(&node["name"]).trim().is_empty())
        .map(|node| format!("{} {}", text(&node["role"]), node["backendDOMNodeId"]))
        .collect()
}
