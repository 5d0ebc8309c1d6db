//! How sandboxes are made on this kernel, what takes the place of what it does not have, and what
//! that costs: sandboxes are made and ended by each way, in turns, and timed.

use super::Check;
use crate::cli::exit::Failure;
use crate::cli::{Session, runtime};
use crate::layers;
use crate::layers::{ImageKey, Store};
use crate::sandbox::native::{NativeBackend, NativeOptions, Way};
use crate::sandbox::{Backend, Command, Root, SandboxError, SandboxOptions, Upper};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many sandboxes are made by each way.
const ROUNDS: usize = 11;

/// One way of making them, and how long each took.
struct Variant {
    without: Option<Way>,
    backend: Arc<NativeBackend>,
    times: Vec<Duration>,
}

/// A check for each way. They can all be done without, so none fails.
pub(super) fn checks(session: &Session) -> Vec<Check> {
    let measured = runtime().and_then(|runtime| runtime.block_on(measured(session)));
    // Why no sandbox can be made is another check's to say.
    measured.unwrap_or_default()
}

async fn measured(session: &Session) -> Result<Vec<Check>, Failure> {
    let store = session.settings.store()?;
    let _in_use = store.use_lock().map_err(Failure::broken)?;
    let mut variants = Vec::new();
    for without in std::iter::once(None).chain(Way::ALL.map(Some)) {
        variants.push(variant(&store, without).map_err(Failure::broken)?);
    }
    let (key, config) = (layers::host_key(&[]), layers::host::config());
    let image = variants[0].backend.import(key, Root::Host, &config).await;
    let image = image.map_err(Failure::broken)?;
    let mut result = Ok(());
    // In turns, so that what else the machine does falls on all alike.
    'rounds: for _ in 0..ROUNDS {
        for variant in &mut variants {
            match made_and_ended(&*variant.backend, &image).await {
                Ok(time) => variant.times.push(time),
                Err(error) => {
                    result = Err(Failure::broken(error));
                    break 'rounds;
                }
            }
        }
    }
    for variant in &variants {
        variant.backend.close().await;
    }
    result.map(|()| told(&variants))
}

fn variant(store: &Store, without: Option<Way>) -> Result<Variant, SandboxError> {
    let options = NativeOptions { avoid: without.into_iter().collect(), ..Default::default() };
    let backend = NativeBackend::new(store.clone(), options)?;
    Ok(Variant { without, backend, times: Vec::new() })
}

/// With an upper in memory, which takes every way.
async fn made_and_ended(backend: &dyn Backend, image: &ImageKey) -> Result<Duration, SandboxError> {
    let options = SandboxOptions { upper: Upper::Memory, ..SandboxOptions::default() };
    let started = Instant::now();
    let sandbox = backend.create(image, &options).await?;
    sandbox.exec(&Command::new(["true"])).await?.wait().await?;
    sandbox.terminate().await?;
    Ok(started.elapsed())
}

fn told(variants: &[Variant]) -> Vec<Check> {
    let taken = variants[0].backend.ways();
    let whole = median(&variants[0].times);
    let check = |name: &str, detail: String, time: Duration| Check {
        name: name.to_owned(),
        ok: true,
        needed: false,
        detail,
        remedy: None,
        microseconds: u64::try_from(time.as_micros()).ok(),
    };
    let all = format!("made, used and ended in {} (median of {ROUNDS})", millis(whole));
    let mut checks = vec![check("sandboxes", all, whole)];
    for variant in variants {
        let Some(way) = variant.without else { continue };
        let time = median(&variant.times);
        let detail = match taken.contains(&way) {
            true => format!("{}; {} {}", way.newer(), way.older(), millis(time)),
            false => format!("{}; {} from Linux {} on", way.older(), way.newer(), way.since()),
        };
        checks.push(check(way.subject(), detail, time));
    }
    checks
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}
