//! Objects that are not declared any more: in which order they are deleted, which are kept, which are orphaned.
mod absent_kinds;
mod deletion;
mod deletion_order;
mod equivalent_kinds;
mod finalizers;
mod garbage_collector;
mod home_namespace;
mod keep_object;
mod orphan;
