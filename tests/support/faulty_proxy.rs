//! A proxy before the S3 server that fails as networks and object stores do.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// It is answered with an error and goes no further.
    Status(u16),
    /// It is carried out, and answered with an error all the same.
    Lost,
    /// The connection breaks in the middle of the answer.
    Reset,
    /// The answer comes late.
    Slow(Duration),
}

/// Which requests it goes wrong with: those of a method whose path holds a text, every so many-th of them, so often in all.
#[derive(Debug, Clone)]
pub struct Rule {
    pub method: &'static str,
    pub path: &'static str,
    pub every: usize,
    pub times: usize,
    pub fault: Fault,
}

#[derive(Debug, Default)]
struct Seen {
    matched: Vec<usize>,
    faults: usize,
}

/// Counts what went wrong so far.
#[derive(Debug, Clone)]
pub struct Proxy {
    pub address: String,
    seen: Arc<Mutex<Seen>>,
}

impl Proxy {
    /// Passes requests on to a server, but for those that rules are about.
    pub async fn start(upstream: String, rules: Vec<Rule>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Seen { matched: vec![0; rules.len()], faults: 0 }));
        let proxy = Self { address, seen };
        let accepting = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (upstream, rules, proxy) = (upstream.clone(), rules.clone(), accepting.clone());
                // a broken connection is the client's to notice
                tokio::spawn(async move { proxy.pass(client, &upstream, &rules).await });
            }
        });
        proxy
    }

    pub fn faults(&self) -> usize {
        self.seen.lock().unwrap().faults
    }

    /// The fault of a request, if it has one.
    fn fault(&self, line: &str, rules: &[Rule]) -> Option<Fault> {
        let mut seen = self.seen.lock().unwrap();
        for (number, rule) in rules.iter().enumerate() {
            if line.starts_with(rule.method) && line.contains(rule.path) {
                seen.matched[number] += 1;
                if seen.matched[number].is_multiple_of(rule.every)
                    && seen.matched[number] / rule.every <= rule.times
                {
                    seen.faults += 1;
                    return Some(rule.fault);
                }
            }
        }
        None
    }

    /// One request a connection.
    async fn pass(&self, mut client: TcpStream, upstream: &str, rules: &[Rule]) -> std::io::Result<()> {
        let mut request = Vec::new();
        let head = loop {
            if let Some(end) = request.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            if client.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        };
        let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
        let length: usize = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .map_or(0, |length| length.trim().parse().unwrap());
        while request.len() < head + length {
            client.read_buf(&mut request).await?;
        }
        let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
        let fault = self.fault(&line, rules);
        if let Some(Fault::Status(status)) = fault {
            return refuse(&mut client, status).await;
        }
        let mut server = TcpStream::connect(upstream).await?;
        server.write_all(&request[..head - 2]).await?;
        server.write_all(b"connection: close\r\n\r\n").await?;
        server.write_all(&request[head..]).await?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer).await?;
        match fault {
            Some(Fault::Lost) => refuse(&mut client, 500).await,
            Some(Fault::Reset) => {
                let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").map_or(0, |end| end + 4);
                client.write_all(&answer[..usize::midpoint(head, answer.len())]).await?;
                Ok(())
            }
            Some(Fault::Slow(late)) => {
                tokio::time::sleep(late).await;
                client.write_all(&answer).await
            }
            _ => client.write_all(&answer).await,
        }
    }
}

async fn refuse(client: &mut TcpStream, status: u16) -> std::io::Result<()> {
    let answer = format!("HTTP/1.1 {status} Fault\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    client.write_all(answer.as_bytes()).await
}
