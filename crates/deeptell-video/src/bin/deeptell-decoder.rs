//! Decodes for a parent that names this program in its `DecoderProcess`: for programs that cannot
//! start themselves. With `--strict`, any system call that decoding does not need ends a process.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(unix)]
    {
        if std::env::args().nth(1).as_deref() == Some("--strict") {
            return deeptell_video::serve_decoding_strictly();
        }
        deeptell_video::serve_decoding()
    }
    #[cfg(not(unix))]
    ExitCode::from(2)
}
