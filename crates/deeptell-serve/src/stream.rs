//! The bytes of one connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::connections::Connection;
use crate::refusal;

/// Bytes that a client must read in the time given to it, unless all is written before.
const LEAST_WRITTEN: usize = 64 << 10;

/// How much is read and discarded after the last answer, and for how long. Closing a socket with
/// unread data resets the connection, and clients that send before they read lose the answer.
const DISCARDED_BYTES: usize = 64 << 20;
const DISCARDING_TIME: Duration = Duration::from_secs(5);
const DISCARDING_TIME_AT_STOP: Duration = Duration::from_millis(200);

/// A connection's socket, with a limit on the time that a client may take to read.
pub(crate) struct Stream<S> {
    socket: S,
    connection: Arc<Connection>,
    /// Time for [`LEAST_WRITTEN`] bytes.
    write_time: Duration,
    blocked: Option<Blocked>,
    discarding: Option<Discarding>,
    refusing: Option<Refusing>,
}

/// A write that waits for the client to read.
struct Blocked {
    until: Pin<Box<Sleep>>,
    written: usize,
}

/// An answer of hyper that is written with a body.
struct Refusing {
    bytes: Vec<u8>,
    written: usize,
    /// Bytes that it stands for.
    length: usize,
}

/// What comes after the last answer.
struct Discarding {
    until: Pin<Box<Sleep>>,
    left: usize,
}

impl<S> Stream<S> {
    pub(crate) fn new(socket: S, connection: Arc<Connection>, write_time: Duration) -> Self {
        Self { socket, connection, write_time, blocked: None, discarding: None, refusing: None }
    }

