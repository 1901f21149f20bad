//! A web server over a directory, with a CDN's manners and, where a test wants it, a bad network's.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

type Body = http_body_util::combinators::BoxBody<Bytes, std::io::Error>;

/// Serves a directory: whole files and single ranges. Dropped: gone.
#[derive(Debug)]
pub struct Web {
    port: u16,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Seen {
    dir: PathBuf,
    /// The bytes within which an answer breaks; 0 for never.
    within: u64,
    rng: Mutex<StdRng>,
    broken: AtomicUsize,
    ranges: AtomicUsize,
}

impl Web {
    /// Starts one.
    pub async fn start(dir: &Path) -> Self {
        Self::breaking(dir, 0, 0).await
    }

    /// Starts one that breaks the answer with an image's bytes somewhere within so many, each elsewhere.
    pub async fn breaking(dir: &Path, within: u64, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let seen = Arc::new(Seen {
            dir: dir.to_owned(),
            within,
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
            broken: AtomicUsize::new(0),
            ranges: AtomicUsize::new(0),
        });
        let task = tokio::spawn(serve(listener, seen.clone()));
        Self { port, seen, task }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How many answers broke.
    pub fn broken(&self) -> usize {
        self.seen.broken.load(Ordering::Relaxed)
    }

    /// How many ranges were asked for that do not begin at 0.
    pub fn resumed(&self) -> usize {
        self.seen.ranges.load(Ordering::Relaxed)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, seen: Arc<Seen>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let seen = seen.clone();
        let service = service_fn(move |request| {
            let seen = seen.clone();
            async move { Ok::<_, Infallible>(answer(&seen, &request)) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service);
        connections.spawn(async move { drop(connection.await) });
    }
}

fn answer(seen: &Seen, request: &Request<Incoming>) -> Response<Body> {
    let name = request.uri().path().trim_start_matches('/');
    let file = if name.contains("..") { None } else { std::fs::read(seen.dir.join(name)).ok() };
    let Some(file) = file else {
        let mut absent = Response::new(body(vec![Ok(Bytes::from_static(b"no such file"))]));
        *absent.status_mut() = StatusCode::NOT_FOUND;
        return absent;
    };
    let size = file.len();
    let range = request.headers().get(RANGE).and_then(|range| range.to_str().ok());
    let range = range.map(|range| parse(range, size));
    let (from, until) = range.unwrap_or((0, size));
    if from > 0 {
        seen.ranges.fetch_add(1, Ordering::Relaxed);
    }
    let part = Bytes::from(file).slice(from..until);
    let (length, is_image) = (part.len(), name.ends_with(".hwi"));
    let breaks = is_image && seen.within > 0;
    let cut = breaks.then(|| seen.rng.lock().expect("no panic").random_range(0..seen.within));
    let mut pieces = Vec::new();
    match cut.and_then(|cut| usize::try_from(cut).ok()).filter(|cut| *cut < length) {
        None => pieces.push(Ok(part)),
        Some(cut) => {
            seen.broken.fetch_add(1, Ordering::Relaxed);
            pieces.push(Ok(part.slice(..cut)));
            pieces.push(Err(std::io::Error::other("the cable is cut")));
        }
    }
    let mut answer = Response::new(body(pieces));
    answer.headers_mut().insert(CONTENT_LENGTH, length.into());
    if range.is_some() {
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        let text = format!("bytes {from}-{}/{size}", until.saturating_sub(1));
        answer.headers_mut().insert(CONTENT_RANGE, text.parse().expect("a header"));
    }
    answer
}

/// `bytes=from-last` or `bytes=from-`, cut to the file.
fn parse(range: &str, size: usize) -> (usize, usize) {
    let (from, last) = range
        .trim_start_matches("bytes=")
        .split_once('-')
        .expect("a range as the client writes it");
    let from = from.parse::<usize>().expect("a number").min(size);
    let until = last.parse::<usize>().map_or(size, |last| (last + 1).min(size));
    (from, until.max(from))
}

fn body(pieces: Vec<std::io::Result<Bytes>>) -> Body {
    let frames = pieces.into_iter().map(|piece| piece.map(Frame::data));
    StreamBody::new(futures::stream::iter(frames)).boxed()
}
