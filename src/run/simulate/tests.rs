//! Runs whose length can be told by hand.

use super::*;
use crate::run::tests::instance;

const SECOND: Duration = Duration::from_secs(1);

fn machine(cores: usize, parallel: usize) -> Pretended {
    Pretended {
        cores,
        memory: 64 << 30,
        parallel,
        images: 4,
        limit: None,
        order: Order::LongestFirst,
    }
}

/// Instances that take so many seconds, and use so much of a CPU meanwhile.
fn set(seconds: &[u32], share: f64) -> (Vec<Instance>, Vec<usize>, Expectations) {
    let instances: Vec<Instance> = (0..seconds.len())
        .map(|at| Instance { repo: format!("r/{at}"), ..instance(&format!("i-{at}")) })
        .collect();
    let mut known = Expectations::default();
    for (instance, seconds) in instances.iter().zip(seconds) {
        let took = SECOND * *seconds;
        let expected = Expected { took, cpu: took.mul_f64(share), peak: 1 << 20 };
        known.insert((&instance.id, &instance.repo, &instance.version), expected);
    }
    (instances, (0..seconds.len()).collect(), known)
}

fn wall(set: &(Vec<Instance>, Vec<usize>, Expectations), machine: &Pretended) -> f64 {
    let (instances, jobs, known) = set;
    simulate(instances, jobs, known, &|_| Duration::ZERO, machine).wall.as_secs_f64()
}

fn about(found: f64, expected: f64) {
    assert!((found - expected).abs() < 0.05, "{found} is not {expected}");
}

#[test]
fn sandboxes_share_the_cpus_that_there_are() {
    let two = set(&[10, 10], 1.0);
    about(wall(&two, &machine(2, 2)), 10.0);
    about(wall(&two, &machine(1, 1)), 20.0);
    // Both at once on one CPU: each at half its speed.
    about(wall(&two, &machine(1, 2)), 20.0);
    // Half of the time they wait for something else.
    let half = set(&[10, 10], 0.5);
    about(wall(&half, &machine(1, 2)), 10.0);
    // Sleepers need no CPU at all.
    about(wall(&set(&[10; 20], 0.001), &machine(1, 20)), 10.0);
}

#[test]
fn the_longest_first_is_done_sooner() {
    let seconds = [1, 1, 1, 1, 6];
    let set = set(&seconds, 0.001);
    let plain = Pretended { order: Order::FirstCome, ..machine(2, 2) };
    about(wall(&set, &machine(2, 2)), 6.0);
    about(wall(&set, &plain), 8.0);
    about(wall(&set, &machine(2, 1)), 10.0);
}

#[test]
fn images_that_are_made_are_waited_for_and_memory_holds_back() {
    let (instances, jobs, known) = set(&[10, 10], 0.001);
    let slow = |instance: &Instance| if instance.repo == "r/0" { SECOND * 30 } else { SECOND };
    let result = simulate(&instances, &jobs, &known, &slow, &machine(2, 2));
    about(result.wall.as_secs_f64(), 40.0);
    let mut large = Expectations::default();
    for instance in &instances {
        let expected = Expected { took: SECOND * 10, cpu: SECOND, peak: 3 << 30 };
        large.insert((&instance.id, &instance.repo, &instance.version), expected);
    }
    let small = Pretended { memory: 5 << 30, ..machine(2, 2) };
    let result = simulate(&instances, &jobs, &large, &|_| Duration::ZERO, &small);
    about(result.wall.as_secs_f64(), 20.0);
    assert_eq!((result.peak_in_flight, result.peak_memory), (1, 3 << 30));
    assert_eq!(result.cpu, SECOND * 2);
}

#[test]
fn what_nothing_is_known_of_is_guessed() {
    let (instances, jobs, _) = set(&[1, 1], 1.0);
    let result = simulate(&instances, &jobs, &Expectations::default(), &|_| SECOND, &machine(2, 2));
    about(result.wall.as_secs_f64(), 2.02);
}
