//! Merges the writes of several parts of the controller into one status.

use crate::api::{Condition, Status};

/// Merges `new`, which the caller made from `base`, into the `latest` status. The fields in which `new` differs from
/// `base` are the caller's; all others keep their latest values. Each condition is merged on its own.
#[must_use]
pub fn merge(base: &Status, new: &Status, latest: &Status) -> Status {
    if base == latest {
        return new.clone();
    }
    Status {
        conditions: conditions(&base.conditions, &new.conditions, &latest.conditions),
        observed_generation: *part(&base.observed_generation, &new.observed_generation, &latest.observed_generation),
        resources: part(&base.resources, &new.resources, &latest.resources).clone(),
        secrets_data_checksum: part(
            &base.secrets_data_checksum,
            &new.secrets_data_checksum,
            &latest.secrets_data_checksum,
        )
        .clone(),
        phase: *part(&base.phase, &new.phase, &latest.phase),
        active_pauses: part(&base.active_pauses, &new.active_pauses, &latest.active_pauses).clone(),
    }
}

fn part<'a, T: PartialEq>(base: &T, new: &'a T, latest: &'a T) -> &'a T {
    if base == new { latest } else { new }
}

fn conditions(base: &[Condition], new: &[Condition], latest: &[Condition]) -> Vec<Condition> {
    let find = |conditions: &[Condition], type_: &str| conditions.iter().find(|each| each.type_ == type_).cloned();
    let mut merged = latest.to_vec();
    for condition in new.iter().filter(|condition| find(base, &condition.type_).as_ref() != Some(condition)) {
        match merged.iter_mut().find(|each| each.type_ == condition.type_) {
            Some(other) => other.clone_from(condition),
            None => merged.push(condition.clone()),
        }
    }
    // The caller has removed these conditions.
    merged.retain(|each| find(base, &each.type_).is_none() || find(new, &each.type_).is_some());
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(conditions: &[(&str, &str)], checksum: &str) -> Status {
        let condition = |(type_, reason): &(&str, &str)| Condition {
            type_: (*type_).to_owned(),
            reason: (*reason).to_owned(),
            ..Condition::default()
        };
        let conditions = conditions.iter().map(condition).collect();
        Status { conditions, secrets_data_checksum: Some(checksum.to_owned()), ..Status::default() }
    }

    #[test]
    fn each_part_is_its_writers() {
        let base = status(&[("Applied", "a"), ("Healthy", "h")], "1");
        for (case, new, latest, expected) in [
            ("nobody else", status(&[("Applied", "b")], "2"), base.clone(), status(&[("Applied", "b")], "2")),
            (
                "health was written",
                status(&[("Applied", "b"), ("Healthy", "h")], "2"),
                status(&[("Applied", "a"), ("Healthy", "sick")], "1"),
                status(&[("Applied", "b"), ("Healthy", "sick")], "2"),
            ),
            (
                "health is written",
                status(&[("Applied", "a"), ("Healthy", "sick")], "1"),
                status(&[("Applied", "b"), ("Healthy", "h")], "2"),
                status(&[("Applied", "b"), ("Healthy", "sick")], "2"),
            ),
            (
                "both write health: the last one counts",
                status(&[("Applied", "a"), ("Healthy", "reset")], "1"),
                status(&[("Applied", "a"), ("Healthy", "sick")], "1"),
                status(&[("Applied", "a"), ("Healthy", "reset")], "1"),
            ),
            (
                "conditions come and go",
                status(&[("Applied", "a"), ("New", "n")], "1"),
                status(&[("Applied", "a"), ("Healthy", "h"), ("Other", "o")], "1"),
                status(&[("Applied", "a"), ("Other", "o"), ("New", "n")], "1"),
            ),
        ] {
            assert_eq!(merge(&base, &new, &latest), expected, "{case}");
        }
    }
}
