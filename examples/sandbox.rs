//! The sandbox by itself: an image of this machine's own programs, a command in a sandbox, a
//! snapshot of what it left, and three sandboxes that start from there.
//!
//! ```console
//! $ cargo build && cargo run --example sandbox
//! ```
//!
//! Sandboxes are made by a helper, the `evalrun` program; here it is the one that was just built.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use anyhow::Context as _;
use evalrun::layers::{self, ImageConfig, ImageKey, Store};
use evalrun::sandbox::native::{NativeBackend, NativeOptions};
use evalrun::sandbox::{Backend, Command, Output, Root, Sandbox, SandboxOptions};
use tokio::io::AsyncReadExt as _;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let home = tempfile::tempdir().context("a folder for the store")?;
    let backend = NativeBackend::new(Store::open(home.path())?, NativeOptions::default())?;
    let done = fan_out(backend.as_ref()).await;
    // Sandboxes that were dropped are taken down in the background.
    backend.close().await;
    done
}

async fn fan_out(backend: &dyn Backend) -> anyhow::Result<()> {
    let config = layers::host::config();
    let host = backend.import(layers::host_key(&[]), Root::Host, &config).await?;
    let prepared = prepare(backend, &host, &config).await?;
    for n in 1..=3 {
        let sandbox = backend.create(&prepared, &SandboxOptions::default()).await?;
        let said = sh(sandbox.as_ref(), "cat /opt/greeting; echo $$ > /opt/mine; ls /opt").await?;
        println!("sandbox {n} says: {}", said.trim().replace('\n', ", "));
        sandbox.terminate().await?;
    }
    Ok(())
}

/// An image in which something was prepared.
async fn prepare(
    backend: &dyn Backend,
    image: &ImageKey,
    config: &ImageConfig,
) -> anyhow::Result<ImageKey> {
    let sandbox = backend.create(image, &SandboxOptions::default()).await?;
    sh(sandbox.as_ref(), "echo hello > /opt/greeting").await?;
    Ok(sandbox.snapshot(None, config, true).await?)
}

/// What a line of shell prints.
async fn sh(sandbox: &dyn Sandbox, line: &str) -> anyhow::Result<String> {
    let mut command = Command::new(["/bin/sh", "-c", line]);
    command.stdout = Output::Pipe;
    command.stderr = Output::Stdout;
    let mut process = sandbox.exec(&command).await?;
    let mut said = String::new();
    if let Some(mut stdout) = process.stdout.take() {
        stdout.read_to_string(&mut said).await?;
    }
    let outcome = process.wait().await?;
    anyhow::ensure!(outcome.success(), "`{line}` ended with {:?}: {said}", outcome.status);
    Ok(said)
}
