//! As much of Lambda's Runtime API as one function asks for, on loopback.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// How long the function may take over anything.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the function looks for events.
pub struct RuntimeApi {
    listener: TcpListener,
}

/// The connection that the function asks on.
pub struct Connection {
    reader: BufReader<TcpStream>,
    requests: u32,
}

impl RuntimeApi {
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        Ok(Self { listener })
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Waits until the function asks for its first event.
    pub fn first_next(&self) -> io::Result<Connection> {
        let (stream, _) = self.listener.accept()?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut connection = Connection {
            reader: BufReader::new(stream),
            requests: 0,
        };
        connection.read_request("/next")?;
        Ok(connection)
    }
}

impl Connection {
    /// Makes one invocation: from the event's first byte to the answer's last. The function has asked
    /// for its next event when this returns.
    pub fn invoke(&mut self, event: &str, sampled: bool) -> io::Result<Duration> {
        self.requests += 1;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let deadline = (now + Duration::from_secs(30)).as_millis();
        let response = format!(
            "HTTP/1.1 200 OK\r\n\
             lambda-runtime-aws-request-id: 8476a536-e9f4-11e8-9739-{:012x}\r\n\
             lambda-runtime-deadline-ms: {deadline}\r\n\
             lambda-runtime-invoked-function-arn: arn:aws:lambda:eu-west-1:123456789012:function:my-function\r\n\
             lambda-runtime-trace-id: Root=1-5759e988-{:024x};Parent=53995c3f42cd8ad8;Sampled={}\r\n\
             content-type: application/json\r\n\
             content-length: {}\r\n\r\n{event}",
            self.requests,
            self.requests,
            u8::from(sampled),
            event.len(),
        );
        let start = Instant::now();
        self.write(&response)?;
        self.read_request("/response")?;
        let duration = start.elapsed();
        self.write("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")?;
        self.read_request("/next")?;
        Ok(duration)
    }

    fn write(&mut self, response: &str) -> io::Result<()> {
        self.reader.get_mut().write_all(response.as_bytes())
    }

    fn read_request(&mut self, expected: &str) -> io::Result<()> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        let path = line.split(' ').nth(1).unwrap_or_default();
        if !path.ends_with(expected) {
            let message = format!("asked for {path:?} instead of {expected}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let mut length = Some(0);
        loop {
            line.clear();
            self.reader.read_line(&mut line)?;
            let header = line.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().ok();
            } else if header.starts_with("transfer-encoding:") {
                length = None;
            }
        }
        match length {
            Some(length) => self.skip(length),
            None => loop {
                line.clear();
                self.reader.read_line(&mut line)?;
                let length = u64::from_str_radix(line.trim_end(), 16)
                    .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a chunk's length"))?;
                self.skip(length + 2)?;
                if length == 0 {
                    return Ok(());
                }
            },
        }
    }

    fn skip(&mut self, length: u64) -> io::Result<()> {
        io::copy(&mut self.reader.by_ref().take(length), &mut io::sink())?;
        Ok(())
    }
}
