//! Runs a command again and again, each time in a fresh sandbox whose image has a folder of this
//! machine at its own place. A run begins with each line of standard input, and ends with a line of
//! JSON: its wall time from asking for the sandbox until it is gone, and how it ended.
//!
//! ```console
//! $ cargo build --release && cargo build --release --example repeat
//! $ yes | head -3 | target/release/examples/repeat /srv/project output.txt python3 -m pytest
//! ```
//!
//! `benches/pytest_pairs.py` compares it with the same command outside.

#![expect(clippy::print_stdout, reason = "what it says is for a program")]

use anyhow::Context as _;
use evalrun::layers::{self, ImageKey, Store};
use evalrun::model::Status;
use evalrun::sandbox::native::{NativeBackend, NativeOptions};
use evalrun::sandbox::{Backend, Command, Content, Output, Root, SandboxOptions, Upper};
use std::path::Path;
use std::time::Instant;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    let folder = words.next().context("name a folder, a file for the output, and a command")?;
    let output = words.next().context("name a file for the output, and a command")?;
    let command: Vec<String> = words.collect();
    let home = tempfile::tempdir().context("a folder for the store")?;
    let backend = NativeBackend::new(Store::open(home.path())?, NativeOptions::default())?;
    let done = repeat(backend.as_ref(), &folder, Path::new(&output), &command).await;
    backend.close().await;
    done
}

async fn repeat(
    backend: &dyn Backend,
    folder: &str,
    output: &Path,
    words: &[String],
) -> anyhow::Result<()> {
    let image = image_with(backend, folder).await?;
    for line in std::io::stdin().lines() {
        line?;
        let began = Instant::now();
        let options = SandboxOptions { upper: Upper::Auto, ..SandboxOptions::default() };
        let sandbox = backend.create(&image, &options).await?;
        let mut command = Command::new(words.iter().cloned());
        command.workdir = Some(folder.to_owned());
        command.stdout = Output::File(std::fs::File::from(fs_err::File::create(output)?));
        command.stderr = Output::Stdout;
        let outcome = sandbox.exec(&command).await?.wait().await?;
        let disk = sandbox.disk();
        sandbox.terminate().await?;
        let said = serde_json::json!({
            "seconds": began.elapsed().as_secs_f64(),
            "code": match outcome.status { Status::Code(code) => Some(code), _ => None },
            "status": outcome.status,
            "disk": disk,
        });
        println!("{said}");
    }
    Ok(())
}

/// An image of this machine's programs and, at its own place, the folder.
async fn image_with(backend: &dyn Backend, folder: &str) -> anyhow::Result<ImageKey> {
    let config = layers::host::config();
    let host = backend.import(layers::host_key(&[]), Root::Host, &config).await?;
    let sandbox = backend.create(&host, &SandboxOptions::default()).await?;
    let mut tree = tar::Builder::new(Vec::new());
    tree.follow_symlinks(false);
    tree.append_dir_all(".", folder)?;
    let tree = std::io::Cursor::new(tree.into_inner()?);
    sandbox.copy_in(folder, Content::Tar(Box::new(tree))).await?;
    Ok(sandbox.snapshot(None, &config, true).await?)
}
