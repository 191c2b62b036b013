//! What goes into the static FFmpeg: the sources, the switches, and the decoders that `Limits::untrusted()` allows.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

/// Where the lists of `Limits::untrusted()` are.
const LIMITS: &str = "crates/deeptell-video/src/limits.rs";

/// The folder that the libraries are built for. Whoever links them finds them from their `.pc` files, wherever these
/// are, so no path of the machine that built them is in the result.
pub(crate) const PREFIX: &str = "/ffmpeg-static";

/// A release of something that is built.
#[derive(Debug)]
pub(crate) struct Source {
    /// Name, and that of its source package in Debian.
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// SPDX identifier of what we use of it.
    pub(crate) license: &'static str,
    /// Files with the text of the license.
    pub(crate) license_files: &'static [&'static str],
    /// Vendor and product in the Common Platform Enumeration, by which databases of vulnerabilities go.
    pub(crate) cpe: &'static str,
    /// The archive as its authors publish it.
    pub(crate) url: &'static str,
    pub(crate) sha256: &'static str,
    /// Digest of Debian's archive of the same release; the same where Debian changed nothing.
    pub(crate) debian_sha256: &'static str,
}

pub(crate) const ZLIB: Source = Source {
    name: "zlib",
    version: "1.3.2",
    license: "Zlib",
    license_files: &["LICENSE"],
    cpe: "zlib:zlib",
    url: "https://zlib.net/fossils/zlib-1.3.2.tar.gz",
    sha256: "bb329a0a2cd0274d05519d61c667c062e06990d72e125ee2dfa8de64f0119d16",
    debian_sha256: "7b6903eb019983987b7112eccf90f1703f1c6c0e0cede36564bf611d19ca579d",
};

pub(crate) const DAV1D: Source = Source {
    name: "dav1d",
    version: "1.5.4",
    license: "BSD-2-Clause",
    license_files: &["COPYING"],
    cpe: "videolan:dav1d",
    url: "https://downloads.videolan.org/pub/videolan/dav1d/1.5.4/dav1d-1.5.4.tar.xz",
    sha256: "686616b7c69eb88d44459391ab25cac13b6647a3b288835c5784e71c1514a5c5",
    debian_sha256: "686616b7c69eb88d44459391ab25cac13b6647a3b288835c5784e71c1514a5c5",
};

pub(crate) const FFMPEG: Source = Source {
    name: "ffmpeg",
    version: "9.0.2",
    license: "LGPL-2.1-or-later",
    license_files: &["COPYING.LGPLv2.1", "LICENSE.md"],
    cpe: "ffmpeg:ffmpeg",
    url: "https://ffmpeg.org/releases/ffmpeg-9.0.2.tar.xz",
    sha256: "8c3850283eb25fa026482078a04051e0be17347b09ef81a0849bec15a96e002e",
    debian_sha256: "8c3850283eb25fa026482078a04051e0be17347b09ef81a0849bec15a96e002e",
};

/// In the order in which they are built.
pub(crate) const SOURCES: [&Source; 3] = [&ZLIB, &DAV1D, &FFMPEG];

/// FFmpeg's decoders by the name in `limits.rs`, each with the parser that cuts its data into pictures.
const DECODERS: [(&str, &str); 9] = [
    ("h264", "h264"),
    ("hevc", "hevc"),
    ("vp8", "vp8"),
    ("vp9", "vp9"),
    ("libdav1d", "av1"),
    ("mpeg4", "mpeg4video"),
    ("mjpeg", "mjpeg"),
    ("gif", "gif"),
    ("apng", "png"),
];

/// Decoders of `limits.rs` that are not built, and why.
const LEFT_OUT: [(&str, &str); 2] = [
    ("av1", "it decodes on graphics hardware only"),
    ("libaom-av1", "libdav1d decodes the same files, and faster"),
];

