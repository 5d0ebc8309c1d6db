//! A registry that gives its tokens elsewhere, as Docker Hub and GitHub's do: it names the address in
//! its refusal, whoever asks there gets a token, and only with a token it gives anything.

use super::{Bench, faults, tree};
use evalrun::layers::{Registry, RegistryOptions};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// How many requests a token is good for: a download outlives it.
const GOOD_FOR: u64 = 3;

struct Gate {
    address: SocketAddr,
    seen: Arc<Seen>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    tokens: AtomicU64,
    /// Requests that the newest token has been used for.
    used: AtomicU64,
    turned_away: AtomicU64,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gate {
    async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let shared = seen.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let seen = shared.clone();
                tokio::spawn(async move {
                    let _ = serve(client, (address, to), &seen).await;
                });
            }
        });
        Self { address, seen, task }
    }
}

/// One request a connection.
async fn serve(
    mut client: TcpStream,
    (own, to): (SocketAddr, SocketAddr),
    seen: &Seen,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap();
    if let Some(query) = path.strip_prefix("/token?") {
        assert!(query.contains("service=gate") && query.contains("scope=repository"), "{query}");
        let number = seen.tokens.fetch_add(1, Ordering::SeqCst) + 1;
        seen.used.store(0, Ordering::SeqCst);
        // Nobody who asked said who they were.
        assert!(!head.to_lowercase().contains("authorization"), "{head}");
        return answer(&mut client, "200 OK", "", &format!(r#"{{"token":"t{number}"}}"#)).await;
    }
    let newest = format!("bearer t{}\r\n", seen.tokens.load(Ordering::SeqCst));
    let known = head.to_lowercase().contains(&newest);
    if !known || seen.used.fetch_add(1, Ordering::SeqCst) >= GOOD_FOR {
        seen.turned_away.fetch_add(1, Ordering::SeqCst);
        let where_to = format!(
            "Www-Authenticate: Bearer realm=\"http://{own}/token\",service=\"gate\",\
             scope=\"repository:a/b:pull\"\r\n"
        );
        return answer(&mut client, "401 Unauthorized", &where_to, "{}").await;
    }
    let mut server = TcpStream::connect(to).await?;
    let asked: String = head
        .split_inclusive("\r\n")
        .filter(|line| !line.to_lowercase().starts_with("authorization:"))
        .collect();
    server.write_all(asked.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    tokio::io::copy(&mut server, &mut client).await.map(drop)
}

async fn answer(
    client: &mut TcpStream,
    status: &str,
    headers: &str,
    body: &str,
) -> std::io::Result<()> {
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}Content-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    );
    client.write_all(text.as_bytes()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_had_where_the_registry_says_and_again_when_it_is_no_longer_good() {
    let Some(bench) = Bench::new() else { return };
    let wanted = bench.publish("a/b:1").await;
    let gate = Gate::start(bench.address).await;
    let store = bench.store("pulled");
    let name = format!("{}/a/b:1", gate.address);
    // One after another: of many at once the third could find its new token used up.
    let options = RegistryOptions { downloads: 1, ..RegistryOptions::default() };
    let registry = Registry::new(store.clone(), options).unwrap();
    let pulled = registry.pull(&name).await.unwrap();
    assert!(tree(&store, &pulled.key) == wanted, "another tree");
    assert_eq!(faults(&store), [""; 0]);
    let count = |number: &AtomicU64| number.load(Ordering::SeqCst);
    // A manifest, a config and five layers, with three requests a token.
    assert!(count(&gate.seen.tokens) >= 2, "one token was good for everything");
    assert!(count(&gate.seen.turned_away) >= 2, "nobody was turned away");
}
