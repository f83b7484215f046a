//! `paygate health`: asks the sidecar on this machine whether it is ready.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::domain::address::reachable;

/// The longest wait for an answer: containers probe every few seconds.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether the sidecar whose admin listener is at `admin` answers `/readyz` with 200.
pub async fn is_ready(admin: SocketAddr) -> bool {
    matches!(timeout(PROBE_TIMEOUT, probe(reachable(admin))).await, Ok(Ok(true)))
}

async fn probe(admin: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(admin).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut status = [0_u8; "HTTP/1.1 200 ".len()];
    stream.read_exact(&mut status).await?;
    Ok(&status == b"HTTP/1.1 200 ")
}
