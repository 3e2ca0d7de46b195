//! Many objects, and an installation in which nothing happens.
mod idle;
mod many;