/// FFmpeg's demuxers by the name in `limits.rs`; some have several names.
const DEMUXERS: [(&str, &str); 10] = [
    ("mov", "mov"),
    ("mp4", "mov"),
    ("matroska", "matroska"),
    ("webm", "matroska"),
    ("avi", "avi"),
    ("mpegts", "mpegts"),
    ("gif", "gif"),
    ("apng", "apng"),
    ("h264", "h264"),
    ("hevc", "hevc"),
];

/// What FFmpeg adds by itself: the MPEG-4 decoder is built on that of H.263.
const REQUIRED_BY_OTHERS: [&str; 1] = ["h263"];

/// What makes the C code smaller at the same speed: the hot loops are in assembly. Nothing unwinds through it.
const SMALL: &str = "-ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables";

/// Switches of FFmpeg's `configure` besides the list of components.
const FFMPEG_SWITCHES: [&str; 15] = [
    "--optflags=-O2",
    "--disable-everything",
    "--disable-autodetect",
    "--disable-programs",
    "--disable-doc",
    "--disable-network",
    "--disable-avdevice",
    "--disable-avfilter",
    "--disable-swresample",
    "--disable-debug",
    "--disable-shared",
    "--enable-static",
    "--enable-pic",
    "--enable-zlib",
    "--enable-libdav1d",
];

/// Switches of dav1d's `meson setup`.
const DAV1D_SWITCHES: [&str; 8] = [
    "--libdir=lib",
    "--default-library=static",
    "--buildtype=release",
    "-Doptimization=2",
    "--wrap-mode=nodownload",
    "-Db_staticpic=true",
    "-Denable_tools=false",
    "-Denable_tests=false",
];

/// The arguments of dav1d's `meson setup`, besides where to.
pub(crate) fn dav1d_switches() -> Vec<String> {
    let mut arguments: Vec<String> = DAV1D_SWITCHES.map(str::to_owned).into();
    arguments.push(format!("-Dc_args={SMALL}"));
    arguments
}

/// Arguments as a shell takes them.
fn quoted(arguments: &[String]) -> String {
    let quoted = |argument: &String| {
        if argument.contains(' ') { format!("'{argument}'") } else { argument.clone() }
    };
    arguments.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// What FFmpeg is built of: its names for decoders, parsers and demuxers, each once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Components {
    decoders: Vec<&'static str>,
    parsers: Vec<&'static str>,
    demuxers: Vec<&'static str>,
}

impl Components {
    /// What `Limits::untrusted()` of this checkout allows.
    ///
    /// # Errors
    /// When its lists cannot be found, or name something that this recipe does not know.
    pub(crate) fn of_checkout(root: &Path) -> Result<Self> {
        let file = root.join(LIMITS);
        let source =
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        Self::of(&source)
    }

    /// What the lists in the text of `limits.rs` ask for.
    fn of(limits: &str) -> Result<Self> {
        let mut components = Self { decoders: Vec::new(), parsers: Vec::new(), demuxers: Vec::new() };
        for name in listed(limits, "COMMON_CODECS")? {
            if LEFT_OUT.iter().any(|(left_out, _)| *left_out == name) {
                continue;
            }
            let known = DECODERS.iter().find(|(decoder, _)| *decoder == name);
            let Some((decoder, parser)) = known else {
                bail!(
                    "the static FFmpeg has no decoder `{name}` of {LIMITS}: add it to DECODERS or LEFT_OUT"
                );
            };
            components.decoders.push(decoder);
            components.parsers.push(parser);
        }
        for name in listed(limits, "COMMON_CONTAINERS")? {
            let known = DEMUXERS.iter().find(|(container, _)| *container == name);
            let Some((_, demuxer)) = known else {
                bail!("the static FFmpeg has no demuxer `{name}` of {LIMITS}: add it to DEMUXERS");
            };
            if !components.demuxers.contains(demuxer) {
                components.demuxers.push(demuxer);
            }
        }
        Ok(components)
    }

