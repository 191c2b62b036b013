//! The socket, the connections, and stopping.

use std::io;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener as TokioListener, TcpStream};
use tokio::runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::app::App;
use crate::connections::{Admitted, Connection, Connections, ExchangeBody};
use crate::folder::PrivateFolder;
use crate::local::LocalPage;
use crate::queue::{Queue, work};
use crate::routes::router;
use crate::scans::Scans;
use crate::stream::Stream;
use crate::upload_slots::UploadSlots;
use crate::{Analyse, Event, ServeError, Settings};

/// How often `stop` is checked.
const STOP_INTERVAL: Duration = Duration::from_millis(50);
/// How long open connections may take to end after the server was stopped.
const GRACE: Duration = Duration::from_secs(3);
/// The same for a connection that waits for a request.
const IDLE_GRACE: Duration = Duration::from_millis(200);
/// Pause after the system failed to accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Longest head of a request, in bytes.
const HEAD_BYTES: usize = 32 << 10;
/// Requests on one connection; the answer to the last one closes it.
const REQUESTS: usize = 100;

/// Serves the page and the API on `listener` until `stop` is set.
///
/// Then the server accepts no more connections, cancels waiting and running scans, gives open
/// connections three seconds to end, and deletes all uploads. `on_event` is called from several
/// threads.
///
/// # Errors
/// [`ServeError`] when the server cannot start. No request can make it fail later.
pub fn serve(
    listener: TcpListener,
    analyzer: impl Analyse + 'static,
    settings: Settings,
    stop: &AtomicBool,
    on_event: impl Fn(Event) + Send + Sync + 'static,
) -> Result<(), ServeError> {
    settings.check()?;
    listener.set_nonblocking(true).map_err(ServeError::Listen)?;
    let app = Arc::new(App {
        address: listener.local_addr().map_err(ServeError::Listen)?,
        analyzer: Box::new(analyzer),
        queue: Queue::default(),
        scans: Scans::new(settings.history),
        slots: Arc::new(UploadSlots::new(settings.upload_slots())),
        folder: PrivateFolder::new(&settings.uploads)
            .map_err(|source| ServeError::Folder { folder: settings.uploads.clone(), source })?,
        local: settings.local_page.as_deref().map(LocalPage::read).transpose()?,
        stopping: watch::Sender::new(false),
        on_event: Box::new(on_event),
        settings,
    });
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(ServeError::Threads)?;
    let served = thread::scope(|threads| {
        let started = (0..app.settings.workers).try_for_each(|number| {
            let thread = thread::Builder::new().name(format!("analysis {number}"));
            thread.spawn_scoped(threads, || work(&app)).map(drop)
        });
        let served = match started {
            Ok(()) => runtime.block_on(accept(listener, &app, stop)).map_err(ServeError::Listen),
            Err(error) => Err(ServeError::Threads(error)),
        };
        app.stopping.send_replace(true);
        app.queue.close();
        served
    });
    // Requests that were cut off delete their files here.
    drop(runtime);
    served
}

/// Accepts connections until `stop` is set, then ends those that are open.
async fn accept(listener: TcpListener, app: &Arc<App>, stop: &AtomicBool) -> io::Result<()> {
    let listener = TokioListener::from_std(listener)?;
    let router = router(app);
    let connections = Arc::new(Connections::new(app.settings.connections));
    let mut open = JoinSet::new();
    loop {
        let (socket, admitted) = tokio::select! {
            next = next(&listener, &connections) => next,
            () = asked_to(stop) => break,
        };
        while open.try_join_next().is_some() {}
        open.spawn(converse(socket, admitted, router.clone(), Arc::clone(app)));
    }
    drop(listener);
    app.stopping.send_replace(true);
    // Waiting scans. The running ones see the flag at their next frame.
    let cancelled = app.queue.close();
    app.tell(Event::Stopping { cancelled });
    let _ = timeout(GRACE, async { while open.join_next().await.is_some() {} }).await;
    open.shutdown().await;
    Ok(())
}

async fn asked_to(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        sleep(STOP_INTERVAL).await;
    }
}

/// The next connection, once there is a place for it.
async fn next(listener: &TokioListener, connections: &Arc<Connections>) -> (TcpStream, Admitted) {
    loop {
        if let Ok((socket, address)) = listener.accept().await {
            return (socket, connections.admit(address.ip()).await);
        }
        // The connection is closed already, or the process has no file descriptor left.
        connections.displace();
        sleep(ACCEPT_PAUSE).await;
    }
}

/// Answers on one connection until it is closed, displaced by another, or the server stops.
async fn converse(socket: TcpStream, admitted: Admitted, router: Router, app: Arc<App>) {
    let connection = &admitted.connection;
    // Answers are small, and clients wait for each.
    let _ = socket.set_nodelay(true);
    let stream = Stream::new(socket, Arc::clone(connection), app.settings.idle_time);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(app.settings.idle_time).max_buf_size(HEAD_BYTES);
    let service = service_fn(|request| answer(&router, connection, request));
    let mut exchange = pin!(http.serve_connection(TokioIo::new(stream), service));
    // An error here is the end of the client's connection; there is nobody to report it to.
    tokio::select! {
        _ = exchange.as_mut() => {}
        () = connection.displaced() => {}
        () = app.stopped() => {
            connection.set_stopping();
            exchange.as_mut().graceful_shutdown();
            if connection.is_answering() {
                let _ = exchange.await;
            } else {
                // The client has not asked for anything, or has its answer but for the last bytes.
                let _ = timeout(IDLE_GRACE, exchange).await;
            }
        }
    }
}

/// Answers one request.
async fn answer(
    router: &Router,
    connection: &Arc<Connection>,
    mut request: Request<Incoming>,
) -> Result<Response<ExchangeBody>, std::convert::Infallible> {
    let (number, exchange) = connection.begin();
    request.extensions_mut().insert(connection.client());
    let mut response: Response<Body> = TowerToHyperService::new(router.clone()).call(request).await?;
    if number >= REQUESTS {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| ExchangeBody::new(body, exchange)))
}
