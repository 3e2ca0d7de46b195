//! The command line of `cargo xtask`, as types.
//!
//! Two commands run in programs of their own, which take minutes to build when nothing is built yet. They read the same types,
//! so that `--help` and mistakes are answered before.
pub mod arguments;
