//! State shared by all requests and workers.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

use crate::folder::PrivateFolder;
use crate::local::LocalPage;
use crate::queue::Queue;
use crate::scans::Scans;
use crate::upload_slots::UploadSlots;
use crate::{Analyse, Event, Settings};

/// State shared by all requests and workers.
pub(crate) struct App {
    pub(crate) settings: Settings,
    pub(crate) address: SocketAddr,
    pub(crate) analyzer: Box<dyn Analyse>,
    pub(crate) queue: Queue,
    pub(crate) scans: Scans,
    /// For uploads and scans that are not finished.
    pub(crate) slots: Arc<UploadSlots>,
    /// Contains the uploads; no other user can open it.
    pub(crate) folder: PrivateFolder,
    /// The page that scans in the browser, if there is one.
    pub(crate) local: Option<LocalPage>,
    pub(crate) stopping: watch::Sender<bool>,
    pub(crate) on_event: Box<dyn Fn(Event) + Send + Sync>,
}

impl App {
    pub(crate) fn tell(&self, event: Event) {
        (self.on_event)(event);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Waits until the server stops.
    pub(crate) async fn stopped(&self) {
        let mut stopping = self.stopping.subscribe();
        // The sender lives as long as `self`.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }
}
