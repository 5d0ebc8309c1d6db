//! A proxy that does to connections what networks do: cuts them, damages what they carry, turns
//! them away.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Bytes within which what happens to a connection happens.
const STRETCH: u64 = 100_000;

/// How bad a network is: chances a connection, from 0 to 1.
#[derive(Clone, Copy, Default)]
pub(super) struct Weather {
    /// It is cut somewhere in the first 100 kB.
    pub(super) cut: f64,
    /// It is answered with 429.
    pub(super) busy: f64,
    /// So many of the first connections are answered with 429, whatever the chances.
    pub(super) first_busy: u64,
    /// Seconds after which those that were turned away may come again.
    pub(super) again: u64,
    /// A byte of what it carries is another.
    pub(super) damage: f64,
    /// A byte of every 100 kB that it carries is another.
    pub(super) rotten: bool,
    /// Milliseconds that each piece is held back.
    pub(super) slow: u64,
}

pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    counts: Arc<Counts>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Counts {
    cut: AtomicU64,
    busy: AtomicU64,
    damaged: AtomicU64,
}

impl Proxy {
    pub(super) async fn start(to: SocketAddr, weather: Weather, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::new(Counts::default());
        let dice = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
        let shared = counts.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (dice, counts) = (dice.clone(), shared.clone());
                tokio::spawn(async move {
                    let fate = Fate::draw(&mut dice.lock().unwrap(), weather);
                    let _ = serve(client, to, (fate, weather), &counts).await;
                });
            }
        });
        Self { address, counts, task }
    }

    /// How many connections were cut, turned away, and damaged.
    pub(super) fn counts(&self) -> (u64, u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.counts.cut), read(&self.counts.busy), read(&self.counts.damaged))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What becomes of one connection.
struct Fate {
    busy: bool,
    cut: Option<u64>,
    damage: Option<u64>,
    rotten: bool,
}

impl Fate {
    fn draw(dice: &mut StdRng, weather: Weather) -> Self {
        let mut at =
            |chance: f64| dice.random_bool(chance).then(|| dice.random_range(400..STRETCH));
        let (cut, damage) = (at(weather.cut), at(weather.damage));
        Self { busy: dice.random_bool(weather.busy), cut, damage, rotten: weather.rotten }
    }
}

async fn serve(
    mut client: TcpStream,
    to: SocketAddr,
    (fate, weather): (Fate, Weather),
    counts: &Counts,
) -> std::io::Result<()> {
    if fate.busy || counts.busy.load(Ordering::Relaxed) < weather.first_busy {
        counts.busy.fetch_add(1, Ordering::Relaxed);
        let mut request = [0; 4096];
        let _ = client.read(&mut request).await?;
        let again = weather.again;
        let answer = format!(
            "HTTP/1.1 429 Too Many Requests\r\nRetry-After: {again}\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n"
        );
        return client.write_all(answer.as_bytes()).await;
    }
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = TcpStream::connect(to).await?.into_split();
    let asking = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
    });
    let (mut passed, mut piece) = (0, vec![0; 16 << 10]);
    loop {
        let length = from_server.read(&mut piece).await?;
        if length == 0 {
            break;
        }
        let end = passed + length as u64;
        let inside = |at: u64| (passed..end).contains(&at);
        if let Some(at) = fate.damage.filter(|at| inside(*at)) {
            counts.damaged.fetch_add(1, Ordering::Relaxed);
            piece[usize::try_from(at - passed).unwrap()] ^= 0x55;
        }
        // Not in the first stretch, so that manifests come through.
        if fate.rotten && end / STRETCH > passed / STRETCH {
            counts.damaged.fetch_add(1, Ordering::Relaxed);
            piece[0] ^= 0x55;
        }
        let mut whole = length;
        if let Some(at) = fate.cut.filter(|at| inside(*at)) {
            counts.cut.fetch_add(1, Ordering::Relaxed);
            whole = usize::try_from(at - passed).unwrap();
        }
        to_client.write_all(&piece[..whole]).await?;
        if whole < length {
            break;
        }
        passed = end;
        if weather.slow > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(weather.slow)).await;
        }
    }
    asking.abort();
    Ok(())
}
