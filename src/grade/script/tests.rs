use super::*;

const SIMPLE: &str = "cd /testbed\n: '>>>>> Start Test Output'\npytest -rA\nexit_status\n: '>>>>> End Test Output'\ngit checkout\n";

fn parts(script: &str) -> Option<(&str, &str, &str)> {
    match cut(script) {
        Cut::ThreeParts { prepare, test, finish } => Some((prepare, test, finish)),
        Cut::Whole => None,
    }
}

#[test]
fn a_plain_script_is_cut_into_whole_lines() {
    let expected = ("cd /testbed\n", "pytest -rA\nexit_status\n", "git checkout\n");
    assert_eq!(parts(SIMPLE), Some(expected));
    let echoed = SIMPLE.replace(": '", "echo '");
    assert_eq!(parts(&echoed), Some(expected));
    let double = SIMPLE.replace('\'', "\"");
    assert_eq!(parts(&double), Some(expected));
}

#[test]
fn what_comes_before_does_not_hide_the_markers() {
    for before in [
        "git apply -v - <<'EOF'\n: '>>>>> Start Test Output'\n\"'`$( ( { if case\nEOF\n",
        "cat <<-EOF >x\n\tif '\n\tEOF\n",
        "f() {\n  echo \"$(cat <<E\nit's\nE\n)\"\n}\n",
        "function g {\n  echo }\n}\n",
        "if [ -f a ]; then x; elif y; then { z; }; else (w) fi\n",
        "for x in $(ls); do echo \"${x%'}\"; done\n",
        "case $x in\n  a|b) echo ;;\n  (c) if d; then e; fi ;;\nesac\n",
        "x=$(( (1 << 2) + 3 ))\n((y <<= 1))\n",
        "echo it\\'s # don't\n# isn't\n",
        "a |\n  b &&\n\n  c\n",
        "a \\\n  b 2>&1 >&2 &> /dev/null <<< 'x\ny'\n",
        "echo `date \"+%s\"` $'it\\'s' \"a\nb\"\n",
        "arr=(a b c)\necho done fi }\n",
        "{ set +x; } 2>/dev/null\n",
        "(sleep 1 & wait; exec true)\n",
        "diff <(a) <(b)\n",
    ] {
        let script = format!("{before}{SIMPLE}");
        let cut = parts(&script).unwrap_or_else(|| panic!("not cut: {before}"));
        assert_eq!(cut.0, format!("{before}cd /testbed\n"));
    }
}

#[test]
fn markers_below_the_top_level_do_not_cut() {
    let start = ": '>>>>> Start Test Output'\n";
    let end = ": '>>>>> End Test Output'\n";
    for script in [
        format!("f() {{\n{start}}}\nx\n{end}"),
        format!("for x in a; do\n{start}y\n{end}done\n"),
        format!("if x; then\n{start}fi\n{end}"),
        format!("(\n{start})\n{end}"),
        format!("{{\n{start}x\n}}\n{end}"),
        format!("x=\"\n{start}\"\n{end}"),
        format!("echo 'a\n{}'\n{end}", start.replace('\'', "\"")),
        format!("cat <<E\n{start}E\n{end}"),
        format!("cat <<E\n{start}x\n{end}"),
        format!("a |\n{start}x\n{end}"),
        format!("a \\\n{start}x\n{end}"),
        format!("{start}x\n{start}y\n{end}"),
        format!("{end}x\n{start}"),
        format!("{start}x"),
        format!("{start}x\necho \"z {END}\"\n{end}"),
        format!("{start}x\n: '{END}' && y\n"),
        format!("x &\n{start}x\n{end}"),
        format!("exec >log\n{start}x\n{end}"),
        format!("trap x EXIT\n{start}x\n{end}"),
        format!("fi\n{start}x\n{end}"),
        format!("echo 'open\n{start}x\n{end}"),
        String::new(),
    ] {
        assert_eq!(cut(&script), Cut::Whole, "{script}");
    }
}

#[test]
fn no_text_makes_the_lexer_panic() {
    let pieces =
        ["\\", "\"", "'", "$(", "${", "((", "<<", "<<'", "`", "é", "\n", "$'", ")", "}", "&"];
    for a in pieces {
        for b in pieces {
            for c in pieces {
                let _ = cut(&format!("{a}{b}{c}"));
                let _ = cut(&format!("x{a}é{b} {c}\\"));
            }
        }
    }
}

#[test]
fn the_status_is_recorded_as_the_incumbent_does() {
    let script = format!("\n#!/bin/bash\nset -uxo pipefail\n{SIMPLE}set -uxo pipefail\n\n");
    assert_eq!(
        with_recorded_status(&script),
        "#!/bin/bash\nset -uxo pipefail\ncd /testbed\n: '>>>>> Start Test Output'\npytest -rA\n\
         exit_status\nSWEBENCH_TEST_EXIT_CODE=$?\n: '>>>>> End Test Output'\n\
         echo \">>>>> Test Exit Code: $SWEBENCH_TEST_EXIT_CODE\"\ngit checkout\n"
    );
    assert_eq!(with_recorded_status("a\nb"), "#!/bin/bash\nset -uxo pipefail\na\nb\n");
}
