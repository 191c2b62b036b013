//! Feeds the target that `DEEPTELL_FUZZ_TARGET` names.

#![no_main]

use std::sync::LazyLock;

use deeptell_fuzz::Target;
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("DEEPTELL_FUZZ_TARGET").expect("start it with `cargo xtask fuzz TARGET`");
    Target::named(&name).unwrap_or_else(|| panic!("there is no target {name} in this build"))
});

fuzz_target!(|bytes: &[u8]| TARGET.run(bytes));
