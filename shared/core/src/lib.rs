//! Holdfast's decisions, without any I/O.
//!
//! Every function here is pure: it has no client, no clock, no environment and no files. It returns what to write,
//! refuse or report as a value ([`inventory::plan::Plan`], [`protect::Verdict`], [`status`]), and the binaries carry it
//! out. Both binaries share [`decode`] and [`inventory::index`], so admission never lets in a manifest that the
//! controller cannot read.
//!
//! The modules have an order. `hack/xtask/layers.yaml` defines it, and `cargo xtask lint` checks it.

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
pub mod position;
pub mod protect;
pub mod status;
pub mod text;
pub mod url_path;
pub mod validation;
