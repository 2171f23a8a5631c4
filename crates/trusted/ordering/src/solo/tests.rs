use super::*;
use crate::Empty;
use crate::schedule::DEPTH;

fn step(engine: &mut Solo, input: Input) -> Vec<Effect> {
    let mut out = Vec::new();
    engine.step(1_000, input, &mut out);
    out
}

fn slot(height: u64, attempt: u64) -> Slot {
    Slot { height: Height(height), attempt }
}

#[test]
fn demand_builds_persists_and_commits_one_block() {
    let mut engine = Solo::new(Height(7), Pace::Instant);
    assert_eq!(step(&mut engine, Input::Demand), [Effect::Build { slot: slot(8, 0), empty: Empty::Skip }]);
    assert_eq!(step(&mut engine, Input::Built(slot(8, 0))), [Effect::Persist { seq: Seq(0), slot: slot(8, 0) }]);
    assert_eq!(step(&mut engine, Input::Persisted(Seq(0))), [Effect::Commit(Height(8))]);
    assert_eq!(engine.status().committed, Height(8));
}

#[test]
fn the_next_block_is_built_while_the_last_one_is_persisting() {
    let mut engine = Solo::new(Height(0), Pace::Instant);
    step(&mut engine, Input::Demand);
    step(&mut engine, Input::Demand);
    let effects = step(&mut engine, Input::Built(slot(1, 0)));
    assert_eq!(
        effects,
        [Effect::Persist { seq: Seq(0), slot: slot(1, 0) }, Effect::Build { slot: slot(2, 1), empty: Empty::Skip },]
    );
    assert_eq!(engine.status().committed, Height(0), "nothing is committed before it is durable");
}

#[test]
fn the_pipeline_is_bounded() {
    let mut engine = Solo::new(Height(0), Pace::Instant);
    step(&mut engine, Input::Demand);
    for height in 1..=DEPTH {
        step(&mut engine, Input::Demand);
        step(&mut engine, Input::Built(slot(height, height - 1)));
    }
    assert_eq!(engine.status().building, None);
    assert_eq!(engine.status().built, Height(DEPTH));
    assert_eq!(
        step(&mut engine, Input::Persisted(Seq(0))),
        [Effect::Commit(Height(1)), Effect::Build { slot: slot(DEPTH + 1, DEPTH), empty: Empty::Skip }]
    );
}

#[test]
fn commits_keep_their_order_when_the_disk_answers_out_of_order() {
    let mut engine = Solo::new(Height(0), Pace::Instant);
    step(&mut engine, Input::Demand);
    step(&mut engine, Input::Demand);
    step(&mut engine, Input::Built(slot(1, 0)));
    step(&mut engine, Input::Built(slot(2, 1)));
    assert_eq!(step(&mut engine, Input::Persisted(Seq(1))), []);
    assert_eq!(step(&mut engine, Input::Persisted(Seq(0))), [Effect::Commit(Height(1)), Effect::Commit(Height(2))]);
}

#[test]
fn unknown_late_and_repeated_answers_change_nothing() {
    let mut engine = Solo::new(Height(0), Pace::Instant);
    step(&mut engine, Input::Demand);
    step(&mut engine, Input::Built(slot(1, 0)));
    assert_eq!(step(&mut engine, Input::Persisted(Seq(9))), []);
    step(&mut engine, Input::Persisted(Seq(0)));
    assert_eq!(step(&mut engine, Input::Persisted(Seq(0))), []);
    assert_eq!(step(&mut engine, Input::Built(slot(1, 0))), []);
    assert_eq!(engine.status().committed, Height(1));
}

#[test]
fn an_interval_makes_empty_blocks_and_owes_one_at_most() {
    let mut engine = Solo::new(Height(0), Pace::Manual);
    let pace = Pace::Interval { period_ms: 500 };
    assert_eq!(step(&mut engine, Input::SetPace(pace)), [Effect::Arm { deadline_ms: 1_500 }]);
    assert_eq!(step(&mut engine, Input::Demand), []);
    assert_eq!(
        step(&mut engine, Input::Timer),
        [Effect::Arm { deadline_ms: 1_500 }, Effect::Build { slot: slot(1, 0), empty: Empty::Make }]
    );
    step(&mut engine, Input::Timer);
    step(&mut engine, Input::Timer);
    let effects = step(&mut engine, Input::Built(slot(1, 0)));
    assert_eq!(effects.len(), 2, "persist, and the one block owed");
    let effects = step(&mut engine, Input::Built(slot(2, 1)));
    assert_eq!(effects.len(), 1);
}

#[test]
fn a_manual_pace_builds_only_when_forced() {
    let mut engine = Solo::new(Height(3), Pace::Manual);
    assert_eq!(step(&mut engine, Input::Demand), []);
    assert_eq!(step(&mut engine, Input::Force), [Effect::Build { slot: slot(4, 0), empty: Empty::Make }]);
    assert_eq!(step(&mut engine, Input::Built(slot(4, 0))).len(), 1, "persist only");
}

#[test]
fn a_reset_forgets_the_tail_and_ignores_its_answers() {
    let mut engine = Solo::new(Height(5), Pace::Instant);
    step(&mut engine, Input::Demand);
    step(&mut engine, Input::Built(slot(6, 0)));
    step(&mut engine, Input::Reset(Height(4)));
    assert_eq!(step(&mut engine, Input::Persisted(Seq(0))), []);
    assert_eq!(step(&mut engine, Input::Demand), [Effect::Build { slot: slot(5, 1), empty: Empty::Skip }]);
}
