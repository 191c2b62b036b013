//! The folder of imported weights.

use std::path::PathBuf;

use anyhow::Context as _;

/// The file `name` in the user's cache folder, where `weights import` stores weights and other commands read them.
pub(crate) fn cached(name: &str) -> anyhow::Result<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let cache = from("DEEPTELL_CACHE")
        .or_else(|| Some(from("XDG_CACHE_HOME")?.join("deeptell")))
        .or_else(|| Some(from("LOCALAPPDATA")?.join("deeptell")))
        .or_else(|| Some(from("HOME")?.join(".cache").join("deeptell")))
        .context("there is no cache folder for weights: set DEEPTELL_CACHE, or pass --out")?;
    Ok(cache.join(name))
}
