//! Listening: connections in, TLS, time limits, and an orderly end.

use crate::{App, ServerError, tls};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

/// Connections that are held at a time; more wait to be accepted.
const MOST_CONNECTIONS: usize = 1024;
/// Pause after an accept that failed, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Time for answers to be sent after the engine has stopped.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Serves until `shutdown` is done, then lets running jobs and answers end within the settings' time.
/// `bound` is told the address once requests are accepted.
pub async fn serve(
    app: App,
    shutdown: impl Future<Output = ()>,
    bound: impl FnOnce(SocketAddr),
) -> Result<(), ServerError> {
    let settings = app.settings();
    let tls = tls::acceptor(settings)?;
    let host = if settings.listen { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
    let address = SocketAddr::from((host, settings.effective_port()));
    let bind = |source| ServerError::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(bind)?;
    bound(listener.local_addr().map_err(bind)?);
    let graceful = GracefulShutdown::new();
    let connections = Connections {
        router: app.router(),
        tls,
        timeout: Duration::from_secs(settings.request_timeout),
        permits: Arc::new(Semaphore::new(MOST_CONNECTIONS)),
    };
    tokio::select! {
        () = connections.accept_all(&listener, &graceful) => {}
        () = shutdown => {}
        () = app.stopped() => {}
    }
    drop(listener);
    end(&app, graceful).await
}

/// Ends jobs and connections.
async fn end(app: &App, graceful: GracefulShutdown) -> Result<(), ServerError> {
    let grace = Duration::from_secs(app.settings().shutdown_timeout);
    tracing::info!(seconds = grace.as_secs(), "stopping: running jobs may end");
    let engine = app.engine().clone();
    let jobs = tokio::task::spawn_blocking(move || engine.shutdown(grace));
    let answers = tokio::time::timeout(grace + LAST_ANSWERS, graceful.shutdown());
    let (jobs, answers) = tokio::join!(jobs, answers);
    if answers.is_err() {
        tracing::warn!("some answers were cut off");
    }
    jobs.map_err(|error| ServerError::Shutdown(error.to_string()))
}

struct Connections {
    router: Router,
    tls: Option<TlsAcceptor>,
    /// For a handshake, and for a request's head.
    timeout: Duration,
    permits: Arc<Semaphore>,
}

impl Connections {
    async fn accept_all(&self, listener: &TcpListener, graceful: &GracefulShutdown) {
        loop {
            // The semaphore is never closed.
            let Ok(permit) = self.permits.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => self.take(stream, permit, graceful.watcher()),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn take(&self, stream: TcpStream, permit: OwnedSemaphorePermit, watcher: Watcher) {
        let (router, tls, timeout) = (self.router.clone(), self.tls.clone(), self.timeout);
        tokio::spawn(async move {
            let _permit = permit;
            // Small answers and events are not to wait for more.
            let _ = stream.set_nodelay(true);
            match tls {
                None => answer(stream, router, timeout, watcher).await,
                Some(tls) => match tokio::time::timeout(timeout, tls.accept(stream)).await {
                    Ok(Ok(stream)) => answer(stream, router, timeout, watcher).await,
                    Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
                    Err(_) => tracing::debug!("TLS handshake timed out"),
                },
            }
        });
    }
}

/// Answers the requests of one connection.
async fn answer<S>(stream: S, router: Router, timeout: Duration, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service =
        service_fn(move |request: Request<Incoming>| router.clone().oneshot(request.map(Body::new)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "connection ended early");
    }
}