    /// The arguments of FFmpeg's `configure`.
    pub(crate) fn configure(&self) -> Vec<String> {
        let mut arguments = vec![format!("--prefix={PREFIX}"), "--pkg-config-flags=--static".to_owned()];
        arguments.extend(FFMPEG_SWITCHES.map(str::to_owned));
        arguments.push(format!("--extra-cflags={SMALL}"));
        arguments.push(format!("--enable-decoder={}", self.decoders.join(",")));
        arguments.push(format!("--enable-parser={}", self.parsers.join(",")));
        arguments.push(format!("--enable-demuxer={}", self.demuxers.join(",")));
        arguments
    }

    /// Compares what `configure` turned on, in the text of `config_components.h`, with what was asked for.
    ///
    /// # Errors
    /// When something is missing, or there is more than that.
    pub(crate) fn check(&self, config: &str) -> Result<()> {
        let allowed_decoders = [self.decoders.as_slice(), &REQUIRED_BY_OTHERS].concat();
        for (kind, wanted, allowed) in [
            ("DECODER", self.decoders.as_slice(), allowed_decoders.as_slice()),
            ("DEMUXER", &self.demuxers, &self.demuxers),
            ("ENCODER", &[], &[]),
            ("MUXER", &[], &[]),
            ("PROTOCOL", &[], &[]),
            ("HWACCEL", &[], &[]),
            ("INDEV", &[], &[]),
            ("OUTDEV", &[], &[]),
            ("FILTER", &[], &[]),
        ] {
            let enabled = enabled(config, kind);
            if let Some(missing) = wanted.iter().find(|name| !enabled.contains(&(**name).to_owned())) {
                bail!("FFmpeg's configure left out the {} `{missing}`", kind.to_lowercase());
            }
            if let Some(more) = enabled.iter().find(|name| !allowed.contains(&name.as_str())) {
                bail!(
                    "FFmpeg's configure turned on the {} `{more}`, which nothing asked for",
                    kind.to_lowercase()
                );
            }
        }
        Ok(())
    }

    /// The whole recipe as a text for people, which is also what the cache goes by.
    pub(crate) fn recipe(&self, compiler: &str) -> String {
        let mut text = String::from(
            "The FFmpeg inside this program, and how to build it again: `cargo xtask ffmpeg` in the sources of deeptell.\n\
             To use an FFmpeg that you changed, build it with these commands, then deeptell with `--features static` and \
             PKG_CONFIG_PATH naming your lib/pkgconfig.\n\nSources:\n",
        );
        for Source { name, version, license, url, sha256, .. } in SOURCES {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {name} {version} ({license})\n    {url}\n    SHA-256 {sha256}");
        }
        let _ = writeln!(
            text,
            "\nzlib:\n  CFLAGS='-O3 -fPIC' ./configure --static --prefix={PREFIX}\n  make libz.a && make install\n\
             dav1d:\n  meson setup build --prefix={PREFIX} {}\n  ninja -C build install\n\
             ffmpeg, with PKG_CONFIG_PATH naming the lib/pkgconfig of the other two:\n  ./configure {}\n  make && make install\n\nCompiler:\n  {compiler}",
            quoted(&dav1d_switches()),
            quoted(&self.configure()),
        );
        text.push_str("\nDecoders that deeptell allows for files from anyone, and that are not in it:\n");
        for (name, reason) in LEFT_OUT {
            let _ = writeln!(text, "  {name}: {reason}");
        }
        text
    }
}

/// A short name for a recipe and the machine that it was built for.
pub(crate) fn key(recipe: &str, machine: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(recipe);
    hasher.update(machine);
    hex(&hasher.finalize())[..16].to_owned()
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The words of the constant `name` in a Rust source.
fn listed<'text>(source: &'text str, name: &str) -> Result<Vec<&'text str>> {
    let after = source.split_once(&format!("const {name}: &[&str] =")).map(|(_, rest)| rest);
    let list = after.and_then(|rest| rest.split_once('[')?.1.split_once(']'));
    let (list, _) = list.with_context(|| format!("{LIMITS} has no list {name}"))?;
    let words: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
    if words.is_empty() {
        bail!("the list {name} of {LIMITS} is empty");
    }
    Ok(words)
}

