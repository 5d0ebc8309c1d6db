//! Which files a patch touches, read from the headers of its files.

/// One file of a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Its name after the change, as the header writes it (for a deleted file: before).
    pub(super) name: String,
    /// Its name before, if it was there.
    pub(super) old: Option<String>,
    /// Its name after, if it was not there before.
    pub(super) new: Option<String>,
}

/// The files of a patch, in its order. Text inside hunks is not taken for a header.
pub(super) fn changes(patch: &str) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    // Lines of the current hunk that are still to come: of the old and of the new side.
    let (mut old_left, mut new_left) = (0u64, 0u64);
    let mut in_header = false;
    for line in patch.split('\n') {
        if old_left > 0 || new_left > 0 {
            match line.as_bytes().first() {
                Some(b'-') => old_left = old_left.saturating_sub(1),
                Some(b'+') => new_left = new_left.saturating_sub(1),
                Some(b'\\') => {}
                _ => {
                    old_left = old_left.saturating_sub(1);
                    new_left = new_left.saturating_sub(1);
                }
            }
        } else if let Some(names) = line.strip_prefix("diff --git ") {
            if let Some((old, new)) = names_of(names) {
                changes.push(Change { name: new, old: Some(old), new: None });
            }
            in_header = true;
        } else if let Some(ranges) = line.strip_prefix("@@ -") {
            (old_left, new_left) = hunk(ranges);
            in_header = false;
        } else if let Some(path) = line.strip_prefix("--- ") {
            before(&mut changes, in_header, name(path, "a/"));
            in_header = true;
        } else if let Some(path) = line.strip_prefix("+++ ") {
            after(&mut changes, name(path, "b/"));
        } else if in_header && line.starts_with("new file mode") {
            if let Some(change) = changes.last_mut() {
                change.old = None;
                change.new = Some(change.name.clone());
            }
        } else if in_header
            && let Some(path) = line.strip_prefix("rename from ")
            && let Some(change) = changes.last_mut()
        {
            change.old = Some(unquoted(path));
        }
    }
    changes.retain(|change| !change.name.is_empty());
    changes
}

/// A `---` line. Without a `diff --git` line before it, it begins a file of its own.
fn before(changes: &mut Vec<Change>, in_header: bool, old: Option<String>) {
    if in_header && let Some(change) = changes.last_mut() {
        change.old = old;
    } else {
        changes.push(Change { name: String::new(), old, new: None });
    }
}

/// The `+++` line that follows it.
fn after(changes: &mut [Change], new: Option<String>) {
    let Some(change) = changes.last_mut() else { return };
    if change.name.is_empty() {
        change.name = new.clone().or_else(|| change.old.clone()).unwrap_or_default();
    }
    change.new = if change.old.is_none() { new } else { None };
}

/// The two names of a `diff --git a/… b/…` line. Where they hold blanks they are told apart by
/// being equal, as git does.
fn names_of(names: &str) -> Option<(String, String)> {
    if names.starts_with('"') || names.ends_with('"') {
        let cut = names.find(" \"b/").or_else(|| names.find(" b/"))?;
        let old = unquoted(&names[..cut]);
        let new = unquoted(&names[cut + 1..]);
        return Some((old.strip_prefix("a/")?.to_owned(), new.strip_prefix("b/")?.to_owned()));
    }
    let both = names.strip_prefix("a/")?;
    let halves = both
        .match_indices(" b/")
        .map(|(cut, mark)| (&both[..cut], &both[cut + mark.len()..]))
        .collect::<Vec<_>>();
    let (old, new) = halves.iter().find(|(old, new)| old == new).or(halves.last())?;
    Some(((*old).to_owned(), (*new).to_owned()))
}

/// The name on a `---` or `+++` line; none for `/dev/null`.
fn name(text: &str, prefix: &str) -> Option<String> {
    let text = text.trim_end_matches('\r').split('\t').next().unwrap_or(text);
    let path = unquoted(text);
    if path == "/dev/null" {
        return None;
    }
    Some(path.strip_prefix(prefix).map(str::to_owned).unwrap_or(path))
}

/// Numbers of lines of the two sides, from what follows `@@ -`.
pub(super) fn hunk(ranges: &str) -> (u64, u64) {
    let mut parts = ranges.split(' ');
    let count = |part: Option<&str>| {
        let part = part.unwrap_or("").trim_start_matches('+');
        part.split_once(',').map_or(Some(1), |(_, count)| count.parse().ok()).unwrap_or(0)
    };
    (count(parts.next()), count(parts.next()))
}

/// A name as git quotes it, `"a/\303\244"`, as it is.
fn unquoted(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.bytes().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'n') => bytes.push(b'\n'),
            Some(b't') => bytes.push(b'\t'),
            Some(b'r') => bytes.push(b'\r'),
            Some(digit @ b'0'..=b'3') => {
                let mut value = u32::from(digit - b'0');
                for _ in 0..2 {
                    if let Some(next) = rest.next_if(|next| (b'0'..=b'7').contains(next)) {
                        value = value * 8 + u32::from(next - b'0');
                    }
                }
                bytes.push(u8::try_from(value).unwrap_or(b'?'));
            }
            Some(other) => bytes.push(other),
            None => bytes.push(b'\\'),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str, old: Option<&str>, new: Option<&str>) -> Change {
        Change { name: name.into(), old: old.map(Into::into), new: new.map(Into::into) }
    }

    #[test]
    fn changed_new_deleted_renamed_and_binary_files() {
        let patch = "\
diff --git a/x y b/x y
--- a/x y\t
+++ b/x y\t
@@ -1,2 +1,2 @@
-diff --git a/no b/no
 diff --git a/no b/no
+++ b/no
diff --git a/new.py b/new.py
new file mode 100644
index 000..111
--- /dev/null
+++ b/new.py
@@ -0,0 +1 @@
+diff --git a/no b/no
diff --git a/gone b/gone
deleted file mode 100644
--- a/gone
+++ /dev/null
@@ -1 +0,0 @@
-x
diff --git a/from b/to
similarity index 100%
rename from from
rename to to
diff --git a/pic.png b/pic.png
new file mode 100644
GIT binary patch
literal 3
abc

diff --git \"a/\\303\\244\" \"b/\\303\\244\"
--- \"a/\\303\\244\"
+++ \"b/\\303\\244\"
@@ -1 +1 @@
-x
+y
";
        let expected = [
            change("x y", Some("x y"), None),
            change("new.py", None, Some("new.py")),
            change("gone", Some("gone"), None),
            change("to", Some("from"), None),
            change("pic.png", None, Some("pic.png")),
            change("ä", Some("ä"), None),
        ];
        assert_eq!(changes(patch), expected);
    }

    #[test]
    fn a_patch_without_git_headers() {
        let patch = "--- a/one\n+++ b/one\n@@ -1 +1 @@\n-x\n+y\n--- /dev/null\n+++ b/two\n@@ -0,0 +1 @@\n+z\n";
        let expected = [change("one", Some("one"), None), change("two", None, Some("two"))];
        assert_eq!(changes(patch), expected);
        assert!(changes("").is_empty());
        assert!(changes("no patch at all\n").is_empty());
    }
}
