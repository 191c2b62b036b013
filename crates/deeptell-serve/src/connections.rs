//! Limits the number of open connections, and closes some for new ones.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::transfer_rate::TransferRate;

/// How long a connection without a request is left alone.
const IDLE_GRACE: Duration = Duration::from_millis(250);
/// How often a new connection looks for an older one that can be closed.
const RETRY: Duration = Duration::from_millis(50);

/// The open connections.
///
/// At the limit, a new connection closes an older one that does not need its place: one that waits
/// for a request, else one whose client does not read, else one with a slow transfer. Transfers
/// that are fast enough are never cut.
pub(crate) struct Connections {
    limit: usize,
    open: Mutex<Open>,
    closed: Notify,
}

#[derive(Default)]
struct Open {
    last_id: u64,
    by_id: HashMap<u64, Arc<Connection>>,
}

impl Connections {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, open: Mutex::default(), closed: Notify::new() }
    }

    /// Registers a connection from `address`, once there is a place for it.
    pub(crate) async fn admit(self: &Arc<Self>, address: IpAddr) -> Admitted {
        loop {
            let closed = self.closed.notified();
            if let Some(admitted) = self.try_admit(address, Instant::now()) {
                return admitted;
            }
            tokio::select! {
                () = closed => {}
                () = sleep(RETRY) => {}
            }
        }
    }

    fn try_admit(self: &Arc<Self>, address: IpAddr, now: Instant) -> Option<Admitted> {
        let mut open = self.lock();
        if open.by_id.len() >= self.limit && !open.displace(now) {
            return None;
        }
        let connection = Arc::new(Connection::new(address, now));
        open.last_id += 1;
        let id = open.last_id;
        open.by_id.insert(id, Arc::clone(&connection));
        Some(Admitted { connections: Arc::clone(self), id, connection })
    }

    /// Closes a connection that does not need its place, if there is one.
    pub(crate) fn displace(&self) {
        self.lock().displace(Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn displace(&mut self, now: Instant) -> bool {
        let mut shares: HashMap<IpAddr, usize> = HashMap::new();
        for connection in self.by_id.values() {
            *shares.entry(connection.address).or_default() += 1;
        }
        let candidates = self.by_id.iter().filter_map(|(id, connection)| {
            let need = connection.need(now)?;
            // Of several, from the address that has the most; the one that was quiet for longest.
            Some(((need, Reverse(shares[&connection.address]), connection.transfer().last), *id))
        });
        let least = candidates.min().map(|(_, id)| id);
        let displaced = least.and_then(|id| self.by_id.remove(&id));
        if let Some(connection) = &displaced {
            connection.displaced.notify_one();
        }
        displaced.is_some()
    }
}

/// The address that a request came from, among its extensions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client(pub(crate) IpAddr);

/// How much a connection needs its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    /// There is no request.
    Idle,
    /// The client does not read its answer.
    Unread,
    /// Little is transferred, for example events of a scan.
    Slow,
}

/// What is known of one connection while it is open.
pub(crate) struct Connection {
    address: IpAddr,
    transfer: Mutex<TransferRate>,
    /// Requests that have come so far.
    requests: AtomicUsize,
    /// Requests whose answers are not complete.
    unanswered: AtomicUsize,
    is_write_blocked: AtomicBool,
    is_stopping: AtomicBool,
    displaced: Notify,
}

impl Connection {
    /// Who is at the other end.
    pub(crate) fn client(&self) -> Client {
        Client(self.address)
    }

    fn new(address: IpAddr, now: Instant) -> Self {
        Self {
            address,
            transfer: Mutex::new(TransferRate::new(now)),
            requests: AtomicUsize::new(0),
            unanswered: AtomicUsize::new(0),
            is_write_blocked: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            displaced: Notify::new(),
        }
    }

    /// How much it needs its place; `None` if it must not be closed.
    fn need(&self, now: Instant) -> Option<Need> {
        let transfer = *self.transfer();
        if self.is_write_blocked.load(Ordering::Relaxed) {
            return transfer.is_slow(now).then_some(Need::Unread);
        }
        if !self.is_answering() {
            return (now.duration_since(transfer.last) >= IDLE_GRACE).then_some(Need::Idle);
        }
        transfer.is_slow(now).then_some(Need::Slow)
    }

