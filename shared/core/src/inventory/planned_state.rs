//! What a plan makes of the state of an object.

use crate::inventory::drift::State;

/// What decides beside the state. Each answer costs a look at other state, so it is asked for only where it matters.
pub struct Circumstances<'a> {
    /// Whether this pass repairs foreign changes.
    pub repair: bool,
    /// Whether a planned write of the object has not succeeded yet.
    pub is_write_due: &'a dyn Fn() -> bool,
    /// Whether a pause keeps us from writing the object.
    pub is_paused: &'a dyn Fn() -> bool,
    /// Whether a foreign change in this state may stay until the next sync.
    pub may_wait: &'a dyn Fn(State) -> bool,
    /// Whether repairs of the object are slowed down, because somebody keeps changing it.
    pub is_slowed_down: &'a dyn Fn() -> bool,
}

/// Returns the state of an object for a plan.
///
/// A due write makes an object in sync outdated. A foreign change counts as in sync if it may wait, and as contended if
/// the object is slowed down. All other states stay.
pub fn planned_state(state: State, circumstances: &Circumstances<'_>) -> State {
    let Circumstances { repair, is_write_due, is_paused, may_wait, is_slowed_down } = circumstances;
    match state {
        State::InSync if is_write_due() && !is_paused() => State::Outdated,
        State::Drifted | State::Missing if !repair && may_wait(state) => State::InSync,
        State::Drifted | State::Missing if is_slowed_down() => State::Contended,
        state => state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circumstances_change_what_a_plan_makes_of_a_state() {
        let set = |at: &[usize]| -> [bool; 5] { std::array::from_fn(|index| at.contains(&index)) };
        let [repair, due, paused, may_wait, slow] = [0, 1, 2, 3, 4];
        for (state, flags, expected) in [
            (State::InSync, set(&[]), State::InSync),
            (State::InSync, set(&[due]), State::Outdated),
            (State::InSync, set(&[due, paused]), State::InSync),
            (State::InSync, set(&[slow, may_wait]), State::InSync),
            (State::Drifted, set(&[repair]), State::Drifted),
            (State::Drifted, set(&[repair, may_wait]), State::Drifted),
            (State::Drifted, set(&[may_wait]), State::InSync),
            // What was never written as planned does not wait for the next sync.
            (State::Drifted, set(&[due]), State::Drifted),
            (State::Missing, set(&[may_wait]), State::InSync),
            (State::Missing, set(&[may_wait, slow]), State::InSync),
            (State::Missing, set(&[repair, slow]), State::Contended),
            (State::Drifted, set(&[slow]), State::Contended),
            (State::Outdated, set(&[slow, may_wait]), State::Outdated),
            (State::Terminating, set(&[due, slow, may_wait]), State::Terminating),
        ] {
            let circumstances = Circumstances {
                repair: flags[repair],
                is_write_due: &|| flags[due],
                is_paused: &|| flags[paused],
                may_wait: &|_| flags[may_wait],
                is_slowed_down: &|| flags[slow],
            };
            assert_eq!(planned_state(state, &circumstances), expected, "{state:?} {flags:?}");
        }
    }
}
