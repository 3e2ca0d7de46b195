//! Finds list elements by their names in `fieldsV1`.

use serde_json::{Map, Value};

use super::{Step, step};

/// Returns the position of an element or a member in a list.
pub(super) fn position(items: &[Value], step: &Step) -> Option<usize> {
    match step {
        Step::Field(_) => None,
        Step::Index(index) => Some(*index).filter(|index| *index < items.len()),
        Step::Member(text) => {
            let member: Value = serde_json::from_str(text).ok()?;
            items.iter().position(|item| *item == member)
        }
        Step::Key(text) => {
            let key = key(text)?;
            items.iter().position(|item| key.iter().all(|(name, expected)| item.get(name) == Some(expected)))
        }
    }
}

/// Like [`position`], but for a manifest. A manifest may omit key fields that have defaults, such as the protocol of a
/// port.
pub(super) fn position_in_manifest(items: &[Value], name: &str) -> Option<usize> {
    let step = step(name)?;
    position(items, &step).or_else(|| match &step {
        Step::Key(text) => {
            let key = key(text)?;
            items.iter().position(|item| {
                let mut declared =
                    key.iter().filter_map(|(field, expected)| Some(item.get(field)? == expected)).peekable();
                declared.peek().is_some() && declared.all(|is_equal| is_equal)
            })
        }
        _ => None,
    })
}

fn key(text: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(text).ok()
}
