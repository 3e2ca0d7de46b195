//! Holdfast's decisions, without any I/O.
//!
//! Everything here is a pure function of its arguments: no client, no clock, no environment, no files. What is to be
//! written, refused or reported comes back as a value ([`inventory::plan::Plan`], [`protect::Verdict`], [`status`]); the
//! binaries carry it out. Both binaries use the same [`decode`]r and the same [`inventory::index`], so that admission cannot
//! let in what the controller cannot read.
//!
//! The modules have an order, which `cargo xtask lint` checks: `hack/xtask/layers.yaml`.

pub mod api;
pub mod decode;
pub mod deletion;
pub mod digest;
pub mod duration;
pub mod field_ownership;
pub mod field_set;
pub mod inventory;
pub mod key;
pub mod manifest;
pub mod names;
pub mod object_name;
pub mod pause;
pub mod protect;
pub mod status;
pub mod url_path;
pub mod validation;
