//! Test files of other languages: the first assertion of an expected test says the opposite of what
//! it said. Since the test passed, it must fail now.

use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// So many lines behind its heading a test is looked for.
const REACH: usize = 40;

/// What an assertion says, and the opposite.
const OPPOSITES: [(&str, &str); 20] = [
    (r"\bassert_eq!", "assert_ne!"),
    (r"\bassert_ne!", "assert_eq!"),
    (r"\bassert_equal\b", "refute_equal"),
    (r"\bassert_not_equal\b", "assert_equal"),
    (r"\bassertEquals?\b", "assertNotEquals"),
    (r"\bassertSame\b", "assertNotSame"),
    (r"\bassertTrue\b", "assertFalse"),
    (r"\bassertFalse\b", "assertTrue"),
    (r"\bassertNull\b", "assertNotNull"),
    (r"\bassertNotNull\b", "assertNull"),
    (r"\bassert\.(?:strictEqual|equal)\(", "assert.notEqual("),
    (r"\bassert\.deep(?:Strict)?Equal\(", "assert.notDeepEqual("),
    (r"\b(ASSERT|EXPECT|CHECK|REQUIRE)_EQ\(", "${1}_NE("),
    (r"\b(ASSERT|EXPECT)_TRUE\(", "${1}_FALSE("),
    (r"\b(ASSERT|EXPECT)_FALSE\(", "${1}_TRUE("),
    (r"\)\.(to(?:Be|Equal|StrictEqual|Match|Contain|HaveLength|Throw)\w*)\(", ").not.$1("),
    (r"\)\.to eq\b", ").not_to eq"),
    (r"\.should\.equal\(", ".should.not.equal("),
    (r"^(\s*)if (\w+) != (\w+) \{", "${1}if $2 == $3 {"),
    (r"^([^|]+\|)([^|]*)(\|.+)$", "${1}${2}x${3}"),
];

static FORMS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    OPPOSITES
        .iter()
        .map(|(form, opposite)| (Regex::new(form).expect("constants of ours"), *opposite))
        .collect()
});

/// The files with their assertions turned round, and the expected tests that this spoils.
pub(super) fn plan(
    passed: &BTreeSet<&str>,
    files: &BTreeMap<String, String>,
) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let (mut changed, mut spoiled) = (BTreeMap::new(), BTreeMap::new());
    for (path, text) in files {
        let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
        let mut any = false;
        for name in passed {
            if spoil(&mut lines, name) {
                any = true;
                spoiled.insert((*name).to_owned(), String::new());
            }
        }
        if any {
            changed.insert(path.clone(), lines.join("\n"));
        }
    }
    (changed, spoiled)
}

/// Turns the first assertion of this test round.
fn spoil(lines: &mut [String], test: &str) -> bool {
    let own = own_name(test);
    let Some(start) = lines.iter().position(|line| holds_name(line, own)) else { return false };
    let end = (start + REACH).min(lines.len());
    for (nth, line) in lines[start..end].iter_mut().enumerate() {
        if nth > 0 && begins_another(line) {
            return false;
        }
        if let Some(opposite) = opposite(line, own) {
            *line = opposite;
            return true;
        }
    }
    false
}

/// The last part of a name that stands in a test file as it is.
fn own_name(test: &str) -> &str {
    let name = test.rsplit(" > ").next().unwrap_or(test);
    let name = name.rsplit("::").next().unwrap_or(name);
    if name.contains(' ') { name } else { name.rsplit(['.', '/', '#']).next().unwrap_or(name) }
}

fn holds_name(line: &str, name: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(name).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(part)
            && !line[at + name.len()..].chars().next().is_some_and(part)
    })
}

fn begins_another(line: &str) -> bool {
    static HEAD: LazyLock<Regex> = LazyLock::new(|| {
        let form = r"^\s*(?:func Test|fn \w|#\[test\]|@Test|(?:it|test|describe|context|specify)[ (.]|def |public function|TEST)";
        Regex::new(form).expect("a constant of ours")
    });
    HEAD.is_match(line)
}

fn opposite(line: &str, name: &str) -> Option<String> {
    if line.contains("||") || line.contains("&&") || line.trim_start().starts_with("//") {
        return None;
    }
    let is_row = line.starts_with(name) && line[name.len()..].starts_with('|');
    for (nth, (form, opposite)) in FORMS.iter().enumerate() {
        let of_a_row = nth + 1 == FORMS.len();
        if of_a_row != is_row {
            continue;
        }
        let changed = form.replace(line, *opposite);
        if changed != line {
            return Some(changed.into_owned());
        }
    }
    check(line)
}

/// `CHECK(name, a == b)`, `assert(a == b)`: one comparison, or a value that is true.
fn check(line: &str) -> Option<String> {
    static CHECK: LazyLock<Regex> = LazyLock::new(|| {
        let form = r"^(\s*(?:CHECK\w*|ASSERT|REQUIRE|EXPECT|assert)!?\((?:\w+,\s*)?)(.+)(\);?\s*)$";
        Regex::new(form).expect("a constant of ours")
    });
    let parts = CHECK.captures(line)?;
    let says = &parts[2];
    // A second argument would be a message.
    let depth = says.chars().scan(0i32, |depth, c| {
        *depth += i32::from(c == '(') - i32::from(c == ')');
        Some(*depth == 0 && c == ',')
    });
    if depth.into_iter().any(|comma| comma) {
        return None;
    }
    Some(format!("{}!({says}){}", &parts[1], &parts[3]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assertions_say_the_opposite() {
        for (test, before, after) in [
            ("a_b", "    CHECK(a_b, f(1, 2) == 3);", "    CHECK(a_b, !(f(1, 2) == 3));"),
            ("a_b", "a_b|6|total 1 2", "a_b|6x|total 1 2"),
            ("m::t", "fn t() {\n    assert_eq!(f(), 1);", "fn t() {\n    assert_ne!(f(), 1);"),
            (
                "s > it is so",
                "it('it is so', () => {\n expect(f(1)).toBe(2)",
                "it('it is so', () => {\n expect(f(1)).not.toBe(2)",
            ),
            (
                "TestX",
                "func TestX(t *testing.T) {\n\tif got != want {",
                "func TestX(t *testing.T) {\n\tif got == want {",
            ),
            (
                "C.testX",
                "void testX() {\n  assertEquals(1, f());",
                "void testX() {\n  assertNotEquals(1, f());",
            ),
        ] {
            let files = BTreeMap::from([("t".to_owned(), before.to_owned())]);
            let (changed, spoiled) = plan(&BTreeSet::from([test]), &files);
            assert_eq!(changed["t"], after);
            assert_eq!(spoiled.len(), 1);
        }
        // The assertion of another test is not this one's.
        let files = BTreeMap::from([(
            "t".to_owned(),
            "fn t() {\n}\nfn u() {\n assert_eq!(1, 1)".to_owned(),
        )]);
        assert!(plan(&BTreeSet::from(["t"]), &files).0.is_empty());
    }
}
