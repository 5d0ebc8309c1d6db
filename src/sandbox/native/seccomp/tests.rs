use super::*;

const ALLOWED: u32 = 0x7fff_0000;
const REFUSED: u32 = 0x0005_0001;
const MISSING: u32 = 0x0005_0026;

/// Runs the filter as the kernel would.
fn run(code: &[Instruction], architecture: u32, call: u32, arguments: [u32; 3]) -> u32 {
    let mut at = 0;
    let mut value = 0;
    loop {
        let instruction = &code[at];
        at += 1;
        let taken = match instruction.code {
            LOAD => {
                value = match instruction.k {
                    0 => call,
                    4 => architecture,
                    16 => arguments[0],
                    24 => arguments[1],
                    32 => arguments[2],
                    other => panic!("nothing is at {other}"),
                };
                continue;
            }
            RETURN => return instruction.k,
            MASK => {
                value &= instruction.k;
                continue;
            }
            EQUAL => value == instruction.k,
            AT_LEAST => value >= instruction.k,
            ANY_BIT => value & instruction.k != 0,
            other => panic!("no such instruction: {other}"),
        };
        at += usize::from(if taken { instruction.jt } else { instruction.jf });
    }
}

fn asked(call: i64, [first, second]: [u32; 2]) -> u32 {
    let call = u32::try_from(call).unwrap();
    run(program(false), ARCHITECTURE, call, [first, second, 0])
}

#[test]
fn with_one_user_becoming_another_does_nothing_and_owners_are_asked_for() {
    let code = program(true);
    assert!(code.len() < 220, "{} instructions are no search any more", code.len());
    let ask = |call: i64, mode: u32| {
        run(code, ARCHITECTURE, u32::try_from(call).unwrap(), [mode, mode, mode])
    };
    let answered = 0x7fc0_0000;
    for call in IDENTITY {
        assert_eq!(ask(call, 0), 0x0005_0000, "call {call}");
    }
    for call in OWNER {
        assert_eq!(ask(call, 0), answered, "call {call}");
    }
    for (call, _) in NODES {
        assert_eq!(ask(call, libc::S_IFCHR | 0o666), answered, "call {call}");
        assert_eq!(ask(call, libc::S_IFBLK), answered, "call {call}");
        for other in [libc::S_IFREG, libc::S_IFIFO | 0o644, libc::S_IFSOCK, 0] {
            assert_eq!(ask(call, other), ALLOWED, "call {call}, mode {other:o}");
        }
    }
    // All else is as with many users.
    let changed = |call: i64| {
        IDENTITY.contains(&call)
            || OWNER.contains(&call)
            || NODES.iter().any(|(node, _)| *node == call)
    };
    let many = program(false);
    for call in (0..600_u32).filter(|call| !changed(i64::from(*call))) {
        for value in [0, 38, 0x5412, 0x1000_0000] {
            let run = |code| run(code, ARCHITECTURE, call, [value; 3]);
            assert_eq!(run(code), run(many), "call {call}");
        }
    }
}

#[test]
fn every_call_is_answered_as_its_rule_says() {
    let code = program(false);
    assert!(code.len() < 220, "{} instructions are no search any more", code.len());
    let forbidden: Vec<i64> = FORBIDDEN.iter().chain(FORBIDDEN_HERE).copied().collect();
    let special = [libc::SYS_clone3, libc::SYS_personality, libc::SYS_setpriority];
    for call in (0..600).chain([0x4000_0000, u32::MAX]) {
        let expected = match i64::from(call) {
            call if forbidden.contains(&call) => REFUSED,
            call if special.contains(&call) => continue,
            _ if call > NEWEST => MISSING,
            _ => ALLOWED,
        };
        assert_eq!(run(code, ARCHITECTURE, call, [2; 3]), expected, "call {call}");
        assert_eq!(run(code, 0x4000_0003, call, [2; 3]), REFUSED, "call {call} of i386");
    }
}

#[test]
fn arguments_decide_where_they_must() {
    assert_eq!(asked(libc::SYS_clone3, [0; 2]), MISSING);
    assert_eq!(asked(libc::SYS_clone, [0x11, 0]), ALLOWED);
    assert_eq!(asked(libc::SYS_clone, [0x1000_0011, 0]), REFUSED); // CLONE_NEWUSER
    assert_eq!(asked(libc::SYS_clone, [0x0002_0000, 0]), REFUSED); // CLONE_NEWNS
    assert_eq!(asked(libc::SYS_socket, [2, 0]), ALLOWED);
    for (family, protocol, expected) in [
        (1, 0, ALLOWED),
        (10, 15, ALLOWED),
        (16, 0, ALLOWED),
        (16, 15, 0x0005_005d),
        (17, 0, ALLOWED),
        (0, 0, 0x0005_0061),
        (3, 0, 0x0005_0061),
        (38, 0, 0x0005_0061),
        (40, 0, 0x0005_0061),
    ] {
        for call in [libc::SYS_socket, libc::SYS_socketpair] {
            let call = u32::try_from(call).unwrap();
            let answer = run(program(false), ARCHITECTURE, call, [family, 1, protocol]);
            assert_eq!(answer, expected, "family {family}, protocol {protocol}");
        }
    }
    for call in OF_A_PROCESS {
        assert_eq!(asked(call, [0, 0]), ALLOWED);
        assert_eq!(asked(call, [1, 0]), REFUSED);
    }
    assert_eq!(asked(libc::SYS_setpriority, [0, 0]), ALLOWED);
    assert_eq!(asked(libc::SYS_setpriority, [0, 1]), REFUSED);
    assert_eq!(asked(libc::SYS_setpriority, [2, 0]), REFUSED);
    assert_eq!(asked(libc::SYS_ioprio_set, [3, 0]), REFUSED);
    assert_eq!(asked(libc::SYS_ioctl, [0, 0x5412]), REFUSED);
    assert_eq!(asked(libc::SYS_ioctl, [0, 0x5413]), ALLOWED);
    assert_eq!(asked(libc::SYS_personality, [0x0004_0000, 0]), REFUSED);
    assert_eq!(asked(libc::SYS_personality, [0xffff_ffff, 0]), ALLOWED);
}
