//! Which of the desired objects is meant.

/// The position of an object in the list of desired objects that a plan was made from.
///
/// A plan names objects by position and not by key, so that it holds no copies of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(usize);

impl Position {
    /// The position of the item with this index.
    pub const fn new(index: usize) -> Self {
        Self(index)
    }

    /// Items with their positions.
    pub fn enumerate<T>(items: &[T]) -> impl Iterator<Item = (Self, &T)> {
        items.iter().enumerate().map(|(index, item)| (Self(index), item))
    }

    /// The item at this position; `None` in another list that is shorter.
    pub fn of<T>(self, items: &[T]) -> Option<&T> {
        items.get(self.0)
    }
}
