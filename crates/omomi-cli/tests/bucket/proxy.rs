//! A proxy between a command and a server, which does what networks and services do wrong.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing. Bytes are counted.
    None,
    /// The first answers to reads end after so many bytes: so many of those that are longer.
    Cuts { count: u32, after: usize },
    /// Like `Cuts`, for answers to writes.
    CutsWrites { count: u32, after: usize },
    /// Every answer to a read comes in pieces, with pauses.
    Slow,
    /// Conditions of writes do not reach the server.
    DropsConditions,
    /// Bytes of weight files are changed on their way.
    ChangesWeights,
    /// The service refuses every request with this code.
    Refuses(&'static str),
    /// The service refuses every write.
    RefusesWrites,
}

/// A proxy. It runs until the tests end.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    answered_bytes: Arc<AtomicU64>,
}

impl Proxy {
    pub(crate) fn start(to: u16, fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (answered_bytes, cut_count) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU32::new(0)));
        let counted = Arc::clone(&answered_bytes);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (counted, cut_count) = (Arc::clone(&counted), Arc::clone(&cut_count));
                // A connection that breaks is one of the faults.
                std::thread::spawn(move || drop(pass_on(client, to, fault, &counted, &cut_count)));
            }
        });
        Self { port, answered_bytes }
    }

    /// Number of bytes that it answered.
    pub(crate) fn answered_bytes(&self) -> u64 {
        self.answered_bytes.load(Ordering::Relaxed)
    }
}

/// Passes one request on, and its answer back.
fn pass_on(
    mut client: TcpStream,
    to: u16,
    fault: Fault,
    counted: &AtomicU64,
    cut_count: &AtomicU32,
) -> std::io::Result<()> {
    let (head, body) = read_message(&mut client)?;
    let is_write = head.starts_with("PUT");
    let refusal = match fault {
        Fault::Refuses(code) => Some(code),
        Fault::RefusesWrites if is_write => Some("AccessDenied"),
        _ => None,
    };
    if let Some(code) = refusal {
        let text = format!("<Error><Code>{code}</Code><Message>the request was refused</Message></Error>");
        let len = text.len();
        let head = format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n");
        return client.write_all(format!("{head}{text}").as_bytes());
    }
    let is_kept = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        name != "connection"
            && !(fault == Fault::DropsConditions && is_write && (name == "if-match" || name == "if-none-match"))
    };
    let lines: Vec<&str> = head.trim_end().split("\r\n").filter(is_kept).collect();
    let mut server = TcpStream::connect(("127.0.0.1", to))?;
    server.write_all(format!("{}\r\nConnection: close\r\n\r\n", lines.join("\r\n")).as_bytes())?;
    server.write_all(&body)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    let head_len = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    let mut body = answer.split_off(head_len);
    let is_weights = lines[0].starts_with("GET") && lines[0].contains(".omomi") && !lines[0].contains("list-type");
    if fault == Fault::ChangesWeights && is_weights && body.len() > 200 {
        body[150] ^= 1;
    }
    let head = String::from_utf8_lossy(&answer).into_owned();
    let kept = head.trim_end().split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let head = format!("{}\r\nConnection: close\r\n\r\n", kept.collect::<Vec<_>>().join("\r\n"));
    counted.fetch_add((head.len() + body.len()) as u64, Ordering::Relaxed);
    client.write_all(head.as_bytes())?;
    let cuts = match fault {
        Fault::Cuts { count, after } if !is_write => Some((count, after)),
        Fault::CutsWrites { count, after } if is_write => Some((count, after)),
        _ => None,
    };
    if let Some((count, after)) = cuts
        && body.len() > after
        && cut_count.fetch_add(1, Ordering::Relaxed) < count
    {
        return client.write_all(&body[..after]);
    }
    match fault {
        Fault::Slow if !is_write => body.chunks(body.len() / 8 + 1).try_for_each(|piece| {
            std::thread::sleep(Duration::from_millis(20));
            client.write_all(piece)
        }),
        _ => client.write_all(&body),
    }
}

fn read_message(stream: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let len = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") { value.trim().parse().ok() } else { None }
    });
    let mut body = vec![0; len.unwrap_or(0)];
    stream.read_exact(&mut body)?;
    Ok((head, body))
}
