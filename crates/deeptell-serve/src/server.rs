//! The socket, the connections, and an orderly end.

use std::io;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener as TokioListener, TcpStream};
use tokio::runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::app::App;
use crate::folder::PrivateFolder;
use crate::queue::{Queue, work};
use crate::routes::router;
use crate::scans::Scans;
use crate::{Analyse, Event, ServeError, Settings};

/// How often the caller's wish to stop is looked for.
const STOP_INTERVAL: Duration = Duration::from_millis(50);
/// How long answers under way may take once the server stops.
const GRACE: Duration = Duration::from_secs(3);
/// Pause after the system refused a connection, as it does when files run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Longest head of a request.
const HEAD_BYTES: usize = 32 << 10;

/// Serves the page and its interface on `listener` until `stop` is set.
///
/// Then no connection is taken any more, waiting and running scans are cancelled, answers under
/// way get three seconds, and all that was uploaded is deleted. `on_event` is called from several
/// threads.
///
/// # Errors
/// [`ServeError`] when the server cannot start; nothing that a request does ends it.
pub fn serve(
    listener: TcpListener,
    analyser: impl Analyse + 'static,
    settings: Settings,
    stop: &AtomicBool,
    on_event: impl Fn(Event) + Send + Sync + 'static,
) -> Result<(), ServeError> {
    settings.check()?;
    listener.set_nonblocking(true).map_err(ServeError::Listen)?;
    let app = Arc::new(App {
        address: listener.local_addr().map_err(ServeError::Listen)?,
        analyser: Box::new(analyser),
        queue: Queue::default(),
        scans: Scans::new(settings.history),
        places: Arc::new(Semaphore::new(settings.places())),
        folder: PrivateFolder::new(&settings.uploads)
            .map_err(|source| ServeError::Folder { folder: settings.uploads.clone(), source })?,
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
    // Requests that were cut off let go of their files here.
    drop(runtime);
    served
}

/// Takes connections until `stop` is set, and sees to a good end of those that are open then.
async fn accept(listener: TcpListener, app: &Arc<App>, stop: &AtomicBool) -> io::Result<()> {
    let listener = TokioListener::from_std(listener)?;
    let router = router(app);
    let places = Arc::new(Semaphore::new(app.settings.connections));
    let mut open = JoinSet::new();
    loop {
        let (stream, place) = tokio::select! {
            next = next(&listener, &places) => next,
            () = asked_to(stop) => break,
        };
        while open.try_join_next().is_some() {}
        open.spawn(converse(stream, place, router.clone(), Arc::clone(app)));
    }
    drop(listener);
    app.stopping.send_replace(true);
    // Those in line; the ones at work are cancelled by the flag, at their next frame.
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

/// The next connection, once there is room for one.
async fn next(listener: &TokioListener, places: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(places).acquire_owned().await else { continue };
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            // A connection that is gone already, or no files left: later ones may do better.
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Answers on one connection until it ends, or the server does.
async fn converse(stream: TcpStream, place: OwnedSemaphorePermit, router: Router, app: Arc<App>) {
    // Answers are small, and each is awaited.
    let _ = stream.set_nodelay(true);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(app.settings.idle_time).max_buf_size(HEAD_BYTES);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    // An error here is the client's end of the connection; there is nobody to tell.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = app.stopped() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
    drop(place);
}
