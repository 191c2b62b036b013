//! The builds for GPUs: `cargo xtask devices` checks their types, `cargo xtask wgpu` runs one of them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::process::{NotReady, cargo, run_step};
use crate::setup;
use crate::workspace::Workspace;

/// Builds of their own: GPU features change most of the dependencies.
pub(crate) const TARGET: &str = "target/devices";

/// The variables by which a user names Vulkan drivers, the older one last.
const DRIVERS_NAMED_BY: [&str; 2] = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"];

/// The software driver for Vulkan that comes with Debian's Chromium.
const SOFTWARE_DRIVER: &str = "/usr/lib/chromium/vk_swiftshader_icd.json";

/// Type-checks the program with each GPU backend, without LLVM and without a GPU.
///
/// # Errors
/// When one does not check.
pub(crate) fn check(_: &Workspace) -> Result<()> {
    setup::ensure()?;
    for feature in ["cuda", "wgpu"] {
        let mut check = cargo();
        // Nothing is run but build scripts and macros: to optimize them as tests need it takes three times as long.
        check.args(["check", "--config", r#"profile.dev.package."*".opt-level=0"#]);
        check.args(["--package", "deeptell-cli", "--features", feature, "--target-dir", TARGET]);
        // The build scripts of the CUDA backend do without LLVM where only documentation is made.
        run_step(&format!("check with {feature}"), check.env("DOCS_RS", "1"))?;
    }
    println!("\nThe builds for cuda and wgpu type-check.");
    Ok(())
}

/// Builds the program with the feature `wgpu` and holds what it computes against the processor: on the GPU that is
/// there, and without one on a software driver for Vulkan.
///
/// # Errors
/// [`NotReady`] where there is no driver; another error when the build fails or the results differ.
pub(crate) fn wgpu(workspace: &Workspace) -> Result<()> {
    setup::ensure_for_tests()?;
    let software = if has_driver() { None } else { Some(software_driver()?) };
    let mut build = cargo();
    build.args(["build", "--package", "deeptell-cli", "--features", "wgpu", "--target-dir", TARGET]);
    run_step("build", &mut build)?;
    let program =
        workspace.root.join(TARGET).join("debug").join(format!("deeptell{}", env::consts::EXE_SUFFIX));
    let mut compare = Command::new(program);
    compare.args(["devices", "--device", "wgpu"]);
    if let Some(driver) = software {
        println!("\nThere is no driver of a GPU: {} stands in, on the processor.", driver.display());
        compare.env(DRIVERS_NAMED_BY[0], &driver).env(DRIVERS_NAMED_BY[1], &driver);
        // There is nothing to gain from a search for the fastest of many kernels.
        compare.env("CUBECL_AUTOTUNE_LEVEL", "minimal");
    }
    run_step("compare", &mut compare)?;
    Ok(())
}

/// Whether the system may have a driver of its own: named by the user, listed where Vulkan's loader looks, or no
/// matter of Vulkan at all.
fn has_driver() -> bool {
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let listed = ["/etc", "/usr/share", "/usr/local/share"].map(PathBuf::from);
    let listed = listed.into_iter().chain([home.join(".local/share")]);
    !cfg!(target_os = "linux")
        || DRIVERS_NAMED_BY.iter().any(|name| env::var_os(name).is_some())
        || listed.into_iter().any(|folder| lists_a_driver(&folder.join("vulkan/icd.d")))
}

fn lists_a_driver(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.path().extension().is_some_and(|extension| extension == "json"))
}

fn software_driver() -> Result<PathBuf> {
    let driver = PathBuf::from(SOFTWARE_DRIVER);
    if driver.is_file() {
        return Ok(driver);
    }
    Err(NotReady(format!(
        "there is no driver for Vulkan: install that of your GPU, or a software driver (Debian: mesa-vulkan-drivers), or \
         name one in {}",
        DRIVERS_NAMED_BY[0]
    ))
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_is_found_by_its_json_file() {
        let folder = env::temp_dir().join(format!("deeptell-icd-{}", std::process::id()));
        assert!(!lists_a_driver(&folder));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("readme.txt"), "").unwrap();
        assert!(!lists_a_driver(&folder));
        std::fs::write(folder.join("some_icd.json"), "{}").unwrap();
        assert!(lists_a_driver(&folder));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
