//! A local HTTP server that answers each path as it was told, byte for byte, and keeps what it was asked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// `GET /search?q=x`
    pub(crate) line: String,
    /// All of its head, names in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

/// What is written to the connection.
#[derive(Clone)]
pub(crate) enum Reply {
    /// This, and then the end.
    Bytes(Vec<u8>),
    /// This, and then nothing, with the connection held open.
    Hang(Vec<u8>),
    /// This head, and then a body without end.
    Endless(Vec<u8>),
}

impl Reply {
    pub(crate) fn new(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n");
        Self::Bytes([head.as_bytes(), body].concat())
    }

    pub(crate) fn html(body: &str) -> Self {
        Self::new("200 OK", "content-type: text/html; charset=utf-8\r\n", body)
    }

    pub(crate) fn json(status: &str, body: &str) -> Self {
        Self::new(status, "content-type: application/json\r\n", body)
    }

    pub(crate) fn redirect(location: &str) -> Self {
        Self::new("302 Found", &format!("location: {location}\r\n"), "")
    }
}

/// A running server. Dropping it ends it.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Answers by path; any other path is not found.
    pub(crate) async fn start(replies: impl IntoIterator<Item = (&'static str, Reply)>) -> Self {
        let replies: Arc<HashMap<&str, Reply>> = Arc::new(replies.into_iter().collect());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let seen = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (replies, seen) = (Arc::clone(&replies), Arc::clone(&seen));
                // A client that goes away is part of some tests.
                tokio::spawn(async move { drop(answer(stream, &replies, &seen).await) });
            }
        });
        Self { address, requests, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    mut stream: TcpStream,
    replies: &HashMap<&str, Reply>,
    seen: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let request = read(&mut stream).await?;
    let path = request.line.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
    seen.lock().unwrap().push(request);
    let none = Reply::new("404 Not Found", "", "nothing here");
    match replies.get(path.as_str()).unwrap_or(&none) {
        Reply::Bytes(bytes) => {
            stream.write_all(bytes).await?;
            stream.shutdown().await
        }
        Reply::Hang(bytes) => {
            stream.write_all(bytes).await?;
            std::future::pending().await
        }
        Reply::Endless(head) => {
            stream.write_all(head).await?;
            loop {
                stream.write_all(&[b'x'; 8192]).await?;
            }
        }
    }
}

async fn read(stream: &mut TcpStream) -> std::io::Result<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let line = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let lower: String = head
        .lines()
        .map(|line| match line.split_once(':') {
            Some((name, value)) => format!("{}:{value}\n", name.to_ascii_lowercase()),
            None => format!("{line}\n"),
        })
        .collect();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let length: usize = length.unwrap_or(0);
    while bytes.len() < end + length {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(Request { line, head: lower, body: String::from_utf8_lossy(&bytes[end..]).into_owned() })
}
