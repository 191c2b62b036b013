//! What was checked and how far it is from its bar.

/// Counts checks, and prints each.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) checks: usize,
    pub(crate) failed: usize,
}

impl Report {
    pub(crate) fn section(&self, name: &str) {
        say(&format!("\n{name} (checks so far: {})", self.checks));
    }

    /// A distance that must not exceed its bar. NaN fails.
    pub(crate) fn at_most(&mut self, stage: &str, distance: f32, bar: f32) {
        let holds = distance <= bar;
        self.count(holds);
        say(&format!("{} {stage}: {distance:.2e} (bar {bar:.0e})", word(holds)));
    }

    pub(crate) fn equal(&mut self, stage: &str, found: usize, expected: usize) {
        self.count(found == expected);
        say(&format!("{} {stage}: {found} (reference {expected})", word(found == expected)));
    }

    fn count(&mut self, holds: bool) {
        self.checks += 1;
        self.failed += usize::from(!holds);
    }
}

fn word(holds: bool) -> &'static str {
    if holds { "ok    " } else { "FAILED" }
}

#[expect(clippy::print_stdout, reason = "an example talks to its user")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}
