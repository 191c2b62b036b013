//! Where files are decoded, and within which limits.

#[cfg(unix)]
use std::sync::{Arc, OnceLock};

#[cfg(unix)]
use deeptell_video::DecoderProcess;
use deeptell_video::{IsolationError, Limits, VideoOptions, VideoReader};

/// Where a [`Detector`](crate::Detector) decodes files, and what they may be and cost.
///
/// The default, [`untrusted`](Self::untrusted), is for files from anyone: a process of its own for each, which can do
/// nothing but decode ([`DecoderProcess`](deeptell_video::DecoderProcess)), within [`Limits::untrusted`]. The process is
/// a copy of this program, whose `main` must therefore begin with [`run_if_decoder`](crate::run_if_decoder); otherwise
/// a scan fails with [`IsolationError::NotPrepared`]. Reports are the same wherever a file is decoded.
///
/// ```no_run
/// use deeptell::{Decoding, Detector, Device, Limits};
///
/// # fn main() -> Result<(), deeptell::Error> {
/// // For files that this program made itself: larger, of rare formats, and in this process.
/// let trusting = Detector::shipped(&Device::flex())?.with_decoding(Decoding::in_process(Limits::default()));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Decoding {
    location: Location,
    limits: Limits,
}

#[derive(Debug, Clone)]
enum Location {
    /// A copy of this program, which is named at the first file; clones share it.
    #[cfg(unix)]
    ThisProgram(Arc<OnceLock<DecoderProcess>>),
    #[cfg(unix)]
    Program(DecoderProcess),
    #[cfg(not(unix))]
    Nowhere,
    Here,
}

impl Decoding {
    /// For files from anyone, the default: as [`isolated`](Self::isolated) on systems that have such processes, elsewhere
    /// in this process, within [`Limits::untrusted`]. [`warning`](Self::warning) tells the two apart.
    pub fn untrusted() -> Self {
        if cfg!(unix) { Self::isolated() } else { Self::in_process(Limits::untrusted()) }
    }

    /// For files whose origin the user trusts: in this process, within the default [`Limits`].
    pub fn trusted() -> Self {
        Self::in_process(Limits::default())
    }

    /// What users should know about this way of decoding: that files of unknown origin are not isolated, because the
    /// system has no means to.
    pub fn warning(&self) -> Option<&'static str> {
        let is_exposed = cfg!(not(unix)) && matches!(self.location, Location::Here);
        (is_exposed && self.limits == Limits::untrusted()).then_some(
            "this system has no sandboxed processes: files are decoded in this one, within narrow limits",
        )
    }

    /// Each file in a process of its own, a copy of this program, within [`Limits::untrusted`].
    ///
    /// There are such processes on Unix systems alone; elsewhere a scan fails with [`IsolationError::Unsupported`].
    pub fn isolated() -> Self {
        #[cfg(unix)]
        let location = Location::ThisProgram(Arc::default());
        #[cfg(not(unix))]
        let location = Location::Nowhere;
        Self { location, limits: Limits::untrusted() }
    }

    /// Each file in a process of its own, made by another program, within [`Limits::untrusted`]: for hosts that cannot
    /// start themselves, such as plugins.
    #[cfg(unix)]
    pub fn isolated_by(decoder: &DecoderProcess) -> Self {
        Self { location: Location::Program(decoder.clone()), limits: Limits::untrusted() }
    }

    /// Files in this process: a fault of a decoder that a hostile file makes use of is a fault of this program.
    ///
    /// [`Limits::default`] is for files that you trust; for files from others, [`Limits::untrusted`] at least bounds what
    /// they are and cost.
    pub fn in_process(limits: Limits) -> Self {
        Self { location: Location::Here, limits }
    }

    /// The same within other limits.
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// What a file may be and cost.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How videos and pictures are opened where no [`Detector`](crate::Detector) does it.
    ///
    /// # Errors
    /// [`IsolationError`] when the system or this program cannot start such processes.
    pub fn video_options(&self) -> Result<VideoOptions, IsolationError> {
        let reading = VideoReader::options().limits(self.limits.clone());
        Ok(match &self.location {
            #[cfg(unix)]
            Location::ThisProgram(named) => {
                let decoder = if let Some(decoder) = named.get() {
                    decoder
                } else {
                    let decoder = DecoderProcess::this_program()?;
                    named.get_or_init(|| decoder)
                };
                reading.isolated_by(decoder)
            }
            #[cfg(unix)]
            Location::Program(decoder) => reading.isolated_by(decoder),
            #[cfg(not(unix))]
            Location::Nowhere => return Err(IsolationError::Unsupported),
            Location::Here => reading,
        })
    }
}

/// As [`Decoding::untrusted`].
impl Default for Decoding {
    fn default() -> Self {
        Self::untrusted()
    }
}
