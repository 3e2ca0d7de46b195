//! What outlives the command that started it: a control plane, or a node.
//!
//! A supervisor in the background owns it and holds a lock as long as it lives. Everything lies in the user's cache directory, so
//! there is one of each kind for each user.
pub(crate) mod down;
mod end;
pub(crate) mod environment;
mod place;
mod supervisor;

pub(crate) use end::end_requested;
pub(crate) use place::{Kind, Place, State};
pub(crate) use supervisor::Supervisor;
