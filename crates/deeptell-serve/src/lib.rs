#![doc = include_str!("../README.md")]

mod analyse;
mod answers;
mod app;
mod connections;
mod error;
mod event;
mod folder;
mod guard;
mod local;
mod page;
mod queue;
mod refusal;
mod routes;
mod scans;
mod server;
mod settings;
mod stream;
mod transfer_rate;
mod upload;
mod upload_slots;

pub use analyse::Analyse;
pub use error::ServeError;
pub use event::Event;
pub use page::OPENAPI;
pub use server::serve;
pub use settings::Settings;
