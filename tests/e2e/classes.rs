//! Controllers of several classes beside each other.
mod hand_over;
