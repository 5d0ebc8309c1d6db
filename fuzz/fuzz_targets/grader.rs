//! Both graders, the cutter of scripts and the infra signatures on any bytes.

#![no_main]

use evalrun::grade::{grade, infra_signature, official, parser_names, script};
use evalrun::model::{
    EvalType, Instance, InstanceId, LimitsHit, Outcome, Section, Status, Usage, Verdict,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let [parser, kind, start, end, status, log @ ..] = bytes else { return };
    let names: Vec<_> = parser_names().collect();
    let instance = Instance {
        id: InstanceId::new("owner__name-2006").expect("the id is well-formed"),
        repo: String::new(),
        base_commit: None,
        version: "9.5".to_owned(),
        dockerfile: None,
        environment_setup_commit: None,
        gold_patch: None,
        test_patch: String::new(),
        difficulty: None,
        fail_to_pass: vec!["a".to_owned(), "b[".to_owned()],
        pass_to_pass: vec!["c".to_owned()],
        work_dir: "/testbed".to_owned(),
        image_name: String::new(),
        env: None,
        eval_script: String::from_utf8_lossy(log).into_owned(),
        log_parser: names[usize::from(*parser) % names.len()].to_owned(),
        eval_type: if kind % 2 == 0 { EvalType::PassAndFail } else { EvalType::FailOnly },
        image_assets: Vec::new(),
    };
    let status = Status::Code(i32::from(*status) % 2);
    let outcome = Outcome { status, limits_hit: LimitsHit::default(), usage: Usage::default() };
    let section = Section::Supervised { start: (*start).into(), end: (*end).into(), outcome };
    let _ = official(&instance, log);
    let _ = infra_signature(log, log);
    let _ = script::with_recorded_status(&instance.eval_script);
    if let script::Cut::ThreeParts { prepare, test, finish } = script::cut(&instance.eval_script) {
        assert!(prepare.len() + test.len() + finish.len() < instance.eval_script.len());
    }
    let supervised = grade(&instance, log, &section).verdict;
    let by_text = grade(&instance, log, &Section::TextOnly { outcome }).verdict;
    // Where nothing can be read between the offsets, nothing can be resolved.
    if start >= end && instance.eval_type == EvalType::PassAndFail {
        assert!(!matches!(supervised, Verdict::Resolved { .. }));
    }
    drop(by_text);
});