    /// Counts bytes that were just read or written.
    pub(crate) fn note(&self, bytes: usize) {
        self.transfer().add(bytes, Instant::now());
    }

    pub(crate) fn set_write_blocked(&self, is_blocked: bool) {
        self.is_write_blocked.store(is_blocked, Ordering::Relaxed);
    }

    /// The server stops: the connection must not wait long for the client.
    pub(crate) fn set_stopping(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    /// Begins a request; its number on this connection, from 1, and what ends it when dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> (usize, Exchange) {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
        *self.transfer() = TransferRate::new(Instant::now());
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        (number, Exchange { connection: Arc::clone(self) })
    }

    /// Whether the answer to a request is not complete.
    pub(crate) fn is_answering(&self) -> bool {
        self.unanswered.load(Ordering::Relaxed) > 0
    }

    /// Waits until another connection needs the place.
    pub(crate) async fn displaced(&self) {
        self.displaced.notified().await;
    }

    fn transfer(&self) -> MutexGuard<'_, TransferRate> {
        self.transfer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that counts as open until this is dropped.
pub(crate) struct Admitted {
    connections: Arc<Connections>,
    id: u64,
    pub(crate) connection: Arc<Connection>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.connections.lock().by_id.remove(&self.id);
        self.connections.closed.notify_one();
    }
}

/// A request that is not answered completely until this is dropped.
pub(crate) struct Exchange {
    connection: Arc<Connection>,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.connection.unanswered.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer, which ends the exchange when it is done.
pub(crate) struct ExchangeBody {
    body: axum::body::Body,
    _exchange: Exchange,
}

impl ExchangeBody {
    pub(crate) const fn new(body: axum::body::Body, exchange: Exchange) -> Self {
        Self { body, _exchange: exchange }
    }
}

impl HttpBody for ExchangeBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer_rate::WINDOW;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

    fn is_open(connections: &Connections, admitted: &Admitted) -> bool {
        connections.lock().by_id.contains_key(&admitted.id)
    }

    #[test]
    fn connection_that_needs_its_place_least_gives_way() {
        let connections = Arc::new(Connections::new(4));
        let begin = Instant::now();
        let admit = |now| connections.try_admit(HERE, now);
        let [idle, unread, slow, fast] = [(); 4].map(|()| admit(begin).unwrap());
        let exchanges = [&unread, &slow, &fast].map(|admitted| admitted.connection.begin().1);
        let begin = Instant::now();
        unread.connection.set_write_blocked(true);
        assert!(admit(begin).is_none(), "all have just begun");
        let now = begin + WINDOW;
        fast.connection.transfer().add(10_000_000, now);

        let mut newer = Vec::new();
        for gone in [&idle, &unread, &slow] {
            let admitted = admit(now).unwrap();
            assert!(!is_open(&connections, gone));
            newer.push((admitted.connection.begin(), admitted));
        }
        assert!(admit(now).is_none() && is_open(&connections, &fast));
        drop(exchanges);
    }

    #[test]
    fn address_with_most_connections_gives_way_first() {
        let connections = Arc::new(Connections::new(3));
        let begin = Instant::now();
        let other = connections.try_admit(THERE, begin).unwrap();
        let [older, newer] = [1, 2].map(|ms| {
            let now = begin + Duration::from_millis(ms);
            connections.try_admit(HERE, now).unwrap()
        });
        let _next = connections.try_admit(HERE, begin + WINDOW).unwrap();
        assert!(is_open(&connections, &other) && is_open(&connections, &newer));
        assert!(!is_open(&connections, &older));
    }

    #[test]
    fn closed_connection_makes_a_place() {
        let connections = Arc::new(Connections::new(1));
        let now = Instant::now();
        let first = connections.try_admit(HERE, now).unwrap();
        assert!(connections.try_admit(HERE, now).is_none());
        drop(first);
        assert!(connections.try_admit(HERE, now).is_some());
    }
}