/// The components of one kind that a `config_components.h` turns on, in lower case.
fn enabled(config: &str, kind: &str) -> Vec<String> {
    let suffix = format!("_{kind} 1");
    let names = config.lines().filter_map(|line| line.strip_prefix("#define CONFIG_")?.strip_suffix(&suffix));
    names.map(str::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "const COMMON_CONTAINERS: &[&str] =\n    &[\"mov\", \"mp4\"];\n\
                         const COMMON_CODECS: &[&str] = &[\"h264\", \"av1\", \"apng\"];\n";

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
    }

    #[test]
    fn the_components_are_those_of_the_lists() {
        let components = Components::of(SMALL).unwrap();
        let expected = Components {
            decoders: vec!["h264", "apng"],
            parsers: vec!["h264", "png"],
            demuxers: vec!["mov"],
        };
        assert_eq!(components, expected);
    }

    #[test]
    fn a_name_that_the_recipe_does_not_know_is_refused() {
        for (from, to) in [("\"h264\"", "\"evc\""), ("\"mov\"", "\"nut\"")] {
            let error = Components::of(&SMALL.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(&to.replace('"', "`")), "{error}");
        }
        assert!(Components::of("const COMMON_CODECS: &[&str] = &[];").is_err());
        assert!(Components::of("").is_err());
    }

    #[test]
    fn every_line_of_the_recipe_is_used_by_the_limits_of_this_checkout() {
        let components = Components::of_checkout(root()).unwrap();
        assert_eq!(components.decoders.len(), DECODERS.len());
        let source = std::fs::read_to_string(root().join(LIMITS)).unwrap();
        assert_eq!(listed(&source, "COMMON_CODECS").unwrap().len(), DECODERS.len() + LEFT_OUT.len());
        assert_eq!(listed(&source, "COMMON_CONTAINERS").unwrap().len(), DEMUXERS.len());
    }

    #[test]
    fn more_or_less_than_was_asked_for_is_noticed() {
        let components = Components::of(SMALL).unwrap();
        let config = "#define CONFIG_H264_DECODER 1\n#define CONFIG_APNG_DECODER 1\n#define CONFIG_H263_DECODER 1\n\
                      #define CONFIG_MPEG4_DECODER 0\n#define CONFIG_MOV_DEMUXER 1\n#define CONFIG_MOV_MUXER 0\n";
        components.check(config).unwrap();
        for (from, to, named) in [
            ("APNG_DECODER 1", "APNG_DECODER 0", "decoder `apng`"),
            ("MPEG4_DECODER 0", "MPEG4_DECODER 1", "decoder `mpeg4`"),
            ("MOV_MUXER 0", "MOV_MUXER 1", "muxer `mov`"),
            ("MOV_MUXER 0", "FILE_PROTOCOL 1", "protocol `file`"),
        ] {
            let error = components.check(&config.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn another_switch_source_or_compiler_is_another_recipe() {
        let components = Components::of_checkout(root()).unwrap();
        let recipe = components.recipe("cc 1");
        for Source { version, url, sha256, .. } in SOURCES {
            assert!([version, url, sha256].iter().all(|part| recipe.contains(*part)), "{url}");
        }
        assert!(recipe.contains("--disable-network") && recipe.contains("libdav1d,"));
        let key_of = |text: &str| key(text, "x86_64-linux");
        assert_eq!(key_of(&recipe).len(), 16);
        assert_ne!(key_of(&recipe), key_of(&components.recipe("cc 2")));
        assert_ne!(key_of(&recipe), key(&recipe, "aarch64-linux"));
        assert_ne!(key_of(&recipe), key_of(&Components::of(SMALL).unwrap().recipe("cc 1")));
    }
}
