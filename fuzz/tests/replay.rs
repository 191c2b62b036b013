//! Each target over its corpus and over damaged copies of it.
//!
//! `DEEPTELL_FUZZ_SECONDS=60` damages further copies for so long a target, without guidance.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, in its helper functions too, and says how much it tried"
)]

use std::time::{Duration, Instant};

use deeptell_fuzz::{Damage, TARGETS, Target};

/// Damaged copies of each seed, and of each video, which takes longer.
const COPIES: usize = 24;
const VIDEO_COPIES: usize = 6;
/// Longer seeds are taken whole only.
const MAX_BYTES: usize = 64 << 10;

fn replay(name: &str) {
    let target = Target::named(name).unwrap();
    let seeds: Vec<Vec<u8>> = target.seeds().iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(seeds.len() > 2, "{name}: {} seeds", seeds.len());
    let mut runs = 0;
    let mut feed = |bytes: &[u8]| {
        target.run(bytes);
        runs += 1;
    };
    for seed in &seeds {
        feed(seed);
    }
    let small: Vec<&Vec<u8>> = seeds.iter().filter(|seed| seed.len() <= MAX_BYTES).collect();
    let mut damage = Damage::new(1);
    for seed in &small {
        for _ in 0..if name == "video" { VIDEO_COPIES } else { COPIES } {
            let other = small[damage.below(small.len())];
            let copy = damage.copy(seed, other);
            feed(&copy);
        }
    }
    let seconds = std::env::var("DEEPTELL_FUZZ_SECONDS").map_or(0, |seconds| seconds.parse().unwrap());
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        let (one, other) = (small[damage.below(small.len())], small[damage.below(small.len())]);
        let copy = damage.copy(one, other);
        feed(&copy);
    }
    // Shown with `--nocapture`, and when the test fails.
    println!("{name}: {runs} runs");
}

/// One test a target, so that they run beside each other.
macro_rules! targets {
    ($($(#[$attribute:meta])* $name:ident),*) => {
        $($(#[$attribute])* #[test] fn $name() { replay(stringify!($name)); })*

        #[test]
        fn every_fuzz_target_is_tested() {
            let tested: Vec<&str> = [$($(#[$attribute])* stringify!($name)),*].to_vec();
            assert_eq!(tested, TARGETS.iter().map(|target| target.name).collect::<Vec<_>>());
        }
    };
}

targets!(
    video,
    times,
    picture,
    #[cfg(unix)]
    wire,
    manifest,
    shard,
    table,
    lists,
    extraction,
    #[cfg(feature = "networks")]
    weights,
    #[cfg(feature = "networks")]
    model,
    #[cfg(feature = "networks")]
    report,
    #[cfg(feature = "networks")]
    suite
);
