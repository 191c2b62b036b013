//! Prints the JSON Schema of a report, for `schema/report.json`.

#![expect(clippy::print_stdout, reason = "that is all it does")]

fn main() -> serde_json::Result<()> {
    println!("{}", serde_json::to_string_pretty(&schemars::schema_for!(deeptell::Report))?);
    Ok(())
}
