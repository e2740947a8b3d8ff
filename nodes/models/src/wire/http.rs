//! As much of HTTP/1.1 as the test server needs: one request with a length, one answer, plain or chunked.

use std::io;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const HEAD_BYTES_MAX: usize = 64 * 1024;
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A connection, encrypted or not.
pub(super) trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Connection for T {}

pub(super) struct Request {
    pub(super) method: String,
    path: String,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn path_without_query(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }

    /// A header by its name in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

pub(super) async fn read_request(stream: &mut dyn Connection) -> io::Result<Request> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if bytes.len() > HEAD_BYTES_MAX || stream.read_buf(&mut bytes).await? == 0 {
            return Err(bad("the head of the request is too long or not complete"));
        }
    };
    let body = bytes.split_off(head_end + 4);
    let head = String::from_utf8(bytes).map_err(|_| bad("the head of the request is not UTF-8"))?;
    let mut lines = head.split("\r\n");
    let mut request_line = lines.next().unwrap_or_default().split(' ');
    let (method, path) = (request_line.next().unwrap_or_default(), request_line.next().unwrap_or_default());
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let mut request = Request { method: method.to_owned(), path: path.to_owned(), headers, body };
    let length: usize = match request.header("content-length") {
        None => 0,
        Some(text) => text.parse().map_err(|_| bad("the content length is not a number"))?,
    };
    if length > BODY_BYTES_MAX {
        return Err(bad("the body of the request is too long"));
    }
    while request.body.len() < length {
        if stream.read_buf(&mut request.body).await? == 0 {
            return Err(bad("the body of the request is not complete"));
        }
    }
    Ok(request)
}

pub(super) async fn json(
    stream: &mut dyn Connection,
    status: u16,
    headers: &[(&str, &str)],
    body: &Value,
) -> io::Result<()> {
    let headers = [headers, &[("content-type", "application/json")]].concat();
    plain(stream, status, &headers, &body.to_string()).await
}

/// A whole answer with its length.
pub(super) async fn plain(
    stream: &mut dyn Connection,
    status: u16,
    headers: &[(&str, &str)],
    body: &str,
) -> io::Result<()> {
    let length = body.len().to_string();
    let headers = [headers, &[("content-length", &length)]].concat();
    stream.write_all(head(status, &headers).as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

/// The head of a streamed answer; pieces follow.
pub(super) async fn start_events(
    stream: &mut dyn Connection,
    content_type: &str,
    headers: &[(&str, &str)],
) -> io::Result<()> {
    let headers = [headers, &[("content-type", content_type), ("transfer-encoding", "chunked")]].concat();
    stream.write_all(head(200, &headers).as_bytes()).await
}

/// One chunk, flushed on its own.
pub(super) async fn piece(stream: &mut dyn Connection, bytes: &[u8]) -> io::Result<()> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    stream.write_all(&chunk).await?;
    stream.flush().await
}

/// The proper end of a chunked answer.
pub(super) async fn end_events(stream: &mut dyn Connection) -> io::Result<()> {
    stream.write_all(b"0\r\n\r\n").await?;
    stream.shutdown().await
}

fn head(status: u16, headers: &[(&str, &str)]) -> String {
    let fields: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 {status} Status\r\n{fields}connection: close\r\n\r\n")
}

fn bad(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
