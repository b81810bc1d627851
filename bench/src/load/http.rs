//! As little HTTP/1.1 as a load generator needs: requests are ready bytes, answers have a `Content-Length` or none is needed (204).
//!
//! A full client costs as much as the handlers that are measured; on a machine shared with the server that would be
//! measured instead.

use std::{
    io::{self, Read, Write},
    net::SocketAddr,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What is read at once.
const CHUNK: usize = 16 * 1024;
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request with a JSON body.
pub fn post(path: &str, key: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n\
         Accept: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The body of a GraphQL request.
pub fn graphql(document: &str, variables: &serde_json::Value) -> String {
    serde_json::json!({ "query": document, "variables": variables }).to_string()
}

/// An answer in the buffer of its connection.
#[derive(Debug)]
pub struct Answer<'a> {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: &'a [u8],
}

impl Answer<'_> {
    /// Whether the server says that all is well.
    pub fn is_good(&self) -> bool {
        matches!(self.status, 200 | 204)
    }
}

/// A connection that is kept alive.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Buffer,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Buffer::default(),
        })
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// The connection broke, or the answer is none that this reader understands.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.buffer.clear();
        let exchange = async {
            self.stream.write_all(request).await?;
            loop {
                if let Some(whole) = self.buffer.whole()? {
                    return io::Result::Ok(whole);
                }
                let room = self.buffer.room();
                let read = self.stream.read(room).await?;
                self.buffer.grew(read)?;
            }
        };
        let whole = tokio::time::timeout(PATIENCE, exchange).await??;
        Ok(self.buffer.answer(whole))
    }
}

/// The same without a runtime: a thread of its own sleeps and wakes more precisely than a timer wheel of milliseconds.
#[derive(Debug)]
pub struct BlockingConnection {
    stream: std::net::TcpStream,
    buffer: Buffer,
}

impl BlockingConnection {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            buffer: Buffer::default(),
        })
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// The connection broke, or the answer is none that this reader understands.
    pub fn exchange(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.buffer.clear();
        self.stream.write_all(request)?;
        let whole = loop {
            if let Some(whole) = self.buffer.whole()? {
                break whole;
            }
            let read = self.stream.read(self.buffer.room())?;
            self.buffer.grew(read)?;
        };
        Ok(self.buffer.answer(whole))
    }
}

/// The part of an answer that has arrived.
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    filled: usize,
}

/// Where the parts of a complete answer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Whole {
    status: u16,
    body: usize,
    end: usize,
}

impl Buffer {
    fn clear(&mut self) {
        self.filled = 0;
    }

    fn room(&mut self) -> &mut [u8] {
        let needed = self.filled + CHUNK;
        if self.bytes.len() < needed {
            self.bytes.resize(needed.max(self.bytes.len() * 2), 0);
        }
        &mut self.bytes[self.filled..]
    }

    fn grew(&mut self, read: usize) -> io::Result<()> {
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.filled += read;
        Ok(())
    }

    /// The answer, once all of it is here.
    fn whole(&self) -> io::Result<Option<Whole>> {
        let bytes = &self.bytes[..self.filled];
        let Some(head) = find(bytes, b"\r\n\r\n") else {
            return Ok(None);
        };
        let unreadable = || io::Error::new(io::ErrorKind::InvalidData, "an answer that cannot be read");
        let status = bytes.get(9..12).and_then(digits).ok_or_else(unreadable)?;
        let length = bytes[..head].split(|&byte| byte == b'\n').find_map(|line| {
            let (name, value) = line.split_at_checked("content-length:".len())?;
            name.eq_ignore_ascii_case(b"content-length:")
                .then(|| digits(value.trim_ascii()))?
        });
        let length = length.or((status == 204).then_some(0)).ok_or_else(unreadable)?;
        let body = head + 4;
        let end = body + length;
        let status = u16::try_from(status).map_err(|_| unreadable())?;
        Ok((end <= self.filled).then_some(Whole { status, body, end }))
    }

    fn answer(&self, whole: Whole) -> Answer<'_> {
        Answer {
            status: whole.status,
            body: &self.bytes[whole.body..whole.end],
        }
    }
}

fn digits(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Where a text begins in another.
pub fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(text: &str) -> Buffer {
        let mut buffer = Buffer::default();
        buffer.room()[..text.len()].copy_from_slice(text.as_bytes());
        buffer.grew(text.len()).unwrap();
        buffer
    }

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let text = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nContent-Length: 5\r\n\r\nhello";
        for cut in [10, 50, text.len() - 1] {
            assert_eq!(buffer(&text[..cut]).whole().unwrap(), None, "{cut}");
        }
        let all = buffer(text);
        let whole = all.whole().unwrap().unwrap();
        assert_eq!(all.answer(whole).status, 200);
        assert_eq!(all.answer(whole).body, b"hello");
    }

    #[test]
    fn what_has_no_length_is_an_error() {
        assert!(buffer("HTTP/1.1 200 OK\r\n\r\n").whole().is_err());
    }
}
