//! Whether this is CI, where nothing may be left out because of something that the machine lacks.

/// What the variable `CI` says, which CI systems set.
pub fn is_here() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty())
}
