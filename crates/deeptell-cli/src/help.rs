//! The overview of `deeptell --help`, with the commands in groups.

use std::fmt::Write as _;

use clap::Command;

/// The groups of the overview. Each command is in exactly one.
const GROUPS: [(&str, &[&str]); 5] = [
    ("Analyze", &["scan", "serve", "faces"]),
    ("Data", &["extract", "status", "merge", "split", "audit", "preview"]),
    ("Train and evaluate", &["train", "leave-one-out", "calibrate", "eval", "suite", "compare"]),
    ("Models", &["export", "weights"]),
    ("System", &["devices", "doctor", "completions", "man"]),
];

/// `command` with its subcommands listed under headings, which clap does not do by itself.
pub(crate) fn with_groups(command: Command) -> Command {
    let header = command.get_styles().get_header();
    let template = format!(
        "{{before-help}}{{about-with-newline}}\n{{usage-heading}} {{usage}}\n{}\n{header}Options:{header:#}\n{{options}}{{after-help}}",
        listing(&command)
    );
    command.help_template(template)
}

fn listing(command: &Command) -> String {
    let styles = command.get_styles();
    let (header, literal) = (styles.get_header(), styles.get_literal());
    let width = command.get_subcommands().map(|sub| sub.get_name().len()).max().unwrap_or(0);
    let mut text = String::new();
    for (heading, names) in GROUPS {
        let _ = writeln!(text, "\n{header}{heading}:{header:#}");
        for sub in names.iter().filter_map(|name| command.find_subcommand(name)) {
            let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
            let about = about.trim_end_matches('.');
            let _ = writeln!(text, "  {literal}{:width$}{literal:#}  {about}", sub.get_name());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_command_is_in_one_group() {
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        grouped.sort_unstable();
        let command = crate::Cli::command();
        let mut names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        names.sort_unstable();
        assert_eq!(grouped, names);
    }
}
