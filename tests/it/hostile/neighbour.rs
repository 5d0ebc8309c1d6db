//! Another sandbox that lives meanwhile: what one keeps to itself the other must not see.

use crate::compiled;
use crate::conformance::bench::{Bench, printed, write};
use bytes::Bytes;
use evalrun::sandbox::{Command, Content, Output, Process, Sandbox};
use std::sync::Arc;
use tokio::io::AsyncReadExt as _;

pub(super) struct Neighbour {
    sandbox: Arc<dyn Sandbox>,
    _process: Process,
    listing: String,
}

/// What can be compared of it: its files, its processes, its names.
const LOOK: &str = "cat /own/file; find /own /tmp /dev/shm | sort; hostname; \
    cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep '^/own/neighbour$'; cat /proc/sysvipc/shm | wc -l";

impl Neighbour {
    pub(super) async fn new(bench: &Bench) -> Self {
        let sandbox = bench.sandbox().await;
        let program = compiled::compile("neighbour", include_str!("neighbour.c"));
        let bytes = Bytes::from(fs_err::read(program).unwrap());
        let file = Content::File { bytes, mode: 0o755 };
        sandbox.copy_in("/own/neighbour", file).await.unwrap();
        write(&*sandbox, "/own/file", "the neighbour's\n", 0o600).await;
        let mut command = Command::new(["/own/neighbour"]);
        command.stdout = Output::Pipe;
        let mut process = sandbox.exec(&command).await.unwrap();
        let mut ready = [0; 6];
        process.stdout.as_mut().unwrap().read_exact(&mut ready).await.unwrap();
        assert_eq!(&ready, b"ready\n");
        let listing = printed(&*sandbox, LOOK).await;
        assert!(listing.contains("the neighbour's") && listing.contains("/dev/shm/neighbour"));
        Self { sandbox, _process: process, listing }
    }

    /// Where it can be looked for.
    pub(super) fn told(&self) -> Vec<(String, String)> {
        [("NEIGHBOUR_PORT", "4747"), ("NEIGHBOUR_ABSTRACT", "neighbour"), ("NEIGHBOUR_KEY", "4747")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    pub(super) async fn harm(&self) -> Option<String> {
        let now = printed(&*self.sandbox, LOOK).await;
        let changed = now != self.listing;
        changed.then(|| format!("the neighbour has changed: {} to {now}", self.listing))
    }
}
