//! What a value of the configuration file has to be, and how it is written as the value of a flag.

use serde_json::Value;

use crate::flags::{label_value, positive_duration};

/// What a value has to be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A text; an empty one is as good as none.
    Text,
    /// A text that is not empty.
    NonEmpty,
    /// The value of a label.
    LabelValue,
    /// Such as `90s` or `1h30m`, above zero.
    Duration,
    /// `true` or `false`.
    Switch,
    /// A whole number, at least 1.
    Positive,
    /// Requests a second: a number. Below zero, there is no limit, and parts count as a whole one.
    Rate,
    /// One of these.
    Word(&'static [&'static str]),
    /// A list of texts.
    List,
}

impl Kind {
    /// The value as text, `None` if it says nothing; or why it cannot be used.
    pub(super) fn text(self, value: &Value) -> Result<Option<String>, String> {
        let text = || value.as_str().ok_or_else(|| format!("must be a text, not {}", described(value)));
        Ok(Some(match self {
            Self::Text => return Ok(Some(text()?.to_owned()).filter(|text| !text.is_empty())),
            Self::NonEmpty => match text()? {
                "" => return Err("must not be empty".to_owned()),
                other => other.to_owned(),
            },
            Self::LabelValue => label_value(text()?)?,
            Self::Duration => {
                let text = value.as_str().ok_or_else(|| format!("must be a duration such as \"90s\", not {value}"))?;
                positive_duration(text)
                    .map_err(|_| format!("{text:?} is not a duration above zero, such as 90s or 1h30m"))?;
                text.to_owned()
            }
            Self::Switch => match value {
                Value::Bool(value) => value.to_string(),
                other => return Err(format!("must be true or false, not {}", described(other))),
            },
            Self::Positive => match value.as_u64() {
                Some(number) if (1..=u64::from(u32::MAX)).contains(&number) => number.to_string(),
                _ => return Err(format!("must be a whole number from 1, not {}", described(value))),
            },
            Self::Rate => rate(value)?,
            Self::Word(words) => {
                let found = text()?;
                if !words.contains(&found) {
                    return Err(format!("is {found:?}, expected {}", words.join(" or ")));
                }
                found.to_owned()
            }
            Self::List => return list(value),
        }))
    }
}

fn rate(value: &Value) -> Result<String, String> {
    let number = value.as_f64().ok_or_else(|| format!("must be a number, not {}", described(value)))?;
    if number > f64::from(u32::MAX) {
        return Err(format!("{number} is too large"));
    }
    Ok(format!("{:.0}", number.max(0.0).ceil()))
}

fn list(value: &Value) -> Result<Option<String>, String> {
    let items = value.as_array().ok_or_else(|| format!("must be a list, not {}", described(value)))?;
    let text = |item: &Value| match item.as_str() {
        Some(text) if !text.is_empty() && !text.contains(',') => Ok(text.to_owned()),
        _ => Err(format!("cannot have {} as an element", described(item))),
    };
    let texts = items.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(texts.join(",")).filter(|text| !text.is_empty()))
}

/// A value in a message: short.
pub(super) fn described(value: &Value) -> String {
    match value {
        Value::Object(_) => "a mapping".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_written_as_flags_take_them() {
        for (kind, value, expected) in [
            (Kind::Text, json!("/etc/k"), Some("/etc/k")),
            (Kind::Text, json!(""), None),
            (Kind::NonEmpty, json!("*"), Some("*")),
            (Kind::LabelValue, json!("gardener"), Some("gardener")),
            (Kind::Duration, json!("1m0s"), Some("1m0s")),
            (Kind::Duration, json!("1h30m"), Some("1h30m")),
            (Kind::Duration, json!("100ms"), Some("100ms")),
            (Kind::Duration, json!("1.5h"), Some("1.5h")),
            (Kind::Switch, json!(false), Some("false")),
            (Kind::Positive, json!(5), Some("5")),
            (Kind::Rate, json!(100.0), Some("100")),
            (Kind::Rate, json!(0.5), Some("1")),
            (Kind::Rate, json!(-1), Some("0")),
            (Kind::Word(&["a", "b"]), json!("b"), Some("b")),
            (Kind::List, json!(["a", "b"]), Some("a,b")),
            (Kind::List, json!([]), None),
        ] {
            assert_eq!(kind.text(&value), Ok(expected.map(str::to_owned)), "{kind:?} {value}");
        }
    }

    #[test]
    fn bad_values_are_refused_with_the_reason() {
        for (kind, value, expected) in [
            (Kind::Text, json!(5), "must be a text, not 5"),
            (Kind::NonEmpty, json!(""), "must not be empty"),
            (Kind::Duration, json!(60), "must be a duration such as \"90s\", not 60"),
            (Kind::Duration, json!("60"), "\"60\" is not a duration above zero, such as 90s or 1h30m"),
            (Kind::Duration, json!("-1s"), "\"-1s\" is not a duration above zero, such as 90s or 1h30m"),
            (Kind::Switch, json!("yes"), "must be true or false, not \"yes\""),
            (Kind::Positive, json!(0), "must be a whole number from 1, not 0"),
            (Kind::Positive, json!(1.5), "must be a whole number from 1, not 1.5"),
            (Kind::Word(&["json", "text"]), json!("xml"), "is \"xml\", expected json or text"),
            (Kind::List, json!("a"), "must be a list, not \"a\""),
            (Kind::List, json!(["a", 5]), "cannot have 5 as an element"),
            (Kind::List, json!([["a"]]), "cannot have a list as an element"),
        ] {
            assert_eq!(kind.text(&value), Err(expected.to_owned()), "{kind:?} {value}");
        }
        for bad in ["", "-a", "a b", "ä", &"x".repeat(64)] {
            assert!(label_value(bad).is_err(), "{bad}");
        }
    }
}
