//! What a reader of a verdict wants to see of its files: the patch, and the log's part about each test
//! that failed. Files are read here and nowhere else in this module; what is missing is left out, since
//! the logs of old runs may be gone.

use super::layout::RunDir;
use super::plain::printable_text;
use super::record::{Entry, Record};
use crate::grade::{decode, excerpt, log_end, short_line};
use crate::model::VerdictKind;
use rayon::prelude::*;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Bytes of a patch; 0 for none of it.
    pub patch: u64,
    /// Failed tests that are named.
    pub tests: usize,
    /// Those of them that are shown with their part of the log.
    pub logs: usize,
    /// Lines of such a part.
    pub lines: usize,
}

/// What is shown of a prediction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Material {
    /// The patch, or its beginning.
    pub patch: String,
    /// Bytes of the patch that are not shown.
    pub patch_left_out: u64,
    /// Tests that failed.
    pub tests: Vec<FailedTest>,
    /// How many more there are.
    pub tests_left_out: usize,
    /// The end of the log, where no test explains the verdict.
    pub log_end: Vec<String>,
}

/// An expected test that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedTest {
    /// Its name.
    pub name: String,
    /// Whether it had to keep passing; else it had to start to.
    pub passed_before: bool,
    /// Its part of the log.
    pub log: Vec<String>,
}

/// Of a log no more than this is searched.
const LOG_BYTES: u64 = 8 << 20;

/// The material of every prediction, in the order of [`Record::entries`].
#[must_use]
pub fn materials(dir: &RunDir, record: &Record, extent: Extent) -> Vec<Material> {
    record.entries().par_iter().map(|entry| Material::read(dir, entry, extent)).collect()
}

impl Material {
    /// Reads what is there.
    #[must_use]
    pub fn read(dir: &RunDir, entry: &Entry<'_>, extent: Extent) -> Self {
        let mut shown = Self::default();
        let folder = dir.prediction(entry.key);
        if extent.patch > 0
            && let Some((bytes, left_out)) = part(&folder.join("patch.diff"), 0, extent.patch)
        {
            shown.patch = printable_text(&decode(&bytes));
            shown.patch_left_out = left_out;
        }
        let Some(done) = entry.done.filter(|done| done.kind != VerdictKind::Resolved) else {
            return shown;
        };
        let detail = entry.detail;
        let failed = detail.not_mended.iter().map(|name| (name, false));
        let failed = failed.chain(detail.broken.iter().map(|name| (name, true)));
        shown.tests = failed
            .take(extent.tests)
            .map(|(name, passed_before)| FailedTest {
                name: name.clone(),
                passed_before,
                log: Vec::new(),
            })
            .collect();
        let all = detail.not_mended.len() + detail.broken.len();
        shown.tests_left_out = all - shown.tests.len();
        let ran = !matches!(done.kind, VerdictKind::EmptyPatch | VerdictKind::Infra);
        if extent.logs > 0 && ran {
            shown.search(&folder, entry, extent);
        }
        shown
    }

    fn search(&mut self, folder: &Path, entry: &Entry<'_>, extent: Extent) {
        let (log, bounds) = match entry.done.map(|done| done.kind) {
            Some(VerdictKind::PatchRejected) => ("run_instance.log", None),
            _ => ("test_output.txt", entry.detail.section),
        };
        let (start, length) = bounds.map_or((0, LOG_BYTES), |(start, end)| {
            (start, end.saturating_sub(start).min(LOG_BYTES))
        });
        let Some((bytes, _)) = part(&folder.join(log), start, length) else { return };
        let text = decode(&bytes);
        for test in self.tests.iter_mut().take(extent.logs) {
            test.log = harmless(excerpt(&text, &test.name, extent.lines));
        }
        if self.tests.is_empty() {
            self.log_end = harmless(log_end(&text));
        }
    }
}

fn harmless(lines: Vec<String>) -> Vec<String> {
    lines.iter().map(|line| short_line(&printable_text(line))).collect()
}

/// A part of a file, and how many bytes come after it.
fn part(path: &Path, start: u64, length: u64) -> Option<(Vec<u8>, u64)> {
    let mut file = fs_err::File::open(path).ok()?;
    let size = file.metadata().ok()?.len();
    if start > 0 {
        file.seek(SeekFrom::Start(start)).ok()?;
    }
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes).ok()?;
    let read = bytes.len() as u64;
    Some((bytes, size.saturating_sub(start + read)))
}
