//! The shared libraries that something needs.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process::output_of;

/// Shared libraries that anything may need: what every Linux has.
const LIBRARIES: [&str; 7] =
    ["ld-linux", "libc.so", "libdl.so", "libgcc_s.so", "libm.so", "libpthread.so", "linux-vdso"];

/// Refuses a program, or an extension of Python, that needs more than every Linux has. Other systems are
/// not checked.
///
/// # Errors
/// When it does, and when `ldd` cannot tell.
pub(crate) fn check(file: &Path) -> Result<()> {
    if cfg!(target_os = "linux") {
        let needed = output_of(Command::new("ldd").arg(file))?;
        let strange = strange_libraries(&needed);
        if !strange.is_empty() {
            bail!("{} needs {}, which not every system has", file.display(), strange.join(", "));
        }
    }
    Ok(())
}

/// The libraries that `ldd` lists beyond those that every Linux has.
fn strange_libraries(listed: &str) -> Vec<&str> {
    let names = listed.lines().filter_map(|line| line.split_whitespace().next());
    let base = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    names.filter(|name| !LIBRARIES.iter().any(|known| base(name).starts_with(known))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_libraries_that_every_linux_has_are_accepted() {
        let listed = "\tlinux-vdso.so.1 (0x00007ffc)\n\tlibgcc_s.so.1 => /lib/x86_64-linux-gnu/libgcc_s.so.1 (0x1)\n\
                      \tlibm.so.6 => /lib/libm.so.6 (0x2)\n\tlibc.so.6 => /lib/libc.so.6 (0x3)\n\
                      \t/lib64/ld-linux-x86-64.so.2 (0x4)\n";
        assert_eq!(strange_libraries(listed), [""; 0]);
        let more = format!(
            "{listed}\tlibavcodec.so.59 => /usr/lib/libavcodec.so.59 (0x5)\n\tlibx264.so.164 => not found\n"
        );
        assert_eq!(strange_libraries(&more), ["libavcodec.so.59", "libx264.so.164"]);
    }
}
