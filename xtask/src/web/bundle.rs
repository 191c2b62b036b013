//! The folder to publish: the page of `deeptell serve` with another seam, the module, and the model.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use sha2::{Digest as _, Sha256};
use wasm_bindgen_cli_support::Bindgen;

/// Most bytes that a first visit may load, compressed.
const MOST_BYTES: usize = 6_000_000;

/// The name of the module and of the script that loads it.
const MODULE: &str = "deeptell_web";

/// Files as they are: their name in the folder, and where they come from.
const FILES: [(&str, &str); 16] = [
    ("index.html", "crates/deeptell-serve/src/page/index.html"),
    ("palette.css", "crates/deeptell/src/html/palette.css"),
    ("base.css", "crates/deeptell/src/html/base.css"),
    ("app.css", "crates/deeptell-serve/src/page/app.css"),
    ("app.js", "crates/deeptell-serve/src/page/app.js"),
    ("elements.js", "crates/deeptell-serve/src/page/elements.js"),
    ("people.js", "crates/deeptell-serve/src/page/people.js"),
    ("player.js", "crates/deeptell-serve/src/page/player.js"),
    ("timeline.js", "crates/deeptell-serve/src/page/timeline.js"),
    ("verdict.js", "crates/deeptell-serve/src/page/verdict.js"),
    ("icon.svg", "crates/deeptell-serve/src/page/icon.svg"),
    // In the place of the one that talks to a server.
    ("transfer.js", "crates/deeptell-web/page/local.js"),
    ("frames.js", "crates/deeptell-web/page/frames.js"),
    ("worker.js", "crates/deeptell-web/page/worker.js"),
    ("offline.js", "crates/deeptell-web/page/offline.js"),
    ("deeptell-mnv3s.safetensors", "models/deeptell-mnv3s.safetensors"),
];

/// What the page may load and where it may connect: its own files alone.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
     img-src 'self' blob:; media-src blob:; connect-src 'self'; worker-src 'self'; base-uri 'none'; \
     form-action 'none'; require-trusted-types-for 'script'; trusted-types deeptell";

/// A file of the folder.
struct File {
    name: String,
    content: Vec<u8>,
}

/// Writes the folder anew, each file also compressed.
///
/// # Errors
/// When the module is not there or not fit for a browser, or when a first visit loads too much.
pub(crate) fn write(module: &Path, site: &Path) -> Result<()> {
    let mut files = page()?;
    files.extend(bindings(module)?);
    complete(&mut files)?;
    if site.exists() {
        fs::remove_dir_all(site).with_context(|| format!("cannot remove {}", site.display()))?;
    }
    fs::create_dir_all(site).with_context(|| format!("cannot make {}", site.display()))?;
    let (mut whole, mut by_brotli, mut by_gzip) = (0, 0, 0);
    println!("{:28} {:>10} {:>10} {:>10}", "file", "bytes", "brotli", "gzip");
    for File { name, content } in &files {
        let (brotli, gzip) = (brotli(content)?, gzip(content)?);
        println!("{name:28} {:>10} {:>10} {:>10}", content.len(), brotli.len(), gzip.len());
        whole += content.len();
        by_brotli += brotli.len();
        by_gzip += gzip.len();
        for (ending, content) in [("", content), (".br", &brotli), (".gz", &gzip)] {
            let path = site.join(format!("{name}{ending}"));
            fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    println!("{:28} {whole:>10} {by_brotli:>10} {by_gzip:>10}", "all that a first visit loads");
    ensure!(by_brotli <= MOST_BYTES, "a first visit loads {by_brotli} bytes, more than {MOST_BYTES}");
    Ok(())
}

fn page() -> Result<Vec<File>> {
    let read = |(name, path): (&str, &str)| {
        let content = fs::read(path).with_context(|| format!("cannot read {path}"))?;
        Ok(File { name: name.to_owned(), content })
    };
    FILES.into_iter().map(read).collect()
}

/// The module without names and notes, and the script that loads it.
fn bindings(module: &Path) -> Result<Vec<File>> {
    let folder = module.with_file_name("bindings");
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).typescript(false).keep_debug(false).web(true)?;
    bindgen.generate(&folder).with_context(|| format!("cannot make JavaScript of {}", module.display()))?;
    let read = |name: String| {
        let path = folder.join(&name);
        let content = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok::<_, anyhow::Error>(File { name, content })
    };
    let script = read(format!("{MODULE}.js"))?;
    let module = read(format!("{MODULE}_bg.wasm"))?;
    let content = without_custom_sections(&module.content).context("the module is not WebAssembly")?;
    Ok(vec![script, File { content, ..module }])
}

/// Puts into the files what depends on the others: the policy, and the list for visits without a network.
fn complete(files: &mut [File]) -> Result<()> {
    let replace = |files: &mut [File], name: &str, mark: &str, by: &str| -> Result<()> {
        let file =
            files.iter_mut().find(|file| file.name == name).with_context(|| format!("there is no {name}"))?;
        let text = std::str::from_utf8(&file.content).with_context(|| format!("{name} is not text"))?;
        if !text.contains(mark) {
            bail!("{name} has no {mark}");
        }
        file.content = text.replace(mark, by).into_bytes();
        Ok(())
    };
    // Static hosts send no such header.
    let policy = format!(
        "<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">"
    );
    replace(files, "index.html", "<meta charset=\"utf-8\">", &policy)?;
    let mut hash = Sha256::new();
    for file in files.iter() {
        hash.update(&file.content);
    }
    let digest = hash.finalize().iter().take(8).fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    let names: Vec<String> = files
        .iter()
        .filter(|file| file.name != "offline.js")
        .map(|file| format!("{:?}", if file.name == "index.html" { "./" } else { &file.name }))
        .collect();
    replace(files, "offline.js", "{{digest}}", &digest)?;
    replace(files, "offline.js", "\"{{files}}\"", &names.join(", "))
}

/// The module without its custom sections, which only tools read; `None` where it is none.
fn without_custom_sections(module: &[u8]) -> Option<Vec<u8>> {
    let (head, mut rest) = module.split_at_checked(8).filter(|(head, _)| head.starts_with(b"\0asm"))?;
    let mut kept = head.to_vec();
    while let Some(&id) = rest.first() {
        let (mut size, mut length) = (0_usize, 1);
        loop {
            let byte = *rest.get(length)?;
            size |= usize::from(byte & 0x7f).checked_shl(7 * (length as u32 - 1))?;
            length += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let (section, after) = rest.split_at_checked(length.checked_add(size)?)?;
        if id != 0 {
            kept.extend_from_slice(section);
        }
        rest = after;
    }
    Some(kept)
}

fn brotli(content: &[u8]) -> Result<Vec<u8>> {
    let parameters = brotli::enc::BrotliEncoderParams { quality: 11, lgwin: 24, ..Default::default() };
    let mut compressed = Vec::new();
    brotli::BrotliCompress(&mut &*content, &mut compressed, &parameters).context("cannot compress")?;
    Ok(compressed)
}

fn gzip(content: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content).context("cannot compress")?;
    encoder.finish().context("cannot compress")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_custom_sections_are_removed_from_a_module() {
        // A custom section of three bytes, a type section of one, a custom section of none.
        let module = b"\0asm\x01\0\0\0\x00\x03\x01ab\x01\x01\x00\x00\x00";
        assert_eq!(without_custom_sections(module).unwrap(), b"\0asm\x01\0\0\0\x01\x01\x00");
        assert_eq!(without_custom_sections(b"\0asm\x01\0\0\0\x00\x7f"), None);
        assert_eq!(without_custom_sections(b"#!/bin/sh"), None);
    }
}