    fn after_write(
        &mut self,
        outcome: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match outcome {
            Poll::Ready(Ok(bytes)) => {
                self.connection.note(bytes);
                if let Some(blocked) = &mut self.blocked {
                    blocked.written += bytes;
                    if blocked.written >= LEAST_WRITTEN {
                        self.unblock();
                    }
                }
                outcome
            }
            Poll::Ready(Err(_)) => outcome,
            Poll::Pending => {
                let write_time = self.write_time;
                let blocked = self
                    .blocked
                    .get_or_insert_with(|| Blocked { until: Box::pin(sleep(write_time)), written: 0 });
                self.connection.set_write_blocked(true);
                ready!(blocked.until.as_mut().poll(context));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }

    fn unblock(&mut self) {
        self.blocked = None;
        self.connection.set_write_blocked(false);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(context, buffer))?;
        let bytes = buffer.filled().len() - before;
        if bytes > 0 {
            self.connection.note(bytes);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Stream<S> {
    /// Writes another answer in place of `buffer` if that is a refusal without a body; `None` for all else.
    fn poll_refuse(&mut self, context: &mut Context<'_>, buffer: &[u8]) -> Option<Poll<io::Result<usize>>> {
        if self.refusing.is_none() && !self.connection.is_answering() {
            let answer = refusal::with_body(buffer);
            self.refusing = answer.map(|bytes| Refusing { bytes, written: 0, length: buffer.len() });
        }
        while let Some(refusing) = &mut self.refusing {
            let rest = &refusing.bytes[refusing.written..];
            if rest.is_empty() {
                let length = refusing.length;
                self.refusing = None;
                return Some(Poll::Ready(Ok(length)));
            }
            let outcome = Pin::new(&mut self.socket).poll_write(context, rest);
            match self.after_write(outcome, context) {
                Poll::Ready(Ok(0)) => return Some(Poll::Ready(Err(io::ErrorKind::WriteZero.into()))),
                Poll::Ready(Ok(bytes)) => {
                    if let Some(refusing) = &mut self.refusing {
                        refusing.written += bytes;
                    }
                }
                other => return Some(other),
            }
        }
        None
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(refused) = self.poll_refuse(context, buffer) {
            return refused;
        }
        let outcome = Pin::new(&mut self.socket).poll_write(context, buffer);
        self.after_write(outcome, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = buffers.iter().find(|buffer| !buffer.is_empty());
        if let Some(refused) = first.and_then(|first| self.poll_refuse(context, first)) {
            return refused;
        }
        let outcome = Pin::new(&mut self.socket).poll_write_vectored(context, buffers);
        self.after_write(outcome, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// Called once everything is written.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_flush(context))?;
        self.unblock();
        Poll::Ready(Ok(()))
    }

    /// Ends the writing half, then discards what the client still sends.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let discarding = match &mut this.discarding {
            Some(discarding) => discarding,
            none => {
                ready!(Pin::new(&mut this.socket).poll_shutdown(context))?;
                let time =
                    if this.connection.is_stopping() { DISCARDING_TIME_AT_STOP } else { DISCARDING_TIME };
                none.insert(Discarding { until: Box::pin(sleep(time)), left: DISCARDED_BYTES })
            }
        };
        while discarding.left > 0 && discarding.until.as_mut().poll(context).is_pending() {
            let mut bytes = [0; 8192];
            let mut buffer = ReadBuf::new(&mut bytes);
            // The client may have reset the connection, which is an end, too.
            if ready!(Pin::new(&mut this.socket).poll_read(context, &mut buffer)).is_err() {
                break;
            }
            let read = buffer.filled().len();
            if read == 0 {
                break;
            }
            discarding.left = discarding.left.saturating_sub(read);
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::runtime;
    use tokio::time::Instant;

    use super::*;
    use crate::connections::{Admitted, Connections};

    const WRITE_TIME: Duration = Duration::from_millis(150);

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    /// A stream with a buffer of 64 bytes, and the client's end.
    async fn stream() -> (Stream<DuplexStream>, DuplexStream, Admitted) {
        let (server, client) = duplex(64);
        let connections = Arc::new(Connections::new(1));
        let admitted = connections.admit(IpAddr::V4(Ipv4Addr::LOCALHOST)).await;
        (Stream::new(server, Arc::clone(&admitted.connection), WRITE_TIME), client, admitted)
    }

    #[test]
    fn write_fails_when_the_client_does_not_read() {
        block_on(async {
            let (mut stream, _client, _admitted) = stream().await;
            let error = stream.write_all(&[0; 1000]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        });
    }

    #[test]
    fn write_fails_when_the_client_reads_a_byte_now_and_then() {
        block_on(async {
            let (mut stream, mut client, _admitted) = stream().await;
            let began = Instant::now();
            let write = stream.write_all(&[0; 1000]);
            let trickle = async {
                loop {
                    sleep(WRITE_TIME / 10).await;
                    client.read_u8().await.unwrap();
                }
            };
            tokio::select! {
                outcome = write => assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::TimedOut),
                () = trickle => {}
            }
            assert!(began.elapsed() < 5 * WRITE_TIME, "{:?}", began.elapsed());
        });
    }

    #[test]
    fn client_that_reads_in_time_gets_everything() {
        block_on(async {
            let (mut stream, mut client, _admitted) = stream().await;
            let write = async {
                stream.write_all(&vec![1; 3 * LEAST_WRITTEN]).await?;
                stream.flush().await?;
                // What was slow before counts no more.
                stream.write_all(&[1; 32]).await
            };
            let read = async {
                let mut bytes = vec![0; 3 * LEAST_WRITTEN];
                for part in bytes.chunks_mut(LEAST_WRITTEN) {
                    client.read_exact(part).await.unwrap();
                    sleep(WRITE_TIME / 2).await;
                }
                bytes
            };
            let (outcome, bytes) = tokio::join!(write, read);
            outcome.unwrap();
            assert!(bytes.iter().all(|byte| *byte == 1));
        });
    }

    #[test]
    fn shutdown_discards_what_the_client_still_sends() {
        block_on(async {
            let (mut stream, mut client, _admitted) = stream().await;
            let send = async {
                client.write_all(&vec![0; 100_000]).await.unwrap();
                client.shutdown().await.unwrap();
                client.read(&mut [0]).await.unwrap()
            };
            let (outcome, read) = tokio::join!(stream.shutdown(), send);
            outcome.unwrap();
            assert_eq!(read, 0, "the end of what the server sends");
        });
    }

    #[test]
    fn shutdown_does_not_wait_long_when_the_server_stops() {
        block_on(async {
            let (mut stream, _client, admitted) = stream().await;
            admitted.connection.set_stopping();
            let began = Instant::now();
            stream.shutdown().await.unwrap();
            assert!(began.elapsed() < DISCARDING_TIME / 2, "{:?}", began.elapsed());
        });
    }
}
