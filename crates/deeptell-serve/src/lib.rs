//! The web page of deeptell: drop a video or a picture, read a verdict.
//!
//! [`serve`] answers on a socket that the caller bound, until the caller says stop. Page, style and
//! script are inside the program; the page loads nothing from anywhere else. What is uploaded lies
//! under a random name in a private folder, is judged by an [`Analyse`] (a
//! [`Detector`](deeptell::Detector) is one), and is deleted before its verdict is told. Reports stay
//! in memory, the latest [`Settings::history`] of them, under names that cannot be guessed.
//!
//! Other programs use the interface that the page uses; it is described by the OpenAPI document at
//! `/api/openapi.json`, which is [`OPENAPI`].
//!
//! ```no_run
//! use std::net::TcpListener;
//! use std::sync::atomic::AtomicBool;
//!
//! use deeptell::Detector;
//! use deeptell_serve::{Settings, serve};
//!
//! fn judge_on_a_page(detector: Detector) -> Result<(), Box<dyn std::error::Error>> {
//!     static STOP: AtomicBool = AtomicBool::new(false);
//!     let listener = TcpListener::bind("127.0.0.1:8765")?;
//!     let settings = Settings::new(std::env::temp_dir());
//!     serve(listener, detector, settings, &STOP, |event| eprintln!("{event}"))?;
//!     Ok(())
//! }
//! ```
//!
//! # Who may use it
//!
//! There is no password: whoever reaches the socket may use it, so bind it to a loopback address.
//! Web sites that the same person visits are kept out: requests must name this server by an
//! address or an allowed name ([`Settings::allowed_hosts`], against DNS rebinding), and requests
//! that change anything must come from its own page or from a program that sends the header
//! `X-Deeptell`.

mod analyse;
mod answers;
mod app;
mod error;
mod event;
mod failure;
mod folder;
mod guard;
mod page;
mod queue;
mod refusal;
mod routes;
mod scans;
mod server;
mod settings;
mod upload;

pub use analyse::Analyse;
pub use error::ServeError;
pub use event::Event;
pub use page::OPENAPI;
pub use server::serve;
pub use settings::Settings;
