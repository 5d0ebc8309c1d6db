//! A unified diff, file by file, with the lines it adds and removes.

/// A file of a unified diff.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change<'p> {
    /// Its name after the change; before it, if it is deleted.
    pub(crate) path: &'p str,
    /// It is made by the patch, or moved to this name.
    pub(crate) created: bool,
    /// It is not there any more.
    pub(crate) deleted: bool,
    /// It is a symbolic link afterwards.
    pub(crate) link: bool,
    pub(crate) added: Vec<&'p str>,
    pub(crate) removed: Vec<&'p str>,
    /// Its part of the patch, header included.
    pub(crate) text: &'p str,
}

impl<'p> Change<'p> {
    /// The folder (empty for the top) and the name.
    pub(crate) fn place(&self) -> (&'p str, &'p str) {
        self.path.rsplit_once('/').map_or(("", self.path), |(folder, name)| (folder, name))
    }
}

/// The files of a patch, in its order. Text inside hunks is not taken for a header.
pub(crate) fn changes(patch: &str) -> Vec<Change<'_>> {
    let mut reader = Reader { patch, changes: Vec::new(), begins: Vec::new(), in_header: false };
    // Lines of a hunk that are still to come, so that a removed line `-- x` is no file name.
    let (mut old, mut new) = (0u64, 0u64);
    let mut at = 0;
    for line in patch.split_inclusive('\n') {
        let begins = at;
        at += line.len();
        let line = line.strip_suffix('\n').unwrap_or(line);
        if old > 0 || new > 0 {
            let Some(change) = reader.changes.last_mut() else { break };
            match line.as_bytes().first() {
                Some(b'+') => {
                    change.added.push(&line[1..]);
                    new = new.saturating_sub(1);
                }
                Some(b'-') => {
                    change.removed.push(&line[1..]);
                    old = old.saturating_sub(1);
                }
                Some(b'\\') => {}
                _ => (old, new) = (old.saturating_sub(1), new.saturating_sub(1)),
            }
        } else if let Some(header) = line.strip_prefix("@@ ") {
            reader.in_header = false;
            (old, new) = hunk_lengths(header);
        } else {
            reader.header(line, begins);
        }
    }
    reader.finish()
}

struct Reader<'p> {
    patch: &'p str,
    changes: Vec<Change<'p>>,
    begins: Vec<usize>,
    in_header: bool,
}

impl<'p> Reader<'p> {
    fn header(&mut self, line: &'p str, at: usize) {
        if let Some(names) = line.strip_prefix("diff --git ") {
            self.begin(second_name(names), at);
        } else if let Some(path) = line.strip_prefix("--- ") {
            if !self.in_header {
                self.begin(file_name(path), at);
            }
            if let Some(change) = self.changes.last_mut() {
                if is_null(path) {
                    change.created = true;
                } else if change.path.is_empty() {
                    change.path = file_name(path);
                }
            }
        } else if let Some(path) = line.strip_prefix("+++ ") {
            if let Some(change) = self.changes.last_mut() {
                match is_null(path) {
                    true => change.deleted = true,
                    false => change.path = file_name(path),
                }
            }
        } else if self.in_header
            && let Some(change) = self.changes.last_mut()
        {
            if let Some(mode) = line.strip_prefix("new file mode ") {
                change.created = true;
                change.link = mode.trim() == "120000";
            } else if line.starts_with("deleted file mode ") {
                change.deleted = true;
            } else if let Some(path) = line.strip_prefix("rename to ") {
                (change.path, change.created) = (unquoted(path), true);
            } else if let Some(path) = line.strip_prefix("copy to ") {
                (change.path, change.created) = (unquoted(path), true);
            }
        } else if let Some(path) = line.strip_prefix("rename to ") {
            self.begin(unquoted(path), at);
            if let Some(change) = self.changes.last_mut() {
                change.created = true;
            }
        }
    }

    fn begin(&mut self, path: &'p str, at: usize) {
        self.changes.push(Change { path, ..Change::default() });
        self.begins.push(at);
        self.in_header = true;
    }

    fn finish(mut self) -> Vec<Change<'p>> {
        for (nth, change) in self.changes.iter_mut().enumerate() {
            let end = self.begins.get(nth + 1).copied().unwrap_or(self.patch.len());
            change.text = &self.patch[self.begins[nth]..end];
        }
        self.changes.retain(|change| !change.path.is_empty());
        self.changes
    }
}

/// `-1,5 +1,7 @@` → 5, 7.
fn hunk_lengths(header: &str) -> (u64, u64) {
    let mut lengths = header.split(' ').take(2).map(|range| {
        range.split_once(',').map_or(Some(1), |(_, length)| length.parse().ok()).unwrap_or(0)
    });
    (lengths.next().unwrap_or(0), lengths.next().unwrap_or(0))
}

fn is_null(path: &str) -> bool {
    path.split('\t').next() == Some("/dev/null")
}

fn file_name(path: &str) -> &str {
    let path = path.split('\t').next().unwrap_or(path).trim_end_matches('\r');
    let path = unquoted(path);
    path.strip_prefix("a/").or_else(|| path.strip_prefix("b/")).unwrap_or(path)
}

/// Escapes inside the quotes stay as they are: none of the names that matter has any.
fn unquoted(path: &str) -> &str {
    path.strip_prefix('"').and_then(|path| path.strip_suffix('"')).unwrap_or(path)
}

/// The second name of `a/x b/x`, which is the same as the first but where a file moves.
fn second_name(names: &str) -> &str {
    let half = names.len() / 2;
    if let (Some(first), Some(second)) = (names.get(..half), names.get(half + 1..))
        && file_name(first) == file_name(second)
    {
        return file_name(second);
    }
    names.rfind(" b/").map_or("", |at| file_name(&names[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_with_what_they_add() {
        let patch = "\
diff --git a/a b.py b/a b.py
--- a/a b.py
+++ b/a b.py
@@ -1,2 +1,2 @@
--- x
+++ y
 z
diff --git a/empty b/empty
new file mode 100644
index 0..0
diff --git a/old b/new
rename from old
rename to new
diff --git a/l b/l
new file mode 120000
--- /dev/null
+++ b/l
@@ -0,0 +1 @@
+/etc
\\ No newline at end of file
--- gone.txt
+++ /dev/null
@@ -1 +0,0 @@
-x
";
        let found = changes(patch);
        let short: Vec<_> = found.iter().map(|c| (c.path, c.created, c.link)).collect();
        assert_eq!(
            short,
            [
                ("a b.py", false, false),
                ("empty", true, false),
                ("new", true, false),
                ("l", true, true),
                ("gone.txt", false, false)
            ]
        );
        assert_eq!((&found[0].added[..], &found[0].removed[..]), (&["++ y"][..], &["-- x"][..]));
        assert_eq!(found.iter().map(|c| c.text).collect::<String>(), patch);
    }
}
